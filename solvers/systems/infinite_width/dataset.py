"""Training data: eight points on a circle, or a file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.axes import FileContent

Array = np.ndarray


def circle() -> tuple[Array, Array, Array]:
    """Training inputs (8, 2), targets cos θ (8, 1), and test inputs (9, 2), all of norm √2."""

    def on_circle(angles: Array) -> Array:
        return math.sqrt(2.0) * np.stack([np.cos(angles), np.sin(angles)], axis=1)

    training = 2 * math.pi * np.arange(8) / 8
    return on_circle(training), np.cos(training)[:, None], on_circle(np.linspace(0, math.pi, 9))


def read_data(dataset: str | FileContent) -> tuple[Array, Array, Array]:
    """Training inputs, targets with a column an output, and test inputs, of a word or a file."""
    if isinstance(dataset, str):
        return circle()
    targets = dataset["targets"]
    return (
        dataset["train_inputs"],
        targets[:, None] if targets.ndim == 1 else targets,
        dataset["test_inputs"],
    )


def check_data(**axes: Any) -> None:
    """ValueError with a sentence if the arrays of a file do not fit together."""
    dataset = axes["dataset"]
    if isinstance(dataset, str):
        return
    shapes = {name: dataset[name].shape for name in ("train_inputs", "targets", "test_inputs")}
    train, targets, test = shapes.values()
    fits = len(train) == len(test) == 2 and len(targets) in (1, 2) and train[1] == test[1]
    if not fits or targets[0] != train[0] or min(*train, *test, *targets) < 1:
        raise ValueError(
            f"dataset: the arrays have shapes {shapes}; allowed: train_inputs (train, entries), "
            "targets (train,) or (train, outputs), test_inputs (tests, entries)"
        )

"""The simulation: full-batch gradient descent on random instances."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.contract import Cost, Status
from solvers.systems.dmft_two_layer.descent import Columns, Instances, Record, descend
from solvers.systems.dmft_two_layer.model import GIVES, final, system
from solvers.systems.dmft_two_layer.units import loss_of_overlaps

_TOGETHER = 2**27
"""Bytes of designs held at once, unless one alone is larger."""


def _samples(*, alpha: Any, dimension: Any) -> Any:
    return np.floor(np.asarray(alpha) * dimension + 0.5)


def _flops(*, alpha: Any, dimension: Any, width: Any, steps: Any, precision: Any, **_: Any) -> Any:
    """A share of drawing a design, two products with it a step, and the units; nanoseconds.

    Three times what a core took that multiplies single-precision matrices at 110 Gflop/s.
    """
    samples = _samples(alpha=alpha, dimension=dimension)
    wide = np.where(np.asarray(precision) == "double", 2.0, 1.0)
    products = samples * dimension * (0.2 * wide * width * (steps + 1) + 2.0)
    return products + samples * width * 70 * (steps + 1) + 1e5


def _memory(*, alpha: Any, dimension: Any, width: Any, steps: Any, **_: Any) -> Any:
    samples = _samples(alpha=alpha, dimension=dimension)
    return 8 * width * (8 * samples + 5 * dimension + 2 * (steps + 1) * (width + 2))


def _design(*, alpha: Any, dimension: Any, teacher_width: Any, **_: Any) -> Any:
    one = 8 * (_samples(alpha=alpha, dimension=dimension) + teacher_width) * dimension
    return np.maximum(2.0 * one, 1.5 * _TOGETHER)


@system.simulation(
    version=2,
    gives=GIVES,
    size="dimension",
    shares=("width", "teacher_width", "steps", "dimension"),
    devices=("cpu", "gpu"),
    cost=Cost(flops=_flops, memory=_memory, shared_memory=_design),
)
def gradient_descent(
    *,
    alpha: np.ndarray,
    width: int,
    teacher_width: int,
    step_size: np.ndarray,
    noise: np.ndarray,
    momentum: np.ndarray,
    weight_decay: np.ndarray,
    activation: str,
    second_layer: str,
    steps: int,
    initial_scale: np.ndarray,
    dimension: int,
    seed: np.ndarray,
    precision: str,
    xp: Any,
) -> dict[str, Any]:
    """Gradient descent on samples = round(alpha · dimension) inputs, at least one.

    Instances are a function of (seed, dimension): points of one instance are prefixes of its rows,
    and all of them, whatever their alpha, step size and noise, take their steps together in two
    products with the design; small instances are stacked as well, up to 128 MB of designs at once.
    On a CPU the numbers of a point do not depend on the others, to the last bit.
    A design of alpha = 2 takes 256 MB at dimension 4000; at 40,000 on a GPU, 12.8 GB in single
    precision.

    The losses are those of the instance: the training loss on its noisy labels, the test loss over
    all inputs, from the overlaps with the weights of its own teacher. `residual` is 0: nothing is
    iterated to convergence. Status: diverged if a loss overflows.
    """
    samples = np.maximum(_samples(alpha=alpha, dimension=dimension), 1).astype(np.int64)
    dtype = np.float64 if precision == "double" else np.float32
    points = np.arange(len(seed))
    found: dict[int, tuple[Record, int, int]] = {}
    descending = points[np.argsort(-samples, kind="stable")]
    groups = [descending[seed[descending] == instance] for instance in np.unique(seed)]
    for group in _stacks(groups, samples, dimension * np.dtype(dtype).itemsize):
        most = max(len(members) for members in group)
        # Instances with fewer points repeat their last one, so that all have the same number.
        index = np.stack([np.pad(members, (0, most - len(members)), "edge") for members in group])
        rows = int(samples[index].max())
        instances = Instances.draw(
            seed[index[:, 0]],
            dimension=dimension,
            rows=rows,
            width=width,
            teacher_width=teacher_width,
            dtype=dtype,
            xp=xp,
        )
        columns = Columns(
            samples[index],
            *(array[index] for array in (step_size, noise, momentum, weight_decay, initial_scale)),
        )
        with np.errstate(over="ignore", invalid="ignore"):
            record = descend(
                instances,
                columns,
                activation=activation,
                trained=second_layer == "trained",
                steps=steps,
                xp=xp,
            )
        for place, members in enumerate(group):
            for position, point in enumerate(members):
                found[int(point)] = (record, place, position)
    answer: dict[str, Any] = {
        name: np.stack([getattr(r, name)[i, j] for r, i, j in (found[int(n)] for n in points)])
        for name in ("training_loss", "teacher_overlap", "student_overlap", "second_layer_weights")
    }
    target = np.stack([r.target_overlap[i] for r, i, _ in (found[int(n)] for n in points)])
    answer["test_loss"] = loss_of_overlaps(
        activation,
        answer["student_overlap"],
        answer["teacher_overlap"],
        target[:, None],
        answer["second_layer_weights"],
    )
    answer |= final(answer)
    lost = ~np.isfinite(answer["training_loss"] + answer["test_loss"])
    first = np.where(lost.any(axis=1), np.argmax(lost, axis=1), -1)
    answer["status"] = np.where(first < 0, Status.CONVERGED, Status.DIVERGED)
    answer["steps"] = np.where(first < 0, steps, first)
    answer["residual"] = np.zeros(len(seed))
    answer["message"] = [
        f"the numbers overflow at step {step}; try a smaller step_size" if step >= 0 else ""
        for step in first
    ]
    return answer


def _stacks(
    groups: list[np.ndarray], samples: np.ndarray, row_bytes: int
) -> list[list[np.ndarray]]:
    """Instances that are held together: as many as fit in `_TOGETHER`, one at least."""
    stacks: list[list[np.ndarray]] = []
    held = 0
    for members in groups:
        size = int(samples[members].max()) * row_bytes
        if not stacks or (held + size) > _TOGETHER:
            stacks.append([])
            held = 0
        stacks[-1].append(members)
        held += size
    return stacks

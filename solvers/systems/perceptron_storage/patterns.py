"""The random patterns that the simulations share."""

from __future__ import annotations

from typing import Any

import numpy as np


def samples_of(*, alpha: np.ndarray, dimension: int) -> np.ndarray:
    """round(alpha·dimension), halves upwards, as int64."""
    return np.floor(np.asarray(alpha, float) * dimension + 0.5).astype(np.int64)


def patterns(
    *, dimension: int, seed: int, samples: int, xp: Any = np, dtype: Any = np.float64
) -> Any:
    """Rows y·x of an instance, shape (samples, dimension), entries N(0, 1/dimension).

    A random label only flips its Gaussian row, which leaves the law of the row as it is: the rows
    drawn are y·x at once. A larger `samples` appends rows.
    """
    from solvers.numerics.random import Stream  # compiled: heavy

    stream = Stream("perceptron_storage", seed, dimension, "design")
    rows = stream.normals(0, samples, dimension, xp=xp, dtype=dtype)
    rows *= float(1.0 / np.sqrt(dimension))
    return rows

"""What an iteration of message passing does with its weights, in one kernel, or two if it records.

For every weight of a column, with share λ = `keep` of the field before,

    B <- (1 - λ)(onsager ŵ + X^T g) + λ B,    ŵ, v <- mean and variance (prior) of A, B,

in place, and sums of (change of ŵ)², ŵ² and v in double precision, in an order that does not depend
on the columns beside it (`chunks.py`). Counted in the code, in arrays of (dimension, columns)
numbers of single precision:

                                         array operations      here
    launches                             27                    1, and 3 of `fold`
    arrays read or written               65                    5
    copies to the device                 5, 6 with sparsity    2

Estimates are compared with their teacher in one launch too, which reads 2 arrays where array
operations read or write some 60, and the host waits once where it waited twice for channels that
tell no sign.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np

from solvers.numerics.cuda import chunks, text
from solvers.numerics.cuda.chunks import CHUNK
from solvers.numerics.cuda.fused import NAMES


def update(
    prior: Any,
    mean: Any,
    field: Any,
    gathered: Any,
    *,
    points: np.ndarray,
    origin: np.ndarray,
    onsager: np.ndarray,
    keep: np.ndarray,
    precision: np.ndarray,
    xp: Any,
    **parameters: np.ndarray,
) -> np.ndarray:
    """Sums over the weights, (3, len(points)), on the host, of (change of ŵ)², ŵ² and v.

    `mean` and `field` (dimension, all points) on the device are overwritten for `points`, each of
    which takes the column `origin` of `gathered`, X^T g; the other columns (len(points),) are on
    the host, and the `parameters` are those of the prior.
    """
    name, keys = response(prior)
    columns = onsager, keep, precision, *(parameters[key] for key in keys)
    given = xp.asarray(np.stack([np.asarray(column) for column in columns]), dtype=mean.dtype)
    index = xp.asarray(np.stack([points, origin]).astype(np.int64))
    rows, count = mean.shape[0], len(points)
    parts = -(-rows // CHUNK)
    partial = xp.empty((parts, 3, count), dtype=xp.float64)
    steps = (s // x.itemsize for x in (mean, field, gathered) for s in x.strides)
    sizes = (np.int64(size) for size in (rows, count, CHUNK, *steps))
    code = source(name, len(keys), mean.dtype.name)
    chunks.kernel(code, f"update_{name}_{mean.dtype.name}", xp)(
        *chunks.shape(count, parts),
        (mean, field, gathered, index[0], index[1], given, partial, *sizes),
    )
    return chunks.to_host(chunks.fold(partial, xp))


def comparison(estimate: Any, teacher: Any, xp: Any) -> np.ndarray:
    """Σ ŵw, Σ ŵ², Σ (ŵ - w)² and Σ (ŵ + w)², (4, points), in double precision, on the host.

    `estimate` (dimension, points), `teacher` the same or (dimension, 1).
    """
    rows, count = estimate.shape
    parts = -(-rows // CHUNK)
    partial = xp.empty((parts, 4, count), dtype=xp.float64)
    steps = [s // x.itemsize for x in (estimate, teacher) for s in x.strides]
    if teacher.shape[1] == 1:
        steps[3] = 0
    sizes = (np.int64(size) for size in (rows, count, CHUNK, *steps))
    kernel = chunks.kernel(text("compare"), f"compare_{estimate.dtype.name}", xp)
    kernel(*chunks.shape(count, parts), (estimate, teacher, partial, *sizes))
    return chunks.to_host(chunks.fold(partial, xp))


@cache
def response(prior: Any) -> tuple[str, tuple[str, ...]]:
    """Name of a prior's `denoise` in CUDA, and what it takes beside precision and field."""
    precision, field, *keys, xp = inspect.signature(prior.denoise).parameters
    if (precision, field, xp) != ("precision", "field", "xp"):
        raise TypeError(f"denoise of {prior.__name__} takes {precision}, {field}, {xp}")
    return NAMES[prior.denoise], tuple(keys)


@cache
def source(name: str, parameters: int, real: str) -> str:
    """The text of the kernel `update_NAME_REAL` for a prior with so many parameters."""
    rest = "".join(f", own[{i + 1}]" for i in range(parameters))
    arguments = f"own[0], field{rest}, mean, variance"
    return chunks.instance(("tails", "priors", "weights"), f"update_{name}", real, name, arguments)

"""Products in lockstep one way at a time, where something else stands between X·v and X^T·f.

Column c sees the first `rows[c]` rows of the matrix, as in `lockstep`, and its numbers depend on no
other column, to the last bit of a CPU. What lies beyond its rows is zero in the products with X,
except in the rest of the last block, and must be zero in what is multiplied by X^T.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics import lockstep
from solvers.numerics.lockstep import device
from solvers.numerics.lockstep.held import PLAIN
from solvers.numerics.lockstep.thin import padded, sums, up


def forward(matrix: Any, columns: Any, rows: np.ndarray, *, xp: Any) -> Any:
    """X·columns, shape (rows of the matrix, n), of `columns` (dimension, n)."""
    answer = xp.zeros((matrix.shape[0], columns.shape[1]), dtype=matrix.dtype)
    for block, which, product in lockstep.products(matrix, columns, rows, xp=xp):
        answer[block, xp.asarray(which)] = product
    return answer


def backward(matrix: Any, factors: Any, rows: np.ndarray, *, xp: Any) -> Any:
    """X^T·factors, shape (dimension, n); `factors` (its rows, n)."""
    count, dimension = factors.shape[1], matrix.shape[1]
    order, end = np.argsort(-rows, kind="stable"), lockstep.whole_tiles(int(rows.max(initial=0)))
    numpy = array_api_compat.is_numpy_namespace(xp)
    size = lockstep.CPU_BLOCK if numpy else lockstep.GPU_BLOCK
    ordered = padded(factors.T[order]) if numpy else factors.T[xp.asarray(order), :]
    total = xp.zeros((up(count) if numpy else count, dimension), dtype=matrix.dtype)
    for start in range(0, end, size):
        block = slice(start, min(start + size, end))
        some = int(np.count_nonzero(rows > start))
        if numpy:
            sums(matrix[block], ordered[: up(some), block], total)
        else:
            device.sums(matrix[block, :], ordered[:some, block], total[:some, :], None, PLAIN, xp)
    answer = xp.empty((dimension, count), dtype=matrix.dtype)
    answer[:, xp.asarray(order)] = total[:count].T
    return answer

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
    count, order = factors.shape[1], np.argsort(-rows, kind="stable")
    numpy = array_api_compat.is_numpy_namespace(xp)
    ordered = padded(factors.T[order]) if numpy else factors.T[xp.asarray(order), :]
    total = xp.zeros((len(ordered), matrix.shape[1]), dtype=matrix.dtype)
    for block, some in lockstep.blocks(rows, *matrix.shape, xp=xp):
        if numpy:
            sums(matrix[block], ordered[: up(some), block], total)
        else:
            device.sums(matrix[block, :], ordered[:some, block], total[:some, :], None, PLAIN, xp)
    answer = xp.empty((matrix.shape[1], count), dtype=matrix.dtype)
    answer[:, xp.asarray(order)] = total[:count].T
    return answer

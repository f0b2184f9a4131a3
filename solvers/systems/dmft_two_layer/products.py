"""Products of a stack of designs with the columns of their points, in one reading of each.

Column c of an instance sees the first seen[c] rows of its design. On a CPU the products are those
of `numerics.lockstep`, all instances in one compiled call, and a column's numbers do not depend on
the others, to the last bit; elsewhere they are stacked products of the library.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics.compiled import jit
from solvers.numerics.lockstep.thin import TILE, dots, sums, up

_BLOCK = 10 * TILE
"""Rows after which columns that see no more of them drop out."""


def forward(design: Any, columns: Any, seen: np.ndarray, xp: Any) -> Any:
    """X·w of every column, shape (instances, rows, n); zero, or anything, where it is not seen.

    `design` (instances, whole tiles of rows, dimension), `columns` (instances, n, dimension),
    `seen` (instances, n) on the host, descending along n.
    """
    if not array_api_compat.is_numpy_namespace(xp):
        return design @ xp.matrix_transpose(columns)
    columns, count = _padded(columns), columns.shape[1]
    product = np.zeros((*design.shape[:2], columns.shape[1]), dtype=design.dtype)
    _forward(design, columns, seen, product)
    return product[:, :, :count]


def backward(design: Any, factors: Any, seen: np.ndarray, xp: Any) -> Any:
    """X^T·f of every column, shape (instances, n, dimension); f must be zero where it is not seen.

    `factors` (instances, rows, n), the others as in `forward`.
    """
    factors, count = xp.matrix_transpose(factors), factors.shape[2]
    if not array_api_compat.is_numpy_namespace(xp):
        return factors @ design
    factors = _padded(factors)
    total = np.zeros((*factors.shape[:2], design.shape[2]), dtype=design.dtype)
    _backward(design, factors, seen, total)
    return total[:, :count]


def row_sums(values: Any, xp: Any) -> Any:
    """Sums over axis 1 of (instances, rows, n) in double precision, row after row.

    One column more, of zeros, keeps NumPy from adding a lone one pairwise: `lockstep.column_sums`.
    """
    instances, rows, count = values.shape
    padded = xp.zeros((instances, rows, count + 1), dtype=xp.float64)
    padded[:, :, :count] = values
    return xp.sum(padded, axis=1)[:, :count]


def _padded(columns: np.ndarray) -> np.ndarray:
    """Contiguous, with columns of zeros up to what the kernels are given."""
    answer = np.zeros((len(columns), up(columns.shape[1]), columns.shape[2]), dtype=columns.dtype)
    answer[:, : columns.shape[1]] = columns
    return answer


@jit
def _lanes(seen, start):
    """Columns that the kernels are given for those that see more than `start` rows."""
    count = 0
    while count < len(seen) and seen[count] > start:
        count += 1
    return up(count)


@jit
def _forward(design, columns, seen, product):
    for i in range(len(design)):
        for start in range(0, design.shape[1], _BLOCK):
            stop, some = min(start + _BLOCK, design.shape[1]), _lanes(seen[i], start)
            dots(design[i, start:stop], columns[i, :some], product[i, start:stop])


@jit
def _backward(design, factors, seen, total):
    for i in range(len(design)):
        for start in range(0, design.shape[1], _BLOCK):
            stop, some = min(start + _BLOCK, design.shape[1]), _lanes(seen[i], start)
            sums(design[i, start:stop], factors[i, :some, start:stop], total[i, :some])

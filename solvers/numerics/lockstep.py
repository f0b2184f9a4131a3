"""Lockstep products: one matrix X, and many columns that each see a prefix of its rows.

Points that share an instance advance together, so that X is read once an iteration for all of them:

    u = X·w for every column w,        then        X^T f(u),

a block of rows at a time, while the block is in the cache. A column with fewer rows drops out of
the later blocks, so a nested grid of alphas wastes nothing.

**On a CPU** thin products are compiled here. A library packs the matrix for every product, which
pays for square ones, and rounds a column differently in products of different widths. These kernels
keep 12 sums in registers (`_dots`: three rows by four columns), or four columns in the first-level
cache (`_sums`: four rows at a time); they reach about two thirds of the library's square-product
rate for 32 columns and three times its rate for 8 (benchmarks/RESULTS.md). Every number is made by
the same loop wherever its column stands: what a column gets does not depend on the others, to the
last bit. They use one thread: a machine is filled by one process per core.

**Elsewhere** (a GPU) a few large library products do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import array_api_compat
import numba
import numpy as np

TILE = 24
"""Rows that stay in the second-level cache while all columns pass over them: a matrix must have a
multiple of them."""
CPU_BLOCK, GPU_BLOCK = 40 * TILE, 8192
"""Rows that are answered together: few calls, and on a CPU a part of the third-level cache."""

_LANES = 4
"""Columns that a kernel takes at a time."""

_jit = numba.njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"}
)


def whole_tiles(rows: int) -> int:
    """`rows`, rounded up to a multiple of `TILE`."""
    return TILE * -(-rows // TILE)


def products(
    matrix: Any, columns: Any, rows: np.ndarray, *, xp: Any
) -> Iterator[tuple[slice, np.ndarray, Any]]:
    """Blocks of matrix·columns, in one reading of the matrix.

    `matrix` (whole tiles of rows, dimension), `columns` (dimension, n), `rows` (n,) on the host:
    how many rows each column sees. Yields the rows of a block, which columns see any of them (host
    positions, most rows first), and their products (rows of the block, those columns).
    """
    order, end = np.argsort(-rows, kind="stable"), whole_tiles(int(rows.max(initial=0)))
    numpy = array_api_compat.is_numpy_namespace(xp)
    block = CPU_BLOCK if numpy else GPU_BLOCK
    sorted_columns = _padded(columns.T[order]) if numpy else columns[:, xp.asarray(order)]
    for start in range(0, end, block):
        part = matrix[start : min(start + block, end)]
        count = int(np.count_nonzero(rows > start))
        if numpy:
            some = sorted_columns[: _up(count)]
            product = np.empty((len(part), len(some)), dtype=part.dtype)
            _dots(part, some, product)
        else:
            product = part @ sorted_columns[:, :count]
        yield slice(start, start + len(part)), order[:count], product[:, :count]


def read(
    matrix: Any,
    columns: Any,
    rows: np.ndarray,
    respond: Callable[[slice, np.ndarray, Any], Any],
    *,
    xp: Any,
) -> Any:
    """X^T f(X·columns), shape (dimension, n), in one reading of the matrix.

    Arguments as in `products`; `respond(rows, which, product)` returns f for the columns `which` of
    a block, in the shape of the product, with zeros in the rows that a column does not see.
    """
    count, dimension = columns.shape[1], matrix.shape[1]
    numpy = array_api_compat.is_numpy_namespace(xp)
    total = xp.zeros((_up(count) if numpy else count, dimension), dtype=matrix.dtype)
    order = np.argsort(-rows, kind="stable")
    for block, which, product in products(matrix, columns, rows, xp=xp):
        answer = respond(block, which, product)
        if numpy:
            _sums(matrix[block], _padded(answer.T), total)
        else:
            total[: len(which), :] += answer.T @ matrix[block]
    gathered = xp.empty((dimension, count), dtype=matrix.dtype)
    gathered[:, xp.asarray(order)] = total[:count].T
    return gathered


def column_sums(array: Any, xp: Any) -> np.ndarray:
    """Sums over the rows in double precision, on the host, in an order no other column can change.

    NumPy adds a lone column, or one in Fortran order, pairwise, and rows of several one by one.
    """
    count = array.shape[1]
    padded = xp.zeros((array.shape[0], count + 1), dtype=xp.float64)
    padded[:, :count] = array
    return np.asarray(array_api_compat.to_device(xp.sum(padded, axis=0)[:count], "cpu"))


def _up(count: int) -> int:
    return _LANES * -(-count // _LANES)


def _padded(rows: np.ndarray) -> np.ndarray:
    """A contiguous copy with zero rows up to a multiple of `_LANES`."""
    padded = np.zeros((_up(len(rows)), rows.shape[1]), dtype=rows.dtype)
    padded[: len(rows)] = rows
    return padded


@_jit
def _dots(matrix, columns, product):
    """product[r, c] = matrix[r] · columns[c]; columns (a multiple of four, dimension)."""
    rows, dimension = matrix.shape
    zero = matrix.dtype.type(0)
    for first in range(0, rows, TILE):
        stop = min(first + TILE, rows)
        for c in range(0, len(columns), 4):
            w0, w1, w2, w3 = columns[c], columns[c + 1], columns[c + 2], columns[c + 3]
            for p in range(first, stop, 3):
                q, r = min(p + 1, stop - 1), min(p + 2, stop - 1)
                x, y, z = matrix[p], matrix[q], matrix[r]
                x0 = x1 = x2 = x3 = y0 = y1 = y2 = y3 = z0 = z1 = z2 = z3 = zero
                for k in range(dimension):
                    a, b, c_ = x[k], y[k], z[k]
                    w = w0[k]
                    x0 += a * w
                    y0 += b * w
                    z0 += c_ * w
                    w = w1[k]
                    x1 += a * w
                    y1 += b * w
                    z1 += c_ * w
                    w = w2[k]
                    x2 += a * w
                    y2 += b * w
                    z2 += c_ * w
                    w = w3[k]
                    x3 += a * w
                    y3 += b * w
                    z3 += c_ * w
                # Where rows are missing at the end, the last one is written thrice.
                out = product[p]
                out[c], out[c + 1], out[c + 2], out[c + 3] = x0, x1, x2, x3
                out = product[q]
                out[c], out[c + 1], out[c + 2], out[c + 3] = y0, y1, y2, y3
                out = product[r]
                out[c], out[c + 1], out[c + 2], out[c + 3] = z0, z1, z2, z3


@_jit
def _sums(matrix, factors, total):
    """total[c] += Σ_r factors[c, r] matrix[r]; four rows at a time, `factors` (columns, rows)."""
    rows, dimension = matrix.shape
    for first in range(0, rows, TILE):
        for c in range(0, len(factors), 4):
            t0, t1, t2, t3 = total[c], total[c + 1], total[c + 2], total[c + 3]
            f0, f1, f2, f3 = factors[c], factors[c + 1], factors[c + 2], factors[c + 3]
            for r in range(first, min(first + TILE, rows), 4):
                x0, x1, x2, x3 = matrix[r], matrix[r + 1], matrix[r + 2], matrix[r + 3]
                a0, a1, a2, a3 = f0[r], f0[r + 1], f0[r + 2], f0[r + 3]
                b0, b1, b2, b3 = f1[r], f1[r + 1], f1[r + 2], f1[r + 3]
                c0, c1, c2, c3 = f2[r], f2[r + 1], f2[r + 2], f2[r + 3]
                d0, d1, d2, d3 = f3[r], f3[r + 1], f3[r + 2], f3[r + 3]
                for k in range(dimension):
                    p, q, s, t = x0[k], x1[k], x2[k], x3[k]
                    t0[k] += a0 * p + a1 * q + a2 * s + a3 * t
                    t1[k] += b0 * p + b1 * q + b2 * s + b3 * t
                    t2[k] += c0 * p + c1 * q + c2 * s + c3 * t
                    t3[k] += d0 * p + d1 * q + d2 * s + d3 * t

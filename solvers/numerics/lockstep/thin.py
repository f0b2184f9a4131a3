"""Thin products on a CPU, compiled: a few columns times tiles of rows that stay in the cache.

A library packs the matrix for every product, which pays for square ones, and rounds a column
differently in products of different widths. These kernels keep 12 sums in registers (`dots`: three
rows by four columns), or four columns in the first-level cache (`sums`: four rows at a time); they
reach about two thirds of the library's square-product rate for 32 columns and three times its rate
for 8 (benchmarks/RESULTS.md). Every number is made by the same loop wherever its column stands:
what a column gets does not depend on the others, to the last bit. They use one thread: a machine is
filled by one process per core.
"""

from __future__ import annotations

import numba
import numpy as np

TILE = 24
"""Rows that stay in the second-level cache while all columns pass over them: a matrix must have a
multiple of them."""

LANES = 4
"""Columns that a kernel takes at a time."""

_jit = numba.njit(
    cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"}
)


def up(count: int) -> int:
    """`count`, rounded up to a multiple of `LANES`."""
    return LANES * -(-count // LANES)


def padded(rows: np.ndarray) -> np.ndarray:
    """A contiguous copy with zero rows up to a multiple of `LANES`."""
    answer = np.zeros((up(len(rows)), rows.shape[1]), dtype=rows.dtype)
    answer[: len(rows)] = rows
    return answer


@_jit
def dots(matrix, columns, product):
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
def sums(matrix, factors, total):
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

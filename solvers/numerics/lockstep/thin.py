"""Thin products on a CPU, compiled: a few columns times tiles of rows that stay in the cache.

A library packs the matrix for every product, which pays for square ones, and rounds a column
differently in products of different widths. These kernels keep 12 sums in registers (`dots`: three
rows by four columns, or twelve rows by a lone one) or four columns in the first-level cache
(`sums`: four rows at a time); they reach about four fifths of the library's square-product rate for
32 columns, and twice the rate of its thin products for 8 (benchmarks/RESULTS.md). Every number is
made by the same sums wherever its column stands, and whether it stands alone: what a column gets
does not depend on the others, to the last bit. They use one thread: a machine is filled by one
process per core.
"""

from __future__ import annotations

import numpy as np

from solvers.numerics.compiled import jit

TILE = 24
"""Rows that stay in the second-level cache while all columns pass over them; what is missing of a
last tile is filled up with zeros in a copy."""

LANES = 4
"""Columns that a kernel takes at a time, unless there is one only."""

_jit = jit(fastmath={"contract", "nsz"})
_reducing = jit(fastmath={"contract", "reassoc", "nsz"})


@_jit
def up(count):
    """Columns that the kernels are given for `count` of them."""
    return count if count < 2 else LANES * -(-count // LANES)


def padded(rows: np.ndarray) -> np.ndarray:
    """A contiguous copy with as many rows as the kernels are given; those added are zero."""
    answer = np.zeros((up(len(rows)), rows.shape[1]), dtype=rows.dtype)
    answer[: len(rows)] = rows
    return answer


@_jit
def dots(matrix, columns, product):
    """product[r, c] = matrix[r] · columns[c]; matrix (rows, dimension)."""
    for first in range(0, len(matrix), TILE):
        tile, some = matrix[first : first + TILE], product[first : first + TILE]
        if len(tile) == TILE:
            _tile_dots(tile, columns, some)
        else:
            room = np.empty((TILE, len(columns)), matrix.dtype)
            _tile_dots(_filled(tile), columns, room)
            some[:] = room[: len(tile)]


@_jit
def sums(matrix, factors, total):
    """total[c] += Σ_r factors[c, r] matrix[r]; `factors` (columns, rows)."""
    for first in range(0, len(matrix), TILE):
        tile, some = matrix[first : first + TILE], factors[:, first : first + TILE]
        if len(tile) == TILE:
            _tile_sums(tile, some, total)
        else:
            room = np.zeros((len(factors), TILE), matrix.dtype)
            room[:, : len(tile)] = some
            _tile_sums(_filled(tile), room[:, :], total)


@_jit
def _filled(tile):
    whole = np.zeros((TILE, tile.shape[1]), tile.dtype)
    whole[: len(tile)] = tile
    return whole


@_jit
def _tile_dots(tile, columns, product):
    if len(columns) == 1:
        _lone_dots(tile, columns[0], product)
    else:
        _dots(tile, columns, product)


@_jit
def _tile_sums(tile, factors, total):
    if len(factors) == 1:
        _lone_sums(tile, factors[0], total[0])
    else:
        _sums(tile, factors, total)


@_reducing
def _dots(tile, columns, product):
    dimension, zero = tile.shape[1], tile.dtype.type(0)
    for c in range(0, len(columns), 4):
        w0, w1, w2, w3 = columns[c], columns[c + 1], columns[c + 2], columns[c + 3]
        for p in range(0, TILE, 3):
            x, y, z = tile[p], tile[p + 1], tile[p + 2]
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
            out = product[p]
            out[c], out[c + 1], out[c + 2], out[c + 3] = x0, x1, x2, x3
            out = product[p + 1]
            out[c], out[c + 1], out[c + 2], out[c + 3] = y0, y1, y2, y3
            out = product[p + 2]
            out[c], out[c + 1], out[c + 2], out[c + 3] = z0, z1, z2, z3


@_reducing
def _lone_dots(tile, column, product):
    # Twelve sums, as in `_dots`, so that the compiler adds them up in the same order.
    dimension, zero = tile.shape[1], tile.dtype.type(0)
    for p in range(0, TILE, 12):
        x0, x1, x2, x3, x4, x5 = (
            tile[p],
            tile[p + 1],
            tile[p + 2],
            tile[p + 3],
            tile[p + 4],
            tile[p + 5],
        )
        x6, x7, x8, x9, xa, xb = (
            tile[p + 6],
            tile[p + 7],
            tile[p + 8],
            tile[p + 9],
            tile[p + 10],
            tile[p + 11],
        )
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = s8 = s9 = sa = sb = zero
        for k in range(dimension):
            w = column[k]
            s0 += x0[k] * w
            s1 += x1[k] * w
            s2 += x2[k] * w
            s3 += x3[k] * w
            s4 += x4[k] * w
            s5 += x5[k] * w
            s6 += x6[k] * w
            s7 += x7[k] * w
            s8 += x8[k] * w
            s9 += x9[k] * w
            sa += xa[k] * w
            sb += xb[k] * w
        for r, s in enumerate((s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, sa, sb)):
            product[p + r, 0] = s


@_jit
def _sums(tile, factors, total):
    for c in range(0, len(factors), 4):
        t0, t1, t2, t3 = total[c], total[c + 1], total[c + 2], total[c + 3]
        f0, f1, f2, f3 = factors[c], factors[c + 1], factors[c + 2], factors[c + 3]
        for r in range(0, TILE, 4):
            x0, x1, x2, x3 = tile[r], tile[r + 1], tile[r + 2], tile[r + 3]
            a0, a1, a2, a3 = f0[r], f0[r + 1], f0[r + 2], f0[r + 3]
            b0, b1, b2, b3 = f1[r], f1[r + 1], f1[r + 2], f1[r + 3]
            c0, c1, c2, c3 = f2[r], f2[r + 1], f2[r + 2], f2[r + 3]
            d0, d1, d2, d3 = f3[r], f3[r + 1], f3[r + 2], f3[r + 3]
            for k in range(tile.shape[1]):
                p, q, s, t = x0[k], x1[k], x2[k], x3[k]
                t0[k] += a0 * p + a1 * q + a2 * s + a3 * t
                t1[k] += b0 * p + b1 * q + b2 * s + b3 * t
                t2[k] += c0 * p + c1 * q + c2 * s + c3 * t
                t3[k] += d0 * p + d1 * q + d2 * s + d3 * t


@_jit
def _lone_sums(tile, factors, total):
    for r in range(0, TILE, 4):
        x0, x1, x2, x3 = tile[r], tile[r + 1], tile[r + 2], tile[r + 3]
        a0, a1, a2, a3 = factors[r], factors[r + 1], factors[r + 2], factors[r + 3]
        for k in range(tile.shape[1]):
            total[k] += a0 * x0[k] + a1 * x1[k] + a2 * x2[k] + a3 * x3[k]

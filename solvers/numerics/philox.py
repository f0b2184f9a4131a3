"""Philox4x32-10 and the compiled kernel of `random`: words, and numbers made of them.

A round of Philox4x32 with the keys (k0, k1) maps the words (c0, c1, c2, c3) to

    (hi(M1·c2) ^ c1 ^ k0,  lo(M1·c2),  hi(M0·c0) ^ c3 ^ k1,  lo(M0·c0))

with M0 = 0xD2511F53, M1 = 0xCD9E8D57 and 64-bit products split in halves; between the ten rounds
k0 grows by 0x9E3779B9 and k1 by 0xBB67AE85 (Salmon et al., SC11 (2011), section 3.3).

The kernel works on a chunk of calls at a time, in loops without calls into libm, which the compiler
turns into SIMD. With word x and u = (x + 1/2)/2^32:

    log u      f = (min(x, ~x) + 1/2)/2^32 = min(u, 1 - u) has full relative precision even in
               float32. Write u = (1 + t)·2^e with |t| < 0.42: e from the bits of f and
               t = f·2^-e - 1 if u < 1/2; otherwise e = 0, t = -f, or e = -1, t = 1 - 2f.
               Then log(1 + t) = 2 artanh s with s = t/(2 + t), s^2 < 0.03, by Taylor series.
    cos, sin   of 2πu: q = nearest quarter turn, remainder in [-π/4, π/4] exact in integers, Taylor
               series there, and a rotation by q quarter turns.

`TABLES` holds as many terms as leave truncation errors below the rounding unit of the type.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.numerics.compiled import jit

LANES = 8
"""Philox calls per tile; a tile has 4·LANES columns. Changing it changes every instance."""

SIGNS, UNIFORMS, NORMALS = range(3)
"""The distributions, as they stand in the counter."""

_M0, _M1 = 0xD2511F53, 0xCD9E8D57
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = 0xFFFFFFFF
_ROUNDS = 10
_CHUNK = 16 * LANES

_u32, _u64, _i32, _f32 = np.uint32, np.uint64, np.int32, np.float32

_ROOT_HALF = math.sqrt(0.5)
_ROOT_BITS = int(np.float32(_ROOT_HALF).view(np.int32))


def words(c0: Any, c1: Any, c2: Any, c3: Any, k0: int, k1: int) -> tuple[Any, Any, Any, Any]:
    """Philox4x32-10 of counters in uint64 arrays (values below 2^32) of any array namespace."""
    for _ in range(_ROUNDS):
        p0, p1 = c0 * _M0, c2 * _M1
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & _LOW, (p0 >> 32) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _W0) & _LOW, (k1 + _W1) & _LOW
    return c0, c1, c2, c3


@jit
def call_words(x, block, kind, row, k0, k1):
    """Fill x, shape (4, n) uint32, with the calls block ... block + n - 1 of one row."""
    x0, x1, x2, x3 = x[0], x[1], x[2], x[3]
    low, high = _u32(row & _LOW), _u32(row >> 32)
    for j in range(x.shape[1]):
        c0, c1, c2, c3 = _u32(block + j), _u32(kind), low, high
        a, b = _u32(k0), _u32(k1)
        for _ in range(_ROUNDS):
            p0, p1 = _u64(c0) * _u64(_M0), _u64(c2) * _u64(_M1)
            c0 = _u32(_u32(p1 >> _u64(32)) ^ c1 ^ a)
            c2 = _u32(_u32(p0 >> _u64(32)) ^ c3 ^ b)
            c1, c3 = _u32(p1), _u32(p0)
            a, b = _u32(a + _u32(_W0)), _u32(b + _u32(_W1))
        x0[j], x1[j], x2[j], x3[j] = c0, c1, c2, c3


@jit
def _signs(x, y):
    for i in range(4):
        word, value = x[i], y[i]
        for j in range(len(word)):
            value[j] = 1 - 2 * _i32(word[j] >> _u32(31))


@jit
def _uniforms(x, y, top):
    real = y.dtype.type
    for i in range(4):
        word, value = x[i], y[i]
        for j in range(len(word)):
            value[j] = min((real(word[j]) + real(0.5)) * real(2.0**-32), top)


@jit
def _normals(x, y, artanh, sine, cosine):
    """Box-Muller on the pairs of words (0, 1) and (2, 3)."""
    real = y.dtype.type
    one, two, half = real(1), real(2), real(0.5)
    for i in (0, 2):
        first, second, along, across = x[i], x[i + 1], y[i], y[i + 1]
        for j in range(len(first)):
            word = first[j]
            f = (real(_i32(min(word, _u32(~word)))) + half) * real(2.0**-32)
            exponent = _i32(_i32(_f32(f).view(_i32) - _i32(_ROOT_BITS)) >> _i32(23))
            power = _f32(_i32(_i32(_i32(127) - exponent) << _i32(23)).view(_f32))
            e, t = real(exponent), f * real(power) - one
            if word >= _u32(0x80000000):
                small = f < real(1 - _ROOT_HALF)
                e = real(0) if small else -one
                t = -f if small else one - two * f
            s = t / (two + t)
            square = s * s
            series = artanh[0]
            for k in range(1, len(artanh)):
                series = series * square + artanh[k]
            radius = np.sqrt(-two * (e * real(math.log(2.0)) + s * series))

            word = second[j]
            quarter = _u32(_u32(word + _u32(1 << 29)) >> _u32(30))
            rest = _i32(_u32(word - _u32(quarter << _u32(30))))
            angle = (real(rest) + half) * real(2.0 * math.pi * 2.0**-32)
            square = angle * angle
            c, s = cosine[0], sine[0]
            for k in range(1, len(cosine)):
                c = c * square + cosine[k]
            for k in range(1, len(sine)):
                s = s * square + sine[k]
            s = s * angle
            odd = (quarter & _u32(1)) != _u32(0)
            cos, sin = (s, c) if odd else (c, s)
            cos = -cos if (quarter == _u32(1)) | (quarter == _u32(2)) else cos
            sin = -sin if quarter >= _u32(2) else sin
            along[j], across[j] = radius * cos, radius * sin


@jit
def numbers(x, y, kind, tables):
    """Turn words x, shape (4, n) uint32, into numbers y, shape (4, n), of one distribution."""
    artanh, sine, cosine, top = tables
    if kind == SIGNS:
        _signs(x, y)
    elif kind == UNIFORMS:
        _uniforms(x, y, top)
    else:
        _normals(x, y, artanh, sine, cosine)


@jit
def fill(out, start, kind, k0, k1, tables):
    """Fill out, shape (rows, columns) float32 or float64, with the rows from `start` on."""
    rows, columns = out.shape
    calls = min(_CHUNK, max(1, -(-columns // (4 * LANES))) * LANES)
    x = np.empty((4, calls), dtype=np.uint32)
    y = np.empty((4, calls), dtype=out.dtype)
    for r in range(rows):
        for block in range(0, -(-columns // 4), calls):
            call_words(x, block, kind, start + r, k0, k1)
            numbers(x, y, kind, tables)
            part = out[r, 4 * block :]
            for j in range(0, calls, LANES):
                for i in range(4):
                    at = 4 * j + LANES * i
                    for lane in range(min(LANES, len(part) - at)):
                        part[at + lane] = y[i, j + lane]


def _tables(real: Any, terms: int, degree: int) -> tuple[Any, ...]:
    """Series coefficients, highest power first, and the largest number below 1, in one type."""
    half = degree // 2
    return (
        tuple(real(2.0 / (2 * k + 1)) for k in reversed(range(terms))),
        tuple(real((-1) ** k / math.factorial(2 * k + 1)) for k in reversed(range(half))),
        tuple(real((-1) ** k / math.factorial(2 * k)) for k in reversed(range(half + 1))),
        real(1.0 - np.finfo(real).epsneg),
    )


TABLES = {4: _tables(np.float32, 5, 10), 8: _tables(np.float64, 12, 18)}
"""What `fill` needs to know of each type, by its size in bytes."""

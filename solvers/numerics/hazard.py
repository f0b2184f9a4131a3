"""The hazard of the normal law in compiled single-precision loops, h = φ/H with H(x) = P(Z > x).

With y = |x| and s = (4 - y)/(4 + y), which lies in (-1, 1], the functions

    (h(y) - h(0))/y    and    h(y)(h(y) - y) = 1 - 1/y² + …

are smooth in s up to and including s = -1, y = ∞, and are taken as polynomials, fitted to relative
errors of 1e-8 and 3e-8: nothing cancels for large y. From h(y) follows, with φ(y) <= h(y)/2,

    h(-y) = φ h(y)/(h(y) - φ),      h(-y)(h(-y) + y).

exp(-y²/2) is 2^-n exp(r), |r| < 0.35: a power made of bits, a polynomial, and y² in two parts, of
which the larger is exact. There is no call into libm and no branch: a loop over `hazard` becomes
SIMD. Only the polynomials are fused, and they always: a number is the same in every lane.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from solvers.numerics.compiled import jit

LOWEST = -13.1
"""Below, h < 3e-38 is taken as zero: it leaves the normal numbers of single precision."""

_f32, _i32 = np.float32, np.int32
_HIGH = np.int32(-4096)  # 12 leading bits of a single: their square is exact
_AT_ZERO = _f32(math.sqrt(2 / math.pi))
_INVERSE_LOG_2 = _f32(1 / math.log(2.0))
_LOG_2 = _f32(math.floor(math.log(2.0) * 2**15) * 2.0**-15)  # n·_LOG_2 is exact
_REST_OF_LOG_2 = _f32(math.log(2.0) - float(_LOG_2))


def _polynomial(*coefficients: float) -> Any:
    """A polynomial of a float32 in compiled code, highest power first, by fused Horner steps."""

    @intrinsic
    def polynomial(_, x):
        def build(context, builder, signature, arguments):
            first, *others = [context.get_constant(numba.float32, c) for c in coefficients]
            value = first
            for c in others:
                value = builder.fma(value, arguments[0], c)
            return value

        return numba.float32(numba.float32), build

    return polynomial


_slope = _polynomial(
    -8.65595949e-05,
    -5.29773438e-05,
    5.18535890e-04,
    5.51656957e-04,
    -1.55976937e-03,
    -3.21489471e-03,
    2.21457500e-03,
    1.40379355e-02,
    1.00162130e-02,
    -4.99424854e-02,
    -1.92793110e-01,
    8.56930648e-01,
)
_curvature = _polynomial(
    -5.04226835e-04,
    -3.52674673e-04,
    2.84372257e-03,
    2.99194762e-03,
    -7.34220541e-03,
    -1.34114134e-02,
    7.83486054e-03,
    3.99345529e-02,
    2.35127663e-02,
    -6.80019046e-02,
    -1.61362213e-01,
    -1.42850644e-01,
    9.53327187e-01,
)
_density = _polynomial(
    5.51999190e-04,
    3.34115623e-03,
    1.66232236e-02,
    6.64893862e-02,
    1.99471108e-01,
    3.98942295e-01,
    3.98942281e-01,
)


@jit(forceinline=True)
def hazard(x):
    """h(x) and h(x)(h(x) - x) = h'(x) of a float32, to relative 3e-7; h is zero below LOWEST."""
    half, four, lowest = _f32(0.5), _f32(4), _f32(-LOWEST)
    y = abs(x)
    s = (four - y) / (four + y)
    h = _AT_ZERO + y * _slope(s)
    curvature = _curvature(s)

    z = min(y, lowest)
    high = _f32(_i32(_f32(z).view(_i32) & _HIGH).view(_f32))
    low = half * (z - high) * (z + high)
    square = half * high * high
    n = _i32((square + low) * _INVERSE_LOG_2 + half)
    r = ((_f32(n) * _LOG_2 - square) + _f32(n) * _REST_OF_LOG_2) - low
    density = _density(r) * _f32(_i32(_i32(_i32(127) - n) << _i32(23)).view(_f32))
    density = density if y <= lowest else _f32(0)
    below = density * h / (h - density)
    positive = x >= _f32(0)
    return (h if positive else below), (curvature if positive else below * (below + y))

"""Gaussian integrals of two, three and four fields through erf units, in closed form.

With σ(u) = erf(u/√2), so σ'(u) = √(2/π) exp(-u²/2), and fields (x1, x2, ...) jointly Gaussian with
zero mean and covariance C:

    two     E[σ(x1) σ(x2)]                 = (2/π) arcsin( C12 / √((1+C11)(1+C22)) )
    slopes  E[σ'(x1) σ'(x2)]               = (2/π) / √Λ12
    three   E[σ'(x1) x2 σ(x3)]             = (2/π) (C23 - C12 C13/(1+C11)) / √Λ13
    four    E[σ'(x1) σ'(x2) σ(x3) σ(x4)]   = slopes(1, 2) · two(3, 4) with C replaced by C~

where Λab = (1+Caa)(1+Cbb) - Cab². These are I2, I3 and I4 of Saad and Solla, Phys. Rev. E 52, 4225
(1995), appendix A (first in Phys. Rev. Lett. 74, 4337 (1995)); any two fields may be the same one.

**Derivation.** A factor σ'(x1) is a Gaussian tilt: with u = (x1, x2) and S the covariance of u,

    σ'(x1) σ'(x2) · N(x; 0, C) = (2/π) det(1 + S)^(-1/2) · N(x; 0, C~),
    C~ = C - cov(x, u) (1 + S)^(-1) cov(u, x),      det(1 + S) = Λ12,

which is "slopes" and turns "four" into "two". "three" is the same tilt by one factor followed by
Stein's lemma, E~[x2 σ(x3)] = C~23 E~[σ'(x3)]. "two" holds because σ(x) = E sign(x + z) with z a
standard normal: it is the sign correlation of two fields of variances 1+C11 and 1+C22.

Written through C~ instead of Λ0 ... Λ4, the four-field integral costs one rank-2 update for a pair
(1, 2) and is then shared by all pairs (3, 4); and its argument stays below 1 by C~/(1 + C~) < 1.

`arcsin` is the same function in compiled form that the compiler can turn into SIMD code.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.numerics.compiled import jit

_RATIO = 2.0 / math.pi


def two_fields(c11: Any, c22: Any, c12: Any) -> Any:
    """E[σ(x1) σ(x2)]; the arguments broadcast."""
    # Variances above 1e16 swallow the 1, and rounding may then carry a correlation of 1 beyond it.
    correlation = c12 / (np.sqrt(1.0 + c11) * np.sqrt(1.0 + c22))
    return _RATIO * np.arcsin(np.clip(correlation, -1.0, 1.0))


def slopes(c11: Any, c22: Any, c12: Any) -> Any:
    """E[σ'(x1) σ'(x2)]; with c12 = c11 = c22 it is E[σ'(x1)²]."""
    return _RATIO / np.sqrt((1.0 + c11) * (1.0 + c22) - c12 * c12)


def three_fields(c11: Any, c33: Any, c12: Any, c13: Any, c23: Any) -> Any:
    """E[σ'(x1) x2 σ(x3)]; the variance of x2 does not enter."""
    return slopes(c11, c33, c13) * (c23 - c12 * c13 / (1.0 + c11))


def four_fields(covariance: Any) -> Any:
    """E[σ'(x1) σ'(x2) σ(x3) σ(x4)] for covariances of shape (..., 4, 4)."""
    c = np.asarray(covariance, dtype=float)
    a, b, cross = 1.0 + c[..., 0, 0], 1.0 + c[..., 1, 1], c[..., 0, 1]
    determinant = a * b - cross * cross

    def tilted(i: int, j: int) -> Any:
        direct = b * c[..., 0, i] * c[..., 0, j] + a * c[..., 1, i] * c[..., 1, j]
        mixed = cross * (c[..., 0, i] * c[..., 1, j] + c[..., 1, i] * c[..., 0, j])
        return c[..., i, j] - (direct - mixed) / determinant

    two = two_fields(tilted(2, 2), tilted(3, 3), tilted(2, 3))
    return _RATIO / np.sqrt(determinant) * two


def excess_risk(student: Any, teacher: Any, target: Any) -> Any:
    """Half the mean square of a difference of two averages of erf units, noise left out.

    1/2 E[(1/k Σ_r σ(λ*_r) - 1/p Σ_i σ(λ_i))²] for overlaps Q = `student` (..., p, p), M = `teacher`
    (..., p, k) and P = `target` (..., k, k). Exact to an absolute 1e-16 times a few: an excess risk
    below that, near perfect recovery without noise, is rounding.
    """
    q, p = np.diagonal(student, axis1=-2, axis2=-1), np.diagonal(target, axis1=-2, axis2=-1)
    own = two_fields(q[..., :, None], q[..., None, :], student).mean(axis=(-2, -1))
    cross = two_fields(q[..., :, None], p[..., None, :], teacher).mean(axis=(-2, -1))
    label = two_fields(p[..., :, None], p[..., None, :], target).mean(axis=(-2, -1))
    return np.maximum(0.5 * (own - 2.0 * cross + label), 0.0)


# Rational approximation of (arcsin(s) - s)/s³ in s² for |s| <= 1/2, from fdlibm (Sun, 1993).
_P = (
    1.66666666666666657415e-01,
    -3.25565818622400915405e-01,
    2.01212532134862925881e-01,
    -4.00555345006794114027e-02,
    7.91534994289814532176e-04,
    3.47933107596021167570e-05,
)
_Q = (
    1.0,
    -2.40339491173441421878e00,
    2.02094576023350569471e00,
    -6.88283971605453293030e-01,
    7.70381505559019352791e-02,
)


@jit
def arcsin(values, out):
    """Write arcsin of `values` (1-D, in [-1, 1]) to `out`, to about one unit in the last place.

    Without branches: |x| <= 1/2 uses the rational form directly, and |x| > 1/2 uses
    arcsin x = π/2 - 2 arcsin √((1 - x)/2).
    """
    for i in range(len(values)):
        x = abs(values[i])
        small = x <= 0.5
        square = x * x if small else 0.5 - 0.5 * x
        root = x if small else np.sqrt(square)
        top = _P[5]
        top = top * square + _P[4]
        top = top * square + _P[3]
        top = top * square + _P[2]
        top = top * square + _P[1]
        top = top * square + _P[0]
        bottom = _Q[4]
        bottom = bottom * square + _Q[3]
        bottom = bottom * square + _Q[2]
        bottom = bottom * square + _Q[1]
        bottom = bottom * square + _Q[0]
        angle = root + root * square * top / bottom
        angle = angle if small else 0.5 * np.pi - 2.0 * angle
        out[i] = math.copysign(angle, values[i])

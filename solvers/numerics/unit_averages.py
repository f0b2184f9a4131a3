r"""Gaussian averages of one, two and three hidden units: erf, relu and quadratic, in closed form.

σ(u) is erf(u/√2), max(u, 0) or u². For two fields (u, v), jointly Gaussian with zero mean,
variances A, B and covariance c, all follow from F = E[f(u) g(v)] by the heat equation:

    E[f' g'] = ∂F/∂c,      E[f'' g] = 2 ∂F/∂A      (σ'' of relu is the delta function).

    erf, erf     F = (2/π) arcsin(c/√((1+A)(1+B)))
    relu, relu   F = (√(AB-c²) + c (π/2 + arcsin ρ))/2π,   ρ = c/√(AB)
    quadratic²   F = AB + 2c²
    erf, relu    F = c/√(2π(1+A))               (of relu only v/2 has the parity of erf)
    relu, quad.  F = √(A/2π) (B + c²/A)         (of relu only |u|/2 is even)
    erf, quad.   F = 0

`mixed` is E[f'(v) g(u)], which has the other parity, and `signed` E[sign(x) f'(v) g(u)] of three
fields. Both reduce to arcsines by three moves: parity (θ = (1+sign)/2, u₊ = (u+|u|)/2), Stein's
lemma (E[u h] = Σ_m cov(u, m) E[∂_m h], with sign' = 2δ, and δ conditions on a zero field), and the
tilt of a Gaussian by σ' of erf, √(2/π) exp(-v²/2), which divides by √(1+B) and conditions on v with
1+B in the place of B. For one,

    E[sign x sign v |u|] = 2 (2/π) {cov(u,x) p_x arcsin ρ(v,u|x) + cov(u,v) p_v arcsin ρ(x,u|v)
                                    + A p_u arcsin ρ(x,v|u)},      p_x = 1/√(2π var x).

These are the averages of on-line learning: Saad and Solla, Phys. Rev. E 52, 4225 (1995) for erf;
relu without the four-field average in Straat and Biehl, arXiv:1903.07378. Derived here.
"""

from __future__ import annotations

import math

from solvers.numerics.compiled import jit

ERF, RELU, QUADRATIC = 0, 1, 2
CODES = {"erf": ERF, "relu": RELU, "quadratic": QUADRATIC}

_PI = math.pi
_NOTHING = 1e-14
"""A conditional variance below this share of the variance is one of a field that is fixed."""


@jit
def angle(c, a, b):
    """arcsin(c/√(ab)) in [-π/2, π/2]; 0 where a or b is 0.

    By atan2: where the two fields are one, a = b = c, it is π/2 exactly, while the arcsine of a
    ratio that is 1 up to rounding is wrong by 1e-8.
    """
    if a <= 0.0 or b <= 0.0:
        return 0.0
    return math.atan2(c, math.sqrt(max(0.0, a * b - c * c)))


@jit
def product(f, g, a, b, c):
    """F = E[f(u) g(v)]."""
    if f == ERF and g == ERF:
        return 2.0 / _PI * angle(c, 1.0 + a, 1.0 + b)
    if f == RELU and g == RELU:
        height = math.sqrt(max(0.0, a * b - c * c))
        return (height + c * (0.5 * _PI + angle(c, a, b))) / (2.0 * _PI)
    if f == QUADRATIC and g == QUADRATIC:
        return a * b + 2.0 * c * c
    if f == ERF and g == RELU:
        return c / math.sqrt(2.0 * _PI * (1.0 + a))
    if f == RELU and g == ERF:
        return c / math.sqrt(2.0 * _PI * (1.0 + b))
    if f == RELU and g == QUADRATIC:
        return 0.0 if a <= 0.0 else (math.sqrt(a) * b + c * c / math.sqrt(a)) / math.sqrt(2.0 * _PI)
    if f == QUADRATIC and g == RELU:
        return 0.0 if b <= 0.0 else (math.sqrt(b) * a + c * c / math.sqrt(b)) / math.sqrt(2.0 * _PI)
    return 0.0


@jit
def slopes(f, g, a, b, c):
    """E[f'(u) g'(v)] = ∂F/∂c."""
    if f == ERF and g == ERF:
        return 2.0 / _PI / math.sqrt((1.0 + a) * (1.0 + b) - c * c)
    if f == RELU and g == RELU:
        return 0.25 + angle(c, a, b) / (2.0 * _PI)
    if f == QUADRATIC and g == QUADRATIC:
        return 4.0 * c
    if f == ERF and g == RELU:
        return 1.0 / math.sqrt(2.0 * _PI * (1.0 + a))
    if f == RELU and g == ERF:
        return 1.0 / math.sqrt(2.0 * _PI * (1.0 + b))
    if f == RELU and g == QUADRATIC:
        return 0.0 if a <= 0.0 else 2.0 * c / math.sqrt(2.0 * _PI * a)
    if f == QUADRATIC and g == RELU:
        return 0.0 if b <= 0.0 else 2.0 * c / math.sqrt(2.0 * _PI * b)
    return 0.0


@jit
def bend(f, g, a, b, c):
    """E[f''(u) g(v)] = 2 ∂F/∂A."""
    if f == ERF and g == ERF:
        return -2.0 / _PI * c / ((1.0 + a) * math.sqrt((1.0 + a) * (1.0 + b) - c * c))
    if f == RELU and g == RELU:
        return 0.0 if a <= 0.0 else math.sqrt(max(0.0, a * b - c * c)) / (2.0 * _PI * a)
    if f == QUADRATIC and g == QUADRATIC:
        return 2.0 * b
    if f == ERF and g == RELU:
        return -c / math.sqrt(2.0 * _PI) * (1.0 + a) ** -1.5
    if f == RELU and g == QUADRATIC:
        return 0.0 if a <= 0.0 else (b - c * c / a) / math.sqrt(2.0 * _PI * a)
    if f == QUADRATIC and g == RELU:
        return 2.0 * math.sqrt(b / (2.0 * _PI))
    return 0.0


@jit
def mixed(f, g, b, a, c):
    """E[f'(v) g(u)] for var v = b, var u = a."""
    if f == RELU:
        if g == RELU:
            along = 0.0 if b <= 0.0 else c / math.sqrt(b)
            return (math.sqrt(a) + along) / (2.0 * math.sqrt(2.0 * _PI))
        if g == ERF:
            return angle(c, b, 1.0 + a) / _PI
        return 0.5 * a
    if f == ERF:
        rest, factor = max(0.0, a - c * c / (1.0 + b)), math.sqrt(2.0 / _PI / (1.0 + b))
        if g == RELU:
            return factor * math.sqrt(rest / (2.0 * _PI))
        return factor * rest if g == QUADRATIC else 0.0
    if g == RELU:
        return c
    return 2.0 * c * math.sqrt(2.0 / _PI / (1.0 + a)) if g == ERF else 0.0


@jit
def given_zero(uu, vv, uv, ux, vx, xx):
    """arcsin of the correlation of u and v where x = 0."""
    left, right = uu - ux * ux / xx, vv - vx * vx / xx
    if left <= _NOTHING * uu or right <= _NOTHING * vv:
        return 0.0
    return angle(uv - ux * vx / xx, left, right)


@jit
def signed(f, g, xx, vv, uu, xv, xu, vu):
    """E[sign(x) f'(v) g(u)]; all variances but that of u must be positive."""
    root = math.sqrt(2.0 / _PI)
    if f == RELU and g == RELU:
        total = root * xu / math.sqrt(xx)
        parallel = xx * vv - xv * xv <= _NOTHING * xx * vv
        if parallel and xx * uu - xu * xu <= _NOTHING * xx * uu:
            # One field: the three terms below share its delta function, a third each.
            return 0.25 * (total + math.copysign(root * math.sqrt(uu), xv))
        rest = xu * given_zero(vv, uu, vu, xv, xu, xx) / math.sqrt(xx)
        rest += vu * given_zero(xx, uu, xu, xv, vu, vv) / math.sqrt(vv)
        if uu > 0.0:
            rest += math.sqrt(uu) * given_zero(xx, vv, xv, xu, vu, uu)
        return 0.25 * (total + 2.0 * root / _PI * rest)
    if f == RELU and g == ERF:
        return angle(xu, xx, 1.0 + uu) / _PI
    if f == RELU:
        determinant = xx * vv - xv * xv
        value = uu * angle(xv, xx, vv)
        if determinant > _NOTHING * xx * vv:
            twice = 2.0 * xu * vu - xu * xu * xv / xx - vu * vu * xv / vv
            value += twice / math.sqrt(determinant)
        return value / _PI
    if f == ERF:
        factor = math.sqrt(2.0 / _PI / (1.0 + vv))
        cross, own = xu - xv * vu / (1.0 + vv), xx - xv * xv / (1.0 + vv)
        if g == RELU:
            return factor * 0.5 * root * cross / math.sqrt(own)
        if g == ERF:
            rest = 1.0 + uu - vu * vu / (1.0 + vv)
            return factor * 2.0 / _PI * angle(cross, own, rest)
        return 0.0
    rest = max(0.0, uu - xu * xu / xx)
    if g == RELU:
        half = angle(xu, xx, uu)
        return 2.0 / _PI * (xv / math.sqrt(xx) * math.sqrt(rest) + vu * half)
    if g == ERF:
        return 0.0
    return 2.0 * root / math.sqrt(xx) * (xv * rest + 2.0 * vu * xu)

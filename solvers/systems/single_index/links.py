"""Link functions: values, slopes, and the two Gaussian averages that the overlap's drift needs.

For λ, λ* jointly Gaussian with unit variances and correlation m, and noise variance Δ,

    A(m)  = E f'(λ) f'(λ*) = Σ_j j c_j² m^{j-1},       f = Σ_j c_j h_j,  h_j = He_j/√j!
    Ψ(m)  = E (f(λ*) - f(λ))² f'(λ)² + Δ E f'(λ)²,

both in closed form. The information exponent k is the lowest j >= 1 with c_j ≠ 0, so A ~ k c_k²
m^{k-1} at small m.

    link       f(x)               k   A(m)
    hermite1   x                  1   1
    hermite2   (x² - 1)/√2        2   2 m
    hermite3   (x³ - 3x)/√6       3   3 m²
    erf        erf(x/√2)          1   (2/π)/√(4 - m²)
    relu       max(x, 0)          1   1/4 + arcsin(m)/(2π)
    abs        |x|                2   (2/π) arcsin(m)

Ψ of the Hermite links: with λ* = mλ + √(1-m²) z, the average over z and then over λ is a polynomial
in m (`_psi_hermite`, moments of a Gaussian). Of relu and abs: the arc-cosine moments of order 1 and
2 (Cho and Saul, NIPS 2009). Of erf: f'² = (2/π) e^{-λ²} tilts λ to variance 1/3, and three
averages of two erf remain, E erf(u/√2) erf(v/√2) = (2/π) arcsin(C_uv/√((1+C_uu)(1+C_vv))).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.numerics.compiled import jit

LINKS = ("hermite1", "hermite2", "hermite3", "erf", "relu", "abs")
INFORMATION_EXPONENT = {
    "hermite1": 1,
    "hermite2": 2,
    "hermite3": 3,
    "erf": 1,
    "relu": 1,
    "abs": 2,
}
EVEN = ("hermite2", "abs")
"""Links that cannot tell w* from -w*."""

_ROOT6, _ROOT2 = math.sqrt(6.0), math.sqrt(2.0)
_SLOPE = math.sqrt(2.0 / math.pi)


@jit
def value(code, x):
    """f(x) of link number `code` in LINKS."""
    if code == 0:
        return x
    if code == 1:
        return (x * x - 1.0) / _ROOT2
    if code == 2:
        return (x * x - 3.0) * x / _ROOT6
    if code == 3:
        return math.erf(x / _ROOT2)
    if code == 4:
        return max(x, 0.0)
    return abs(x)


@jit
def slope(code, x):
    """f'(x); at the kink of relu and abs 0 and -1, which has probability zero."""
    if code == 0:
        return 1.0
    if code == 1:
        return _ROOT2 * x
    if code == 2:
        return 3.0 * (x * x - 1.0) / _ROOT6
    if code == 3:
        return _SLOPE * math.exp(-0.5 * x * x)
    if code == 4:
        return 1.0 if x > 0.0 else 0.0
    return 1.0 if x > 0.0 else -1.0


def alignment(link: str, m: Any) -> np.ndarray:
    """A(m)."""
    m = np.asarray(m, dtype=float)
    if link == "hermite1":
        return np.ones_like(m)
    if link == "hermite2":
        return 2.0 * m
    if link == "hermite3":
        return 3.0 * m * m
    if link == "erf":
        return 2.0 / (math.pi * np.sqrt(4.0 - m * m))
    if link == "relu":
        return 0.25 + np.arcsin(m) / (2.0 * math.pi)
    return 2.0 / math.pi * np.arcsin(m)


def fluctuation(link: str, m: Any, noise: Any) -> np.ndarray:
    """Ψ(m), with label noise of variance `noise`."""
    m = np.asarray(m, dtype=float)
    if link.startswith("hermite"):
        coefficients, square = _HERMITE[link]
        return np.polynomial.polynomial.polyval(m, coefficients) + noise * square
    if link == "erf":
        own = math.asin(0.25)
        star = np.arcsin((3.0 - 2.0 * m * m) / (6.0 - 2.0 * m * m))
        cross = np.arcsin(m / np.sqrt(8.0 * (3.0 - m * m)))
        gap = own + star - 2.0 * cross
        return 2.0 / (math.pi * math.sqrt(3.0)) * (2.0 / math.pi * gap + noise)
    root = np.sqrt((1.0 - m) * (1.0 + m))
    if link == "relu":
        obtuse = math.pi - np.arccos(m)
        first = (root + m * obtuse) / (2.0 * math.pi)
        third = (obtuse + m * root) / (2.0 * math.pi)
        return 0.5 - 2.0 * first + third + 0.5 * noise
    return 2.0 - 4.0 / math.pi * (root + m * np.arcsin(m)) + noise


def _gaussian_moment(order: int) -> float:
    return 0.0 if order % 2 else float(math.prod(range(1, order, 2)))


def _psi_hermite(order: int) -> tuple[np.ndarray, float]:
    """Coefficients in m of E (h(λ*) - h(λ))² h'(λ)², and E h'²."""
    plain = np.polynomial.hermite_e.herme2poly([0] * order + [1]) / math.sqrt(math.factorial(order))
    derived = np.polynomial.polynomial.polyder(plain)
    weight = np.polynomial.polynomial.polypow(derived, 2)
    # E[h(mλ + √(1-m²)z) q(λ)] needs only E over z of powers of λ*: h and h² are expanded in
    # Hermite polynomials, whose average over z at given λ is m^j He_j(λ).
    total = np.zeros(2 * order + 1)
    square = np.polynomial.polynomial.polypow(plain, 2)
    pieces = ((square, weight), (-2.0 * plain, np.polynomial.polynomial.polymul(plain, weight)))
    for star, student in pieces:
        for j, c in enumerate(np.polynomial.hermite_e.poly2herme(star)):
            factor = np.polynomial.polynomial.polymul(
                np.polynomial.hermite_e.herme2poly([0] * j + [1]), student
            )
            total[j] += c * _mean(factor)
    total[0] += _mean(np.polynomial.polynomial.polymul(square, weight))
    return total, _mean(weight)


def _mean(polynomial: np.ndarray) -> float:
    return float(sum(c * _gaussian_moment(n) for n, c in enumerate(polynomial)))


_HERMITE = {f"hermite{order}": _psi_hermite(order) for order in (1, 2, 3)}

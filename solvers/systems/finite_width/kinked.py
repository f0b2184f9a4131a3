r"""Gaussian averages for step and relu, whose derivatives sit at z = 0: exact, by recursion.

Every factor is z^p θ(z) (p >= 0) or δ^(m)(z): for relu σ = zθ, σ' = θ, σ^(k) = δ^(k-2); a step is
one order further. For z ~ N(0, K), f a function of the other fields:

    ⟨z_i g⟩ = Σ_j K_ij ⟨∂_j g⟩                                                       (Stein)
    ⟨δ^(m)(z_i) f⟩ = (-1)^m ∂_s^m [p(s) E(f | z_i = s)] at s = 0,

where, given z_i = s, the others have mean K_ji s/K_ii and covariance K_jk - K_ji K_ik/K_ii. Both
lower the number of factors z or of fields, down to the orthants P(all z > 0): 1/2, 1/4 + Σ asin
c/2π, 1/8 + Σ asin c/4π, and for four fields, with Plackett's derivative in the correlations,

    P = 1/16 + ∫_0^1 dt Σ_{i<j} c_ij / (2π √(1 - t² c_ij²)) P(z_k, z_l > 0 | z_i = z_j = 0; t c).

**Equal inputs** (or inputs on one ray, or opposite ones). The kink is the limit of smooth ones,
which makes θ^q δ = δ/(q+1) and zδ = 0. σ''² and σ'''σ' are not integrable: ⟨∂∂(σ'σ')⟩, where they
appear together, is ⟨δ'⟩ = 0, so that they count as 0 among the averages of two factors; among those
of four, where they stand alone, they are nan: the quantity is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations, product

import numpy as np

Array = np.ndarray
_COLLINEAR = 1e-12
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)
_FIRST_ORDER = {"relu": 0, "step": 1}


class Kinked:
    """Averages at one kernel (n, n)."""

    def __init__(self, name: str, kernel: Array) -> None:
        self.first = _FIRST_ORDER[name]
        self.kernel = np.asarray(kernel, dtype=float)
        variance = np.diag(self.kernel)
        n = len(variance)
        scale = np.sqrt(np.outer(variance, variance))
        cosine = np.divide(self.kernel, scale, out=np.zeros((n, n)), where=scale > 0)
        self.ray, self.along = np.arange(n), np.ones(n)
        for i, j in combinations(range(n), 2):
            if self.ray[j] == j and self.ray[i] == i and 1.0 - abs(cosine[i, j]) < _COLLINEAR:
                self.ray[j] = i
                self.along[j] = math.copysign(math.sqrt(variance[j] / variance[i]), cosine[i, j])
        self.known: dict[tuple, float] = {}

    def two(self, orders: tuple[int, ...], where: tuple[int, ...]) -> float:
        """⟨σ_i^(a) σ_j^(b)⟩, with 0 for what is infinite at inputs on one ray."""
        i, j = where
        first = self.first
        if self.ray[i] == self.ray[j] and max(orders) + first > 1:
            return 0.0
        return self.mean(orders, where)

    def mean(self, orders: Iterable[int], where: Iterable[int]) -> float:
        """The average of a product of factors, one (order, input) each."""
        rays: dict[int, list[tuple[int, float]]] = {}
        for order, i in zip(orders, where, strict=True):
            rays.setdefault(int(self.ray[i]), []).append((order + self.first, self.along[i]))
        coefficient, fields = 1.0, []
        for ray, factors in rays.items():
            part, sign, power = _merged(factors)
            if part == 0.0 or math.isnan(part):
                return part
            coefficient *= part
            fields.append((ray, sign, power))
        fields.sort()
        at = [f[0] for f in fields]
        signs = np.array([f[1] for f in fields], dtype=float)
        kernel = self.kernel[np.ix_(at, at)] * np.outer(signs, signs)
        name = tuple(zip(at, signs.tolist(), strict=True))
        return coefficient * self._moment(tuple(f[2] for f in fields), kernel, name)

    def _moment(self, powers: tuple[int, ...], kernel: Array, name: tuple) -> float:
        """⟨Π_i f_i⟩, f_i = z^p θ for a power p >= 0 and δ^(m) for -1 - m.

        `name` tells kernels apart: that of the fields left, and on which it was conditioned.
        """
        if not powers:
            return 1.0
        key = (powers, name)
        if key not in self.known:
            if min(powers) < 0:
                found = self._at_zero(powers, kernel, name)
            elif max(powers) > 0:
                i = powers.index(max(powers))
                lower = _changed(powers, i, powers[i] - 1)
                found = sum(
                    kernel[i, j] * c * self._moment(p, kernel, name)
                    for j in range(len(powers))
                    for c, p in _derivative(lower, j)
                )
            else:
                found = _orthant(kernel)
            self.known[key] = float(found)
        return self.known[key]

    def _at_zero(self, powers: tuple[int, ...], kernel: Array, name: tuple) -> float:
        i = powers.index(min(powers))
        order, variance = -1 - powers[i], kernel[i, i]
        rest = [j for j in range(len(powers)) if j != i]
        slopes = kernel[rest, i] / variance
        left = kernel[np.ix_(rest, rest)] - np.outer(kernel[rest, i], slopes)
        left_name = (*(name[j] for j in rest), "|", name[i], *name[len(powers) :])
        terms = [(1.0, tuple(powers[j] for j in rest))]
        total = 0.0
        for moved in range(order + 1):  # derivatives that fall on the other fields
            still = order - moved
            if still % 2 == 0:
                density = math.prod(range(still - 1, 0, -2)) * (-1.0 / variance) ** (still // 2)
                average = sum(c * self._moment(p, left, left_name) for c, p in terms)
                total += math.comb(order, moved) * density * average
            terms = [
                (c * slopes[j] * d, q)
                for c, p in terms
                for j in range(len(p))
                for d, q in _derivative(p, j)
            ]
        return (-1) ** order * total / math.sqrt(2.0 * math.pi * variance)


def _merged(factors: list[tuple[int, float]]) -> tuple[float, int, int]:
    """Factors along one ray as (coefficient, orientation of the field, power)."""
    coefficient = math.prod(abs(s) for order, s in factors if order == 0)
    deltas = [(order - 2, s) for order, s in factors if order >= 2]
    linear = sum(order == 0 for order, _ in factors)
    up = sum(s > 0 for order, s in factors if order < 2)
    down = sum(s < 0 for order, s in factors if order < 2)
    if not deltas:
        return (0.0 if up and down else coefficient), (1 if up else -1), linear
    if len(deltas) > 1:
        return math.nan, 1, 0
    order, s = deltas[0]
    if order > 0 and up + down:
        return math.nan, 1, 0
    if linear:
        return 0.0, 1, 0
    shared = math.factorial(up) * math.factorial(down) / math.factorial(up + down + 1)
    return shared / (abs(s) * s**order), 1, -1 - order


def _changed(powers: tuple[int, ...], at: int, power: int) -> tuple[int, ...]:
    return (*powers[:at], power, *powers[at + 1 :])


def _derivative(powers: tuple[int, ...], at: int) -> list[tuple[float, tuple[int, ...]]]:
    """∂_at of a product: z^p θ gives p z^(p-1) θ, θ gives δ, δ^(m) gives δ^(m+1)."""
    power = powers[at]
    return [(float(power) if power > 0 else 1.0, _changed(powers, at, power - 1))]


def _orthant(kernel: Array) -> float:
    """P(all z > 0) of up to four Gaussian fields."""
    n = len(kernel)
    root = np.sqrt(np.diag(kernel))
    cosine = np.clip(kernel / np.outer(root, root), -1.0, 1.0)
    pairs = list(combinations(range(n), 2))
    if n < 4:
        return 0.5**n + sum(math.asin(cosine[p]) for p in pairs) / (2.0 ** (n - 1) * math.pi)
    t = np.sin(0.25 * math.pi * (_NODES + 1.0))
    weight = 0.25 * math.pi * np.cos(0.25 * math.pi * (_NODES + 1.0)) * _WEIGHTS
    total = np.zeros_like(t)
    for i, j in pairs:
        k, l = (x for x in range(4) if x not in (i, j))  # noqa: E741
        c = {p: np.where(p[0] == p[1], 1.0, t * cosine[p]) for p in product(range(4), repeat=2)}
        height = 1.0 - c[i, j] ** 2
        left = {
            (a, b): c[a, b]
            - (c[a, i] * c[i, b] + c[a, j] * c[j, b]) / height
            + c[i, j] * (c[a, i] * c[j, b] + c[a, j] * c[i, b]) / height
            for a, b in ((k, l), (k, k), (l, l))
        }
        spread = np.sqrt(np.maximum(left[k, k] * left[l, l], 1e-300))
        inner = np.arcsin(np.clip(left[k, l] / spread, -1.0, 1.0))
        total += cosine[i, j] / (2.0 * math.pi * np.sqrt(height)) * (0.25 + inner / (2.0 * math.pi))
    return 0.0625 + float(np.sum(weight * total))

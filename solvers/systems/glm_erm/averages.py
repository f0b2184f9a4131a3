r"""Averages over the margin of a sample, and their derivatives.

In the limit of large dimension the preactivation that all other samples give to a sample (the
cavity field) is omega = m z + σ η with z = x·w*, η ~ N(0, 1) independent. With the sign teacher,
y = sign(z + √noise ξ), only the margin u = y·omega matters. Let T = 1 + noise,

    q = m² + σ²,      c = m/√(q T),      τ² = q (1 - c²) = σ² + m² noise/T,      b = m/(√T τ).

c is the correlation of omega with z + √noise ξ, so that u = √q s with the skew-normal density

    2 φ(s) Φ(b s),                 d/db of it  =  2 s φ(s) φ(b s).

Averages that single out the teacher's direction are plain Gaussian: Stein's lemma turns them into
averages over u = τ v, v ~ N(0, 1), the law of the margin on the teacher's decision plane. For
example E[s h(s)] = E h'(s) + c √(2/π) E_v h(v √(1 - c²)), because Φ(b s) has the derivative
b φ(b s) and 2 φ(s) φ(b s) is a Gaussian of variance 1/(1 + b²) = 1 - c².

**Quadrature.** Both integrands vary on a few known scales around a few known places: the Gaussian
(1), the skewness (1/b, at 0), and the proximal map of the loss (its `landmarks`, over √q or τ).
Composite Gauss-Legendre on the union of one ladder of panels for each: panels of twice the scale
next to the place, doubling away from it. All integrands being positive or of one sign on each side,
averages of rare samples keep their relative accuracy, which closed forms in error functions and
Owen's T lose by cancellation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

CUTOFF = 10.0
"""Integrals are cut at this many standard deviations, where the density is 1e-22."""

_NODES = 12
_T, _W = np.polynomial.legendre.leggauss(_NODES)
_BASE = np.linspace(-CUTOFF, CUTOFF, 11)
_SQRT2PI = np.sqrt(2 * np.pi)


def ladder_rule(marks: Sequence[tuple[Any, Any]], points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and Lebesgue weights on [-CUTOFF, CUTOFF] for functions with the given marks.

    `marks`: (place, scale) pairs, scalars or columns of length `points`; scale inf is a kink or a
    jump, at which a panel ends. Returns arrays of shape (points, n). The rule of a point does not
    depend on the other points but for panels of length zero.
    """
    edges = [np.broadcast_to(_BASE, (points, len(_BASE)))]
    for place, scale in marks:
        place, scale = (np.broadcast_to(np.asarray(v, float), (points,)) for v in (place, scale))
        edges.append(place[:, None])
        fine = scale < 1.0
        if not fine.any():
            continue
        doublings = int(np.ceil(np.log2(1.0 / scale[fine].min()))) + 1
        steps = np.where(fine, scale, np.inf)[:, None] * 2.0 ** np.arange(1, doublings + 1)
        steps = np.where(steps < 4.0, steps, np.inf)  # the panels of the Gaussian are as fine
        edges += [place[:, None] - steps, place[:, None] + steps]
    ends = np.sort(np.clip(np.concatenate(edges, axis=1), -CUTOFF, CUTOFF), axis=1)
    length = np.diff(ends, axis=1)
    used = np.any(length > 0, axis=0)
    half, left = 0.5 * length[:, used, None], ends[:, :-1][:, used, None]
    nodes, weights = left + half * (_T + 1.0), half * _W
    return nodes.reshape(points, -1), weights.reshape(points, -1)


@dataclass(frozen=True)
class Law:
    """The law of the margin for columns m, σ and noise; symbols as in the module."""

    m: np.ndarray
    sigma: np.ndarray
    noise: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """T."""
        return 1.0 + self.noise

    @property
    def norm(self) -> np.ndarray:
        """√q."""
        return np.hypot(self.m, self.sigma)

    @property
    def plane(self) -> np.ndarray:
        """τ."""
        return np.hypot(self.sigma, self.m * np.sqrt(self.noise / self.total))

    @property
    def skewness(self) -> np.ndarray:
        """b."""
        return self.m / (np.sqrt(self.total) * self.plane)

    def margins(self, marks: Sequence[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Nodes u and weights for averages over the margin; `marks` in units of u."""
        norm, b = self.norm, self.skewness
        scaled = [(place / norm, scale / norm) for place, scale in marks]
        with np.errstate(divide="ignore"):
            scaled.append((0.0, 1.0 / b))
        s, w = ladder_rule(scaled, len(norm))
        density = np.exp(-0.5 * s * s) * (2.0 / _SQRT2PI) * scipy.special.ndtr(b[:, None] * s)
        return norm[:, None] * s, w * density

    def plane_margins(self, marks: Sequence[tuple[Any, Any]]) -> tuple[np.ndarray, np.ndarray]:
        """Nodes v and weights for averages over v ~ N(0, 1), u = τ v; `marks` in units of u."""
        plane = self.plane
        v, w = ladder_rule([(place / plane, scale / plane) for place, scale in marks], len(plane))
        return v, w * np.exp(-0.5 * v * v) / _SQRT2PI

r"""The fixed-point equations of convex margin losses with a sign teacher, and their derivatives.

**Derivation** (Gordon's comparison, in the form of Thrampoulidis, Abbasi and Hassibi 2018). Write
w = m w* + σ·(unit direction orthogonal to w*), X·w = m z + σ·G·direction. Replacing the bilinear
form σ p·G·direction of min_w max_p by σ|p| g·direction + σ|direction| h·p, with Gaussian vectors g
and h, leaves, per weight,

    min_{m,σ}  min_p { alpha E ℓ(p) + (λ/2)(m² + σ²)  :  alpha E(p - u)² <= σ² },      u as in
    `averages`,

a convex problem of two numbers: the fitted margins p may differ from the cavity margins u by no
more than σ²/alpha. With multiplier 1/(2V) of the constraint p is the proximal map of V ℓ, and

    L(m, σ, V) = alpha E M_V(u) + (λ/2)(m² + σ²) - σ²/(2V),     M_V the Moreau envelope,

is stationary at the answer (and equal to the objective). With the displacement g = p - u = V f and
1 - ∂p/∂u = d, its derivatives in V, σ and m give

    (1)  σ²       = alpha E g²
    (2)  1 - λ V  = alpha E d
    (3)  m        = alpha √(2/(π T)) E_v g(τ v).

They are the replica-symmetric equations of Aubin, Krzakala, Lu and Zdeborová (2020) after the
conjugates q̂, m̂, V̂ have been eliminated by V = 1/(λ + V̂), m = V m̂, σ² = V² q̂; (3) is
alpha E[f y z] = λ m after Stein's lemma. V is the susceptibility. The problem is strictly convex
for λ > 0, so the solution is unique. `max_margin` is V = infinity at finite λV: g = (1 - u)_+, and
(1) and (3) determine m and σ.

**Conditioning.** With many samples and little noise only margins near 0 matter, and (2) and (3)
become the same equation up to terms of relative size 1/q. Stein's lemma,
q E d = m √(2/(π T)) E_v g - E[g u], subtracts one from the other:

    (2')  λ V q - alpha E[g u] = σ²,

which says that the objective does not change when w is stretched. With its positive and negative
terms on different sides it is well conditioned everywhere, and is solved in place of (2).

**Derivatives.** All are averages of g, d and V ∂g/∂V = g (1 - d) at the same nodes: ∂g/∂u = -d, and
the density depends on m and σ through √q, τ and b. No second derivative of the proximal map enters.

**Envelope.** The objective e = L changes by ∂e/∂alpha = E M_V = E ℓ(p) + V E f²/2, the price of one
more sample, and by ∂e/∂λ = q/2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.systems.glm_erm.averages import Law

_ROOT = np.sqrt(2.0 / np.pi)


@dataclass(frozen=True)
class Problem:
    """Columns of points: which loss, how many samples, how noisy, how regularised."""

    loss: Any
    """A module of `solvers.numerics.losses`, or None for max_margin."""
    alpha: np.ndarray
    noise: np.ndarray
    regularization: np.ndarray

    def take(self, points: np.ndarray | slice) -> Problem:
        """The same for some of the points."""
        return Problem(
            self.loss, self.alpha[points], self.noise[points], self.regularization[points]
        )

    @property
    def unknowns(self) -> int:
        """log m, log σ and, unless it is infinite, log V."""
        return 2 if self.loss is None else 3

    def marks(self, variance: np.ndarray) -> list[tuple[Any, Any]]:
        """Places and scales of the displacement in u."""
        return [(1.0, np.inf)] if self.loss is None else self.loss.landmarks(variance=variance)

    def displacement(self, u: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, ...]:
        """g = p - u, d = -∂g/∂u and V ∂g/∂V at margins u of shape (points, nodes)."""
        if self.loss is None:
            gap = 1.0 - u
            return np.maximum(gap, 0.0), np.where(gap > 0, 1.0, 0.0), np.zeros_like(u)
        force, stiffness = self.loss.force(label=1.0, omega=u, variance=variance[:, None])
        g, d = variance[:, None] * force, variance[:, None] * stiffness
        return g, d, g * (1.0 - d)


@dataclass(frozen=True)
class Equations:
    """(1), (3), (2') in logarithms at x = (log m, log σ, log V), and their derivatives."""

    residual: np.ndarray
    """log of right over left, shape (points, unknowns), in the order (1), (3), (2')."""
    jacobian: np.ndarray
    """Its derivative in x, shape (points, unknowns, unknowns)."""
    rate: np.ndarray
    """Its derivative in log λ."""


def equations(problem: Problem, x: np.ndarray) -> Equations:
    """The equations at x, shape (points, unknowns)."""
    alpha, noise = problem.alpha[:, None], problem.noise
    m, sigma = np.exp(x[:, 0]), np.exp(x[:, 1])
    variance = np.full_like(m, np.inf) if problem.loss is None else np.exp(x[:, 2])
    law = Law(m, sigma, noise)
    plane, b = law.plane, law.skewness
    marks = problem.marks(variance)

    # Averages over the margin of g², g u_+ and -g u_-, and their derivatives: columns of `values`.
    u, w = law.margins(marks)
    g, d, rise = problem.displacement(u, variance)
    positive, negative = np.maximum(u, 0.0), np.maximum(-u, 0.0)
    wg, wd, wr = w * g, w * d * u, w * rise
    values = _sums(wg * g, wg * positive, wg * negative)
    halves = _sums(wd * positive, wd * negative)
    in_norm = values - np.stack([values[:, 0] + 2.0 * _sum(wd * g), *halves.T], axis=1)
    in_variance = _sums(2.0 * wr * g, wr * positive, wr * negative)

    v, w = law.plane_margins(marks)
    u = plane[:, None] * v
    g, d, rise = problem.displacement(u, variance)
    wg = w * g
    mean, mean_plane, mean_variance = _sum(wg), -_sum(w * d * u), _sum(w * rise)
    # The density changes with b: d/d log b = √(2/π) b/(1 + b²) E_v[v ...].
    wv = wg * v
    tilt = (_ROOT * b / (1.0 + b * b))[:, None]
    in_b = tilt * _sums(wv * g, wv * np.maximum(u, 0.0), wv * np.maximum(-u, 0.0))

    # d log √q, d log τ, d log b and d log σ² along log m, log σ and log V.
    q, noisy, zero = m * m + sigma**2, m * m * noise / law.total / plane**2, np.zeros_like(m)
    log_norm = np.stack([m * m / q, sigma**2 / q, zero], axis=1)
    log_plane = np.stack([noisy, 1.0 - noisy, zero], axis=1)
    log_b = np.stack([1.0 - noisy, noisy - 1.0, zero], axis=1)
    log_variance = np.stack([zero, zero, zero + 1.0], axis=1)
    changes = (
        in_norm[:, :, None] * log_norm[:, None]
        + in_b[:, :, None] * log_b[:, None]
        + in_variance[:, :, None] * log_variance[:, None]
    )
    right = sigma**2 + alpha[:, 0] * values[:, 1]
    penalty = problem.regularization * (1.0 if problem.loss is None else variance) * q
    left = penalty + alpha[:, 0] * values[:, 2]
    twice_sigma = np.array([0.0, 2.0, 0.0])
    first = changes[:, 0] / values[:, :1] - twice_sigma
    third = (mean_plane / mean)[:, None] * log_plane - np.array([1.0, 0.0, 0.0])
    third[:, 2] += mean_variance / mean
    second = (penalty[:, None] * (2.0 * log_norm + log_variance) + alpha * changes[:, 2]) / left[
        :, None
    ]
    second -= ((sigma**2)[:, None] * twice_sigma + alpha * changes[:, 1]) / right[:, None]

    slope = _ROOT / np.sqrt(law.total)
    residual = np.stack(
        [
            np.log(alpha[:, 0] * values[:, 0]) - 2.0 * x[:, 1],
            np.log(alpha[:, 0] * slope * mean) - x[:, 0],
            np.log(left) - np.log(right),
        ],
        axis=1,
    )
    k = problem.unknowns
    jacobian = np.stack([first, third, second], axis=1)[:, :k, :k]
    rate = np.stack([zero, zero, penalty / left], axis=1)
    return Equations(residual[:, :k], jacobian, rate[:, :k])


def training_loss(problem: Problem, x: np.ndarray) -> np.ndarray:
    """E ℓ(p), the mean loss of a training sample."""
    if problem.loss is None:
        return np.zeros(len(x))
    variance = np.exp(x[:, 2])
    law = Law(np.exp(x[:, 0]), np.exp(x[:, 1]), problem.noise)
    u, w = law.margins(problem.marks(variance))
    point, _ = problem.loss.proximal(label=1.0, omega=u, variance=variance[:, None])
    return _sum(w * problem.loss.value(label=1.0, preactivation=point))


def _sum(terms: np.ndarray) -> np.ndarray:
    return np.sum(terms, axis=1)


def _sums(*terms: np.ndarray) -> np.ndarray:
    return np.stack([_sum(term) for term in terms], axis=1)

"""Averages over random starts on the sphere, for the quenched exit time.

For v and u_1 ... u_p independent and uniform on S^{d-1},

    μ = d Σ_j (u_j·v)²,    τ = 2d Σ_{j<l} (u_j·u_l)².

Each squared product B has the law Beta(1/2, (d-1)/2) with d E B = 1 and d² Var B = ν, where
ν = 2(d-1)/(d+2). Given v the (u_j·v)² are independent, and any two of the squared products in μ and
τ are uncorrelated (one vector apart, each has its law whatever the other), so that exactly

    E μ = p,  Var μ = ν p,  E τ = p(p-1),  Var τ = 2ν p(p-1),  Cov(μ, τ) = 0.

**E log μ** (`mean_log_overlap`): ψ(1/2) - ψ(d/2) + log d for p = 1; else Frullani's integral,

    E log μ = log p + ∫_0^∞ ds/s [e^{-ps} - φ(s)^p],   φ(s) = E e^{-s d B}.

**E log(a + b μ)** for p = 1 (`mean_log_shifted`) and φ are integrals over B alone. With
B = 1/(1+e^{-y}) and s = e^x these are integrals over the real line of functions that are analytic
in a strip and fall exponentially: the trapezoid rule with a step of 0.2 has errors below 1e-15.

**E log(A + Y)**, Y = b(2pμ - τ), for p >= 2 (`mean_log_start`) has no such form. With z the
deviation (Y - EY)/(A + EY), log(1+z) = z - z²/2 + r(z): the first two terms have the exact means 0
and -Var Y/(2(A+EY)²), with Var Y = b² ν (4p³ + 2p(p-1)), and only r, which is of order z³, is
averaged over draws. At T d = 50 this leaves a standard error near 1e-7 with 4096 draws.

Draws come from Bartlett's decomposition (M. S. Bartlett, Proc. R. Soc. Edinb. 53, 260 (1933)): the
Gram matrix of n Gaussian vectors is L Lᵀ with normal entries below and χ_{d-i} on the diagonal, and
normalising the rows of L leaves the sphere. A draw costs p²/2 normals, whatever d.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy

from solvers.numerics.random import Stream
from solvers.systems.escape_mediocrity.starts import SYSTEM

_STEP = 0.2
_BLOCK_NUMBERS = 2**21


def _beta_rule(dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """log(B/(1-B)) at the nodes, and weights that sum to one."""
    y = np.arange(-200.0, 90.0, _STEP)
    # log(1 - B) = -log(1 + e^y), without overflow
    log_density = 0.5 * y - 0.5 * dimension * np.logaddexp(0.0, y)
    weights = np.exp(log_density - np.max(log_density))
    # Normalised by their sum, which has no error; a beta function loses digits at large d.
    return y, weights / np.sum(weights)


@lru_cache(maxsize=1024)
def mean_log_overlap(width: int, dimension: int) -> float:
    """E log μ."""
    if width == 1:
        return float(
            scipy.special.digamma(0.5) - scipy.special.digamma(0.5 * dimension) + np.log(dimension)
        )
    y, weights = _beta_rule(dimension)
    scaled = dimension * np.exp(-np.logaddexp(0.0, -y))
    # From where both exponentials are 1 - p s, to where φ^p ~ s^(-p/2) has fallen below 1e-17.
    s = np.exp(np.arange(-25.0, 85.0 / width + 10.0, _STEP))
    laplace = np.exp(-s[:, None] * scaled) @ weights
    return float(np.log(width) + _STEP * np.sum(np.exp(-width * s) - laplace**width))


def mean_log_shifted(shift: np.ndarray, dimension: int) -> np.ndarray:
    """E log(T + (1-T) B) for p = 1, with T = `shift` a column."""
    y, weights = _beta_rule(dimension)
    # T + (1-T) B = (T + e^y)/(1 + e^y)
    logs = np.logaddexp(np.log(shift)[:, None], y) - np.logaddexp(0.0, y)
    return logs @ weights


@lru_cache(maxsize=64)
def draw_starts(width: int, dimension: int, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """μ and τ, shape (draws,), of independent random starts, from the streams of seed 0."""
    mu, tau = np.empty(draws), np.empty(draws)
    columns = min(width, dimension)
    normal = Stream(SYSTEM, 0, dimension, "start normals")
    uniform = Stream(SYSTEM, 0, dimension, "start uniforms")
    rows = max(1, _BLOCK_NUMBERS // (width * max(width, columns)))
    own = np.arange(1, min(width, dimension - 1) + 1)  # rows with an entry on the diagonal
    for start in range(0, draws, rows):
        stop = min(start + rows, draws)
        # Row 0 of L is the teacher (χ_d, 0, ...); row i = 1 ... p is student i.
        lower = np.zeros((stop - start, width, columns + 1))
        lower[:, :, :columns] = normal.normals(start, stop, width * columns).reshape(
            stop - start, width, columns
        )
        lower *= np.arange(columns + 1) < np.arange(1, width + 1)[:, None]
        chance = uniform.uniforms(start, stop, width)[:, : len(own)]
        lower[:, own - 1, own] = np.sqrt(
            2.0 * scipy.special.gammaincinv(0.5 * (dimension - own), chance)
        )
        lower /= np.linalg.norm(lower, axis=2, keepdims=True)
        gram = lower @ lower.transpose(0, 2, 1)
        mu[start:stop] = dimension * np.sum(lower[:, :, 0] ** 2, axis=1)
        tau[start:stop] = dimension * (np.sum(gram**2, axis=(1, 2)) - width)
    return mu, tau


def mean_log_start(
    shift: np.ndarray, slope: np.ndarray, *, width: int, dimension: int, draws: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E log(A + b(2pμ - τ)) for columns A = `shift` > 0 and b = `slope` >= 0, at width >= 2.

    Returns the mean, its standard error, and the fraction of draws where the argument is not
    positive; the mean is NaN where there are any.
    """
    mu, tau = draw_starts(width, dimension, draws)
    centre = shift + slope * width * (width + 1)
    spread = 2.0 * (dimension - 1) / (dimension + 2) * (4 * width**3 + 2 * width * (width - 1))
    mean, error, lost = (np.empty(len(shift)) for _ in range(3))
    for row in range(len(shift)):
        z = slope[row] * (2 * width * mu - tau - width * (width + 1)) / centre[row]
        lost[row] = np.mean(z <= -1.0)
        if lost[row] > 0:
            mean[row] = error[row] = np.nan
            continue
        rest = np.log1p(z) - z + 0.5 * z * z
        second = slope[row] ** 2 * spread / centre[row] ** 2
        mean[row] = np.log(centre[row]) - 0.5 * second + rest.mean()
        error[row] = rest.std(ddof=1) / np.sqrt(draws)
    return mean, error, lost

r"""First-moment formulas: rectangle and ushape constraints, and their zero-overlap stability.

With P = P(constraint) for z ~ N(0, 1), the mean number of binary solutions is exp(dimension s),
s = log 2 + alpha log P. Symmetric constraints have a saddle point q = 0 with that entropy.
The second moment, sum over pairs at overlap ρ, has the exponent

    2 s + h(ρ) + alpha log(P_2(ρ)/P²),    h(ρ) = -ρ²/2 + ...,    log(P_2/P²) = Δ² ρ²/2 + ...,

where P_2 is the probability that both members of a pair satisfy the constraint and
Δ = E[z² | constraint] - 1. If ρ = 0 is the maximum, typical and mean number agree to exponential
order; locally that needs alpha Δ² < 1, which is also the de Almeida-Thouless condition at q = 0.
For |w|² = dimension, h = log(1 - ρ²)/2 and the same local condition holds.
(Aubin, Perkins and Zdeborová, J. Phys. A 52, 294003 (2019), sections 2 and 3.)
"""

from __future__ import annotations

import numpy as np
import scipy

from solvers.numerics.gaussian import Array, density, log_tail


def log_probability(kappa: Array, constraint: str) -> Array:
    """log P(constraint) for z ~ N(0, 1), accurate for P near 0 and near 1; -inf if P = 0."""
    if constraint == "step":
        return log_tail(kappa)
    if constraint == "ushape":
        return np.where(kappa > 0, np.log(2.0) + log_tail(np.maximum(kappa, 0.0)), 0.0)
    width = np.maximum(kappa, 0.0)
    with np.errstate(divide="ignore"):
        narrow = np.log(scipy.special.erf(width / np.sqrt(2.0)))
    wide = np.log1p(-2.0 * np.exp(log_tail(np.maximum(width, 1.0))))
    return np.where(width > 1.0, wide, narrow)


def second_moment_shift(kappa: Array, constraint: str) -> Array:
    """Δ P = E[(z² - 1) 1(constraint)]: -2 kappa phi(kappa), or + for the ushape."""
    if constraint == "step":
        return kappa * density(kappa)
    sign = -1.0 if constraint == "rectangle" else 1.0
    return sign * 2.0 * np.maximum(kappa, 0.0) * density(kappa)


def zero_overlap_stability(alpha: Array, kappa: Array, constraint: str) -> Array:
    """alpha Δ², the left side of the stability condition of q = 0; stable below 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = second_moment_shift(kappa, constraint) / np.exp(log_probability(kappa, constraint))
    return alpha * shift**2


def first_moment_capacity(kappa: Array, constraint: str) -> Array:
    """alpha where the mean number of binary solutions is 1: -log 2/log P; 0 if P = 0."""
    with np.errstate(divide="ignore", over="ignore"):
        return -np.log(2.0) / log_probability(kappa, constraint)

r"""The fixed point of l1-penalised least squares: (τ, c) at given (alpha, ρ, noise, λ).

    minimise  |y - X w|²/2 + λ |w|_1,        X_ij ~ N(0, 1/dimension).

Soft-threshold message passing (`l1_amp`) sees every weight through w + τ Z, Z ~ N(0, 1), and cuts
at θ = c τ. Its residual z has z = y - X ŵ + (s/alpha) z and |z|²/samples = noise + mse, so that

    alpha τ² = noise + mse(θ, τ)                                 (noise)
    λ = θ (alpha - s(θ, τ)),   s the active share                (calibration)

the second from the stationarity X^T(y - X ŵ) = λ sign(ŵ) and ŵ = η(ŵ + X^T z/alpha; θ), that is
(1 - s/alpha) alpha θ = λ (Bayati and Montanari, IEEE Trans. Inf. Theory 58, 1997 (2012),
arXiv:1008.2581, whose design has columns of norm 1: their τ², λ and noise are alpha, √alpha and 1
times ours, with weights √alpha w).

**Uniqueness.** At given τ the ratio c follows from alpha - s(c, τ) - λ/(c τ) = 0, whose left side
increases with c. What remains of (noise), h(τ) = noise/τ² + mse/τ² - alpha, is the sign of minus
the slope of a strictly convex function of τ (the Gordon min-max problem, maximised over the other
variable): it has one root, h > 0 below it. Both roots are bracketed and never missed.

**λ = 0** is the limit λ -> 0+: basis pursuit, min |w|_1 under X w = y, for alpha < 1, where s =
alpha; ordinary least squares, c = 0, for alpha > 1. Without noise τ -> 0 solves (noise) above
alpha_l1, and mse = 0 exactly. At alpha = 1 with noise the mse is infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from solvers.numerics.elementwise import find_root
from solvers.systems.sparse_recovery.donoho_tanner import weak_threshold
from solvers.systems.sparse_recovery.soft_threshold import relative_mse, share_active

Array = np.ndarray

_LARGEST = 350.0
"""|log τ| beyond this is not looked at: τ² is no number there."""


@dataclass(frozen=True)
class FixedPoint:
    """τ and c of a column of points; tau is 0 where recovery is exact, NaN where there is none."""

    tau: Array
    ratio: Array
    steps: Array
    residual: Array


def lasso_fixed_point(
    *, alpha: Array, sparsity: Array, noise: Array, regularization: Array
) -> FixedPoint:
    """Solve the two equations of this module; `residual` is |noise + mse - alpha τ²|/(alpha τ²)."""
    alpha, sparsity, noise, regularization = (
        np.array(v, dtype=float) for v in (alpha, sparsity, noise, regularization)
    )
    points = len(alpha)
    tau, ratio = np.full(points, np.nan), np.zeros(points)
    steps, residual = np.zeros(points, dtype=int), np.zeros(points)

    bare = regularization == 0
    exact = bare & (noise == 0) & (alpha >= weak_threshold(sparsity)[0])
    tau[exact] = 0.0
    least_squares = bare & (noise > 0) & (alpha > 1)
    tau[least_squares] = np.sqrt(noise[least_squares] / (alpha[least_squares] - 1.0))
    nothing = alpha == 0
    tau[nothing], ratio[nothing] = np.inf, np.inf

    singular = bare & (noise > 0) & (alpha == 1)
    rest = np.flatnonzero(~exact & ~least_squares & ~nothing & ~singular)
    if len(rest):
        given = (alpha[rest], sparsity[rest], noise[rest], regularization[rest])
        log_tau, steps[rest] = root_in_tau(_excess, given)
        tau[rest] = np.exp(log_tau)
        ratio[rest] = calibrated_ratio(tau[rest], alpha[rest], sparsity[rest], regularization[rest])
        residual[rest] = np.abs(_excess(log_tau, *given)) / alpha[rest]
    return FixedPoint(tau, ratio, steps, residual)


def calibrated_ratio(tau: Array, alpha: Array, sparsity: Array, regularization: Array) -> Array:
    """The ratio c with λ = c τ (alpha - s(c, τ)).

    alpha - s - λ/(cτ) is negative at c = λ/(alpha τ), and where 2 H(c) = alpha since s >= 2 H(c).
    It is positive at twice the first if s <= alpha/2 there, which 2 H(b) <= alpha/2 grants.
    """
    pull = regularization / tau
    with np.errstate(divide="ignore"):
        crowded = -scipy.special.ndtri(0.5 * np.minimum(alpha, 1.0))
        low = np.maximum(pull / alpha, crowded)
        calm = -scipy.special.ndtri(0.25 * np.minimum(alpha, 1.0)) * np.hypot(1.0, tau) / tau
        high = np.maximum(2.0 * pull / alpha, calm)
    ratio = np.zeros_like(tau)
    some = np.flatnonzero(low > 0)

    def miss(log_ratio, tau, alpha, sparsity, pull):
        c = np.exp(log_ratio)
        return alpha - share_active(ratio=c, tau=tau, sparsity=sparsity) - pull / c

    if len(some):
        slack = 1e-14  # at the ends rounding decides
        found = find_root(
            miss,
            (np.log(low[some]) - slack, np.log(high[some]) + slack),
            args=(tau[some], alpha[some], sparsity[some], pull[some]),
        )
        ratio[some] = np.exp(found.x)
    return ratio


def _excess(log_tau, alpha, sparsity, noise, regularization):
    """h(τ) = (noise + mse)/τ² - alpha at the calibrated ratio."""
    tau = np.exp(log_tau)
    ratio = calibrated_ratio(tau, alpha, sparsity, regularization)
    mse = relative_mse(ratio=ratio, tau=tau, sparsity=sparsity)
    return (np.sqrt(noise) / tau) ** 2 + mse - alpha


def root_in_tau(excess: Callable[..., Array], given: tuple[Array, ...]) -> tuple[Array, Array]:
    """log τ of the one change of sign of `excess`, from + to -, and the number of evaluations.

    `excess(log_tau, *given)`; `given` begins with the columns alpha, sparsity and noise. The
    bracket grows by doubling steps from the τ of an estimate that knows nothing.
    """
    alpha, sparsity, noise, *_ = given
    start = np.clip(0.5 * np.log((noise + sparsity) / alpha), -_LARGEST, _LARGEST)
    sign = np.sign(excess(start, *given))
    inner, outer = start.copy(), start.copy()
    steps = np.ones(len(start), dtype=int)
    step = 0.5
    active = np.flatnonzero(sign != 0)
    while len(active):
        inner[active] = outer[active]
        outer[active] = np.clip(start[active] + sign[active] * step, -_LARGEST, _LARGEST)
        now = np.sign(excess(outer[active], *(v[active] for v in given)))
        steps[active] += 1
        stuck = np.abs(outer[active]) == _LARGEST
        active = active[(now == sign[active]) & ~stuck]
        step *= 2.0
    found = find_root(excess, (np.minimum(inner, outer), np.maximum(inner, outer)), args=given)
    return found.x, steps + found.nfev

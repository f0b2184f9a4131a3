"""The penalty that makes the mean-square error of l1-penalised least squares smallest."""

from __future__ import annotations

import numpy as np

from solvers.contract import Cost, Status
from solvers.numerics.elementwise import find_root
from solvers.systems.sparse_recovery.declaration import system
from solvers.systems.sparse_recovery.donoho_tanner import weak_threshold
from solvers.systems.sparse_recovery.l1 import observables
from solvers.systems.sparse_recovery.lasso import FixedPoint, lasso_fixed_point, root_in_tau
from solvers.systems.sparse_recovery.soft_threshold import relative_mse, risk_slope, share_active


@system.theory(
    version=1,
    gives=("optimal_regularization", "mse", "overlap", "self_overlap", "active", "l1_norm"),
    cost=Cost(
        flops=lambda **_: 2e5,
        memory=lambda **_: 2e3,
        shared_memory=lambda **_: 1e7,
    ),
)
def optimal_regularization(*, alpha, sparsity, noise):
    """λ >= 0 with the smallest mse, and the estimate there.

    As alpha τ² = noise + mse, the best λ has the smallest τ: the root of noise + min_θ mse(θ, τ) =
    alpha τ², with θ the threshold that is best at this τ (`risk_slope`), and λ = θ (alpha - s). The
    mse of soft thresholding has one minimum in θ and is concave in τ² (Donoho, Maleki and
    Montanari, IEEE Trans. Inf. Theory 57, 6920 (2011), arXiv:1004.1218), so both roots are single.
    If s > alpha there, every λ > 0 is beyond the best point: the optimum is at the end,
    `optimal_regularization` = 0, basis pursuit.

    For noise -> 0 and alpha > alpha_l1, mse/noise -> alpha_l1/(alpha - alpha_l1), the noise
    sensitivity of that paper; below alpha_l1 the mse does not vanish with the noise. Without noise
    and above alpha_l1 recovery is exact in the limit λ -> 0: the answer is 0. Without samples every
    λ is as good: NO_SOLUTION for λ, NaN. `residual` is as in `l1`.
    """
    points = len(alpha)
    tau, ratio = np.full(points, np.nan), np.zeros(points)
    steps, residual = np.zeros(points, dtype=int), np.zeros(points)
    exact = (noise == 0) & (alpha >= weak_threshold(sparsity)[0])
    blind = alpha == 0
    tau[exact], tau[blind] = 0.0, np.inf
    rest = np.flatnonzero(~exact & ~blind)
    if len(rest):
        given = (alpha[rest], sparsity[rest], noise[rest])
        log_tau, steps[rest] = root_in_tau(_excess, given)
        tau[rest] = np.exp(log_tau)
        ratio[rest] = best_ratio(tau[rest], sparsity[rest])
        residual[rest] = np.abs(_excess(log_tau, *given)) / alpha[rest]

    spare = np.zeros(points)
    spare[rest] = alpha[rest] - share_active(
        ratio=ratio[rest], tau=tau[rest], sparsity=sparsity[rest]
    )
    end = np.flatnonzero(spare < 0)
    if len(end):
        there = lasso_fixed_point(
            alpha=alpha[end],
            sparsity=sparsity[end],
            noise=noise[end],
            regularization=np.zeros(len(end)),
        )
        tau[end], ratio[end] = there.tau, there.ratio
        steps[end] += there.steps
        residual[end] = there.residual
    finite = np.where(blind, 0.0, tau)
    penalty = ratio * finite * np.maximum(spare, 0.0)
    values = observables(
        FixedPoint(tau, ratio, steps, residual),
        alpha=alpha,
        sparsity=sparsity,
        noise=noise,
        regularization=penalty,
    )
    names = ("mse", "overlap", "self_overlap", "active", "l1_norm")
    return {
        "optimal_regularization": np.where(blind, np.nan, penalty),
        **{name: values[name] for name in names},
        "message": np.where(blind, "without samples every penalty gives the estimate 0", ""),
        "status": np.where(blind, Status.NO_SOLUTION, Status.CONVERGED),
        "steps": steps,
        "residual": residual,
    }


def best_ratio(tau: np.ndarray, sparsity: np.ndarray) -> np.ndarray:
    """The ratio c = θ/τ of smallest mse at noise τ > 0: the root of `risk_slope`.

    It is positive where ρ (c R(b) - τ/σ) is not: at c = τ/(2σ), as R <= √(π/2); and, for small τ,
    at c = min(0.3, (1 - ρ)/(5 ρ)), where (1 - ρ) m(c) e^{-c²/2} > 0.6 (1 - ρ) > ρ c R(0). It is
    negative at c = 2 σ²/τ + σ (2 + √(2 log(1/ρ))), where b >= 2 σ makes the second term at least
    3 ρ/(4 σ τ), and the first at most ρ e^{-2}/c².
    """
    sigma = np.hypot(1.0, tau)
    low = np.maximum(0.5 * tau / sigma, np.minimum(0.3, 0.2 * (1.0 - sparsity) / sparsity))
    high = 2.0 * sigma * (sigma / tau) + sigma * (2.0 + np.sqrt(2.0 * np.log(1.0 / sparsity)))

    def slope(log_ratio, tau, sparsity):
        return risk_slope(ratio=np.exp(log_ratio), tau=tau, sparsity=sparsity)

    return np.exp(find_root(slope, (np.log(low), np.log(high)), args=(tau, sparsity)).x)


def _excess(log_tau, alpha, sparsity, noise):
    """(noise + mse)/τ² - alpha at the best threshold."""
    tau = np.exp(log_tau)
    mse = relative_mse(ratio=best_ratio(tau, sparsity), tau=tau, sparsity=sparsity)
    return (np.sqrt(noise) / tau) ** 2 + mse - alpha

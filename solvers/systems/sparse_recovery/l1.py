"""What l1-penalised least squares and basis pursuit achieve, dimension to infinity."""

from __future__ import annotations

import numpy as np

from solvers.contract import Cost, Status
from solvers.systems.sparse_recovery.declaration import system
from solvers.systems.sparse_recovery.lasso import FixedPoint, calibrated_ratio, lasso_fixed_point
from solvers.systems.sparse_recovery.soft_threshold import measures, relative_mse

_REST, _LEAST = 1e-15, 1e-150

_GIVES = ("mse", "overlap", "self_overlap", "active", "l1_norm", "training_loss", "objective")


@system.theory(
    version=1,
    gives=(*_GIVES, "threshold", "mse_trajectory"),
    shares=("iterations",),
    cost=Cost(
        flops=lambda *, iterations, **_: 1.5e5 + 1e4 * iterations,
        memory=lambda *, iterations, **_: 16.0 * (iterations + 100),
        shared_memory=lambda **_: 1e7,
    ),
)
def l1(*, alpha, sparsity, noise, regularization, iterations):
    """The minimiser of |y - X w|²/2 + λ |w|_1 by state evolution, λ = `regularization`.

    λ = 0 is the limit λ -> 0+: basis pursuit for alpha < 1, least squares for alpha > 1. The fixed
    point (τ, θ) and its uniqueness are in `lasso.py`, the observables of η(w + τ Z; θ) in
    `soft_threshold.py`; with them

        training_loss = alpha τ² (1 - s/alpha)²/2     (mean of (y - x·ŵ)²/2 over the samples)
        objective     = alpha · training_loss + λ · l1_norm,        per weight,

    whose derivative in λ is l1_norm. Everything has full relative accuracy, also at tiny noise or
    sparsity; only next to alpha_l1 at tiny noise and next to alpha = 1 at λ = 0 do the numbers
    themselves depend on the last digits of alpha. mse is exactly 0 for noise = λ = 0 and
    alpha >= alpha_l1 (overlap = active = sparsity there, θ = 0). At alpha = 1 with noise and λ = 0
    the mse is infinite: NO_SOLUTION.

    `mse_trajectory` is the state evolution of `l1_amp`, t = 0 to `iterations`, from ŵ = 0:

        τ_t² = (noise + mse_t)/alpha,      mse_{t+1} = mse(θ_t, τ_t),

    with the larger θ_t of those with λ = θ_t (alpha - s(θ_t, τ_t)) and with s = g_t min(1, alpha),
    g_0 = 1/2 and g_t = min(1, τ_t²/τ_{t-1}²). `residual` is the relative mismatch of alpha τ² and
    noise + mse, `steps` counts evaluations.
    """
    point = lasso_fixed_point(
        alpha=alpha, sparsity=sparsity, noise=noise, regularization=regularization
    )
    missing = np.isnan(point.tau)
    return {
        **observables(
            point, alpha=alpha, sparsity=sparsity, noise=noise, regularization=regularization
        ),
        "mse_trajectory": _trajectory(alpha, sparsity, noise, regularization, iterations),
        "message": np.where(
            missing, "at alpha = 1 with noise and without penalty the error has no bound", ""
        ),
        "status": np.where(missing, Status.NO_SOLUTION, Status.CONVERGED),
        "steps": point.steps,
        "residual": point.residual,
    }


def observables(
    point: FixedPoint,
    *,
    alpha: np.ndarray,
    sparsity: np.ndarray,
    noise: np.ndarray,
    regularization: np.ndarray,
) -> dict[str, np.ndarray]:
    """Observables of a fixed point; exact recovery (tau 0) and alpha = 0 (tau inf) as limits."""
    exact, blind = point.tau == 0, np.isposinf(point.tau)
    tau = np.where(exact | blind, 1.0, point.tau)
    ratio = np.where(exact | blind, 1.0, point.ratio)
    recovered = {
        "mse": 0.0,
        "overlap": sparsity,
        "self_overlap": sparsity,
        "active": sparsity,
        "l1_norm": np.sqrt(2.0 / np.pi) * sparsity,
    }
    answer = {}
    for name, value in measures(ratio=ratio, tau=tau, sparsity=sparsity).items():
        nothing = sparsity if name == "mse" else 0.0
        answer[name] = np.where(exact, recovered[name], np.where(blind, nothing, value))
    # √alpha τ (1 - s/alpha), in which alpha - s = λ/θ, or s = min(1, alpha) without penalty.
    samples = np.where(blind, 1.0, alpha)
    with np.errstate(divide="ignore", invalid="ignore"):
        bare = tau * np.maximum(samples - 1.0, 0.0)
        miss = np.where(regularization > 0, regularization / ratio, bare) / np.sqrt(samples)
    loss = np.where(blind, 0.5 * (noise + sparsity), 0.5 * miss**2)
    answer["training_loss"] = np.where(exact, 0.0, loss)
    answer["objective"] = alpha * answer["training_loss"] + regularization * answer["l1_norm"]
    answer["threshold"] = np.where(exact, 0.0, np.where(blind, np.nan, ratio * tau))
    return answer


def _trajectory(alpha, sparsity, noise, regularization, iterations):
    """mse_t for t = 0 ... iterations, shape (points, iterations + 1)."""
    trajectory = np.empty((len(alpha), iterations + 1))
    trajectory[:] = sparsity[:, None]
    active = np.flatnonzero(alpha > 0)
    tau = np.sqrt((noise + sparsity)[active] / alpha[active])
    pace = np.full(len(active), 0.5)
    for t in range(1, iterations + 1):
        a, rho, penalty = alpha[active], sparsity[active], regularization[active]
        # A share s is that of the calibration of λ = 0 with s in place of alpha.
        ratio = calibrated_ratio(tau, pace * np.minimum(1.0, a), rho, np.zeros_like(tau))
        some = penalty > 0
        other = calibrated_ratio(tau[some], a[some], rho[some], penalty[some])
        ratio[some] = np.maximum(ratio[some], other)
        mse = tau**2 * relative_mse(ratio=ratio, tau=tau, sparsity=rho)
        trajectory[active, t:] = mse[:, None]
        following = np.sqrt((noise[active] + mse) / a)
        contraction = (following / tau) ** 2
        # Not those at rest, nor those recovered to the smallest numbers there are.
        go = (np.abs(contraction - 1.0) > _REST) & (following > _LEAST)
        pace = np.minimum(1.0, contraction[go])
        active, tau = active[go], following[go]
        if not len(active):
            break
    return trajectory

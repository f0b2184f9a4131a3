"""Spherical perceptron: is an instance satisfiable, decided with a certificate."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import Choice, Integer, Real
from solvers.contract import Cost, Status
from solvers.systems.perceptron_storage.model import system
from solvers.systems.perceptron_storage.patterns import patterns, samples_of


@system.simulation(
    version=1,
    gives=("satisfiable", "margin", "margin_upper_bound", "samples"),
    size="dimension",
    shares=("dimension", "seed"),
    axes={
        "kappa": Real(
            "margin asked of every pattern; below 0 the problem is not convex",
            low=0,
            default=0.0,
            symbol=r"\kappa",
        ),
        "constraint": Choice(
            "step", default="step", description="what y z must satisfy: y z > kappa", symbol="C"
        ),
        "weights": Choice(
            "spherical",
            default="spherical",
            description="weights allowed: |w|^2 = dimension",
            symbol="w",
        ),
        "tolerance": Real(
            "margin within which the bounds must agree, and below which an upper bound on the "
            "margin counts as zero",
            low=0,
            high=1e-3,
            open="low",
            default=1e-10,
            symbol=r"\epsilon",
        ),
        "max_steps": Integer(
            "changes of the active set before the solver gives up",
            low=1,
            default=1_000_000,
            symbol=r"t_{\max}",
        ),
    },
    cost=Cost(
        flops=lambda *, alpha, dimension, **_: (
            # the last factor: the factorisation leaves the cache
            3e4 + (0.5 + 0.6 * alpha) * np.asarray(dimension, float) ** 3 * (1 + dimension / 600)
        ),
        memory=lambda *, alpha, dimension, **_: 8.0 * alpha * dimension,
        shared_memory=lambda *, alpha, dimension, **_: 16.0 * dimension * dimension * (2 + alpha),
    ),
)
def max_margin(
    *,
    alpha: np.ndarray,
    kappa: np.ndarray,
    constraint: str,
    weights: str,
    dimension: int,
    seed: int,
    tolerance: np.ndarray,
    max_steps: np.ndarray,
) -> dict[str, Any]:
    """Largest margin of one instance, between a weight vector and a dual certificate.

    With rows x_mu = y_mu X_mu ~ N(0, 1/dimension), samples = round(alpha·dimension), the margin is

        kappa_max = max over |w|^2 = dimension of min_mu x_mu·w,

    and the instance is satisfiable at kappa if kappa_max > kappa. An active-set method
    (`dual_active_set`, exact up to rounding) gives a vector w and multipliers λ >= 0, from which,
    recomputed on the patterns,

        margin              = √dimension · min_mu x_mu·w / |w|        <= kappa_max
        margin_upper_bound  = √dimension · |X^T λ| / sum_mu λ_mu     >= kappa_max.

    **Separable** patterns: both bounds meet (duality gap ~ 1e-15 in practice). **Not separable**:
    λ is Farkas' certificate, margin_upper_bound is zero up to rounding; kappa_max is then negative
    or zero and finding it is not a convex problem: `margin` is the best met on the way, a lower
    bound only.

    **Decision.** True if margin > kappa: w is the certificate. Otherwise False if
    margin_upper_bound <= kappa + tolerance: λ is. Otherwise status UNDECIDED. Running out of
    max_steps never reads as "not satisfiable".

    Status CONVERGED means decided and solved; MAX_STEPS decided while the bounds on the margin are
    still apart. `steps` counts changes of the active set. `residual` is margin_upper_bound
    - max(margin, 0). Without samples the margin is not defined (NaN) and every w is a solution.
    """
    from solvers.systems.perceptron_storage.dual_active_set import (  # compiled: heavy
        EXHAUSTED,
        OPTIMAL,
        dual_active_set,
    )

    samples = samples_of(alpha=alpha, dimension=dimension)
    rows = patterns(dimension=dimension, seed=seed, samples=int(samples.max(initial=0)))
    points = len(samples)
    lower, upper = np.full(points, np.nan), np.full(points, np.nan)
    solved, steps = np.ones(points, bool), np.zeros(points, np.int64)
    # Points that differ only in kappa have the same margin.
    controls = np.stack([samples, tolerance, max_steps], axis=1)
    for control in np.unique(controls[samples > 0], axis=0):
        here = np.all(controls == control, axis=1)
        part = rows[: int(control[0])]
        outcome, w, multipliers, count = dual_active_set(part, control[1] / 10, int(control[2]))
        bounds = _bounds(part, w, multipliers)
        lower[here], upper[here] = bounds
        solved[here], steps[here] = outcome != EXHAUSTED, count
        if outcome == OPTIMAL and bounds[1] - bounds[0] > control[1]:
            solved[here] = False
    feasible = (samples == 0) | (lower > kappa)
    decided = feasible | (upper <= kappa + tolerance)
    status = np.where(solved, Status.CONVERGED, Status.MAX_STEPS)
    return {
        "satisfiable": feasible,
        "margin": lower,
        "margin_upper_bound": upper,
        "samples": samples,
        "status": np.where(decided, status, Status.UNDECIDED),
        "steps": steps,
        "residual": np.where(samples == 0, 0.0, upper - np.maximum(lower, 0.0)),
    }


def _bounds(rows: np.ndarray, w: np.ndarray, multipliers: np.ndarray) -> tuple[float, float]:
    """Lower and upper bound on the largest margin; without certificate, -inf and inf."""
    scale, length, total = np.sqrt(rows.shape[1]), np.linalg.norm(w), multipliers.sum()
    lower = scale * np.min(rows @ w) / length if length > 0 else -np.inf
    upper = scale * np.linalg.norm(rows.T @ multipliers) / total if total > 0 else np.inf
    return float(lower), float(upper)

"""State evolution of message passing, the Bayes fixed point, and its free entropy."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from solvers.contract import Cost, Status
from solvers.numerics import priors
from solvers.numerics.monotone import rising_root
from solvers.systems.spiked_wigner.model import system

Array = np.ndarray

_TINY = 1e-8


def critical_signal(prior: ModuleType) -> float:
    """Where q = 0 loses stability: λ² dq_prior/ds = 1 at s = 0, with dq_prior/ds = (E x²)²."""
    return 1.0 / float(prior.second_moment())


@system.theory(
    version=1,
    gives=(
        "overlap",
        "mse",
        "matrix_mse",
        "free_entropy",
        "free_energy",
        "mutual_information",
        "spectral_overlap",
        "eigenvalue",
        "transition",
        "overlap_trajectory",
        "mse_trajectory",
    ),
    shares=("iterations",),
    cost=Cost(
        flops=lambda *, iterations, **_: 5e3 * (30.0 + iterations),
        memory=lambda *, iterations, **_: 40.0 * (iterations + 500),
    ),
)
def state_evolution(*, signal, prior, iterations, tolerance, max_steps):
    """The fixed point (1) of the package where message passing ends, and the equations (2).

    Above the transition the fixed point is found on the curve λ²(s) = s/q_prior(s), which rises
    from 1: u = log s is the root of an increasing function, by safeguarded Newton steps, with full
    relative accuracy of q and of 1 - q. Up to the transition the overlap is 0 exactly, by its
    stability. `tolerance` bounds the relative distance in s, `residual` is |log(λ² q_prior(s)/s)|.

    The trajectory is that of `amp` from the spectral start: the leading eigenvector, scaled, is x
    seen in Gaussian noise with s_0 = λ² - 1, so q_0 = q_prior(λ² - 1), q_t = q_prior(λ² q_{t-1}).
    For gaussian it is at the fixed point from the start. Up to λ = 1 it is 0 throughout.
    """
    law = priors.load(prior)
    critical = critical_signal(law)
    count = len(signal)
    snr = np.zeros(count)
    status = np.full(count, Status.CONVERGED, dtype=np.int8)
    steps, residual = np.zeros(count, dtype=int), np.zeros(count)
    above = np.flatnonzero(signal > critical)
    if len(above):
        level = 2.0 * np.log(signal[above])

        def excess(u: Array, points: Array) -> tuple[Array, Array]:
            """Return log(s/q_prior(s)) - log λ² and its derivative, 1 - dlog q/du."""
            q, deficit, elasticity = law.overlap(snr=np.exp(u))
            return u - np.log(q) - level[points], 1.0 + deficit * elasticity / q

        # The gaussian fixed point is s = λ² - 1; q <= 1 gives s <= λ².
        start = np.log(signal[above] ** 2 - 1.0)
        u, status[above], steps[above], residual[above] = rising_root(
            excess,
            start,
            -np.inf,
            level + _TINY,
            tolerance=tolerance[above],
            max_steps=max_steps[above],
        )
        snr[above] = np.exp(u)
    overlap, deficit, _ = law.overlap(snr=snr)
    overlap = np.where(snr > 0, overlap, 0.0)
    information = 0.25 * (signal * deficit) ** 2 + law.mutual_information(snr=snr)
    trajectory, errors = _trajectory(law, signal, critical, iterations)
    inverse = np.divide(1.0, signal, out=np.ones(count), where=signal > 1.0)
    return {
        "overlap": overlap,
        "mse": deficit,
        "matrix_mse": deficit * (1.0 + overlap),
        "free_entropy": 0.25 * signal**2 - information,
        "free_energy": information - 0.25 * signal**2,
        "mutual_information": information,
        "spectral_overlap": 1.0 - inverse**2,
        "eigenvalue": np.maximum(signal, 1.0) + inverse,
        "transition": np.full(count, critical),
        "overlap_trajectory": trajectory,
        "mse_trajectory": errors,
        "status": status,
        "steps": steps,
        "residual": residual,
    }


def _trajectory(
    law: ModuleType, signal: Array, critical: float, iterations: int
) -> tuple[Array, Array]:
    """q_t and 1 - q_t, t = 0 ... iterations."""
    snr = np.where(signal > critical, signal**2 - 1.0, 0.0)
    overlaps, deficits = (np.zeros((len(signal), iterations + 1)) for _ in range(2))
    for t in range(iterations + 1):
        q, rest, _ = law.overlap(snr=snr)
        overlaps[:, t], deficits[:, t] = np.where(snr > 0, q, 0.0), rest
        snr = signal**2 * overlaps[:, t]
    return overlaps, deficits


@system.theory(
    version=1,
    gives=("transition",),
    cost=Cost(flops=lambda **_: 1e3, memory=lambda **_: 64.0),
)
def thresholds(*, prior):
    """The signal beyond which a spike of this prior is found.

    λ_c = 1/E x² = 1 by linear stability of zero overlap in (1). For both priors q_prior is concave:
    the transition is continuous, and message passing, the posterior and the leading eigenvector
    find the spike from the same signal on.
    """
    value = critical_signal(priors.load(prior))
    return {
        "transition": np.array([value]),
        "status": Status.CONVERGED,
        "steps": 0,
        "residual": 0.0,
    }

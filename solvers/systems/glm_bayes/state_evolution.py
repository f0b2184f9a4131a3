"""State evolution: the overlap of message passing, step by step and at its fixed point."""

from __future__ import annotations

import numpy as np

from solvers.contract import Cost
from solvers.numerics.monotone import first_fixed_point
from solvers.systems.glm_bayes.declaration import system
from solvers.systems.glm_bayes.model import INFORMED_SNR, Model

_START = 1e30
"""snr from which the informed branch is approached; its deficit is below 1e-30."""

_CHUNK = 1024
"""Points solved together: bounds the memory of the quadratures (some 200 nodes a point)."""


@system.theory(
    version=1,
    gives=(
        "overlap",
        "mse",
        "classification_error",
        "label_mse",
        "free_entropy",
        "overlap_trajectory",
    ),
    shares=("iterations",),
    cost=Cost(
        flops=lambda *, iterations, **_: 5e3 * (15 + iterations),
        memory=lambda *, iterations, **_: 8.0 * (iterations + 30),
        shared_memory=lambda **_: 1e8,
    ),
)
def state_evolution(
    *, alpha, prior, channel, noise, initialization, iterations, tolerance, max_steps
):
    """Fixed point of s = alpha E g^2(q), q = q_prior(s), first from below or first from above.

    `overlap_trajectory` is the plain iteration, t = 0 (the start) to `iterations`. The fixed point
    is the one where that iteration ends, reached in u = log s by safe accelerated steps
    (`numerics/monotone.py`), so that 1 - q has full relative accuracy at both ends; `tolerance`
    bounds the relative distance in s, and near recovery d log(1 - q) = -s/2 d log s for binary
    weights. Status CONVERGED or MAX_STEPS; `residual` is |log(alpha E g^2(q)/s)|, `steps` counts
    evaluations of the map. Uninformed starts at q = 0 exactly, which is a fixed point only for
    channels whose first label says nothing about the sign of w. Equations: Barbier et al. (2019),
    in the notation of `model.py`.
    """
    answers = []
    for start in range(0, max(len(alpha), 1), _CHUNK):
        part = slice(start, start + _CHUNK)
        model = Model.of(prior=prior, channel=channel, noise=noise[part])
        a = alpha[part]
        u, status, steps, residual = _fixed_point(
            model, a, initialization, tolerance[part], max_steps[part]
        )
        with np.errstate(over="ignore"):
            snr = np.exp(u)
        overlap, deficit = model.overlaps(snr)
        classification, label = model.channel.errors(
            overlap=overlap, deficit=deficit, **model.channel_parameters
        )
        answers.append(
            {
                "overlap": overlap,
                "mse": deficit,
                "classification_error": classification,
                "label_mse": label,
                "free_entropy": model.free_entropy(alpha=a, snr=snr),
                "overlap_trajectory": _trajectory(model, a, initialization, iterations),
                "status": status,
                "steps": steps,
                "residual": residual,
            }
        )
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _fixed_point(model, alpha, initialization, tolerance, max_steps):
    """log s of the fixed point that the plain iteration from the given start reaches."""
    overlap, deficit = model.overlaps(np.zeros_like(alpha))
    with np.errstate(divide="ignore"):
        log_alpha = np.log(alpha)
        start = log_alpha + np.log(model.channel_snr(overlap, deficit))
    if initialization == "informed":
        start = np.full_like(alpha, np.log(_START))

    def curve(u, points):
        value, slope = model.take(points).log_snr(u)
        # Without samples nothing is learnt, also where one sample would say everything.
        some = np.where(alpha[points] > 0, value, 0.0)
        return log_alpha[points] + some, slope

    return first_fixed_point(curve, start, tolerance=tolerance, max_steps=max_steps)


def _trajectory(model, alpha, initialization, iterations):
    """Overlap at t = 0 ... iterations of the plain iteration, shape (points, iterations + 1)."""
    snr = np.full_like(alpha, INFORMED_SNR if initialization == "informed" else 0.0)
    trajectory = np.empty((len(alpha), iterations + 1))
    for t in range(iterations + 1):
        overlap, deficit = model.overlaps(snr)
        trajectory[:, t] = overlap
        snr = _times(alpha, model.channel_snr(overlap, deficit))
    return trajectory


def _times(alpha, snr):
    """alpha·snr, zero at alpha = 0 also where the snr of a sample is infinite."""
    return np.multiply(alpha, snr, out=np.zeros_like(snr), where=alpha > 0)

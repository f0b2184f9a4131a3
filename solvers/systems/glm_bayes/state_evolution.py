"""State evolution: the overlap of message passing, step by step and at its fixed point."""

from __future__ import annotations

import numpy as np

from solvers.contract import Cost
from solvers.systems.glm_bayes.declaration import system
from solvers.systems.glm_bayes.model import INFORMED_SNR, Model
from solvers.systems.glm_bayes.thresholds import evaluation, phases, read
from solvers.systems.glm_bayes.tracing import trace

_ROWS = 4096
"""Errors computed together."""

_CHUNK = 1024
"""Points solved together: bounds the memory of the quadratures (some hundred nodes a point)."""


@system.theory(
    version=2,
    gives=(
        "overlap",
        "mse",
        "classification_error",
        "label_mse",
        "free_entropy",
        "overlap_trajectory",
        "mse_trajectory",
        "error_trajectory",
        "phase",
    ),
    shares=("iterations",),
    cost=Cost(
        # A scan of the curve, shared by the points of one model, and every recorded iteration.
        flops=lambda *, channel, noise, iterations, **_: (
            evaluation(channel, noise) * (25 + iterations)
        ),
        memory=lambda *, iterations, **_: 24.0 * (iterations + 30),
        shared_memory=lambda **_: 2e8,
    ),
)
def state_evolution(
    *,
    alpha,
    prior,
    channel,
    sparsity,
    kappa,
    noise,
    initialization,
    iterations,
    tolerance,
    max_steps,
):
    """Fixed point of s = alpha E g^2(q), q = q_prior(s), where the iteration from a start ends.

    All fixed points lie on one explicit curve log alpha(u), u = log s, whose rising parts are the
    stable branches (`curve.py`). `uninformed` is the first branch that reaches alpha: zero overlap
    exactly as long as that is stable (alpha up to alpha_weak, channels with P(y|z) = P(y|-z)), and
    beyond the fixed point that an infinitesimal overlap grows to. `informed` is the last branch,
    approached from exact recovery; exact recovery itself (mse 0, and free entropy +inf for real
    labels without noise) where alpha is at least the limit of the curve. The branch being known, u
    is the root of an increasing function, found by safeguarded Newton steps from an interpolation:
    at a fold as fast as elsewhere, with full relative accuracy of q and of rho - q.

    `tolerance` bounds the relative distance in s; near recovery d log(mse) = -s/2 d log s for
    binary weights. `residual` is |log(alpha E g^2(q)/s)|, `steps` counts evaluations of the map,
    status is CONVERGED or MAX_STEPS.

    The trajectories are the plain iteration, t = 0 (the start) to `iterations`: the uninformed one
    starts at overlap 0 and stays there if P(y|z) = P(y|-z), whatever alpha; the informed one starts
    from w seen once with snr 100, which may lie outside the basin of the informed fixed point.
    `error_trajectory` is the classification error for labels ±1 and label_mse for real ones.
    `phase` places alpha among the thresholds of `thresholds`, whatever the start. Equations:
    Barbier et al. (2019), in the notation of `model.py`.
    """
    columns = {"sparsity": sparsity, "kappa": kappa, "noise": noise}
    parameters = np.stack(list(columns.values()), axis=1).reshape(-1, len(columns))
    distinct, row = np.unique(parameters, axis=0, return_inverse=True)
    families = dict(zip(columns, distinct.T, strict=True))
    curve = trace(Model.of(prior=prior, channel=channel, **families), len(distinct))
    known = read(curve)[0]
    with np.errstate(divide="ignore"):
        log_alpha = np.log(alpha)
    answers = []
    for start in range(0, max(len(alpha), 1), _CHUNK):
        part = slice(start, start + _CHUNK)
        a, at = alpha[part], row[part]
        pick = curve.first if initialization == "uninformed" else curve.last
        branch = pick(at, log_alpha[part])
        u, status, steps, residual = curve.solve(
            at, branch, log_alpha[part], tolerance=tolerance[part], max_steps=max_steps[part]
        )
        with np.errstate(over="ignore"):
            snr = np.exp(u)
        model = curve.model.take(at)
        overlap, deficit = model.overlaps(snr)
        classification, label = model.errors(overlap, deficit)
        free_entropy = model.free_entropy(alpha=a, snr=snr)
        answers.append(
            {
                "overlap": overlap,
                "mse": deficit,
                "classification_error": classification,
                "label_mse": label,
                "free_entropy": free_entropy,
                **_trajectories(model, a, initialization, iterations),
                "phase": phases(a, {name: values[at] for name, values in known.items()}),
                "message": _messages(overlap, free_entropy, a),
                "status": status,
                "steps": steps,
                "residual": residual,
            }
        )
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def _messages(overlap, free_entropy, alpha):
    """What the numbers alone do not say."""
    texts = np.full(len(alpha), "", dtype=object)
    texts[free_entropy == np.inf] = "free_entropy: +inf, the density of labels without noise"
    nothing = "overlap: zero is stable up to alpha_weak, labels do not tell w from -w"
    texts[(overlap == 0) & (alpha > 0)] = nothing
    return texts


def _trajectories(model, alpha, initialization, iterations):
    """Overlap, mse and error at t = 0 ... iterations, each of shape (points, iterations + 1)."""
    snr = np.full_like(alpha, INFORMED_SNR if initialization == "informed" else 0.0)
    overlap, deficit, error = (np.empty((len(alpha), iterations + 1)) for _ in range(3))
    active, last = np.arange(len(alpha)), np.full(len(alpha), iterations)
    for t in range(iterations + 1):
        part = model.take(active)
        q, rest = part.overlaps(snr)
        overlap[active, t:], deficit[active, t:] = q[:, None], rest[:, None]
        gain = part.channel_snr(q, rest)
        # Without samples nothing is learnt, also where one sample would say everything.
        some, following = alpha[active], np.zeros_like(gain)
        with np.errstate(over="ignore"):
            following = np.multiply(some, gain, out=following, where=some > 0)
        moving = following != snr
        last[active[~moving]] = t
        active, snr = active[moving], following[moving]
        if not len(active):
            break
    which = 0 if model.channel.LABELS == "sign" else 1
    point, step = np.nonzero(np.arange(iterations + 1) <= last[:, None])
    for start in range(0, len(point), _ROWS):
        at = point[start : start + _ROWS], step[start : start + _ROWS]
        error[at] = model.take(at[0]).errors(overlap[at], deficit[at])[which]
    ended = np.minimum(np.arange(iterations + 1), last[:, None])
    error = np.take_along_axis(error, ended, axis=1)
    return {"overlap_trajectory": overlap, "mse_trajectory": deficit, "error_trajectory": error}

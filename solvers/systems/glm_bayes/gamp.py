"""Generalised approximate message passing on random instances."""

from __future__ import annotations

import numpy as np

from solvers.axes import Integer, Real
from solvers.contract import Cost, Status
from solvers.numerics.random import Stream
from solvers.systems.glm_bayes.declaration import system
from solvers.systems.glm_bayes.instance import Instance, on_device, to_host
from solvers.systems.glm_bayes.messages import State, channel_arguments, inner, measure, total
from solvers.systems.glm_bayes.model import INFORMED_SNR, Model

_FEW = 2.0
"""Fewer informative samples than this are no average (see `gamp`)."""


@system.simulation(
    version=1,
    gives=(
        "overlap",
        "self_overlap",
        "mse",
        "classification_error",
        "label_mse",
        "free_entropy",
        "overlap_trajectory",
        "samples",
    ),
    size="dimension",
    shares=("dimension", "seed", "iterations"),
    devices=("cpu", "gpu"),
    axes={
        "tolerance": Real(
            "root-mean-square change of the estimate that counts as none",
            low=0,
            open="low",
            default=1e-5,
            symbol="\\epsilon",
        ),
        "max_steps": Integer("most iterations", low=1, default=300, symbol=r"t_{\max}"),
    },
    cost=Cost(
        # Some 30 iterations; many small operations for small sizes, matrix products for large ones.
        flops=lambda *, alpha, dimension, **_: 1.5e7 + alpha * dimension * (4e3 + 15.0 * dimension),
        memory=lambda *, alpha, dimension, **_: 16.0 * dimension * (alpha + 6) + 2e4,
        shared_memory=lambda *, alpha, dimension, precision, **_: (
            np.where(np.asarray(precision) == "double", 9.0, 4.5)
            * dimension
            * (alpha * dimension + 256)
        ),
    ),
)
def gamp(
    *,
    alpha,
    prior,
    channel,
    noise,
    initialization,
    dimension,
    seed,
    iterations,
    damping,
    tolerance,
    max_steps,
    precision,
    xp,
):
    """Posterior means by message passing with scalar variances (Rangan 2011, arXiv:1010.5141).

    With d = dimension and V the mean posterior variance of the weights, one iteration is

        ω = X·ŵ - V g,   g = ∂_ω log Z(y; ω, V),   A = -Σ ∂_ω g / d,   B = A ŵ + X^T g,
        ŵ, v = mean and variance of P(w) exp(B w - A w^2/2),   V = Σ v / d,

    and A, B keep a share `damping` of their previous values. The uninformed start is A = B = 0, the
    informed one A = s, B = s w + √s Z with s = 100: iteration t has the overlap of
    state evolution at t up to O(1/√d). All points of a batch advance in lockstep on one instance.

    Measured on the estimate: `overlap` ŵ·w/d, `self_overlap` |ŵ|²/d (equal on average, Nishimori),
    `mse` |ŵ - w|²/d; the errors on a fresh input integrate over that input exactly, given the
    estimate (`channels`). `free_entropy` is the Bethe free entropy of the messages
    (Krzakala, Manoel, Tramel, Zdeborová, ISIT 2014, arXiv:1402.1384, with scalar variances)

        d·φ = Σ_i [log Z_w(A, B_i) - B_i ŵ_i + A(ŵ_i² + v_i)/2]
            + Σ_μ [log Z(y_μ; ω_μ, V) + (ω_μ - (X·ŵ)_μ)²/(2V)],

    whose average at the fixed point is the replica-symmetric one. It is NaN where the labels
    contradict messages that are certain of a wrong answer (more than 100 nats per label), which
    happens at small dimension: the posterior that the messages describe gives the labels no weight.

    **End.** CONVERGED when the root-mean-square change of ŵ, over 1 - `damping`, is at most
    `tolerance` (`residual`). After exact recovery V tends to zero, no label is in doubt, A is no
    longer an average over samples and an unguarded iteration forgets everything: a point is frozen,
    as CONVERGED with residual √V, once the curvatures -∂g have a participation number (Σ)²/Σ² below
    2. MAX_STEPS otherwise; DIVERGED if |ŵ|² exceeds 100 times the teacher's; NOT_FINITE.
    """
    dtype = xp.float64 if precision == "double" else xp.float32
    model = Model.of(prior=prior, channel=channel, noise=noise)
    instance = Instance.draw(
        model=model, alpha=alpha, dimension=dimension, seed=seed, xp=xp, dtype=dtype
    )
    points = len(alpha)
    state = _start(model, instance, initialization, seed, xp, dtype)
    trajectory = np.empty((points, iterations + 1))
    trajectory[:] = inner(state.mean, instance.teacher, xp)[:, None] / dimension
    status = np.full(points, Status.MAX_STEPS)
    steps, residual = np.zeros(points, dtype=int), np.full(points, np.inf)
    norm = float(inner(instance.teacher, instance.teacher, xp)[0])
    # Points with many samples first: groups of equal width then end at nearly the same row.
    active = np.argsort(-instance.samples, kind="stable")

    while len(active):
        steps[active] += 1
        precision_new, field_new, informative = _pass(model, instance, state, active, xp, dtype)
        enough = informative >= np.minimum(_FEW, 0.5 * instance.samples[active])
        finite = np.isfinite(precision_new)
        frozen = finite & ~enough
        status[active[frozen]] = Status.CONVERGED
        residual[active[frozen]] = np.sqrt(state.variance[active[frozen]])
        status[active[~finite]] = Status.NOT_FINITE

        go = np.flatnonzero(finite & enough)
        active = active[go]
        if not len(active):
            break
        keep = damping[active]
        columns = xp.asarray(active)
        state.precision[active] = (1 - keep) * precision_new[go] + keep * state.precision[active]
        share = xp.asarray(keep, dtype=dtype)
        field = (1 - share) * field_new[:, xp.asarray(go)] + share * state.field[:, columns]
        part = model.take(active)
        mean, variance = part.prior.denoise(
            precision=xp.asarray(state.precision[active], dtype=dtype),
            field=field,
            xp=xp,
            **on_device(part.prior_parameters, xp=xp, dtype=dtype),
        )
        moved = mean - state.mean[:, columns]
        change = np.sqrt(inner(moved, moved, xp) / dimension) / (1 - keep)
        state.field[:, columns], state.mean[:, columns] = field, mean
        state.variance[active] = total(variance, xp) / dimension
        overlap = inner(mean, instance.teacher, xp) / dimension
        for point, value in zip(active, overlap, strict=True):
            trajectory[point, steps[point] :] = value

        residual[active] = change
        wild = inner(mean, mean, xp) > 100.0 * norm
        broken = ~np.isfinite(change)
        done = change <= tolerance[active]
        status[active[done]] = Status.CONVERGED
        status[active[wild]] = Status.DIVERGED
        status[active[broken]] = Status.NOT_FINITE
        active = active[~done & ~wild & ~broken & (steps[active] < max_steps[active])]

    measured = measure(model, instance, state, xp, dtype)
    return {
        **measured,
        "overlap_trajectory": trajectory,
        "samples": instance.samples,
        "status": status,
        "steps": steps,
        "residual": residual,
    }


def _start(model, instance, initialization, seed, xp, dtype):
    """Messages that know nothing, or the teacher through one Gaussian channel."""
    points, dimension = len(instance.samples), instance.dimension
    field = xp.zeros((dimension, points), dtype=dtype)
    precision = np.zeros(points)
    if initialization == "informed":
        stream = Stream("glm_bayes", seed, dimension, "init")
        shift = stream.normals(0, dimension, 1, xp=xp, dtype=dtype)
        field = field + INFORMED_SNR * instance.teacher + INFORMED_SNR**0.5 * shift
        precision += INFORMED_SNR
    mean, variance = model.prior.denoise(
        precision=xp.asarray(precision, dtype=dtype),
        field=field,
        xp=xp,
        **on_device(model.prior_parameters, xp=xp, dtype=dtype),
    )
    average = total(variance, xp) / dimension
    output = xp.zeros((instance.design.shape[0], points), dtype=dtype)
    return State(precision, field, mean, average, output)


def _pass(model, instance, state, active, xp, dtype):
    """One reading of the design: new A, B and the number of informative samples of `active`."""
    dimension = instance.dimension
    gathered = xp.zeros((dimension, len(state.variance)), dtype=dtype)
    first, second = np.zeros(len(state.variance)), np.zeros(len(state.variance))
    for rows, design in instance.row_blocks(active):
        for group in instance.groups(active, rows.start):
            columns, asked, arguments = channel_arguments(
                model, instance, state, rows, group, xp, dtype
            )
            omega = design @ state.mean[:, columns]
            omega = omega - arguments["variance"] * state.output[rows, columns]
            g, curvature = model.channel.denoise(omega=omega, xp=xp, **arguments)
            g, curvature = xp.where(asked, g, 0.0), xp.where(asked, curvature, 0.0)
            state.output[rows, columns] = g
            gathered[:, columns] = gathered[:, columns] + design.T @ g
            curvature = xp.astype(curvature, xp.float64)
            first[group] += to_host(xp.sum(curvature, axis=0))
            second[group] += to_host(xp.sum(curvature**2, axis=0))
    first, second = first[active], second[active]
    informative = np.divide(first**2, second, out=np.zeros_like(first), where=second > 0)
    precision = first / dimension
    columns = xp.asarray(active)
    field = xp.asarray(precision, dtype=dtype) * state.mean[:, columns] + gathered[:, columns]
    return precision, field, informative

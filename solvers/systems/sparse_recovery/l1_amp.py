"""Soft-threshold message passing: l1-penalised least squares and basis pursuit on instances."""

from __future__ import annotations

import numpy as np

from solvers.contract import Cost, Status
from solvers.numerics.lockstep import column_sums
from solvers.systems.glm_bayes.instance import Instance
from solvers.systems.glm_bayes.messages import compare
from solvers.systems.glm_bayes.model import Model
from solvers.systems.sparse_recovery.certificate import certificate
from solvers.systems.sparse_recovery.declaration import SIMULATION_AXES, system
from solvers.systems.sparse_recovery.donoho_tanner import weak_threshold
from solvers.systems.sparse_recovery.l1_iteration import State, advance, go_over, read

_WILD = 1e8
"""|z|²/|y|² beyond which the iteration has run away."""


def _steps(*, alpha, sparsity, noise, regularization, max_steps, **_):
    """Steps that a run takes, roughly: few with a penalty, a thousand where l1 cannot recover."""
    recovers = (noise == 0) & (alpha >= weak_threshold(np.atleast_1d(sparsity))[0])
    bare = np.where(alpha > 1, 60.0, np.where(recovers, 250.0, 1100.0))
    return np.minimum(np.where(regularization > 0, 80.0, bare), max_steps)


def _bytes(precision):
    return np.where(np.asarray(precision) == "double", 8.0, 4.0)


@system.simulation(
    version=3,
    gives=(
        "overlap",
        "self_overlap",
        "mse",
        "active",
        "l1_norm",
        "training_loss",
        "objective",
        "success",
        "mse_trajectory",
        "samples",
    ),
    size="dimension",
    shares=("dimension", "seed", "iterations"),
    devices=("cpu", "gpu"),
    axes=SIMULATION_AXES["l1_amp"],
    cost=Cost(
        flops=lambda *, alpha, dimension, **axes: (
            1e7 + _steps(alpha=alpha, **axes) * dimension * (150.0 + 0.28 * alpha * dimension)
        ),
        memory=lambda *, alpha, dimension, iterations, precision, **_: (
            _bytes(precision) * dimension * (3 * alpha + 14) + 8.0 * iterations + 2e4
        ),
        shared_memory=lambda *, alpha, dimension, precision, **_: (
            1.1 * _bytes(precision) * dimension * (alpha * dimension + 256)
        ),
    ),
)
def l1_amp(
    *,
    alpha,
    sparsity,
    noise,
    regularization,
    dimension,
    seed,
    design,
    iterations,
    tolerance,
    max_steps,
    precision,
    success_mse,
    xp,
):
    """Minimise |y - X w|²/2 + λ |w|_1 (λ = `regularization`) by approximate message passing.

    With n = samples, d = dimension, from ŵ = 0 and z = 0 (Donoho, Maleki and Montanari, PNAS 106,
    18914 (2009), for X with entries of variance 1/d):

        z <- y - X ŵ + (s d/n) z,      u = ŵ + (d/n) X^T z,      ŵ <- sign(u) max(|u| - θ, 0),

    with s the share of weights beyond θ. `cut.py` finds θ in the sorted |u|: the larger of

    * the calibrated one, λ = θ (n/d - s). So a fixed point, at any dimension, satisfies
      X^T(y - X ŵ) = λ sign(ŵ) where ŵ ≠ 0 and |X^T(y - X ŵ)| <= λ elsewhere: it is the minimiser;
    * the paced one, s = g min(1, n/d), g = |z|²/|z_before|², at most 1, 1/2 at first. Where
      recovery is exact, g settles at the ratio of the errors of two iterations, and s = alpha g is
      the condition for the threshold of fastest decrease (M = s in `donoho_tanner.py`), found
      without knowing sparsity. Elsewhere g tends to 1, and s to the share of the minimisers at
      λ = 0: n/d for basis pursuit, 1 for least squares.

    Both are functions of the law of u: state evolution, `l1`, holds at every iteration.

    **End.** `residual` is a certificate of optimality (`certificate.py`): the relative duality gap,
    for basis pursuit the larger of gap and infeasibility. CONVERGED when it is at most `tolerance`;
    MAX_STEPS otherwise; DIVERGED or NOT_FINITE if z runs away. For d to infinity message passing
    contracts as (s d/n)^{t/2}; at finite d entries at the threshold keep flickering if s d/n is
    near 1, while mse and norms stand still, and where basis pursuit recovers the weights the
    direction of z never settles. So a point whose residual has stalled after 60 steps, or whose
    weights are recovered (|y - X ŵ| <= 1e-3 |y|), goes over to primal-dual steps
    (`primal_dual.py`), slower but sure to end at the minimum; `mse_trajectory` is that of message
    passing until then. Rounding limits the certificate to about 1e-7 |y|/|y - X ŵ| in single
    precision: tiny λ wants double. `half` and `tf32` are not offered: |y - X ŵ| and X^T z would be
    wrong by some 2e-4 of |ŵ| and |z|, a duality gap made of them certifies nothing below that times
    |y|/|y - X ŵ|, and basis pursuit ends where this is infinite.

    Measured on ŵ: `active` counts its non-zero entries, however small; `training_loss` is the mean
    of (y - x·ŵ)²/2, `objective` the minimised function over d. `success`: mse <= success_mse ·
    sparsity. All points of a batch, of every alpha, sparsity, noise and λ, advance in lockstep on
    one instance, the same as that of `bayes_amp`.
    """
    dtype = xp.float64 if precision == "double" else xp.float32
    model = Model.of(
        prior="gauss_bernoulli",
        channel="linear",
        sparsity=sparsity,
        kappa=np.zeros_like(alpha),
        noise=noise,
    )
    instance = Instance.draw(
        model=model, alpha=alpha, dimension=dimension, seed=seed, design=design, xp=xp, dtype=dtype
    )
    points, samples = len(alpha), instance.samples
    state = State.blank(instance, points, xp, dtype)
    everyone = np.arange(points)
    start = compare(model=model, instance=instance, mean=state.mean, points=everyone, xp=xp)
    trajectory = np.repeat(start["mse"][:, None], iterations + 1, axis=1)
    status = np.full(points, Status.MAX_STEPS)
    steps, residual = np.zeros(points, dtype=int), np.full(points, np.inf)
    status[samples == 0], residual[samples == 0] = Status.CONVERGED, 0.0
    active = np.flatnonzero(samples > 0)

    while len(active):
        steps[active] += 1
        gathered, sums = read(instance, state, active, xp)
        residual[active] = certificate(
            sums,
            regularization=regularization[active],
            samples=samples[active],
            dimension=dimension,
        )
        done = residual[active] <= tolerance[active]
        wild = ~state.primal_dual.on[active] & (sums.dual > _WILD * state.labels[active])
        broken = ~np.isfinite(sums.dual)
        status[active[done]] = Status.CONVERGED
        status[active[wild]] = Status.DIVERGED
        status[active[broken]] = Status.NOT_FINITE
        go = np.flatnonzero(~done & ~wild & ~broken & (steps[active] < max_steps[active]))
        active = active[go]
        if not len(active):
            break
        step, gathered = int(steps[active[0]]), gathered[:, xp.asarray(go)]
        advance(state, active, gathered, samples, regularization, xp)
        go_over(state, active, step, residual, samples, regularization, xp)
        if step <= iterations:
            part = state.mean[:, xp.asarray(active)]
            now = compare(model=model, instance=instance, mean=part, points=active, xp=xp)
            trajectory[active, step:] = now["mse"][:, None]

    measured = compare(model=model, instance=instance, mean=state.mean, points=everyone, xp=xp)
    loss = 0.5 * state.miss / np.maximum(samples, 1)
    norm = column_sums(xp.abs(state.mean), xp) / dimension
    return {
        **measured,
        "active": column_sums(xp.astype(state.mean != 0, dtype), xp) / dimension,
        "l1_norm": norm,
        "training_loss": loss,
        "objective": loss * samples / dimension + regularization * norm,
        "success": measured["mse"] <= success_mse * sparsity,
        "mse_trajectory": trajectory,
        "samples": samples,
        "status": status,
        "steps": steps,
        "residual": residual,
    }

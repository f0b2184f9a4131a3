"""Approximate message passing on random instances."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import Real
from solvers.contract import Cost, Status
from solvers.numerics import priors
from solvers.numerics.lockstep import column_sums
from solvers.systems.spiked_wigner.instance import Instance
from solvers.systems.spiked_wigner.lanczos import leading
from solvers.systems.spiked_wigner.model import system
from solvers.systems.spiked_wigner.spectral import (
    lanczos_cost,
    lanczos_memory,
    matrix_memory,
    wide,
)

_START_RESIDUAL = 1e-5
_START_STEPS = 500


def _flops(*, dimension: Any, signal: Any, precision: Any, start: Any, **_: Any) -> Any:
    n = np.asarray(dimension, dtype=float)
    steps = 20.0 + 60.0 / (np.abs(np.asarray(signal) - 1.0) + 0.3)
    begin = lanczos_cost(dimension=n, signal=signal, precision=precision)
    begin = begin if str(start) == "spectral" else 1e6 + 2.0 * n**2
    return begin + steps * (0.12 * wide(precision) * n**2 + 60.0 * n)


@system.simulation(
    version=2,
    gives=(
        "overlap",
        "self_overlap",
        "cosine",
        "mse",
        "matrix_mse",
        "overlap_trajectory",
        "mse_trajectory",
    ),
    size="dimension",
    shares=("dimension", "seed", "iterations"),
    devices=("cpu", "gpu"),
    axes={
        "tolerance": Real(
            "root-mean-square change of the estimate that counts as none",
            low=1e-12,
            high=1e-1,
            default=1e-6,
            symbol=r"\epsilon",
        ),
    },
    cost=Cost(
        flops=_flops,
        memory=lambda *, iterations, dimension, precision, **axes: (
            lanczos_memory(dimension=dimension, precision=precision)
            + 60.0 * wide(precision) * dimension
            + 20.0 * (iterations + 10)
        ),
        shared_memory=matrix_memory,
    ),
)
def amp(
    *,
    signal,
    prior,
    start,
    iterations,
    dimension,
    seed,
    tolerance,
    max_steps,
    precision,
    xp,
):
    """Bayes-optimal message passing, all signals of a batch in lockstep on one W.

    With B the field and A its precision, x̂ and v the mean and variance of P(x) e^{B x - A x²/2}:

        x̂_t, v_t = posterior mean and variance at (A_t, B_t),
        B_{t+1} = λ Y x̂_t - λ² mean(v_t) x̂_{t-1},      A_{t+1} = λ² |x̂_t|²/n,

    whose law at t is that of `state_evolution` (B = λ² q x + λ√q Z). Here B = λ z for the z_t of
    the source.

    **Starts.** `spectral`: B_0 = √(n s_0 (1 + s_0)) v with the leading unit eigenvector v and
    A_0 = s_0 = λ² - 1, the law of a Gaussian observation of ratio s_0. v being the end of a linear
    message passing z = Y cz - c² z with c = (θ - √(θ² - 4))/2 (-> 1/λ) at the eigenvalue θ, its
    memory goes on: λ² x̂_{-1} = λ c B_0 (Montanari and Venkataramanan). In the critical window, and
    below it, v holds a share of x of at most the order of n^(-1/3), which bounds s_0 from below.
    `random`: B_0 = Z/√n, A_0 = 1/n, the weakest observation that n sites can feel; its overlap
    grows by λ² an iteration, so that log(√n)/log(λ²) iterations pass before it is of order one.

    **Measured**: `overlap` |x·x̂|/n, `self_overlap` |x̂|²/n, `mse` |x - x̂|²/n for the better sign,
    `matrix_mse` |x x^T - x̂ x̂^T|²/n². Trajectories start with x̂_0; after a point has ended they
    repeat its last value. CONVERGED when `residual`, the root-mean-square change of x̂, is at most
    `tolerance`; near λ = 1 that takes many steps.
    """
    real = xp.float64 if precision == "double" else xp.float32
    law = priors.load(prior)
    instance = Instance.draw(
        signal=signal, prior=prior, dimension=dimension, seed=seed, xp=xp, dtype=real
    )
    field, accuracy, memory = _start(instance, start, signal, real)
    points = len(signal)
    active, part = np.arange(points), instance
    final = np.zeros((points, 3))
    trajectories = np.zeros((points, iterations + 1, 3))
    status = np.full(points, Status.MAX_STEPS)
    steps, residual = np.zeros(points, dtype=int), np.full(points, np.inf)
    spike_size = float(column_sums(instance.spike**2, xp)[0]) / dimension
    estimate = xp.zeros_like(field)
    t = 0
    while len(active):
        mean, variance = law.denoise(precision=xp.asarray(accuracy, dtype=real), field=field, xp=xp)
        moved = np.sqrt(column_sums((mean - estimate) ** 2, xp) / dimension)
        estimate = mean
        square = column_sums(mean * mean, xp) / dimension
        along = column_sums(mean * instance.spike, xp) / dimension
        measured = np.stack([along, square, np.broadcast_to(spike_size, square.shape)], axis=1)
        final[active] = measured
        if t <= iterations:
            trajectories[active, t:] = measured[:, None]
        steps[active] = t
        if t > 0:
            residual[active] = moved
        broken = ~np.isfinite(moved)
        done = (residual[active] <= tolerance[active]) | broken
        status[active[done]] = Status.CONVERGED
        status[active[broken]] = Status.NOT_FINITE
        keep = np.flatnonzero(~done & (t < max_steps[active]))
        if len(keep) < len(active):
            columns = xp.asarray(keep)
            active, part, square = active[keep], part.take(keep), square[keep]
            estimate, variance, memory = (a[:, columns] for a in (estimate, variance, memory))
        if len(active):
            onsager = xp.asarray(column_sums(variance, xp) / dimension, dtype=real)
            field = part.signal * part.product(estimate) - onsager * memory
            memory = part.signal**2 * estimate
            accuracy = signal[active] ** 2 * square
            t += 1
    along, square, size = final.T
    return {
        "overlap": np.abs(along),
        "self_overlap": square,
        "cosine": _cosine(along, square, size),
        "mse": size + square - 2.0 * np.abs(along),
        "matrix_mse": size**2 + square**2 - 2.0 * along**2,
        "overlap_trajectory": np.abs(trajectories[..., 0]),
        "mse_trajectory": spike_size + trajectories[..., 1] - 2.0 * np.abs(trajectories[..., 0]),
        "status": status,
        "steps": steps,
        "residual": residual,
    }


def _cosine(along: np.ndarray, square: np.ndarray, size: np.ndarray) -> np.ndarray:
    """|x·x̂|/(|x||x̂|), zero for no estimate."""
    norm = np.sqrt(square * size)
    return np.divide(np.abs(along), norm, out=np.zeros_like(norm), where=norm > 0)


def _start(instance: Instance, start: str, signal: np.ndarray, real: Any) -> tuple[Any, ...]:
    """B_0 (n, points), A_0 (points,) and λ² x̂_{-1} (n, points)."""
    xp, n, points = instance.xp, instance.dimension, len(signal)
    draw = instance.normals("start", real)
    if start == "random":
        field = xp.broadcast_to(draw * float(n**-0.5), (n, points))
        return field, np.full(points, 1.0 / n), xp.zeros((n, points), dtype=real)
    found = leading(
        instance=instance,
        start=draw,
        tolerance=np.full(points, _START_RESIDUAL),
        max_steps=np.full(points, _START_STEPS),
    )
    ratio = np.maximum(signal**2 - 1.0, n ** (-1 / 3))
    field = found.vector * xp.asarray(np.sqrt(n * ratio * (1.0 + ratio)), dtype=real)
    outside = np.maximum(found.value, 2.0)
    root = 0.5 * (outside - np.sqrt(outside**2 - 4.0))
    return field, ratio, field * xp.asarray(signal * root, dtype=real)

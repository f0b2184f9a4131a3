"""The simulations: stochastic equations for the overlaps, and gradient descent with weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import FileContent
from solvers.contract import Cost, Status
from solvers.numerics.random import Stream
from solvers.systems.escape_mediocrity.descent import Run, descend
from solvers.systems.escape_mediocrity.diffusion import walk
from solvers.systems.escape_mediocrity.formula import escape_rate
from solvers.systems.escape_mediocrity.model import GIVES, measured, system, unexited
from solvers.systems.escape_mediocrity.moments import components, risk_of, unpack
from solvers.systems.escape_mediocrity.starts import (
    SYSTEM,
    check_start,
    start_states,
    start_weights,
)

_BLOCK = 512


def _sde_flops(*, width: Any, times: Any, time_step: Any, **_: Any) -> Any:
    size = components(width)
    one_step = 4000.0 + 700.0 * width + 120.0 * size**2
    return one_step * (times[-1] / time_step) + 1e5


@system.simulation(
    version=1,
    gives=GIVES,
    check=check_start,
    size="dimension",
    shares=("width",),
    cost=Cost(
        flops=_sde_flops,
        memory=lambda *, width, times, **_: 8 * (4 + 3 * len(times)) * (2 + width) ** 2,
        shared_memory=lambda *, width, **_: (
            8 * (_BLOCK + 3 * components(width)) * components(width)
        ),
    ),
)
def sde(
    *,
    width: int,
    step_size: np.ndarray,
    noise: np.ndarray,
    dimension: np.ndarray,
    exit_fraction: np.ndarray,
    initial: str | FileContent,
    times: tuple[float, ...],
    time_step: np.ndarray,
    seed: np.ndarray,
) -> dict[str, Any]:
    """Overlaps with the fluctuations of SGD: drift as in `ode`, diffusion as large as that of SGD.

        d(m, q) = drift dt + √(η K) dB,    η = γ/(p d),

    in Itô's sense, with the exact Gaussian covariance K of the increments of one step (`moments`),
    by Euler-Maruyama steps of `time_step` (weak order one, and √η K is small). Overlaps that are
    those of no unit vectors after a step, as happens near |m_i| = 1, are projected: negative
    eigenvalues of the Gram matrix are cut and its diagonal is set to one. As SGD itself moves by
    Markov steps of η, a time_step far below η resolves nothing more; the law agrees with that of
    SGD for η -> 0, with the same start for the same (seed, dimension), not path by path.

    The exit is the first step with a risk of at most (1 - exit_fraction) R(0), placed linearly
    within the step. States are recorded at the step nearest to each asked time.

    Status: converged; max_steps if the risk has not exited by the last time (exit_time is NaN, the
    records stand); diverged where time_step is so long that Euler steps are unstable (nothing is
    done then) or a number overflowed; a sentence says which. `residual` is the largest distance of
    a record from its asked time, `steps` counts steps.
    """
    points, ratio = len(seed), step_size / width
    unit = ratio / dimension
    start = start_states(initial, width=width, dimension=dimension, seed=seed)
    level = (1.0 - exit_fraction) * risk_of(*unpack(start, width=width))
    records = np.floor(np.asarray((0.0, *times)) / time_step[:, None] + 0.5).astype(np.int64)
    kept = np.repeat(start[:, None], len(times) + 1, axis=1)
    exits, last = np.full(points, np.nan), np.full(points, len(times))
    status = np.zeros(points, dtype=np.int64)
    messages = [""] * points
    # Above the fastest contraction of the drift, that of units aligned with each other alone.
    fastest = 16.0 + ratio * (64.0 + 2.0 * noise)
    for point in range(points):
        following = int(np.searchsorted(records[point], 0, side="right"))
        if time_step[point] * fastest[point] > 1.0:
            status[point], last[point] = Status.DIVERGED, 0
            messages[point] = (
                f"time_step is too long for this step_size; take {0.1 / fastest[point]:.2g} or less"
            )
            continue
        state = start[point].copy()
        stream = Stream(SYSTEM, int(seed[point]), int(dimension[point]), "brownian")
        position, total, finite = 0, int(records[point, -1]), True
        while position < total and finite:
            normals = stream.normals(position, min(position + _BLOCK, total), components(width))
            following, exits[point], finite = walk(
                state,
                normals,
                position,
                ratio[point],
                noise[point],
                unit[point],
                time_step[point],
                level[point],
                records[point],
                following,
                kept[point],
                exits[point],
            )
            position += len(normals)
        if not finite:
            status[point], last[point] = Status.DIVERGED, following - 1
            messages[point] = (
                f"diverged after t = {records[point, following - 1] * time_step[point]:.6g}: an "
                "increment was not finite; step_size or noise is too large"
            )
    rows = np.minimum(np.arange(1, len(times) + 1), last[:, None])
    every = np.arange(points)[:, None]
    reached = records[every, rows] * time_step[:, None]
    status, messages = _ended(status, messages, exits, reached[:, -1])
    return {
        **measured(*unpack(kept[every, rows], width=width)),
        "exit_time": exits,
        "recorded_time": reached,
        "status": status,
        "steps": records[np.arange(points), last],
        "residual": np.max(np.abs(records[:, 1:] * time_step[:, None] - times), axis=1),
        "message": messages,
    }


def _ended(
    status: np.ndarray, messages: list[str], exits: np.ndarray, reached: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Statuses and sentences, with max_steps for runs that did not exit."""
    short = (status == Status.CONVERGED) & np.isnan(exits)
    said = unexited(np.where(short, reached, np.nan))
    return (
        np.where(short, Status.MAX_STEPS, status),
        [own or other for own, other in zip(messages, said, strict=True)],
    )


def _sgd_flops(
    *,
    width: Any,
    dimension: Any,
    step_size: Any,
    noise: Any,
    times: Any,
    after_exit: str,
    **_: Any,
) -> Any:
    """Drawing a sample costs about ten weights' worth; then every weight is used twice."""
    one_step = 400.0 + 30.0 * width + 10.0 * width**2 + 4.5 * dimension + 0.5 * width * dimension
    end = times[-1]
    if after_exit == "stop":
        rate = np.maximum(escape_rate(width=width, step_size=step_size, noise=noise), 1e-3)
        end = np.minimum(end, (np.log(dimension) + 3.0) / rate)
    return one_step * np.floor(end * width * dimension / step_size + 0.5) + 3e5


@system.simulation(
    version=1,
    gives=GIVES,
    check=check_start,
    size="dimension",
    shares=("width", "dimension"),
    cost=Cost(
        flops=_sgd_flops,
        memory=lambda *, width, dimension, times, **_: (
            8 * (2 * (width + 1) * dimension + 4 * len(times) * (2 + width) ** 2)
        ),
        shared_memory=lambda **_: 2**21,
    ),
)
def sgd(
    *,
    width: int,
    step_size: np.ndarray,
    noise: np.ndarray,
    dimension: int,
    exit_fraction: np.ndarray,
    initial: str | FileContent,
    times: tuple[float, ...],
    after_exit: str,
    seed: np.ndarray,
) -> dict[str, Any]:
    """Projected one-pass SGD with weights and fresh samples in `dimension` dimensions.

    The risk is known after every step (it is a function of overlaps that are updated with the
    weights), so that the exit is the exact first step with a risk of at most
    (1 - exit_fraction) R(0). With after_exit = stop the run ends there: later records repeat the
    state of the exit, with its time. Use it, with a late last time, for exit times alone.

    States are recorded at the step nearest to each asked time; `residual` is the largest distance
    to the asked time, step_size/(2 · width · dimension) at most. Samples are drawn in single,
    weights are kept in double precision, and all runs of a seed read the same samples.

    Status: converged if the risk exited; max_steps if it has not by the last time (exit_time is
    NaN, the records stand, and a sentence says so); diverged if a number overflowed, with the last
    finite record and its time repeated. `steps` counts updates.
    """
    unit = step_size / (width * dimension)
    records = np.floor(np.asarray((0.0, *times)) / unit[:, None] + 0.5)
    # More steps than this do not end within a lifetime; the cast below must not overflow.
    records = np.minimum(records, 2.0**60).astype(np.int64)
    runs = []
    for point, instance in enumerate(seed):
        student, teacher = start_weights(
            initial, width=width, dimension=dimension, seed=int(instance)
        )
        runs.append(
            Run.start(
                student,
                teacher,
                unit=float(unit[point]),
                noise=float(noise[point]),
                fraction=float(exit_fraction[point]),
                stops=after_exit == "stop",
                records=records[point],
            )
        )
    for instance in np.unique(seed):
        descend(
            [run for run, own in zip(runs, seed, strict=True) if own == instance],
            seed=int(instance),
            dimension=dimension,
        )
    left = np.array([run.exit_step for run in runs])
    exits = np.where(left >= 0, left * unit, np.nan)
    status = np.where([run.broken for run in runs], Status.DIVERGED, Status.CONVERGED)
    reached = np.stack([run.reached[1:] for run in runs]) * unit[:, None]
    messages = [
        f"diverged at t = {run.steps * run.unit:.6g}: a weight was not finite; step_size or noise "
        "is too large"
        if run.broken
        else ""
        for run in runs
    ]
    status, messages = _ended(status, messages, exits, reached[:, -1])
    return {
        **measured(*unpack(np.stack([run.states[1:] for run in runs]), width=width)),
        "exit_time": exits,
        "recorded_time": reached,
        "status": status,
        "steps": np.array([run.steps for run in runs]),
        "residual": np.max(np.abs(records[:, 1:] * unit[:, None] - times), axis=1),
        "message": messages,
    }

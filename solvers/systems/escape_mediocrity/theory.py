"""The deterministic limit: differential equations for the overlaps, from a random start."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.axes import FileContent
from solvers.contract import Cost, Status
from solvers.numerics.ode import integrate
from solvers.systems.escape_mediocrity.model import GIVES, measured, system, unexited
from solvers.systems.escape_mediocrity.moments import components, drift, risk_of, unpack
from solvers.systems.escape_mediocrity.starts import check_start, start_states

# The residual sums many local errors and a saddle amplifies each (see sgd_two_layer).
_STEP_SHARE = 0.1
# Overlaps start near 1/√d: an absolute accuracy below this size would not do for the exit time.
_FLOOR = 1e-4
_SCAN, _PARTS = 128, 16


def _ode_flops(*, width: Any, times: Any, **_: Any) -> Any:
    drifts = 15.0 * (60.0 + 1.5 * len(times) + 5.0 * times[-1] + 3.0 * _SCAN)
    return drifts * (1000.0 + 3.0 * (width + 1.0) ** 3) + 1e6


@system.theory(
    version=1,
    gives=GIVES,
    check=check_start,
    shares=("width",),
    cost=Cost(
        flops=_ode_flops,
        memory=lambda *, width, times, **_: (
            8 * (30 + 2 * _SCAN + 4 * len(times)) * (components(width) + width**2)
        ),
    ),
)
def ode(
    *,
    width: int,
    step_size: np.ndarray,
    noise: np.ndarray,
    dimension: np.ndarray,
    exit_fraction: np.ndarray,
    initial: str | FileContent,
    times: tuple[float, ...],
    seed: np.ndarray,
    tolerance: np.ndarray,
    max_steps: np.ndarray,
) -> dict[str, Any]:
    """The deterministic limit of the overlaps: the mean one-step update on the sphere, integrated.

    The drift is that of `moments`, with the step_size² term and the projection. Dimension and seed
    enter through the random start, that of `sgd` with the same two, and nothing else: from m = 0
    the flow never leaves. Fluctuations of SGD are missing, which makes exits later than those of
    `sgd` (see `exit_time`).

    The exit is the first crossing of (1 - exit_fraction) R(0) seen on the recorded times and on 128
    equally spaced ones up to the last; it is refined by integrating the bracket again in parts,
    until these are shorter than 1e-6, then linearly. Errors of the risk are below `tolerance`
    relative to the risk, down to an absolute 1e-15, and those of the exit time below 10 · tolerance
    where overlaps start above 1e-4.

    Status: converged when the last time is reached, with exit_time NaN and a sentence if the risk
    did not exit before; else max_steps, not_finite or diverged, and the last state is repeated with
    its time. The flow lives on a compact set and cannot blow up; steps far beyond stability
    (step_size/width above 100) make it stiff, and end at max_steps.
    """
    ratio = step_size / width
    start = start_states(initial, width=width, dimension=dimension, seed=seed)

    def slopes(index: np.ndarray, _: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = np.empty_like(y)
        drift(y, ratio[index], noise[index], width, out)
        return out

    def risk(_: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.minimum(_risk(y, width), 1.0)

    horizon = times[-1]
    scan = np.linspace(0.0, horizon, _SCAN + 1)
    apart = np.min(np.abs(np.subtract.outer(scan, times)), axis=1) > 1e-9 * horizon
    grid = np.sort(np.concatenate([times, scan[apart]]))
    path = integrate(
        slopes,
        start,
        grid,
        tolerance=_STEP_SHARE * tolerance,
        max_steps=max_steps,
        size=risk,
        floor=_FLOOR,
    )
    level = (1.0 - exit_fraction) * _risk(start, width)
    exits = np.full(len(seed), np.nan)
    beyond = (_risk(path.states, width) <= level[:, None]) & (path.times == grid)
    crossed = np.flatnonzero(beyond.any(axis=1))
    if len(crossed):
        row = np.argmax(beyond[crossed], axis=1)
        exits[crossed] = _refine(
            slopes,
            crossed,
            path.states[crossed, np.maximum(row - 1, 0)],
            grid[np.maximum(row - 1, 0)],
            grid[row],
            level[crossed],
            width=width,
            tolerance=_STEP_SHARE * tolerance[crossed],
            horizon=horizon,
        )
    kept = np.searchsorted(grid, times)
    student, teacher = unpack(path.states[:, kept], width=width)
    reached = path.times[:, kept]
    silent = np.isfinite(exits) | (path.status != Status.CONVERGED)
    return {
        **measured(student, teacher),
        "exit_time": exits,
        "recorded_time": reached,
        "status": path.status,
        "steps": path.steps,
        "residual": path.residual,
        "message": unexited(np.where(silent, np.nan, reached[:, -1])),
    }


def _risk(states: np.ndarray, width: int) -> np.ndarray:
    return risk_of(*unpack(states, width=width))


def _refine(
    slopes: Any,
    points: np.ndarray,
    states: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    level: np.ndarray,
    *,
    width: int,
    tolerance: np.ndarray,
    horizon: float,
) -> np.ndarray:
    """Times in [low, high] at which the risk, from `states` at `low`, first is at its level."""
    parts = np.linspace(0.0, 1.0, _PARTS + 1)
    every = np.arange(len(points))
    for _ in range(max(1, math.ceil(math.log(max(horizon, _SCAN * 1e-6) / _SCAN / 1e-6, _PARTS)))):
        length, begin = high - low, low

        def scaled(index: np.ndarray, t: np.ndarray, y: np.ndarray, length=length) -> np.ndarray:
            return length[index, None] * slopes(points[index], t, y)

        path = integrate(
            scaled, states, parts, tolerance=tolerance, max_steps=np.array(10**6), floor=_FLOOR
        )
        risks = _risk(path.states, width)
        beyond = risks <= level[:, None]
        beyond[:, -1] = True  # the bracket was seen; what is missing is rounding
        row = np.maximum(np.argmax(beyond, axis=1), 1)
        low = begin + length * parts[row - 1]
        high = begin + length * parts[row]
        states = path.states[every, row - 1]
        before, after = risks[every, row - 1], risks[every, row]
    fall = before - after
    share = np.where(fall > 0.0, (before - level) / np.where(fall > 0.0, fall, 1.0), 1.0)
    return low + (high - low) * np.clip(share, 0.0, 1.0)

"""Methods of the staircase: its equations and its simulation (`staircase_steps` derives both)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from solvers.contract import Cost, Status
from solvers.numerics.random import Stream
from solvers.systems.single_index.model import THEORY_DIMENSION, system
from solvers.systems.single_index.runs import hold_finite, overflowed
from solvers.systems.single_index.staircase_steps import descend, rule, slopes
from solvers.systems.single_index.units import SYSTEM, in_units, paper_unit, start_at, step_of

_BLOCK_BYTES = 2**18
_STAGES = 12
"""Evaluations of a step of the integrator."""


def _flops(
    *,
    leap: Any,
    dimension: Any,
    step_size: Any,
    step_scaling: Any,
    times: Any,
    max_steps: Any,
    **_: Any,
) -> Any:
    """About thirty evaluations per unit of the flow's time, once both directions are known."""
    step = step_of(step_size, dimension, leap, step_scaling)
    flow_time = times[-1] * paper_unit(dimension, leap) * step / dimension
    evaluations = np.minimum(500 + 33 * flow_time * (1 + 50 * step), _STAGES * max_steps)
    return evaluations * (2e4 + 25.0 * (2 * leap + 2) ** 4)


@dataclass
class _Path:
    """What is known of one integration."""

    overlaps: np.ndarray
    """m_11 and m_22, (times, 2)"""
    times: np.ndarray
    """flow time of each of them"""
    passed: np.ndarray
    """flow times at which the two pass the threshold"""
    steps: int = 0
    failed: bool = False
    tired: bool = False


_GIVES = (
    "first_overlap",
    "second_overlap",
    "first_recovery_steps",
    "recovery_steps",
    "recovery_alpha",
    "recovery_time",
    "recorded_time",
)


def _follow(
    solver: scipy.integrate.DOP853, times: np.ndarray, level: float, max_steps: int
) -> _Path:
    """Overlaps on the way of `solver`, and the times at which |m_11| and |m_22| pass `level`.

    What is not reached repeats the last state, with its time.
    """
    path = _Path(np.empty((len(times), 2)), np.array(times), np.full(2, np.nan))
    now = solver.y[[0, 3]]
    path.passed[np.abs(now) >= level] = 0.0
    following = int(np.searchsorted(times, 0.0, side="right"))
    path.overlaps[:following] = now
    while solver.status == "running" and path.steps < max_steps:
        solver.step()
        path.steps += 1
        if solver.status == "failed":
            break
        now = solver.y[[0, 3]]
        between, ahead = None, int(np.searchsorted(times, solver.t, side="right"))
        if ahead > following:
            between = solver.dense_output()
            path.overlaps[following:ahead] = between(times[following:ahead])[[0, 3]].T
            following = ahead
        for unit in np.flatnonzero(np.isnan(path.passed) & (np.abs(now) >= level)):
            between = between or solver.dense_output()
            goal = min(level, abs(between(solver.t)[3 * unit]))  # the same up to rounding
            path.passed[unit] = scipy.optimize.brentq(
                lambda t, unit=unit, between=between, goal=goal: abs(between(t)[3 * unit]) - goal,
                solver.t_old,
                solver.t,
                xtol=1e-14 * solver.t,
            )
    path.overlaps[following:], path.times[following:] = now, solver.t
    path.failed, path.tired = solver.status == "failed", solver.status == "running"
    return path


@system.theory(
    version=2,
    gives=_GIVES,
    shares=("leap",),
    axes={"dimension": THEORY_DIMENSION},
    cost=Cost(flops=_flops, memory=lambda *, times, **_: 1000 + 40 * len(times)),
)
def staircase(
    *,
    leap: int,
    dimension: np.ndarray,
    step_size: np.ndarray,
    step_scaling: str,
    noise: np.ndarray,
    start: str,
    start_overlap: np.ndarray,
    quantile: np.ndarray,
    threshold: np.ndarray,
    times: tuple[float, ...],
    tolerance: np.ndarray,
    max_steps: np.ndarray,
) -> dict[str, Any]:
    """The five equations of the staircase: both overlaps, and when each direction is found.

    Start: m_11 = m_22 = the quantile of the law of one overlap (or start_overlap), m_12 = m_21 =
    q = 0. Integrated to times[-1] (in n_L(d)); recoveries are located on the continuous extension
    of the integrator, to its accuracy.
    Status: converged if both directions are recovered, max_steps (with null) if not by times[-1] or
    in max_steps steps of the integrator, diverged if that failed; overlaps that were not reached
    repeat the last ones, with the `recorded_time` of these.
    """
    begin = start_at(quantile, dimension, start, start_overlap)
    step = np.asarray(step_of(step_size, dimension, leap, step_scaling))
    unit = paper_unit(dimension, leap) * step / dimension
    x, w = rule(leap)
    paths = []
    for point in range(len(unit)):

        def right_side(_: float, y: np.ndarray, point: int = point) -> np.ndarray:
            out = np.empty(5)
            slopes(y, leap, float(step[point]), float(noise[point]), x, w, out)
            return out

        m0 = float(begin[point])
        asked = np.asarray(times) * unit[point]
        solver = scipy.integrate.DOP853(
            right_side,
            0.0,
            np.array([m0, 0.0, 0.0, m0, 0.0]),
            asked[-1],
            rtol=max(0.1 * float(tolerance[point]), 3e-14),
            atol=1e-4 * float(tolerance[point]) * dimension[point] ** -0.5,
        )
        paths.append(_follow(solver, asked, float(threshold[point]), int(max_steps[point])))
    first, second = (
        np.array([path.passed[n] for path in paths]) * dimension / step for n in range(2)
    )
    both = np.isfinite(first) & np.isfinite(second)
    late = np.where(both, Status.CONVERGED, Status.MAX_STEPS)
    overlaps = np.stack([path.overlaps for path in paths])
    return {
        "first_overlap": overlaps[..., 0],
        "second_overlap": overlaps[..., 1],
        "first_recovery_steps": first,
        **in_units(second, dimension, leap),
        "recorded_time": np.stack([path.times for path in paths]) / unit[:, None],
        "status": np.where([path.failed for path in paths], Status.DIVERGED, late),
        "steps": np.array([path.steps for path in paths]),
        "residual": tolerance,
        "message": [
            f"the integrator took max_steps steps by time {path.times[-1] / one:.6g}, in units of "
            "the recorded times; allow more, or a smaller step_size"
            if path.tired
            else word
            for path, one, word in zip(paths, unit, _messages(first, second), strict=True)
        ],
    }


def _messages(first: np.ndarray, second: np.ndarray) -> list[str]:
    return [
        ""
        if np.isfinite(a) and np.isfinite(b)
        else f"the {'first' if np.isnan(a) else 'second'} direction was not found by the last time"
        for a, b in zip(first, second, strict=True)
    ]


@system.simulation(
    version=2,
    gives=_GIVES,
    size="dimension",
    shares=("leap", "dimension"),
    cost=Cost(
        flops=lambda *, leap, dimension, times, **_: (
            1e5 + times[-1] * paper_unit(dimension, leap) * (200 + 4.5 * dimension)
        ),
        memory=lambda *, dimension, times, **_: 16 * (dimension + len(times)),
        shared_memory=lambda **_: 2**20,
    ),
)
def staircase_sgd(
    *,
    leap: int,
    dimension: int,
    step_size: np.ndarray,
    step_scaling: str,
    noise: np.ndarray,
    start: str,
    start_overlap: np.ndarray,
    threshold: np.ndarray,
    times: tuple[float, ...],
    seed: np.ndarray,
) -> dict[str, Any]:
    """Projected one-pass SGD of the two units, with weights and samples in d dimensions.

    v_1, v_2 are the first basis vectors (the inputs are isotropic). Random starts are independent
    directions, on the half sphere with m_11 > 0 and m_22 > 0; a fixed one has m_11 = m_22 =
    start_overlap, m_12 = m_21 = q = 0.
    Status: converged if both directions are recovered, max_steps if not; diverged if a number
    overflowed: the last finite record is repeated, with its time.
    """
    records = np.floor(np.asarray(times) * float(paper_unit(dimension, leap)) + 0.5).astype(
        np.int64
    )
    step = step_of(step_size, dimension, leap, step_scaling) / dimension
    rows = max(1, _BLOCK_BYTES // (4 * (dimension + 1)))
    out = np.empty((len(seed), len(times), 2))
    states = np.full((len(seed), 3), -1, dtype=np.int64)
    for point in range(len(seed)):
        instance = int(seed[point])
        weights = _start(start, float(start_overlap[point]), dimension, instance)
        level = float(threshold[point])
        ahead = int(np.searchsorted(records, 0, side="right"))
        own = np.array([weights[0, 0], weights[1, 1]])
        out[point, :ahead] = own
        states[point, 0] = ahead
        states[point, 1:][np.abs(own) >= level] = 0
        samples = Stream(SYSTEM, instance, dimension, "staircase samples")
        position, last = 0, int(records[-1])
        while position < last:
            block = samples.normals(
                position, min(position + rows, last), dimension + 1, dtype=np.float32
            )
            descend(
                weights,
                block,
                position,
                leap,
                float(step[point]),
                float(noise[point]) ** 0.5,
                level,
                records,
                states[point],
                out[point],
            )
            position += len(block)
    found = np.where(states[:, 1:] < 0, np.nan, states[:, 1:])
    reached = np.tile(records / float(paper_unit(dimension, leap)), (len(seed), 1))
    good = hold_finite(out, reached)
    late = np.where(np.isfinite(found).all(axis=1), Status.CONVERGED, Status.MAX_STEPS)
    return {
        "first_overlap": out[..., 0],
        "second_overlap": out[..., 1],
        "first_recovery_steps": found[:, 0],
        **in_units(found[:, 1], np.full(len(seed), float(dimension)), leap),
        "recorded_time": reached,
        "status": np.where(good, late, Status.DIVERGED),
        "steps": np.full(len(seed), records[-1]),
        "residual": np.zeros(len(seed)),
        "message": [
            word if finite else overflowed(time)
            for word, finite, time in zip(
                _messages(found[:, 0], found[:, 1]), good, reached[:, -1], strict=True
            )
        ],
    }


def _start(start: str, start_overlap: float, dimension: int, seed: int) -> np.ndarray:
    """w_1 and w_2 (2, dimension)."""
    if start == "fixed":
        weights = np.zeros((2, dimension))
        weights[[0, 1], [0, 1]] = start_overlap
        weights[[0, 1], [2, 3]] = math.sqrt(1.0 - start_overlap**2)
        return weights
    weights = Stream(SYSTEM, seed, dimension, "staircase start").normals(0, 2, dimension)
    if start == "half_sphere":
        weights *= np.where(weights[[0, 1], [0, 1]] < 0.0, -1.0, 1.0)[:, None]
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)

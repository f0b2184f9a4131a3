"""Roots of increasing functions, many at once, each inside a bracket of its own.

The fixed points of a state evolution are crossings of an explicit curve with a level; between two
folds the curve is monotone, and which part of it is meant is the physics (the algorithmic branch,
the informed branch). So the root is known to be unique before it is looked for. Newton's method
finds it to full relative accuracy; the bracket keeps it on its side of a fold, where the derivative
vanishes and Newton's step alone may jump to the other branch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solvers.contract import Status

_ROUNDING = 2 * np.finfo(float).eps
_JUMP = 1e-3


def rising_root(
    function: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    low: np.ndarray | float,
    high: np.ndarray | float,
    *,
    tolerance: float | np.ndarray,
    max_steps: int | np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The root of an increasing function between `low` and `high`, for every point of `start`.

    `function(u, points)` gives value and derivative for the points still at work, whose positions
    are `points`. Values should be of order one, or relative errors: an absolute 4e-16 is rounding.
    Newton steps; where one would leave the bracket, which every evaluation narrows, or the last one
    has not halved the value, the bracket is halved instead, or left behind by steps that double
    where its end is infinite.

    Returns u, status, steps (evaluations) and residual |value at u|. CONVERGED: Newton's step or
    the bracket is at most `tolerance`, or the value is rounding; NOT_FINITE: the value is NaN, or
    jumps over zero (where something overflows).
    """
    u = np.array(start, dtype=float)
    tolerance, max_steps = (np.broadcast_to(np.asarray(v), u.shape) for v in (tolerance, max_steps))
    low, high = (np.array(np.broadcast_to(end, u.shape), dtype=float) for end in (low, high))
    status = np.full(u.shape, Status.MAX_STEPS, dtype=np.int8)
    steps = np.zeros(u.shape, dtype=np.int64)
    residual = np.full(u.shape, np.inf)
    stride = np.ones(u.shape)
    active = np.flatnonzero(max_steps > 0)
    while len(active):
        at = u[active]
        value, slope = function(at, active)
        slow = (np.abs(value) > 0.5 * residual[active]) & (steps[active] > 0)
        steps[active] += 1
        residual[active] = np.abs(value)
        low[active] = np.where(value <= 0, at, low[active])
        high[active] = np.where(value >= 0, at, high[active])
        left, right = low[active], high[active]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            newton = at - value / slope
            middle = 0.5 * (left + right)
        inside = (newton > left) & (newton < right) & (slope > 0)
        middle = np.where(np.isinf(left), at - stride[active], middle)
        middle = np.where(np.isinf(right) & (value <= 0), at + stride[active], middle)
        halve = ~inside | slow
        unbounded = np.isinf(left) | np.isinf(right)
        stride[active] = np.where(halve & unbounded, 2.0 * stride[active], stride[active])

        narrow = right - left <= tolerance[active]
        broken = np.isnan(value) | narrow & (np.abs(value) > _JUMP)
        near = (slope > 0) & (np.abs(newton - at) <= tolerance[active])
        done = near | (np.abs(value) <= _ROUNDING) | narrow
        status[active[done]] = Status.CONVERGED
        status[active[broken]] = Status.NOT_FINITE
        keep = ~done & ~broken & (steps[active] < max_steps[active])
        u[active[keep]] = np.where(halve, middle, newton)[keep]
        active = active[keep]
    return u, status, steps, residual

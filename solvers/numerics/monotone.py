"""The fixed point that a plain iteration of an increasing map reaches, without its slowness.

For an increasing F, the iteration u <- F(u) moves one way for ever: from a start with F(u) > u it
climbs to the first fixed point above, from one with F(u) < u it descends to the first one below.
State evolution of one overlap is such a map, and which of several fixed points is "first" is the
physics (the algorithmic branch, the informed branch). Newton's method may jump over the first fixed
point; the plain iteration never does, but near a fold it needs ~1/√distance steps.

With g(u) = F(u) - u and a bound K on |g''|, no fixed point lies closer than the first positive root
of

    |g| + g' r - K r²/2 = 0,

so that step r is safe (in the direction of the plain one). It equals Newton's step up to O(r²),
which makes the approach quadratic, and √(2|g|/K) in the bottleneck where g' = 0 and |g| is small,
which makes it logarithmic in the distance to the fold. K is not known beforehand: every step is
checked against it by the value and the slope at arrival, and repeated with four times the bound if
they contradict it. A step is never shorter than the plain one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solvers.contract import Status

_ROUNDING = 16 * np.finfo(float).eps
_LEAST_BOUND = 1.0


def first_fixed_point(
    curve: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    *,
    tolerance: float | np.ndarray,
    max_steps: int | np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The limit of u <- F(u) from `start`, for every point of the 1-D array `start`.

    `curve(u, points)` gives F(u) and F'(u) for the points still at work, whose positions are
    `points`. F must be increasing in u. F = ±inf in the direction of motion is taken for a fixed
    point at infinity.

    Returns u, status, steps (evaluations of F) and residual |F(u) - u|. CONVERGED: the distance to
    the fixed point is at most `tolerance`, or |F(u) - u| is rounding.
    """
    u = np.array(start, dtype=float)
    tolerance, max_steps = (np.broadcast_to(np.asarray(v), u.shape) for v in (tolerance, max_steps))
    status = np.full(u.shape, Status.MAX_STEPS, dtype=np.int8)
    steps = np.zeros(u.shape, dtype=np.int64)
    residual = np.full(u.shape, np.inf)

    active = np.flatnonzero(max_steps > 0)
    sign = np.zeros(len(active))
    bound = np.full(len(active), _LEAST_BOUND)
    # What is known at the last accepted point: u, |g|, g'; and the step tried from there.
    at, gap, slope = u[active], np.full(len(active), np.nan), np.zeros(len(active))
    step, plain = np.zeros(len(active)), np.ones(len(active), dtype=bool)
    while len(active):
        trial = at + sign * step
        value, rate = curve(trial, active)
        steps[active] += 1
        with np.errstate(invalid="ignore"):
            g = np.where(value == trial, 0.0, value - trial)
            sign = np.where(sign == 0.0, np.sign(g), sign)
            new_gap, new_slope = sign * g, rate - 1.0
            linear = gap + slope * step
            noise = _ROUNDING * np.maximum(1.0, np.abs(trial))
            fits = plain | (np.abs(new_gap - linear) <= 0.5 * bound * step**2 + noise) & (
                np.abs(new_slope - slope) <= bound * step + 1e3 * noise
            ) & (new_gap >= -noise)
        broken = np.isnan(g)
        away = np.isinf(g) & ~broken
        at = np.where(fits & ~broken, trial, at)
        gap = np.where(fits & ~broken, new_gap, gap)
        slope = np.where(fits & ~broken, new_slope, slope)
        bound = np.where(fits, np.maximum(0.5 * bound, _LEAST_BOUND), 4.0 * bound)

        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            positive = np.maximum(gap, 0.0)
            root = np.sqrt(slope**2 + 2.0 * bound * positive)
            safe = np.where(slope < 0, 2.0 * positive / (root - slope), (slope + root) / bound)
        plain = ~(safe > positive)
        step = np.where(plain, positive, safe)

        rounding = gap <= _ROUNDING * np.maximum(1.0, np.abs(at))
        done = (fits & ~broken & ((step <= tolerance[active]) | rounding)) | away
        u[active] = np.where(away, np.copysign(np.inf, sign), at)
        residual[active] = np.where(away, 0.0, np.abs(gap))
        status[active[done]] = Status.CONVERGED
        status[active[broken]] = Status.NOT_FINITE
        keep = ~done & ~broken & (steps[active] < max_steps[active])
        active, sign, bound = active[keep], sign[keep], bound[keep]
        at, gap, slope, step, plain = at[keep], gap[keep], slope[keep], step[keep], plain[keep]
    return u, status, steps, residual

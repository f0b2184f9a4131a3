"""Ordinary differential equations for many points at once, each with its own step.

`integrate` advances dy/dt = f(t, y) for a batch of independent initial-value problems with the
explicit Runge-Kutta pair of order 8(5,3) of Dormand and Prince, "DOP853" in Hairer, Nørsett and
Wanner, Solving Ordinary Differential Equations I (Springer, 1993), section II.5, whose coefficients
and error estimate are those of `scipy.integrate.DOP853`.

The points share the calls of f, nothing else: time, step size, error estimate, acceptance and end
are those of the point, and all arithmetic is done row by row in one order. So a point's answer does
not depend on its batch, and the calls of f for hundreds of points cost little more than their
arithmetic. Recorded times are hit exactly, by shortening the step, rather than interpolated.

**Accuracy.** A step is accepted when the root mean square over components of

    error / (tolerance · size · max(|y|, floor))

is below 1. It is a LOCAL error: flows that leave a saddle amplify it, contracting flows forget it.
`size` is 1, or a function of the state whose own relative accuracy matters and which can be much
smaller than the state (a risk, say, that vanishes as the overlaps approach their limit). Products
tolerance · size below `ROUNDING` are raised to it: no step can do better in double precision.
The sum over accepted steps of error / size is returned with the answer.

**Limits.** The method is explicit. On a mildly stiff flow its step is bounded by about 6 over the
fastest rate and it stays accurate; on a very stiff one it needs many steps and says so by status.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from solvers.contract import Status
from solvers.numerics.compiled import jit

_STAGES = 12
_SAFETY, _SHRINK, _GROW = 0.9, 0.2, 10.0
_EXPONENT = -1.0 / 8.0

ROUNDING = 3e-14
"""Smallest local relative error that can be asked for."""


@dataclass(frozen=True)
class Trajectories:
    """The states of a batch at its recorded times, and how each point ended.

    A point that stopped early (`status` not converged) holds its last accepted state in all later
    rows of `states`, and `times` holds the time of that state.
    """

    states: np.ndarray
    """(points, times, components)"""
    times: np.ndarray
    """(points, times): the time of each row; the asked one unless the point stopped early"""
    status: np.ndarray
    steps: np.ndarray
    """accepted and rejected steps"""
    residual: np.ndarray
    """sum over accepted steps of the estimated local error, relative to `size`"""


@jit
def _advance(out, y, h, slopes, weights, stages):
    """out = y + h Σ_s weights[s] slopes[s], row by row."""
    for r in range(y.shape[0]):
        row = out[r]
        row[:] = 0.0
        for s in range(stages):
            weight = weights[s]
            if weight != 0.0:
                slope = slopes[s, r]
                for c in range(len(row)):
                    row[c] += weight * slope[c]
        for c in range(len(row)):
            row[c] = y[r, c] + h[r] * row[c]


@jit
def _local_error(error, y, new, h, slopes, e3, e5, floor):
    """Relative local error of each row: the fifth-order estimate corrected by the third-order one.

    Hairer, Nørsett and Wanner (1993), section II.10: |h| ε5² / √(n (ε5² + ε3²/100)).
    """
    for r in range(y.shape[0]):
        third = fifth = 0.0
        for c in range(y.shape[1]):
            a = b = 0.0
            for s in range(len(e3)):
                a += e3[s] * slopes[s, r, c]
                b += e5[s] * slopes[s, r, c]
            scale = max(abs(y[r, c]), abs(new[r, c]), floor)
            third += (a / scale) ** 2
            fifth += (b / scale) ** 2
        total = fifth + 0.01 * third
        error[r] = 0.0 if total == 0.0 else h[r] * fifth / np.sqrt(total * y.shape[1])


def integrate(
    drift: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    start: np.ndarray,
    times: Any,
    *,
    tolerance: np.ndarray,
    max_steps: np.ndarray,
    size: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    floor: float = 1e-2,
    bound: float = np.inf,
    rounding: float = ROUNDING,
) -> Trajectories:
    """Follow dy/dt = drift from t = 0 and record y at `times`.

    `drift(index, t, y)` gets the numbers of the points asked for (m,), their times (m,) and states
    (m, components), and returns the slopes (m, components); row i may depend on row i alone.
    `start` has shape (points, components), `times` increases from 0 or later and is shared,
    `tolerance` and `max_steps` are columns. Components smaller than `floor` are held to an absolute
    error, as if they were `floor`. `size(index, y)` returns the sizes (m,), at most 1. A drift that
    is itself known to some 1e-10 only says so by a larger `rounding`.

    Status: converged when the last time is reached, max_steps, not_finite when the drift is not
    finite at the start, diverged when a component passes `bound` or no step from the last state
    gives finite numbers; the time of that state is the last entry of its row of `times`.
    """
    pair = scipy.integrate.DOP853
    points, components = start.shape
    times = np.asarray(times, dtype=float)
    states = np.empty((points, len(times), components))
    reached = np.empty((points, len(times)))
    status = np.full(points, Status.CONVERGED, dtype=np.int8)
    steps, residual = np.zeros(points, dtype=np.int64), np.zeros(points)
    tolerance, max_steps = np.broadcast_to(tolerance, points), np.broadcast_to(max_steps, points)

    def record(which: np.ndarray, rows: np.ndarray, t: np.ndarray, y: np.ndarray) -> None:
        states[which, rows], reached[which, rows] = y, t

    index, following = np.arange(points), np.zeros(points, dtype=np.int64)
    t, y = np.zeros(points), np.array(start, dtype=float)
    if len(times) and times[0] == 0.0:
        record(index, following, t, y)
        following += 1
    with np.errstate(all="ignore"):
        slope = np.asarray(drift(index, t, y))
    horizon = times[-1] if len(times) else 0.0
    h = _first_step(y, slope, tolerance, floor)
    grow = np.full(points, _GROW)
    extent = _extent(size, index, y, tolerance, rounding)
    bad = ~np.isfinite(slope).all(axis=1)
    status[bad] = Status.NOT_FINITE

    def finish(done: np.ndarray) -> None:
        """Fill the rows that points which stopped early have not reached."""
        for row in np.flatnonzero(done & (following < len(times))):
            rest = slice(following[row], None)
            states[index[row], rest], reached[index[row], rest] = y[row], t[row]

    done = bad | (t >= horizon)
    while True:
        if done.any():
            finish(done)
            keep = ~done
            index, following, t, y = index[keep], following[keep], t[keep], y[keep]
            slope, h, grow, extent = slope[keep], h[keep], grow[keep], extent[keep]
        if not len(index):
            return Trajectories(states, reached, status, steps, residual)
        if done.any() or steps[index].max() == 0:
            slopes = np.empty((_STAGES + 1, len(index), components))
            trial, error = np.empty_like(y), np.empty(len(index))
        target = times[following]
        cut = t + 1.01 * h >= target
        taken = np.where(cut, target - t, h)
        with np.errstate(all="ignore"):
            slopes[0] = slope
            for s in range(1, _STAGES):
                _advance(trial, y, taken, slopes, pair.A[s], s)
                slopes[s] = drift(index, t + pair.C[s] * taken, trial)
            new = np.empty_like(y)
            _advance(new, y, taken, slopes, pair.B, _STAGES)
            slopes[_STAGES] = drift(index, t + taken, new)
            _local_error(error, y, new, taken, slopes, pair.E3, pair.E5, floor)
            error /= extent
            ratio = error / tolerance[index]
            factor = np.clip(_SAFETY * ratio**_EXPONENT, _SHRINK, grow)
        finite = np.isfinite(ratio) & np.isfinite(new).all(axis=1)
        finite &= np.isfinite(slopes[_STAGES]).all(axis=1)
        good = finite & (ratio < 1.0)
        factor = np.where(finite, factor, _SHRINK)
        steps[index] += 1
        residual[index] += np.where(good, error, 0.0)

        y, slope = np.where(good[:, None], new, y), np.where(good[:, None], slopes[_STAGES], slope)
        extent = np.where(good, _extent(size, index, y, tolerance[index], rounding), extent)
        arrived = good & cut
        t = np.where(arrived, target, np.where(good, t + taken, t))
        # A step cut short at a recorded time says nothing against the longer one proposed before.
        h = np.where(arrived, np.maximum(h, taken * factor), taken * factor)
        grow = np.where(good, _GROW, 1.0)
        record(index[arrived], following[arrived], t[arrived], y[arrived])
        following = following + arrived

        ended = following >= len(times)
        stuck = ~good & (h <= 4.0 * np.spacing(np.maximum(t, np.finfo(float).tiny)))
        stuck |= ~ended & (np.abs(y).max(axis=1, initial=0.0) > bound)
        tired = ~ended & ~stuck & (steps[index] >= max_steps[index])
        status[index[stuck]], status[index[tired]] = Status.DIVERGED, Status.MAX_STEPS
        done = ended | stuck | tired


def _extent(
    size: Any, index: np.ndarray, y: np.ndarray, tolerance: np.ndarray, rounding: float
) -> np.ndarray:
    """The sizes of the points, raised so that tolerance · size is not below `rounding`."""
    with np.errstate(all="ignore"):
        sizes = np.ones(len(index)) if size is None else np.asarray(size(index, y))
    return np.fmax(sizes, rounding / tolerance)


def _first_step(
    y: np.ndarray, slope: np.ndarray, tolerance: np.ndarray, floor: float
) -> np.ndarray:
    """A first step on which the state changes by tolerance^(1/8) of a hundredth of its size."""
    with np.errstate(all="ignore"):
        rate = np.max(np.abs(slope) / np.maximum(np.abs(y), floor), axis=1)
        step = 0.01 * tolerance ** (1.0 / 8.0) / rate
    return np.where(np.isfinite(step) & (step > 0.0), step, 1e-3)

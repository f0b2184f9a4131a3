"""What is read off overlaps: the excess risk, the end of a plateau, the moment of divergence."""

from __future__ import annotations

import math

import numpy as np

from solvers.numerics.compiled import jit
from solvers.numerics.unit_averages import CODES, product

BOUND = 1e8
"""A run whose overlaps (theory) or prediction error (simulation) pass this has diverged."""

CONTRAST = 2.0
"""How many times faster than on its plateau the excess risk falls before and after it."""

STEEPNESS = 0.1
"""Smallest -d log R/d log t that is a fall, above the noise of recorded curves."""

NOTHING = 1e-13
"""An excess risk below this is lost in rounding."""


@jit
def _risks(student, teacher, target, second, first_code, other_code, out):
    for point in range(len(student)):
        q, m, p_, a = student[point], teacher[point], target[point], second[point]
        p, k = m.shape
        own = cross = label = 0.0
        for i in range(p):
            for j in range(p):
                own += a[i] * a[j] * product(first_code, first_code, q[i, i], q[j, j], q[i, j])
            for r in range(k):
                cross += a[i] * product(first_code, other_code, q[i, i], p_[r, r], m[i, r])
        for r in range(k):
            for s in range(k):
                label += product(other_code, other_code, p_[r, r], p_[s, s], p_[r, s])
        out[point] = max(0.0, 0.5 * (own / p**2 - 2.0 * cross / (p * k) + label / k**2))


def excess_risk(
    student: np.ndarray,
    teacher: np.ndarray,
    target: np.ndarray,
    second: np.ndarray,
    *,
    units: tuple[str, str],
) -> np.ndarray:
    """1/2 E[(1/k Σ_r σ*(λ*_r) - 1/p Σ_i a_i σ(λ_i))²] of Q, M, P and a, shapes (..., p, p) etc.

    `units`: the activations of student and teacher. Exact to an absolute 1e-16 times the squares of
    the outputs: below that, near perfect recovery without noise, it is rounding.
    """
    shape = student.shape[:-2]
    full = []
    for array, rank in ((student, 2), (teacher, 2), (target, 2), (second, 1)):
        own = array.shape[-rank:]
        if array.shape[:-rank] != shape:
            array = np.broadcast_to(array, (*shape, *own))
        full.append(np.ascontiguousarray(array).reshape(-1, *own))
    out = np.empty(len(full[0]))
    q, m, p, a = full
    _risks(q, m, p, a, CODES[units[0]], CODES[units[1]], out)
    return out.reshape(shape)


def escape_time(times: np.ndarray, risk: np.ndarray) -> tuple[float, str]:
    """When a run leaves its plateau, and why there is no such time where it is NaN.

    With s = -d log R/d log t over a factor of two in time (to the first recorded time beyond it),
    the plateau is the stretch of smallest |s| among those before and after which R falls at least
    `CONTRAST` times as fast and with s at least `STEEPNESS` (every curve is flat in log-time at
    first), and after which it halves. It is left when R has halved since the
    beginning of that stretch (interpolated in log R and log t). So the value depends on the
    recorded times: ten a decade locate it to a few per cent. What follows the first R below
    `NOTHING` is rounding and not looked at.
    """
    keep = (times > 0) & np.isfinite(risk) & (np.diff(times, prepend=-1.0) > 0)
    keep &= np.logical_and.accumulate(risk > NOTHING)
    t, r = np.log(times[keep]), np.log(risk[keep])
    if len(t) < 3:
        return math.nan, "fewer than three recorded times: no plateau can be seen"
    end = np.minimum(np.searchsorted(t, t[:-1] + math.log(2.0) - 1e-9), len(t) - 1)
    fall = (r[:-1] - r[end]) / (t[end] - t[:-1])
    before = np.concatenate([[0.0], np.maximum.accumulate(fall)[:-1]])
    after = np.append(np.maximum.accumulate(fall[::-1])[::-1], 0.0)[end]
    halves = (np.minimum.accumulate(r[::-1])[::-1] <= r - math.log(2.0))[:-1]
    flatness = np.abs(fall)
    falls = np.minimum(before, after)
    plateau = halves & (falls >= STEEPNESS) & (falls >= CONTRAST * flatness)
    if not plateau.any():
        return math.nan, (
            "no plateau is left: nowhere does the excess risk fall more slowly than before and "
            "after, and then halve"
        )
    at = int(np.argmin(np.where(plateau, flatness, np.inf)))
    goal = r[at] - math.log(2.0)
    past = at + int(np.argmax(r[at:] <= goal))
    share = (r[past - 1] - goal) / (r[past - 1] - r[past])
    return float(np.exp(t[past - 1] + share * (t[past] - t[past - 1]))), ""


def escape_times(times: np.ndarray, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`escape_time` of every point; `times` and `risk` have shape (points, times)."""
    found = [escape_time(t, r) for t, r in zip(times, risk, strict=True)]
    return np.array([time for time, _ in found]), np.array([why for _, why in found], dtype=object)

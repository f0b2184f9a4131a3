"""What is read off overlaps: the excess risk, the end of a plateau, the moment of divergence."""

from __future__ import annotations

import math

import numba
import numpy as np

from solvers.numerics.unit_averages import CODES, product

BOUND = 1e8
"""A run whose overlaps (theory) or prediction error (simulation) pass this has diverged."""

FLATTEST = 0.1
"""Largest |d log R/d log t| of a plateau."""


@numba.njit(cache=True, nogil=True, error_model="numpy")
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
    full = [
        np.ascontiguousarray(np.broadcast_to(array, (*shape, *array.shape[-rank:]))).reshape(
            -1, *array.shape[-rank:]
        )
        for array, rank in ((student, 2), (teacher, 2), (target, 2), (second, 1))
    ]
    out = np.empty(len(full[0]))
    q, m, p, a = full
    _risks(q, m, p, a, CODES[units[0]], CODES[units[1]], out)
    return out.reshape(shape)


def escape_time(times: np.ndarray, risk: np.ndarray) -> tuple[float, str]:
    """When a run leaves its plateau, and why there is no such time where it is NaN.

    The plateau is where the recorded curve of log R against log t is flattest between two recorded
    times, after R has fallen by 5 % (every curve is flat in log-time before) and before it halves
    for the last time. It is left when R has halved since then (interpolated in log R and log t).
    A curve whose flattest slope there is above `FLATTEST` has no plateau. So the value depends on
    the recorded times: ten a decade locate it to a few per cent.
    """
    keep = (times > 0) & np.isfinite(risk) & (risk > 0) & (np.diff(times, prepend=-1.0) > 0)
    t, r = np.log(times[keep]), np.log(risk[keep])
    if len(t) < 3:
        return math.nan, "fewer than three recorded times: no plateau can be seen"
    lowest = np.minimum.accumulate(r[::-1])[::-1]
    inside = (lowest <= r - math.log(2.0))[:-1] & np.logical_or.accumulate(r <= r[0] - 0.05)[:-1]
    if not inside.any():
        return math.nan, "the excess risk does not halve after its first fall"
    flatness = np.where(inside, np.abs(np.diff(r) / np.diff(t)), np.inf)
    at = int(np.argmin(flatness))
    if flatness[at] > FLATTEST:
        return math.nan, "the excess risk falls without a plateau"
    goal = r[at] - math.log(2.0)
    after = at + int(np.argmax(r[at:] <= goal))
    share = (r[after - 1] - goal) / (r[after - 1] - r[after])
    return float(np.exp(t[after - 1] + share * (t[after] - t[after - 1]))), ""


def escape_times(times: np.ndarray, risk: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`escape_time` of every point; `times` and `risk` have shape (points, times)."""
    found = [escape_time(t, r) for t, r in zip(times, risk, strict=True)]
    return np.array([time for time, _ in found]), np.array([why for _, why in found], dtype=object)

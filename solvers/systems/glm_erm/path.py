"""Newton's method for many points at once, and following of a path where its start is too far.

The equations of `saddle` are smooth in the logarithms of their unknowns and have one solution.
Newton's method from a rough start finds it for most points. For the others the solution is followed
as a function of one parameter s, from a value where the start is good: s = log λ from strong
regularization down to the one asked, or s = log alpha from few samples up. The predictor is the
tangent, the corrector Newton's method, the step grows after easy corrections and shrinks after
failed ones. Points do not interact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from solvers.contract import Status

_CAP = 1.5
"""Newton steps are cut to this length in any logarithm."""
_CORRECTIONS = 8
_CLOSE = 1e-2
_ROUGH = 1e-6
"""Tolerance on the way."""
_LEAST_STEP = 1e-6
_FLAT = 0.05
"""Where the tangent in log λ is this small the next stop is λ = 0."""

Function = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""(x, s, points) -> residual (n, k), its derivatives in x (n, k, k) and in s (n, k)."""


@dataclass
class Solution:
    """Unknowns of shape (points, k); the rest of shape (points,)."""

    x: np.ndarray
    status: np.ndarray
    steps: np.ndarray
    """Evaluations of the equations."""
    residual: np.ndarray
    """Largest residual or Newton step, whichever is larger; the last step has been taken."""


def solve(
    function: Function,
    *,
    target: np.ndarray,
    guess: np.ndarray,
    origin: np.ndarray,
    origin_guess: np.ndarray,
    tolerance: np.ndarray,
    max_steps: np.ndarray,
) -> Solution:
    """Solve at s = `target`, from `guess`, or along the path from s = `origin`.

    `target` may be -inf (λ = 0): the path then jumps there when it has become flat.
    """
    points = len(target)
    everyone = np.arange(points)
    direct = np.isfinite(target)
    found = Solution(
        guess.copy(),
        np.full(points, Status.MAX_STEPS),
        np.zeros(points, int),
        np.full(points, np.inf),
    )
    _newton(function, found, target, everyone[direct], tolerance, max_steps)
    left = everyone[~(found.residual <= np.maximum(tolerance, _ROUGH))]
    if len(left):
        found.x[left] = origin_guess[left]
        _newton(function, found, origin, left, np.full(points, _ROUGH), max_steps)
        started = found.residual[left] <= _ROUGH
        found.residual[left] = np.inf
        left = left[started]
        _follow(function, found, origin.copy(), target, left, tolerance, max_steps)
    found.status[found.residual <= tolerance] = Status.CONVERGED
    # Where the target was not reached, x belongs to another s.
    found.x[~np.isfinite(found.residual)] = np.nan
    return found


def _newton(function, found, s, points, tolerance, max_steps):
    """Newton's method in place; points that do not get there keep a residual above tolerance."""
    active = points
    for count in range(2 * _CORRECTIONS):
        if count >= _CORRECTIONS:  # only those that have found the place and lack the digits
            active = active[found.residual[active] < _CLOSE]
        active = active[found.steps[active] < max_steps[active]]
        if not len(active):
            return
        with np.errstate(all="ignore"):
            residual, jacobian, _ = function(found.x[active], s[active], active)
            step, fine = newton_step(jacobian, -residual)
        length = np.max(np.abs(step), axis=1)
        found.steps[active] += 1
        found.residual[active] = np.maximum(np.max(np.abs(residual), axis=1), length)
        found.residual[active[~fine]] = np.inf
        step *= np.minimum(1.0, _CAP / np.maximum(length, 1e-300))[:, None]
        found.x[active[fine]] += step[fine]
        active = active[fine & ~(found.residual[active] <= tolerance[active])]


def newton_step(jacobian: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Solutions of jacobian·step = right, 0 where that is not possible, and whether it was."""
    fine = np.all(np.isfinite(right), axis=1) & np.all(np.isfinite(jacobian), axis=(1, 2))
    scale = np.max(np.abs(np.where(np.isfinite(jacobian), jacobian, 0.0)), axis=(1, 2))
    fine &= np.abs(np.linalg.det(np.where(fine[:, None, None], jacobian, 0.0))) > 1e-250 * scale
    safe = np.where(fine[:, None, None], jacobian, np.eye(right.shape[1]))
    step = np.linalg.solve(safe, np.where(fine[:, None], right, 0.0)[..., None])[..., 0]
    return step, fine


def _follow(function, found, s, target, points, tolerance, max_steps):
    """From (found.x, s) to `target`, in place."""
    step = np.full(len(s), 2.0)
    sign = np.sign(target - s)
    active = points[s[points] != target[points]]
    while len(active):
        with np.errstate(all="ignore"):
            _, jacobian, rate = function(found.x[active], s[active], active)
            tangent, _ = newton_step(jacobian, -rate)
        found.steps[active] += 1
        ahead = s[active] + sign[active] * step[active]
        ahead = np.where(sign[active] * (ahead - target[active]) > 0, target[active], ahead)
        flat = np.isinf(target[active]) & (np.max(np.abs(tangent), axis=1) < _FLAT)
        ahead = np.where(flat, target[active], ahead)
        # On the flat end x depends on λ linearly: x(0) = x - dx/d log λ.
        way = np.where(flat, -1.0, np.where(np.isinf(ahead), 0.0, ahead - s[active]))
        goal = s.copy()
        goal[active] = ahead
        last = goal == target
        asked = np.where(last, tolerance, _ROUGH)
        trial = Solution(found.x.copy(), found.status, found.steps, np.full(len(s), np.inf))
        trial.x[active] += tangent * way[:, None]
        before = found.steps[active].copy()
        _newton(function, trial, goal, active, asked, max_steps)
        count = found.steps[active] - before
        # At the target, a tolerance that rounding does not allow ends the path as well.
        good = trial.residual[active] <= np.maximum(asked[active], _ROUGH)
        arrived = active[good]
        found.x[arrived], s[arrived] = trial.x[arrived], goal[arrived]
        found.residual[arrived] = np.where(last[arrived], trial.residual[arrived], np.inf)
        step[arrived] *= np.where(count[good] <= 4, 2.0, 1.0)
        step[active[~good]] *= 0.3
        active = active[
            (s[active] != target[active])
            & (step[active] > _LEAST_STEP)
            & (found.steps[active] < max_steps[active])
        ]

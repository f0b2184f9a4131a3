"""Thresholds in alpha: the fold where the uninformed branch ends, and equal free entropies."""

from __future__ import annotations

import numpy as np
from scipy.optimize.elementwise import find_minimum, find_root

from solvers.contract import Cost, Status
from solvers.systems.glm_bayes.declaration import system
from solvers.systems.glm_bayes.model import Model

_GRID = np.linspace(np.log(1e-3), np.log(1e5), 400)
"""log s on which the slope of the branch is scanned for its first change of sign."""

_CHUNK = 8

_SLACK = 1e-9
"""Brackets are opened, and the outer one closed, by this much: at their ends rounding decides."""


@system.theory(
    version=1,
    gives=("alpha_it", "alpha_amp"),
    cost=Cost(flops=lambda **_: 3e7, memory=lambda **_: 200.0, shared_memory=lambda **_: 1e8),
)
def thresholds(*, prior, channel, noise):
    """alpha_amp = first maximum of alpha(u) along the branch; alpha_it = equal free entropies.

    All fixed points of the state evolution lie on the curve log alpha(u) = u - log E g^2(q(e^u)), u
    = log s (`model.py`), on which the uninformed branch climbs from u = -inf. It ends at the first
    maximum, where d log alpha/du = 0: a root of an explicit function, so alpha_amp is accurate to
    rounding. The informed branch begins at the next minimum (at alpha = 0 if there is none, when
    recovery is exact at every alpha). Between the two alphas, alpha_it equates the free entropies.

    NO_SOLUTION, and NaN, where the curve has no maximum: one branch, no transition of first order.
    `residual` is the larger of |d log alpha/du| and the difference of free entropies at the answer;
    `steps` counts iterations of the outer root search. One pair of folds is assumed.
    """
    model = Model.of(prior=prior, channel=channel, noise=noise)
    points = len(noise)
    answer = {name: np.full(points, np.nan) for name in ("alpha_it", "alpha_amp")}
    status = np.full(points, Status.NO_SOLUTION)
    steps, residual = np.zeros(points, dtype=int), np.zeros(points)
    fold, back = _folds(model, points)
    which = np.flatnonzero(np.isfinite(fold))
    if len(which):
        model, fold, back = model.take(which), fold[which], back[which]
        log_amp, gap, count, error = _equal_free_entropy(model, fold, back)
        answer["alpha_amp"][which] = np.exp(log_amp)
        answer["alpha_it"][which] = np.exp(gap)
        status[which], steps[which], residual[which] = Status.CONVERGED, count, error
    return {**answer, "status": status, "steps": steps, "residual": residual}


def _slope(u, points, model):
    """d log alpha/du along the curve of fixed points."""
    return 1.0 - model.take(points.astype(int)).log_snr(u)[1]


def _log_alpha(u, points, model):
    """Log alpha(u) of the curve of fixed points."""
    return u - model.take(points.astype(int)).log_snr(u)[0]


def _folds(model, points):
    """log s of the first maximum of alpha(u), NaN if none, and of the next minimum, inf if none."""
    fold, back = np.full(points, np.nan), np.full(points, np.inf)
    for start in range(0, points, _CHUNK):
        some = np.arange(start, min(start + _CHUNK, points))
        flat = np.repeat(some, len(_GRID))
        u = np.tile(_GRID, len(some))
        scan = _slope(u, flat, model).reshape(len(some), len(_GRID))
        for row, point in zip(scan, some, strict=True):
            fold[point], back[point] = _brackets(row, point, model)
    return fold, back


def _brackets(scan, point, model):
    """Both extrema of one point, from the slopes on the grid."""
    points = np.array([point])

    def root(low, high):
        return float(find_root(lambda u, p: _slope(u, p, model), (low, high), args=(points,)).x[0])

    grid, falls = _GRID, np.flatnonzero(scan < 0)
    if not len(falls):
        # A pair of folds may hide between grid points: look at the minimum of the slope.
        at = int(np.clip(np.argmin(scan), 1, len(grid) - 2))
        bracket = tuple(np.array([grid[at + shift]]) for shift in (-1, 0, 1))
        if not scan[at] <= min(scan[at - 1], scan[at + 1]):
            return np.nan, np.inf
        least = find_minimum(lambda u, p: _slope(u, p, model), bracket, args=(points,))
        if not least.f_x[0] < 0:
            return np.nan, np.inf
        middle = float(least.x[0])
        return root(grid[at - 1], middle), root(middle, grid[at + 1])
    first = falls[0]
    rises = np.flatnonzero(scan[first:] > 0)
    fold = root(grid[first - 1], grid[first])
    if not len(rises):
        return fold, np.inf
    return fold, root(grid[first + rises[0] - 1], grid[first + rises[0]])


def _equal_free_entropy(model, fold, back):
    """log alpha_amp, log alpha_it, iterations and residual for points that have a fold."""
    points = np.arange(len(fold))
    log_amp = _log_alpha(fold, points, model)
    recovers = np.isinf(back)
    log_low = log_amp - 15.0  # alpha_it is far above this where recovery is exact
    log_low[~recovers] = _log_alpha(back[~recovers], points[~recovers], model)

    def branch(log_alpha, p, low, high):
        def miss(u, index, target):
            return _log_alpha(u, index, model) - target

        return find_root(miss, (low, high), args=(p, log_alpha)).x

    def difference(log_alpha, p):
        p = p.astype(int)
        part = model.take(p)
        alpha = np.exp(log_alpha)
        nothing, everything = (part.overlaps(np.full(len(p), s)) for s in (0.0, np.inf))
        below = log_alpha + np.log(part.channel_snr(*nothing)) - _SLACK
        uninformed = branch(log_alpha, p, below, fold[p])
        informed = np.full(len(p), np.inf)
        finite = np.isfinite(back[p])
        if finite.any():
            above = log_alpha[finite] + np.log(part.channel_snr(*everything)[finite]) + _SLACK
            informed[finite] = branch(log_alpha[finite], p[finite], back[p[finite]], above)
        return part.free_entropy(alpha=alpha, snr=np.exp(informed)) - part.free_entropy(
            alpha=alpha, snr=np.exp(uninformed)
        )

    inside = _SLACK * (log_amp - log_low)
    found = find_root(difference, (log_low + inside, log_amp - inside), args=(points,))
    residual = np.maximum(np.abs(found.f_x), np.abs(_slope(fold, points, model)))
    return log_amp, found.x, found.nit, residual

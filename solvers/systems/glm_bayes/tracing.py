"""Tracing the curve of all fixed points: its limits, its folds, and so its branches (`curve.py`).

The curve is scanned on a grid in u = log s until it has reached its limit, with value and exact
slope. Folds are roots of the slope, also where a pair hides between two knots; extrema that differ
by rounding are dropped.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from solvers.numerics.elementwise import find_minimum, find_root
from solvers.systems.glm_bayes.curve import Curve, evaluate
from solvers.systems.glm_bayes.model import Model

_FIRST, _STEP = np.log(1e-6), 0.25
"""Knots in u: the first, where the overlap is linear in s, and their distance."""

_NOTHING = np.log(1e-14)
"""u of the limit at u = -inf, which is approached like s."""

_BLOCK = 48
"""Knots evaluated together; a curve is scanned block by block until it has reached its limit."""

_ENOUGH = np.log(1e4)
"""s beyond which a curve whose slope is 1 stays straight: the noise is larger than the deficit."""

_END = np.log(1e40), 700.0
"""Last knots without noise (E g^2 infinite at recovery), and with noise."""

_STRAIGHT = 1e-3
"""Slopes this close to 0 or 1 at the end of the scan are their limits."""

_FLAT = 1e-11
"""Extrema that differ by less in log alpha are rounding."""

_SUSPECT = 0.05
"""A slope below this with larger ones on both sides may hide two folds between knots."""


def trace(model: Model, models: int) -> Curve:
    """Scan the curves of `models` models (the length of the parameter columns)."""
    u, value, slope = _scan(model, models)
    zero = np.full(models, -np.inf)
    if model.channel.EVEN:
        zero = np.log(model.alpha(np.full(models, _NOTHING))[0])
    zero, limit = (_log_twelve_digits(end) for end in (zero, _limits(model, u, value, slope)))
    row, place = _folds(model, u, slope)
    height = np.log(evaluate(model, place, row)[0])
    turning = [_turning_points(place[row == m], height[row == m], zero[m], limit[m])
               for m in range(models)]  # fmt: skip
    left, right, bottom, top = _branches(turning)
    if len(row):
        u, value, slope = _with_folds(u, value, slope, row, place, height)
    return Curve(model, u, value, slope, left, right, bottom, top, zero, limit)


def _scan(model, models):
    """Knots of every curve, up to where its limit is seen; shape (models, knots)."""
    everything = model.second_moment(models)
    with np.errstate(divide="ignore"):
        exact = np.isinf(model.channel_snr(everything, np.zeros(models)))
    end = np.where(exact, *_END)
    active, blocks = np.arange(models), list[np.ndarray]()
    while len(active):
        grid = _FIRST + _STEP * np.arange(len(blocks) * _BLOCK, (len(blocks) + 1) * _BLOCK)
        row = np.repeat(active, _BLOCK)
        alpha, slope = evaluate(model, np.tile(grid, len(active)), row)
        with np.errstate(divide="ignore"):
            value = np.log(alpha)
        block = np.full((3, models, _BLOCK), np.nan)
        block[:, active] = [
            np.tile(grid, (len(active), 1)),
            value.reshape(-1, _BLOCK),
            slope.reshape(-1, _BLOCK),
        ]
        blocks.append(block)
        last = block[:, active, -1]
        straight = (last[0] >= _ENOUGH) & (np.abs(last[2] - 1.0) <= _STRAIGHT) & ~exact[active]
        done = straight | (last[0] >= end[active]) | ~np.isfinite(last[1])
        active = active[~done]
    u, value, slope = np.concatenate(blocks, axis=2)
    # Where deficit and 1/(E g^2) underflow, the curve has reached its limit.
    lost = ~np.isfinite(value) | ~np.isfinite(slope)
    return tuple(np.where(lost, np.nan, array) for array in (u, value, slope))


def twelve_digits(values: np.ndarray) -> np.ndarray:
    """Rounded as axes are: the limit 1/2 of a curve meets an alpha of 1/2."""
    return np.array([float(f"{value:.11e}") for value in values])


def _log_twelve_digits(logarithm):
    """The same for values that are given by their logarithms."""
    with np.errstate(divide="ignore", over="ignore"):
        return np.log(twelve_digits(np.exp(logarithm)))


def _limits(model, u, value, slope):
    """log alpha at u = +inf: infinite, finite, or -inf."""
    models = np.arange(len(u))
    last = u.shape[1] - 1 - np.argmax(np.isfinite(u[:, ::-1]), axis=1)
    rate, value = slope[models, last], value[models, last]
    everything = model.second_moment(len(u))
    with np.errstate(divide="ignore"):
        exact = np.isinf(model.channel_snr(everything, np.zeros(len(u))))
    flat = np.abs(rate) <= _STRAIGHT
    return np.where(exact & (rate < _STRAIGHT), np.where(flat, value, -np.inf), np.inf)


def _folds(model, u, slope):
    """Rows and places of all extrema: changes of sign of the slope, also between two knots."""

    def rate(u, row):
        return evaluate(model, u, row.astype(int))[1]

    with np.errstate(invalid="ignore"):
        # Where rounding leaves a slope of zero, the sign before it counts.
        sign = np.sign(slope)
        last = np.maximum.accumulate(np.where(sign != 0, np.arange(sign.shape[1]), 0), axis=1)
        sign = np.take_along_axis(sign, last, axis=1)
        row, cell = np.nonzero(sign[:, :-1] * sign[:, 1:] < 0)
        low, high = u[row, cell], u[row, cell + 1]
        middle, size = slope[:, 1:-1], np.abs(slope)
        dip = (size[:, 1:-1] <= size[:, :-2]) & (size[:, 1:-1] <= size[:, 2:])
        same = (slope[:, :-2] * middle > 0) & (slope[:, 2:] * middle > 0)
        hiding, at = np.nonzero(dip & same & (size[:, 1:-1] < _SUSPECT) & (size[:, 1:-1] > _FLAT))
    if len(hiding):
        sign = np.sign(middle[hiding, at])
        bracket = tuple(u[hiding, at + shift] for shift in (0, 1, 2))
        least = find_minimum(lambda u, r, s: s * rate(u, r), bracket, args=(hiding, sign))
        two = least.success & (least.f_x < 0)
        row = np.concatenate([row, hiding[two], hiding[two]])
        low = np.concatenate([low, bracket[0][two], least.x[two]])
        high = np.concatenate([high, least.x[two], bracket[2][two]])
    if not len(row):
        return row, low
    place = find_root(rate, (low, high), args=(row,)).x
    order = np.lexsort((place, row))
    return row[order], place[order]


def _turning_points(place, height, zero, limit):
    """(u, log alpha) of the alternating extrema of one curve with its ends, rounding removed."""
    points = [(-np.inf, zero), *zip(place, height, strict=True), (np.inf, limit)]
    at = 1
    while at < len(points) - 1:
        before, here, after = (points[at + shift][1] for shift in (-1, 0, 1))
        near = min(abs(here - before), abs(after - here)) <= _FLAT
        if near or (here - before) * (after - here) > 0:
            del points[at]
            at = max(1, at - 1)
        else:
            at += 1
    return points


def _branches(turning):
    """Ends of the rising parts of every curve; with those that hold one end of the line only."""
    rows = []
    for points in turning:
        values = [value for _, value in points]
        if values[0] == np.inf:  # labels that say nothing
            rows.append(([-np.inf], [-np.inf], [-np.inf], [np.inf]))
            continue
        parts = [(a, b) for a, b in pairwise(points) if a[1] < b[1]]
        if values[1] < values[0]:
            parts.insert(0, (points[0], points[0]))
        if values[-1] < values[-2]:
            parts.append((points[-1], points[-1]))
        left, right = ([end[0] for end in ends] for ends in zip(*parts, strict=True))
        bottom, top = ([end[1] for end in ends] for ends in zip(*parts, strict=True))
        bottom[0], top[-1] = -np.inf, np.inf
        rows.append((left, right, bottom, top))
    width = max(len(row[0]) for row in rows)
    padded = np.full((4, len(rows), width), np.nan)
    for i, row in enumerate(rows):
        padded[:, i, : len(row[0])] = row
    return tuple(padded)


def _with_folds(u, value, slope, row, place, height):
    """The knots with the folds among them, where the slope is zero."""
    models, extra = len(u), np.bincount(row).max()
    column = np.arange(len(row)) - np.searchsorted(row, row)
    new = np.full((3, models, extra), np.nan)
    new[:, row, column] = [place, height, np.zeros(len(row))]
    merged = np.concatenate([np.stack([u, value, slope]), new], axis=2)
    order = np.argsort(merged[0], axis=1, kind="stable")
    return tuple(np.take_along_axis(array, order, axis=1) for array in merged)

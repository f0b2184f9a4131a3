"""Where a curve crosses a level, and where the curves of two sizes cross each other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.interpolate import PchipInterpolator

from phasesweep.scaling.curves import OK, CurveFit, fit_curve, monotone, quadratic_root, success
from phasesweep.scaling.samples import FEWEST, Sample, make_sample, spread

LOST = 0.1
"""The largest fraction of resamples without an answer that leaves the spread a standard error."""


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error, or the reason why there is none (`status` other than "ok").

    `note` is a remark on a number that stands. `height` is the mean at a crossing of two curves.
    """

    value: float = float("nan")
    error: float = float("nan")
    status: str = OK
    note: str = ""
    height: float = float("nan")


def level_crossing(
    *, x: np.ndarray, y: np.ndarray, level: float, resamples: int = 400, bootstrap_seed: int = 0
) -> Estimate:
    """The abscissa where the mean over seeds crosses `level`.

    Args:
        x: abscissas (points,), such as alpha; equal ones are merged.
        y: values (seeds, points): 0 and 1 for a success, real numbers otherwise; NaN where missing.
            Seed s is the same instance at every abscissa.
        level: the probability, or the value of the mean.

    Returns:
        The root of the local fit of `curves.py` (probit for a success), with the standard error
        from resampling seeds. Where fewer than two points lie inside the transition, or the mean
        jumps between two points, gap/sqrt(12) is a floor of the error and the note says so.

    Raises:
        ValueError: for shapes that do not fit, or a level outside (0, 1) for a success.

    Valid for a mean that passes the level once; several seeds (20 or more) for a fair error.
    """
    sample = make_sample(x=x, y=y)
    fit = fit_curve(sample, level=level, resamples=resamples, bootstrap_seed=bootstrap_seed)
    return level_of(fit)


def level_of(fit: CurveFit) -> Estimate:
    """The abscissa where a fitted curve passes its level."""
    if not fit.ok:
        return Estimate(status=fit.status)
    offset = fit.coefficients.copy()
    offset[:, 0] -= fit.target
    offset = np.pad(offset, ((0, 0), (0, 3 - offset.shape[1])))
    roots = fit.centre + fit.half_width * quadratic_root(offset, rising=fit.rising)
    value, draws = float(roots[0]), roots[1:]
    if not fit.ends[0] <= value <= fit.ends[1]:
        return Estimate(status="the fitted curve does not pass the level within the grid")
    if fit.seeds < FEWEST:
        return Estimate(value, status=f"{fit.seeds} seeds give no error; ask for {FEWEST} or more")
    outside = ~((draws >= fit.ends[0]) & (draws <= fit.ends[1]))
    error = spread(np.where(np.isfinite(draws), draws, np.inf), fit.seeds)
    note = ""
    if fit.gap:
        error = float(np.fmax(error, fit.gap / np.sqrt(12)))
        note = f"the grid, with gaps of {fit.gap:.3g}, limits the resolution"
    if np.mean(outside) > LOST / 2:
        status = (
            f"too near the end of the grid: {np.mean(outside):.0%} of resamples cross beyond it"
        )
        return Estimate(value, error, status, note)
    return Estimate(value, error, OK, note)


def curve_crossing(small: CurveFit, large: CurveFit) -> Estimate:
    """The abscissa where the fitted curves of two sizes cross, the larger size being the steeper.

    Both fits are made at one level; the crossing must lie in the overlap of their windows. On the
    scale of the link the difference of two quadratics is a quadratic, whose root is taken for the
    data and for independent resamples of either size. `height` is the mean at the crossing.
    """
    for fit in (small, large):
        if not fit.ok:
            return Estimate(status=f"size {fit.size:g}: {fit.status}")
        if fit.gap:
            return Estimate(status=f"size {fit.size:g}: the grid does not resolve the transition")
        if fit.seeds < FEWEST:
            return Estimate(status=f"size {fit.size:g}: {fit.seeds} seeds give no error")
    low, high = max(small.low, large.low), min(small.high, large.high)
    if not low < high:
        return Estimate(status="the transitions of the two sizes do not overlap")
    centre, half = (low + high) / 2, (high - low) / 2
    difference = large.quadratic(centre, half) - small.quadratic(centre, half)
    roots = quadratic_root(difference, rising=large.rising)
    value, draws = float(centre + half * roots[0]), centre + half * roots[1:]
    if not abs(roots[0]) <= 1:
        return Estimate(status=f"no crossing where both curves are known, {low:.6g} to {high:.6g}")
    height = success(large.link, float(large.at(np.array([value]))[0, 0]))
    good = np.abs(roots[1:]) <= 2
    error = spread(draws[good], min(small.seeds, large.seeds))
    if np.mean(~good) > LOST:
        status = f"not resolved: the curves cross in {np.mean(good):.0%} of resamples only"
        return Estimate(value, error, status, height=height)
    return Estimate(value, error, OK, height=height)


def curve_crossings(
    samples: list[Sample], *, level: float, resamples: int = 400, bootstrap_seed: int = 0
) -> list[Estimate]:
    """Crossings of the curves of successive sizes, smallest pair first; see `curve_crossing`.

    `level` sets the window in which the curves are fitted: it should be near the height of the
    crossing. Neighbouring pairs share a size, and so are correlated.
    """
    fits = [
        fit_curve(sample, level=level, resamples=resamples, bootstrap_seed=bootstrap_seed)
        for sample in sorted(samples, key=lambda sample: sample.size)
    ]
    return [curve_crossing(a, b) for a, b in pairwise(fits)]


def curve_level(*, x: np.ndarray, y: np.ndarray, level: float) -> Estimate:
    """The abscissa where a computed curve (theory, exact: no seeds, no error) crosses `level`.

    Monotone cubic interpolation (Fritsch and Carlson, SIAM J. Numer. Anal. 17, 238 (1980)) of the
    points x, y, both (points,). Across a jump (one step steeper than five times both its
    neighbours) the middle is given, with half the gap as its error.
    """
    sample = make_sample(x=x, y=y)
    if len(sample.x) < 2:
        return Estimate(status=f"{len(sample.x)} abscissas have a value; at least 2 are needed")
    x, y = sample.x, sample.y[0]
    if not y.min() <= level <= y.max():
        return Estimate(
            status=f"not bracketed: values between {y.min():.3g} and {y.max():.3g} "
            f"for abscissas {x[0]:.6g} to {x[-1]:.6g}"
        )
    roots = PchipInterpolator(x, y).solve(level, extrapolate=False)
    roots = np.unique(roots[np.isfinite(roots)])
    if not len(roots):
        return Estimate(status="the curve lies on the level over a whole interval")
    note = f"crosses {len(roots)} times; the first is given" if len(roots) > 1 else ""
    cell = int(np.clip(np.searchsorted(x, roots[0]) - 1, 0, len(x) - 2))
    slopes = np.abs(np.diff(y) / np.diff(x))
    around = slopes[[i for i in (cell - 1, cell + 1) if 0 <= i < len(slopes)]]
    if len(around) and slopes[cell] > 5 * np.max(around):
        ends = x[cell], x[cell + 1]
        middle, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
        return Estimate(
            float(middle), float(half), note=f"jumps between {ends[0]:.6g} and {ends[1]:.6g}"
        )
    return Estimate(float(roots[0]), note=note)


def exact_crossing(small: Sample, large: Sample) -> Estimate:
    """The abscissa where two computed curves cross, by monotone cubic interpolation; no error."""
    low, high = max(small.x[0], large.x[0]), min(small.x[-1], large.x[-1])
    x = np.unique(np.concatenate([small.x, large.x]))
    x = x[(x >= low) & (x <= high)]
    if len(x) < 4 or len(small.x) < 2 or len(large.x) < 2:
        return Estimate(status="the two curves share too few abscissas")
    curves = [PchipInterpolator(sample.x, sample.y[0]) for sample in (small, large)]
    heights = [curve(x) for curve in curves]
    rising, _ = monotone(heights[1], np.ones(len(x)))
    steeper = (heights[1] - heights[0]) * (1 if rising else -1)
    # Where both curves are flat they agree to rounding: the sign of the difference is noise.
    steeper[np.abs(steeper) < 1e-9 * np.ptp(heights[1])] = 0.0
    signs = np.sign(steeper)
    used = np.flatnonzero(signs)
    passes = [i for i in range(len(used) - 1) if signs[used[i]] < 0 < signs[used[i + 1]]]
    if not passes:
        return Estimate(status=f"no crossing where both curves are known, {low:.6g} to {high:.6g}")
    a, b = used[passes[0]], used[passes[0] + 1]
    if b - a > 1:
        value = float(x[a + 1]) if b - a == 2 else float((x[a + 1] + x[b - 1]) / 2)
    else:
        value = float(x[a] + (x[b] - x[a]) * steeper[a] / (steeper[a] - steeper[b]))
    return Estimate(value, height=float(curves[1](value)))

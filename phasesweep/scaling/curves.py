"""One measured curve near a level: a smooth local fit of the data and of every resample.

A success probability is fitted as P(x) = Phi(a + b u + c u^2) by maximum likelihood, u the abscissa
scaled to [-1, 1] on a window where |Phi^-1(P) - Phi^-1(level)| <= 2; the mean of a real observable
as a + b u + c u^2 by weighted least squares on the points nearest the level. The quadratic term
carries the skewness of a finite-size transition; what is left out is of third order in a window two
standard deviations wide. The window is chosen once, from all seeds, and held for the resamples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.special import ndtr, ndtri

from phasesweep.scaling.regression import fit_least_squares, fit_probit
from phasesweep.scaling.samples import Sample, resampled_totals

OK = "ok"
REACH = 2.0
"""Half-width of the window of a success probability, in standard deviations of the transition."""
FEW_SEEDS = 100
"""With more seeds the window shrinks, to half of it at most: bias matters more, and noise less."""
NEIGHBOURS = 3
"""Points taken on either side of the level for a real observable."""


@dataclass(frozen=True)
class CurveFit:
    """A local fit: link(mean) = sum_j coefficients[:, j] ((x - centre)/half_width)^j.

    Row 0 of `coefficients` is the data, the others are resamples of the seeds. `link` is "probit"
    or "identity"; `target` = link(level). `low`, `high` bound the window. `gap` is not zero if the
    grid, not the number of seeds, sets the resolution; it is then the distance of the points that
    bracket the level. Where `status` is not "ok" the other fields mean nothing.
    """

    status: str
    size: float = float("nan")
    seeds: int = 0
    link: str = ""
    target: float = float("nan")
    centre: float = float("nan")
    half_width: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    rising: bool = False
    gap: float = 0.0
    ends: tuple[float, float] = (float("nan"), float("nan"))
    coefficients: np.ndarray = field(default_factory=lambda: np.empty((0, 1)), repr=False)

    @property
    def ok(self) -> bool:
        """Whether there is a fit."""
        return self.status == OK

    def at(self, x: np.ndarray) -> np.ndarray:
        """link(mean) at the abscissas x (n,): shape (1 + resamples, n)."""
        u = (np.asarray(x, float) - self.centre) / self.half_width
        return self.coefficients @ (u[:, None] ** np.arange(self.coefficients.shape[1])).T

    def quadratic(self, centre: float, scale: float) -> np.ndarray:
        """Coefficients (1 + resamples, 3) of the same curves in (x - centre)/scale."""
        a, b, c = np.pad(self.coefficients, ((0, 0), (0, 3 - self.coefficients.shape[1]))).T
        shift, stretch = (centre - self.centre) / self.half_width, scale / self.half_width
        return np.stack(
            [a + b * shift + c * shift**2, (b + 2 * c * shift) * stretch, c * stretch**2], axis=1
        )


def quadratic_root(coefficients: np.ndarray, *, rising: bool) -> np.ndarray:
    """The root of a + b u + c u^2 with a positive (rising) or negative slope; NaN if there is none.

    u = -2a/(b + s sqrt(b^2 - 4ac)), s the sign of the slope: no cancellation, and c = 0 is allowed.
    """
    a, b, c = coefficients.T
    sign = 1.0 if rising else -1.0
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.asarray(-2 * a / (b + sign * np.sqrt(b**2 - 4 * a * c)))


def fit_curve(
    sample: Sample, *, level: float, resamples: int = 400, bootstrap_seed: int = 0
) -> CurveFit:
    """Fit the curve of one size around `level`.

    Raises ValueError if `level` is not strictly between 0 and 1 for a success probability. Data
    that do not bracket the level, or too few of them, give a fit whose status says so.
    """
    flag = sample.is_flag
    if flag and not 0 < level < 1:
        raise ValueError(
            f"the level of a success probability must lie between 0 and 1; given {level:g}"
        )
    if len(sample.x) < 2:
        lack = f"{len(sample.x)} abscissas have a value; at least 2 are needed"
        return CurveFit(lack, sample.size)
    totals, sums = resampled_totals(sample, resamples=resamples, bootstrap_seed=bootstrap_seed)
    means = sums[0] / totals[0]
    rising, smooth = monotone(means, totals[0])
    if not min(smooth) < level < max(smooth):
        what = "P" if flag else "the mean"
        return CurveFit(
            f"not bracketed: {what} between {min(smooth):.3g} and {max(smooth):.3g} "
            f"for abscissas {sample.x[0]:.6g} to {sample.x[-1]:.6g}",
            sample.size,
        )
    above = smooth > level if rising else smooth < level
    right = int(np.argmax(above))
    # A stretch of the smoothed curve may lie on the level itself; both its ends bracket it.
    left = int(np.flatnonzero(smooth < level if rising else smooth > level)[-1])
    build = _flag_fit if flag else _real_fit
    return build(sample, level, totals, sums, smooth, (left, right), rising)


def monotone(means: np.ndarray, weights: np.ndarray) -> tuple[bool, np.ndarray]:
    """(whether the means rise, the best monotone fit to them): the better of the two directions."""
    fits = [isotonic_regression(means, weights=weights, increasing=up).x for up in (True, False)]
    misfit = [float(np.sum(weights * (fit - means) ** 2)) for fit in fits]
    rising = misfit[0] < misfit[1]
    return rising, fits[0] if rising else fits[1]


def _flag_fit(
    sample: Sample,
    level: float,
    totals: np.ndarray,
    sums: np.ndarray,
    smooth: np.ndarray,
    bracket: tuple[int, int],
    rising: bool,
) -> CurveFit:
    x, target = sample.x, float(ndtri(level))
    rough = ndtri(np.clip(smooth, 0.5 / totals[0], 1 - 0.5 / totals[0]))
    reach = REACH * float(np.clip(FEW_SEEDS / sample.seeds, 1 / 16, 1)) ** 0.25
    near = np.abs(rough - target) <= reach
    for _ in range(3):
        # The window follows a fitted line: points chosen by their own outcomes bias the fit.
        inside = _with_neighbours(near, bracket)
        centre, half = _scale(x[inside])
        line, _ = _probit(x[inside], centre, half, totals[:1, inside], sums[:1, inside], 1)
        near = np.abs(line[0, 0] + line[0, 1] * (x - centre) / half - target) <= reach
        near &= (line[0, 1] > 0) == rising
    inside = _with_neighbours(near, bracket)
    centre, half = _scale(x[inside])
    partial = (sums[0] > 0) & (sums[0] < totals[0]) & inside
    order = 2 if np.count_nonzero(partial) >= 3 else 1
    coefficients, _ = _probit(x[inside], centre, half, totals[:, inside], sums[:, inside], order)
    gap = float(x[bracket[1]] - x[bracket[0]]) if np.count_nonzero(partial) < 2 else 0.0
    return CurveFit(
        OK, sample.size, sample.seeds, "probit", target, centre, half, float(x[inside][0]),
        float(x[inside][-1]), rising, gap, (float(x[0]), float(x[-1])), coefficients,
    )  # fmt: skip


def _probit(
    x: np.ndarray, centre: float, half: float, totals: np.ndarray, sums: np.ndarray, order: int
) -> tuple[np.ndarray, np.ndarray]:
    u = (x - centre) / half
    # A transition narrower than a quarter of the grid spacing cannot be told from a step.
    slope = 4 / float(np.min(np.diff(u)))
    prior = np.array([np.inf, slope, 2.0])[: order + 1]
    return fit_probit(u=u, successes=sums, trials=totals, order=order, prior=prior)


def _real_fit(
    sample: Sample,
    level: float,
    totals: np.ndarray,
    sums: np.ndarray,
    smooth: np.ndarray,
    bracket: tuple[int, int],
    rising: bool,
) -> CurveFit:
    x = sample.x
    inside = np.zeros(len(x), bool)
    inside[max(0, bracket[1] - NEIGHBOURS) : bracket[0] + 1 + NEIGHBOURS] = True
    inside[list(bracket)] = True
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / totals
        squares = np.nansum((sample.y - means[0]) ** 2, axis=0)
        variance = squares / np.maximum(totals[0] - 1, 1)
    usual = float(np.median(variance[inside]))
    variance = np.maximum(variance, 1e-3 * usual) if usual > 0 else np.ones_like(variance)
    order, gap = (2 if np.count_nonzero(inside) >= 5 else 1), 0.0
    for _ in range(2):
        centre, half = _scale(x[inside])
        u = (x[inside] - centre) / half
        weights = totals[:, inside] / variance[inside]
        coefficients = fit_least_squares(u=u, means=means[:, inside], weights=weights, order=order)
        fitted = coefficients[0] @ (u[:, None] ** np.arange(order + 1)).T
        missed = np.abs(means[0, inside] - fitted) * np.sqrt(weights[0])
        if sample.seeds < 2 or usual == 0 or np.max(missed) < 4 or order == 0:
            break
        # A jump, or a bend too sharp for the grid: only the two points around the level are known.
        inside = np.zeros(len(x), bool)
        inside[list(bracket)] = True
        order, gap = 1, float(x[bracket[1]] - x[bracket[0]])
    return CurveFit(
        OK, sample.size, sample.seeds, "identity", level, centre, half, float(x[inside][0]),
        float(x[inside][-1]), rising, gap, (float(x[0]), float(x[-1])), coefficients,
    )  # fmt: skip


def _with_neighbours(near: np.ndarray, bracket: tuple[int, int]) -> np.ndarray:
    """The `near` points around the bracket, and at least two points on either side of it."""
    left, right = bracket
    while left > 0 and near[left - 1]:
        left -= 1
    while right < len(near) - 1 and near[right + 1]:
        right += 1
    inside = np.zeros(len(near), bool)
    inside[max(0, min(left, bracket[0] - 1)) : max(right, bracket[1] + 1) + 1] = True
    return inside


def _scale(x: np.ndarray) -> tuple[float, float]:
    """Centre and half-width of a window."""
    return float((x[0] + x[-1]) / 2), float((x[-1] - x[0]) / 2)


def success(link: str, value: float) -> float:
    """The mean whose link is `value`."""
    return float(ndtr(value)) if link == "probit" else value

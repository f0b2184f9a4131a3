"""Measured curves: values per seed along an axis, cleaned, and resampled over seeds.

One `Sample` is one system size. Instances are nested: seed s is the same instance at every
abscissa, so the points of a curve are correlated and the seeds, not the points, are what is
independent. Errors come from drawing whole seeds with replacement (Efron, Ann. Statist. 7, 1
(1979)), the same seeds for every abscissa of a size; different sizes are independent instances and
are drawn independently.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HALF_OF_68 = (0.158655253931457, 0.841344746068543)
"""The normal probabilities of minus and plus one standard deviation."""
FEWEST = 5
"""Below this number of seeds no error is given."""
BLOCK = 4_000_000


@dataclass(frozen=True)
class Sample:
    """Values `y` (seeds, points) at increasing abscissas `x` (points,) of one size; NaN missing."""

    x: np.ndarray
    y: np.ndarray
    size: float = float("nan")

    @property
    def seeds(self) -> int:
        """Number of seeds with at least one value."""
        return len(self.y)

    @property
    def is_flag(self) -> bool:
        """Whether every value is 0 or 1: a success, whose mean is a probability."""
        known = self.y[np.isfinite(self.y)]
        return bool(known.size and np.all((known == 0) | (known == 1)))


def make_sample(*, x: np.ndarray, y: np.ndarray, size: float = float("nan")) -> Sample:
    """Sort, merge equal abscissas, and drop seeds and abscissas without a value.

    Args:
        x: abscissas, shape (points,); NaN where nothing was asked.
        y: values, shape (seeds, points), or (points,) for one curve without seeds.
        size: the system size of these values.

    Asked values of alpha that round to one number of samples are one measurement, not several: a
    seed's values there are averaged. Raises ValueError if the shapes differ.
    """
    x, y = np.asarray(x, float), np.atleast_2d(np.asarray(y, float))
    if x.ndim != 1 or y.shape[1] != len(x):
        raise ValueError(
            f"x must have shape (points,) and y (seeds, points); given {x.shape}, {y.shape}"
        )
    y = np.where(np.isfinite(y), y, np.nan)
    used = np.isfinite(x) & np.any(np.isfinite(y), axis=0)
    x, y = x[used], y[:, used]
    y = y[np.any(np.isfinite(y), axis=1)]
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[:, order]
    starts = np.flatnonzero(np.diff(x, prepend=-np.inf) > 1e-9 * np.maximum(1e-300, np.abs(x)))
    if len(x):
        known = np.add.reduceat(np.isfinite(y).astype(float), starts, axis=1)
        total = np.add.reduceat(np.nan_to_num(y), starts, axis=1)
        y = np.where(known > 0, total / np.maximum(known, 1), np.nan)
        x = x[starts]
    return Sample(x, y, float(size))


def resampled_totals(
    sample: Sample, *, resamples: int, bootstrap_seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and sums of values per abscissa: of the data (row 0) and of each resample of seeds.

    Returns two arrays of shape (1 + resamples, points). The draw depends on `bootstrap_seed`, the
    size and the number of seeds alone, so that the same data give the same errors.
    """
    known = np.isfinite(sample.y).astype(float)
    values = np.nan_to_num(sample.y)
    whole = 0 if np.isnan(sample.size) else abs(round(sample.size))
    rng = np.random.default_rng([bootstrap_seed, whole])
    counts, sums = [known.sum(0, keepdims=True)], [values.sum(0, keepdims=True)]
    block, left = max(1, BLOCK // max(1, sample.seeds)), resamples
    even = np.full(sample.seeds, 1 / max(1, sample.seeds))
    while left > 0:
        drawn = rng.multinomial(sample.seeds, even, size=min(block, left)).astype(float)
        counts.append(drawn @ known)
        sums.append(drawn @ values)
        left -= block
    return np.concatenate(counts), np.concatenate(sums)


def spread(draws: np.ndarray, seeds: float = np.inf) -> float:
    """Standard error from resamples: half the central 68.3 % of the finite `draws`.

    The factor sqrt(S/(S-3)) undoes the narrowness of resamples of S seeds, to which a curve of
    three coefficients was fitted. Quantiles instead of a standard deviation, since a few resamples
    may put a crossing far away. NaN below 20 draws or 5 seeds.
    """
    finite = draws[np.isfinite(draws)]
    if len(finite) < 20 or seeds < FEWEST:
        return float("nan")
    low, high = np.quantile(finite, HALF_OF_68)
    return float((high - low) / 2 * np.sqrt(1 / (1 - 3 / seeds)))

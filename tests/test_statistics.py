"""Statistics over seeds."""

from __future__ import annotations

import numpy as np

from phasesweep.statistics import median_interval


def test_median_leaves_missing_values_out():
    values = np.array([[3.0, np.nan], [1.0, 5.0], [2.0, np.nan], [np.nan, np.nan]])
    median, low, high = median_interval(values)
    assert median.tolist() == [2.0, 5.0]
    assert np.all(low <= median)
    assert np.all(high >= median)
    assert np.isnan(median_interval(np.full((3, 1), np.nan))[0][0])


def test_interval_covers_the_median_two_times_in_three():
    rng = np.random.default_rng(3)
    for count in (9, 40):
        median, low, high = median_interval(rng.standard_cauchy((count, 4000)))
        covered = np.mean((low <= 0) & (high >= 0))
        assert 0.62 < covered < 0.75
        assert abs(np.median(median)) < 0.05

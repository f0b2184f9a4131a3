"""The compiled hazard: against SciPy and its series everywhere, and the same in every lane."""

import numba
import numpy as np
import pytest
from scipy.special import erfcx

from solvers.numerics.hazard import LOWEST, hazard


@numba.njit(error_model="numpy")
def both(x, h, slope):
    for i in range(len(x)):
        h[i], slope[i] = hazard(x[i])


def answers(x):
    h, slope = np.empty_like(x), np.empty_like(x)
    both(x, h, slope)
    return h, slope


def every(step, start, stop):
    """Every so manieth single-precision number from start to stop, of one sign."""
    first, last = np.array([start, stop], np.float32).view(np.uint32)
    return np.arange(first, last, step, dtype=np.uint32).view(np.float32)


@pytest.mark.parametrize("x", [every(3001, 0, 1e15), every(3001, -0.0, LOWEST)])
def test_hazard_and_its_slope_are_those_of_scipy(x):
    assert len(x) > 3e5
    h, slope = answers(x)
    wide = x.astype(float)
    exact = np.sqrt(2 / np.pi) / erfcx(wide / np.sqrt(2))
    np.testing.assert_allclose(h, exact, rtol=3e-7)
    far = np.maximum(wide, 30.0)
    series = 1 - 1 / far**2 + 6 / far**4 - 50 / far**6
    np.testing.assert_allclose(
        slope, np.where(wide < 30, exact * (exact - wide), series), rtol=6e-7
    )


def test_hazard_is_zero_where_the_density_leaves_single_precision():
    x = np.array([np.nextafter(np.float32(LOWEST), np.float32(-20)), -14, -1e5, -1e15], np.float32)
    for values in answers(x):
        np.testing.assert_array_equal(values, 0.0)
    assert np.sqrt(2 / np.pi) / erfcx(LOWEST / np.sqrt(2)) < 3e-38
    assert np.isnan(answers(np.full(2, np.nan, np.float32))).all()


def test_hazard_is_the_same_in_every_lane():
    """In a vector or in what is left over after the last one, bit by bit."""
    x = np.random.default_rng(0).normal(scale=4, size=200).astype(np.float32)
    h, slope = answers(x)
    for length in (1, 7, 33):
        for start in range(0, 200 - length, 13):
            part = slice(start, start + length)
            np.testing.assert_array_equal(answers(x[part]), (h[part], slope[part]))

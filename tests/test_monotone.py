"""Roots of increasing functions: any start, folds, infinite brackets, statuses."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.contract import Status
from solvers.numerics.monotone import rising_root

FOLD = 2 / 3**1.5
"""u - u³ rises between its extrema ∓2/3^1.5 at u = ∓1/√3."""


def cubic(level):
    """u - u³ - level and its derivative."""

    def function(u, points):
        return u - u**3 - level[points], 1.0 - 3.0 * u**2

    return function


@pytest.mark.parametrize("start", [-0.5, 0.0, 0.57])
def test_the_root_of_the_rising_part_is_found_from_everywhere(start):
    """For |level| < FOLD the middle root is 2/√3 sin(arcsin(level/FOLD)/3)."""
    level = np.linspace(-1, 1, 61)[1:-1] * FOLD
    u, status, steps, residual = rising_root(
        cubic(level),
        np.full(len(level), start),
        -(3**-0.5),
        3**-0.5,
        tolerance=1e-13,
        max_steps=60,
    )
    assert np.all(status == Status.CONVERGED)
    expected = 2 / np.sqrt(3) * np.sin(np.arcsin(level / FOLD) / 3)
    np.testing.assert_allclose(u, expected, rtol=1e-11, atol=1e-14)
    assert residual.max() < 1e-12
    assert steps.max() < 15


def test_the_root_stays_on_its_side_of_a_fold():
    """Level and extremum differ by FOLD·ε: the double root splits as the square root of that."""
    distance = 10.0 ** -np.arange(2, 15)
    level = FOLD * (1 - distance)
    u, status, steps, _ = rising_root(
        cubic(level), np.zeros(len(level)), -(3**-0.5), 3**-0.5, tolerance=1e-13, max_steps=200
    )
    assert np.all(status == Status.CONVERGED)
    # u - u³ = FOLD - √3 (u - 1/√3)² + ...
    expected = np.sqrt(FOLD * distance / np.sqrt(3))
    np.testing.assert_allclose(3**-0.5 - u, expected, rtol=0.1)
    assert steps.max() < 70


@pytest.mark.parametrize("place", [-1e6, -3.0, 0.0, 40.0])
def test_infinite_brackets_are_left_by_steps_that_double(place):
    def function(u, points):
        return np.tanh(u - place), np.zeros_like(u)  # a derivative that helps nobody

    u, status, steps, _ = rising_root(
        function, np.zeros(1), -np.inf, np.inf, tolerance=1e-9, max_steps=200
    )
    assert status[0] == Status.CONVERGED
    assert u[0] == pytest.approx(place, abs=1e-8)
    assert steps[0] < 100


def test_points_do_not_feel_each_other():
    level = FOLD * np.array([0.1, 0.999999, -0.7, 0.0])
    given = {"tolerance": 1e-13, "max_steps": 100}
    together = rising_root(cubic(level), np.zeros(4), -(3**-0.5), 3**-0.5, **given)
    for i in range(4):
        alone = rising_root(cubic(level[i : i + 1]), np.zeros(1), -(3**-0.5), 3**-0.5, **given)
        for one, many in zip(alone, together, strict=True):
            assert one[0] == many[i]


def test_statuses():
    def function(u, points):
        value = np.where(points == 0, np.nan, np.expm1(u - 5.0))
        return value, np.exp(u - 5.0)

    u, status, steps, residual = rising_root(
        function,
        np.array([0.0, 0.0, 4.0]),
        -np.inf,
        np.inf,
        tolerance=1e-12,
        max_steps=np.array([50, 3, 50]),
    )
    assert status.tolist() == [Status.NOT_FINITE, Status.MAX_STEPS, Status.CONVERGED]
    assert steps[1] == 3
    assert residual[1] > 1e-3
    assert u[2] == pytest.approx(5.0, rel=1e-12)

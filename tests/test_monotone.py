"""Monotone fixed points: the first one from a start, folds, infinities, statuses."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.contract import Status
from solvers.numerics.monotone import first_fixed_point


def cubic(gap):
    """u - u(u² - 1)/20 + gap: three fixed points for small |gap|, folds at u² = 1/3."""

    def curve(u, points):
        shift = np.broadcast_to(gap, np.shape(gap))[points]
        return u - 0.05 * u * (u**2 - 1.0) + shift, 1.0 - 0.05 * (3 * u**2 - 1.0)

    return curve


FOLD = 0.1 / 3**1.5
"""At this gap the two lower fixed points meet: u - u³ = -20·gap has a double root at u² = 1/3."""


@pytest.mark.parametrize("start", [-2.0, 2.0, -0.1, 0.1])
def test_monotone_iteration_ends_where_the_plain_one_ends(start):
    gap = np.linspace(-1.5, 1.5, 60) * FOLD
    curve = cubic(gap)
    points = np.arange(len(gap))
    u, status, steps, residual = first_fixed_point(
        curve, np.full(len(gap), start), tolerance=1e-12, max_steps=300
    )
    plain = np.full(len(gap), start)
    for _ in range(5000):
        plain = curve(plain, points)[0]
    assert np.all(status == Status.CONVERGED)
    np.testing.assert_allclose(u, plain, rtol=1e-8, atol=1e-8)
    assert residual.max() < 1e-12
    assert steps.max() < 60


def test_a_bottleneck_costs_the_logarithm_of_its_width():
    distance = 10.0 ** -np.arange(2, 13)
    points = np.arange(len(distance))
    for side in (-1, 1):
        gap = FOLD * (1 + side * distance)
        u, status, steps, _ = first_fixed_point(
            cubic(gap), np.full(len(gap), -2.0), tolerance=1e-11, max_steps=300
        )
        assert np.all(status == Status.CONVERGED)
        # Below the fold the lower branch is kept, above it the iteration passes to the upper one.
        assert np.all(u < -0.5 if side < 0 else u > 1.0)
        np.testing.assert_allclose(cubic(gap)(u, points)[0], u, atol=1e-14)
        assert np.all(steps < 30 + 6 * np.arange(2, 13))


def test_infinity_is_a_fixed_point_and_not_a_number_is_not():
    def curve(u, points):
        with np.errstate(over="ignore"):
            grows = u + np.exp(u)
        return np.where(points == 0, grows, np.nan), np.ones_like(u)

    u, status, _, _ = first_fixed_point(curve, np.zeros(2), tolerance=1e-12, max_steps=100)
    assert u[0] == np.inf
    assert status.tolist() == [Status.CONVERGED, Status.NOT_FINITE]

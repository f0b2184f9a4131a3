"""Fixed points: residuals recomputed, linear problems, folds, and independence of the batch."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.contract import Status
from solvers.numerics.fixed_point import fixed_point
from solvers.numerics.monotone import first_fixed_point

SLOPES = np.linspace(0.1, 3.0, 40)


def cosine(x, points):
    return np.cos(SLOPES[points][:, None] * x)


def test_answers_solve_the_equation_also_where_plain_iteration_does_not_converge():
    x, status, _, residual = fixed_point(
        cosine, np.full((40, 1), 0.3), tolerance=1e-13, max_steps=100
    )
    assert np.all(status == Status.CONVERGED)
    np.testing.assert_allclose(cosine(x, np.arange(40)), x, rtol=1e-11)
    assert residual.max() <= 1e-13
    _, plain, _, _ = fixed_point(
        cosine, np.full((40, 1), 0.3), tolerance=1e-13, max_steps=100, memory=0
    )
    assert np.any(plain == Status.MAX_STEPS)


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_a_linear_map_of_k_components_needs_about_k_steps(damping):
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(6, 6))
    matrix *= 0.97 / np.abs(np.linalg.eigvals(matrix)).max()
    shift = rng.normal(size=(5, 6))
    x, status, steps, _ = fixed_point(
        lambda x, points: x @ matrix.T + shift[points],
        np.zeros((5, 6)),
        tolerance=1e-11,
        max_steps=200,
        memory=6,
        damping=damping,
    )
    assert np.all(status == Status.CONVERGED)
    assert steps.max() <= 16  # the plain iteration takes some 800
    np.testing.assert_allclose(x, np.linalg.solve(np.eye(6) - matrix, shift.T).T, rtol=1e-8)


def test_points_do_not_see_each_other():
    together = fixed_point(cosine, np.full((40, 1), 0.3), tolerance=1e-12, max_steps=100)
    for i in (0, 13, 39):
        alone = fixed_point(
            lambda x, _, i=i: cosine(x, np.full(len(x), i)),
            np.full((1, 1), 0.3),
            tolerance=1e-12,
            max_steps=100,
        )
        np.testing.assert_allclose(alone[0][0], together[0][i], rtol=1e-14)
        assert alone[2][0] == together[2][i]


def test_statuses_are_values():
    def update(x, points):
        with np.errstate(invalid="ignore"):
            return np.where(points[:, None] == 0, np.log(-1.0 - x**2), 2.0 * x + 1.0)

    _, status, steps, residual = fixed_point(
        update, np.ones((2, 1)), tolerance=1e-12, max_steps=[50, 3], memory=0
    )
    assert status.tolist() == [Status.NOT_FINITE, Status.MAX_STEPS]
    assert steps.tolist() == [1, 3]
    assert np.isnan(residual[0])
    assert residual[1] > 0.4


def test_a_component_that_is_zero_counts_as_converged():
    x, status, _, _ = fixed_point(
        lambda x, _: np.stack([0.5 * x[:, 0] + 1.0, 0.0 * x[:, 1]], axis=1),
        np.array([[0.0, 0.0]]),
        tolerance=1e-12,
        max_steps=50,
    )
    assert status[0] == Status.CONVERGED
    np.testing.assert_allclose(x, [[2.0, 0.0]], rtol=1e-12)


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

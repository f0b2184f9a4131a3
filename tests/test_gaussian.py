"""Gaussian tails and quadrature against arbitrary precision and closed forms."""

import mpmath as mp
import numpy as np
import pytest

from solvers.numerics.gaussian import (
    bump_distances,
    bump_rule,
    excess_moments,
    graded_rule,
    hazard,
    log_tail,
)

POINTS = [-30.0, -8.0, -1.0, 0.0, 0.7, 1.4, 1.5, 1.6, 3.0, 12.0, 40.0, 1e3]


def exact(x):
    """phi and H in enough digits that no cancellation matters."""
    x = mp.mpf(x)
    return mp.npdf(x), mp.erfc(x / mp.sqrt(2)) / 2


@pytest.mark.parametrize("x", POINTS)
def test_tail_functions_have_full_relative_accuracy(x):
    with mp.workdps(450):
        phi, tail = exact(x)
        relative = 1e-15 * (8 + x * x / 8)  # rounding of x^2 in the exponent
        assert abs(log_tail(x) / mp.log(tail) - 1) < 1e-12
        assert abs(hazard(x) / (phi / tail) - 1) < (relative if x < 0 else 4e-15)
        if x <= 30:
            first, second = excess_moments(x)
            assert abs(mp.mpf(float(first)) / (phi - x * tail) - 1) < 4e-15 + relative
            assert (
                abs(mp.mpf(float(second)) / ((1 + x * x) * tail - x * phi) - 1) < 8e-15 + relative
            )


def test_hazard_at_the_ends():
    assert hazard(-1e3) == 0
    np.testing.assert_allclose(hazard(1e8), 1e8, rtol=1e-15)
    assert np.all(np.diff(hazard(np.linspace(-37, 1e3, 5000))) > 0)


@pytest.mark.parametrize("width", [1e-8, 1e-5, 1e-2, 0.3, 1.0, 50.0])
@pytest.mark.parametrize("centre", [-6.0, -0.4, 0.0, 2.0, 9.0, 15.0])
def test_bump_in_closed_form(centre, width):
    """E exp(-(t-c)²/2w²) = w/√(1+w²) exp(-c²/2(1+w²))."""
    distance, w = bump_distances(centre, width)
    spread = 1 + width**2
    expected = width / np.sqrt(spread) * np.exp(-0.5 * centre**2 / spread)
    value = (w * np.exp(-0.5 * (distance / width) ** 2)).sum()
    np.testing.assert_allclose(value, expected, rtol=2e-13)
    t, same = bump_rule(centre, width)
    np.testing.assert_array_equal(same, w)
    value = (w * np.exp(-0.5 * ((t - centre) / width) ** 2)).sum()
    np.testing.assert_allclose(value, expected, rtol=2e-13 + 2e-17 * (1 + abs(centre)) / width)


@pytest.mark.parametrize(("centre", "width"), [(0.3, 1e-4), (-2.0, 0.05), (1.0, 0.7)])
def test_bump_of_squared_hazard_against_adaptive_quadrature(centre, width):
    def squared(t):
        phi, tail = exact((centre - t) / mp.mpf(width))
        return mp.npdf(t) * (phi / tail) ** 2

    marks = [centre + s * width * 4**k for s in (-1, 1) for k in range(9)]
    marks = sorted(m for m in {*marks, centre, *map(float, range(-9, 10))} if -9 <= m <= 9)
    with mp.workdps(20):
        inside = [m for m in marks if m > centre - 150 * width]
        expected = mp.quad(squared, inside, maxdegree=5)
        # Further left phi/H = x + 1/x - 2/x^3 + 10/x^5, squared.
        series = [m for m in marks if m <= centre - 150 * width]
        if series:

            def far(t):
                x = (centre - t) / mp.mpf(width)
                return mp.npdf(t) * (x + 1 / x - 2 / x**3 + 10 / x**5) ** 2

            expected += mp.quad(far, [*series, inside[0]], maxdegree=5)
    distance, w = bump_distances(centre, width)
    value = (w * hazard(-distance / width) ** 2).sum()
    np.testing.assert_allclose(value, float(expected), rtol=1e-12)


def test_step_and_kink_at_the_centre():
    distance, w = bump_distances(np.array([0.5, -1.0]), 1e-3)
    np.testing.assert_allclose(
        (w * (distance > 0)).sum(axis=1), np.exp(log_tail([0.5, -1.0])), rtol=1e-13
    )
    first, second = excess_moments([0.5, -1.0])
    np.testing.assert_allclose((w * np.maximum(distance, 0)).sum(axis=1), first, rtol=1e-13)
    np.testing.assert_allclose((w * np.maximum(distance, 0) ** 2).sum(axis=1), second, rtol=1e-13)


def test_a_point_does_not_depend_on_its_batch():
    centre, width = np.array([0.2, 3.0, -12.0]), np.array([1e-6, 0.5, 2.0])
    t, w = bump_rule(centre, width)
    together = (w * np.cos(t) * hazard(t)).sum(axis=1)
    for k in range(3):
        t, w = bump_rule(centre[k], width[k])
        np.testing.assert_allclose((w * np.cos(t) * hazard(t)).sum(), together[k], rtol=1e-14)


def test_graded_rule_lengths():
    s, w = graded_rule([0.0, 1e-3, 7.0], 1e-2)
    np.testing.assert_allclose(w.sum(axis=1), [0, 1e-3, 7], rtol=1e-14)
    np.testing.assert_allclose((w * s**5).sum(axis=1), np.array([0, 1e-3, 7]) ** 6 / 6, rtol=1e-13)
    assert graded_rule(0.0, 1.0)[0].shape == (1, 0)


def test_bad_rules_are_refused():
    with pytest.raises(ValueError, match="widths > 0"):
        bump_rule(0.0, 0.0)
    with pytest.raises(ValueError, match="finite"):
        bump_rule(np.nan, 1.0)

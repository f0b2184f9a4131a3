"""Finite width: derivatives of activations, and Gaussian averages of two and four of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from solvers.systems.finite_width.averages import Averages
from solvers.systems.finite_width.derivatives import derivative
from solvers.systems.finite_width.kinked import Kinked
from solvers.systems.finite_width.smooth import Smooth
from solvers.systems.infinite_width.averages import pair

SMOOTH = ("sigmoid", "tanh", "sin", "linear", "softplus", "swish", "gelu", "erf")
PATTERNS = ((0, 0, 0, 0), (0, 0, 1, 1), (1, 1, 1, 1), (2, 0, 1, 1))


def kernel(count: int) -> np.ndarray:
    rows = np.random.default_rng(0).normal(size=(count, 6))
    return rows @ rows.T / 6.0


@pytest.mark.parametrize("name", SMOOTH)
def test_every_derivative_is_the_derivative_of_the_one_before(name):
    z, step = np.linspace(-3, 3, 25), 1e-5
    for order in range(5):
        numeric = (derivative(name, order, z + step) - derivative(name, order, z - step)) / 2e-5
        np.testing.assert_allclose(numeric, derivative(name, order + 1, z), atol=1e-7)


def raised(orders, i, j):
    orders = list(orders)
    orders[i] += 1
    orders[j] += 1
    return tuple(orders)


@pytest.mark.parametrize("name", ["swish", "sin", "relu"])
def test_averages_of_four_fields_obey_prices_theorem(name):
    """d⟨f_1 f_2 f_3 f_4⟩/dK_ij = ⟨f'_i f'_j ...⟩ at four different inputs, and at three."""
    source = Kinked if name == "relu" else Smooth
    base, step = kernel(4), 1e-4
    if name == "swish":
        base *= 0.5  # fewer nodes
    for where in ((0, 1, 2, 3), (0, 1, 2, 2)) if name != "swish" else ((0, 1, 2, 2),):
        moved = base.copy()
        moved[0, 1] = moved[1, 0] = base[0, 1] + step
        back = base.copy()
        back[0, 1] = back[1, 0] = base[0, 1] - step
        for orders in PATTERNS:
            change = source(name, moved).mean(orders, where) - source(name, back).mean(
                orders, where
            )
            expected = source(name, base).mean(raised(orders, 0, 1), where)
            assert change / (2 * step) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", [*SMOOTH, "relu", "step"])
def test_averages_of_two_are_those_of_infinite_width(name):
    base = kernel(2)
    found = Averages(name, base[None], ((0, 0), (1, 1)))
    value, slope = pair(name, base[0, 0], base[1, 1], base[0, 1])
    assert found[0, 0][0, 0, 1] == pytest.approx(float(value), rel=1e-10)
    assert found[1, 1][0, 0, 1] == pytest.approx(float(slope), rel=1e-10)


@pytest.mark.parametrize("name", ["tanh", "gelu", "erf"])
def test_averages_at_equal_inputs_are_those_of_one_input(name):
    """Singular kernels: rows of one kernel against the rules for one, two and three fields."""
    one = kernel(1)
    orders = ((0, 0, 0, 0), (2, 0, 1, 1), (3, 1, 1, 1))
    alone = Averages(name, one[None], orders)
    three = Averages(name, np.full((1, 3, 3), one[0, 0]), orders)
    for pattern in orders:
        np.testing.assert_allclose(three[pattern], alone[pattern].item(), rtol=1e-12, atol=1e-13)
    # Hardly different inputs go through rules for three fields.
    near = np.full((3, 3), one[0, 0]) + 1e-9 * np.eye(3)
    split = Smooth(name, near)
    for pattern in orders:
        got = split.mean((*pattern[:3], pattern[3]), (0, 1, 2, 2))
        assert got == pytest.approx(alone[pattern].item(), rel=1e-6)


def test_orthants_of_equal_correlations():
    """n exchangeable Gaussians of correlation 1/2 are all positive with probability 1/(n + 1)."""
    for count in (1, 2, 3, 4):
        same = 0.5 * (np.eye(count) + np.ones((count, count)))
        got = Kinked("relu", same).mean((1,) * count, range(count))
        assert got == pytest.approx(1.0 / (count + 1), rel=1e-12)


def test_kinked_averages_at_equal_and_opposite_inputs():
    base = np.array([[2.0, 2.0, -2.0], [2.0, 2.0, -2.0], [-2.0, -2.0, 2.0]])
    relu = Kinked("relu", base)
    assert relu.mean((0, 0, 0, 0), (0, 1, 1, 0)) == pytest.approx(1.5 * 4.0)
    assert relu.mean((1, 1, 0, 0), (0, 1, 0, 1)) == pytest.approx(1.0)
    assert relu.mean((0, 0, 1, 1), (0, 2, 0, 0)) == 0.0
    assert relu.mean((2, 1, 1, 0), (0, 0, 0, 0)) == 0.0
    assert relu.mean((2, 1, 1, 1), (0, 0, 0, 0)) == pytest.approx(
        1.0 / 4.0 / math.sqrt(2.0 * math.pi * 2.0)
    )
    assert math.isnan(relu.mean((2, 2, 1, 1), (0, 1, 0, 0)))


def test_smoothed_kinks_come_to_the_kink():
    """softplus(βz)/β -> relu: θ^q δ = δ/(q + 1), where the answer depends on the smoothing rule."""
    sharp = 400.0
    base = kernel(1) * sharp**2
    smooth = Averages("softplus", base[None], ((2, 1, 1, 0), (2, 1, 1, 1), (0, 0, 1, 1)))
    relu = Averages("relu", kernel(1)[None], ((2, 1, 1, 0), (2, 1, 1, 1), (0, 0, 1, 1)))
    for pattern, table in smooth.tables.items():
        scale = sharp ** -sum(1 - order for order in pattern)
        assert scale * table.item() == pytest.approx(relu[pattern].item(), rel=0.02, abs=0.005)


def test_rearranged_patterns_are_rearranged_tables():
    found = Averages("swish", kernel(2)[None], ((2, 0, 1, 1), (2, 0)))
    source = Smooth("swish", kernel(2))
    for where in itertools.product(range(2), repeat=4):
        assert found[1, 2, 1, 0][(0, *where)] == pytest.approx(source.mean((1, 2, 1, 0), where))
    assert found[0, 2][0, 0, 1] == pytest.approx(source.mean((0, 2), (0, 1)))

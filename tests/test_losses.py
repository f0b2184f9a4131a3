"""Convex losses: derivatives, and proximal maps against their defining equation."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from solvers.numerics import losses

ALL = losses.names()
V = np.array([1e-12, 1e-3, 0.3, 1.0, 7.0, 1e3, 1e8])
LABEL = np.array([1.0, -1.0])[:, None, None]


def test_three_losses_are_found():
    assert ALL == ("hinge", "logistic", "square")


@pytest.mark.parametrize("name", ALL)
def test_derivatives_are_those_of_the_value(name):
    loss = losses.load(name)
    z = np.array([-30.3, -2.1, -0.4, 0.2, 0.7, 1.9, 25.0])  # beside the kink
    step = 1e-5
    for label in (1.0, -1.0):
        up, down = (loss.value(label=label, preactivation=z + s) for s in (step, -step))
        first = loss.derivative(label=label, preactivation=z)
        np.testing.assert_allclose((up - down) / (2 * step), first, rtol=1e-8, atol=1e-10)
        up, down = (loss.derivative(label=label, preactivation=z + s) for s in (step, -step))
        second = loss.second_derivative(label=label, preactivation=z)
        np.testing.assert_allclose((up - down) / (2 * step), second, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("name", ALL)
def test_values_do_not_overflow(name):
    loss = losses.load(name)
    z = np.array([-1e4, 1e4])
    with np.errstate(all="raise", under="ignore"):
        value = loss.value(label=1.0, preactivation=z)
        slope = loss.derivative(label=1.0, preactivation=z)
    if name != "square":
        np.testing.assert_allclose(value, [1e4 + (name == "hinge"), 0.0], rtol=1e-15)
        np.testing.assert_allclose(slope, [-1.0, 0.0], rtol=1e-15)


@pytest.mark.parametrize("name", ALL)
def test_force_and_proximal_map_are_one_thing(name):
    """p = omega + V g, ∂p/∂omega = 1 - V (-∂g), and g = -∂ℓ(p)."""
    loss = losses.load(name)
    omega = np.linspace(-12, 9, 85)[:, None]
    g, stiffness = loss.force(label=LABEL, omega=omega, variance=V)
    p, slope = loss.proximal(label=LABEL, omega=omega, variance=V)
    assert np.all(np.abs(p - omega - V * g) <= 1e-14 * (10 + V))
    np.testing.assert_allclose(slope, 1 - V * stiffness, atol=1e-14)
    assert np.all((slope >= 0) & (slope <= 1))
    if name == "hinge":
        away = np.abs(LABEL * p - 1) > 1e-9
        expected = -loss.derivative(label=LABEL, preactivation=p)
        np.testing.assert_array_equal(g[away], expected[away])
        assert np.all((LABEL * g >= 0) & (LABEL * g <= 1))
    else:
        expected = -loss.derivative(label=LABEL, preactivation=p)
        np.testing.assert_allclose(g, expected, rtol=2e-13, atol=1e-15)
    step = 1e-6
    up, down = (
        loss.force(label=LABEL, omega=omega + s, variance=V)[0][..., 1:-2] for s in (step, -step)
    )
    smooth = (np.abs(up - 2 * g[..., 1:-2] + down) < 1e-9) if name == "hinge" else slice(None)
    numeric = (down - up) / (2 * step)
    np.testing.assert_allclose(numeric[smooth], stiffness[..., 1:-2][smooth], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_proximal_map_minimises(name):
    loss = losses.load(name)
    for variance in (0.2, 3.0):
        for omega in (-4.0, -0.7, 0.4, 0.95, 2.0):
            found = minimize_scalar(
                lambda z: (
                    float(loss.value(label=1.0, preactivation=np.float64(z)))
                    + (z - omega) ** 2 / (2 * variance)  # noqa: B023
                ),
                bounds=(omega - 1, omega + variance + 3),
                method="bounded",
                options={"xatol": 1e-10},
            )
            p, _ = loss.proximal(label=1.0, omega=np.array(omega), variance=variance)
            assert p == pytest.approx(found.x, abs=2e-7)


def test_logistic_force_keeps_relative_accuracy_everywhere():
    loss = losses.load("logistic")
    with mpmath.workdps(60):
        for variance in (1e-300, 1e-9, 0.5, 40.0, 1e6, 1e15):
            for u in (-3e15, -1e6, -variance, -0.5 * variance, -3.0, 0.0, 2.5, 30.0, 300.0):
                g, _ = loss.force(label=1.0, omega=np.array(u), variance=np.array(variance))

                low, high = mpmath.mpf(u), mpmath.mpf(u) + variance
                for _ in range(240):
                    p = (low + high) / 2
                    above = p - u > variance / (1 + mpmath.exp(p))
                    low, high = (low, p) if above else (p, high)
                expected = 1 / (1 + mpmath.exp(p))
                assert abs(g / expected - 1) < 1e-15 * (8 + abs(p)), (variance, u)


def test_hinge_landmarks_are_its_kinks():
    loss = losses.load("hinge")
    for variance in (0.3, 5.0):
        places = sorted(place for place, _ in loss.landmarks(variance=variance))
        u = np.linspace(places[0] - 3, places[1] + 3, 4001)
        force, _ = loss.force(label=1.0, omega=u, variance=variance)
        bends = u[1:-1][np.abs(np.diff(force, 2)) > 1e-9]
        assert all(min(abs(b - place) for place in places) < 0.02 for b in bends)
        assert all(np.min(np.abs(bends - place)) < 0.02 for place in places)

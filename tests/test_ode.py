"""The integrator against exact solutions and SciPy; one point at a time or many together."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from solvers.contract import Status
from solvers.numerics.ode import integrate

TIMES = np.array([0.0, 0.3, 1.0, 7.0, 20.0])


def pendulum(index, t, y):
    return np.stack([y[:, 1], -np.sin(y[:, 0])], axis=1)


def pendulum_starts(points):
    return np.stack([np.linspace(0.3, 3.0, points), np.zeros(points)], axis=1)


def test_exponentials_with_a_rate_per_point():
    rates = np.array([0.1, 1.0, 5.0, 40.0])
    path = integrate(
        lambda index, t, y: -rates[index, None] * y,
        np.ones((4, 1)),
        TIMES,
        tolerance=1e-10,
        max_steps=10_000,
    )
    exact = np.exp(-np.outer(rates, TIMES))
    np.testing.assert_allclose(path.states[:, :, 0], exact, rtol=1e-8, atol=1e-11)
    assert np.all(path.status == Status.CONVERGED)
    assert np.array_equal(path.times, np.broadcast_to(TIMES, (4, 5)))


def test_a_size_makes_the_accuracy_relative_to_what_is_small():
    """Without it, components below the floor are held to an absolute error only."""
    exact = np.exp(-TIMES)
    errors = []
    for size in (None, lambda index, y: np.minimum(np.abs(y[:, 0]), 1)):
        path = integrate(
            lambda index, t, y: -y,
            np.ones((1, 1)),
            TIMES,
            tolerance=1e-4,
            max_steps=9999,
            size=size,
        )
        errors.append(np.max(np.abs(path.states[0, :, 0] / exact - 1)))
    assert errors[1] < 1e-5 < errors[0]


def test_time_dependence_uses_the_time_of_each_stage():
    path = integrate(
        lambda index, t, y: np.cos(t)[:, None],
        np.zeros((1, 1)),
        TIMES,
        tolerance=1e-11,
        max_steps=999,
    )
    np.testing.assert_allclose(path.states[0, :, 0], np.sin(TIMES), atol=1e-9)


def test_agrees_with_scipy():
    start = pendulum_starts(3)
    path = integrate(pendulum, start, TIMES, tolerance=1e-12, max_steps=10_000)
    for point in range(3):
        reference = solve_ivp(
            lambda t, y: pendulum(0, t, y[None])[0],
            (0, TIMES[-1]),
            start[point],
            method="DOP853",
            t_eval=TIMES,
            rtol=1e-13,
            atol=1e-15,
        )
        np.testing.assert_allclose(path.states[point], reference.y.T, atol=2e-9)


def test_order_of_the_method():
    """Steps grow as tolerance^(-1/8), errors fall with the tolerance."""
    runs = [
        integrate(pendulum, pendulum_starts(1), [50.0], tolerance=10.0**-n, max_steps=10**5)
        for n in (6, 9, 12, 13.5)
    ]
    steps = np.array([run.steps[0] for run in runs], dtype=float)
    growth = np.log10(steps[2] / steps[0]) / 6
    assert abs(growth - 1 / 8) < 0.03
    errors = [np.max(np.abs(run.states - runs[-1].states)) for run in runs[:3]]
    assert errors[0] > 100 * errors[1] > 1e4 * errors[2]


def test_a_point_does_not_know_its_batch():
    start = pendulum_starts(7)
    together = integrate(pendulum, start, TIMES, tolerance=1e-9, max_steps=1000)
    for point in (0, 3, 6):
        alone = integrate(pendulum, start[[point]], TIMES, tolerance=1e-9, max_steps=1000)
        np.testing.assert_array_equal(alone.states[0], together.states[point])
        assert alone.steps[0] == together.steps[point]
        assert alone.residual[0] == together.residual[point]


def test_a_blow_up_ends_with_its_time_and_last_state():
    """y' = y², y(0) = 1/t0 diverges at t0; the other point goes on."""
    path = integrate(
        lambda index, t, y: y * y,
        np.array([[0.5], [0.01]]),
        TIMES,
        tolerance=1e-8,
        max_steps=100_000,
    )
    assert path.status.tolist() == [Status.DIVERGED, Status.CONVERGED]
    np.testing.assert_allclose(path.states[0, :3, 0], 1 / (2 - TIMES[:3]), rtol=1e-6)
    np.testing.assert_allclose(path.times[0, 3:], 2.0, rtol=1e-6)
    assert np.all(np.isfinite(path.states))
    assert path.states[0, 3, 0] == path.states[0, 4, 0] > 1e6
    np.testing.assert_allclose(path.states[1, :, 0], 1 / (100 - TIMES), rtol=1e-6)


def test_running_out_of_steps_is_a_status():
    path = integrate(
        pendulum, pendulum_starts(2), TIMES, tolerance=1e-10, max_steps=np.array([12, 10**4])
    )
    assert path.status.tolist() == [Status.MAX_STEPS, Status.CONVERGED]
    assert path.steps[0] == 12
    assert path.times[0, -1] < TIMES[-1]


def test_a_start_without_a_slope_is_a_status():
    path = integrate(
        lambda index, t, y: np.log(y),
        np.array([[-1.0], [2.0]]),
        [1.0],
        tolerance=1e-6,
        max_steps=99,
    )
    assert path.status.tolist() == [Status.NOT_FINITE, Status.CONVERGED]
    assert path.states[0, 0, 0] == -1.0


@pytest.mark.parametrize("times", [[0.0], [0.0, 1e-12], [5.0]])
def test_recorded_times_are_hit_exactly(times):
    path = integrate(pendulum, pendulum_starts(2), times, tolerance=1e-8, max_steps=1000)
    assert np.array_equal(path.times, np.broadcast_to(times, path.times.shape))
    assert np.all(path.status == Status.CONVERGED)


def test_a_resting_point_costs_few_steps():
    path = integrate(pendulum, np.zeros((1, 2)), [1e6], tolerance=1e-10, max_steps=100)
    assert path.status[0] == Status.CONVERGED
    assert np.all(path.states == 0)

"""Escape on the sphere: equations, SDE and SGD against each other, starts, ends."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from solvers.axes import FileContent
from solvers.contract import Status
from solvers.numerics.random import Stream
from solvers.systems.escape_mediocrity.formula import diffusion
from solvers.systems.escape_mediocrity.moments import (
    mean_step,
    pack,
    risk,
    risk_of,
    unpack,
)
from solvers.systems.escape_mediocrity.starts import start_states, start_weights
from tests.escape import random_overlaps, solve


def slope_of(state, *, width, ratio, noise):
    mean = np.empty_like(state)
    mean_step(state, ratio, noise, width, np.empty((3, width + 1, width + 1)), mean)
    return mean


def test_equations_and_exit_agree_with_scipy():
    p, step, noise, fraction, times = 3, 0.5, 0.1, 0.3, (0.5, 1.0, 2.0, 4.0)
    seeds = np.arange(3)
    starts = start_states("random", width=p, dimension=np.full(3, 400), seed=seeds)
    given = {"width": p, "step_size": step, "noise": noise, "dimension": 400, "seed": seeds}
    found = solve("ode", **given, exit_fraction=fraction, times=times)
    assert np.all(found["status"] == Status.CONVERGED)
    for start, seed in zip(starts, seeds, strict=True):
        level = (1 - fraction) * risk(start, p)
        reference = solve_ivp(
            lambda _, y: slope_of(y, width=p, ratio=step / p, noise=noise),
            (0, times[-1]),
            start,
            "DOP853",
            times,
            events=lambda _, y, level=level: risk(y, p) - level,
            rtol=1e-12,
            atol=1e-14,
        )
        q, m = unpack(reference.y.T, width=p)
        np.testing.assert_allclose(found["teacher_overlap"][seed], m, atol=1e-8)
        np.testing.assert_allclose(found["risk"][seed], risk_of(q, m), rtol=1e-7)
        np.testing.assert_allclose(found["exit_time"][seed], reference.t_events[0][0], rtol=1e-7)


def test_tolerance_is_the_accuracy_of_risk_and_exit():
    given = {"width": 2, "step_size": 0.1, "dimension": 10**4, "seed": np.arange(6)}
    given["times"] = (0.5, 1.0, 3.0)
    fine = solve("ode", **given, tolerance=1e-12)
    found = solve("ode", **given, tolerance=1e-6)
    np.testing.assert_allclose(found["risk"], fine["risk"], rtol=1e-6)
    np.testing.assert_allclose(found["exit_time"], fine["exit_time"], rtol=1e-5)
    assert np.all(found["steps"] < fine["steps"])


def slow_sgd(*, width, step_size, noise, dimension, seed, steps):
    """The update rule as it is written, in NumPy, from the same samples; overlaps of every step."""
    w, teacher = start_weights("random", width=width, dimension=dimension, seed=seed)
    rows = Stream("escape_mediocrity", seed, dimension, "samples").normals(
        0, steps, dimension + 1, dtype=np.float32
    )
    states = [pack(w @ w.T, w @ teacher)]
    for row in rows.astype(float):
        x, y = row[:-1], (teacher @ row[:-1]) ** 2 + math.sqrt(noise) * row[-1]
        fields = w @ x
        gradient = (np.mean(fields**2) - y) * 2 / width * np.outer(fields, x)
        w = w - step_size / dimension * gradient
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        states.append(pack(w @ w.T, w @ teacher))
    return np.array(states)


@pytest.mark.parametrize(("width", "step_size"), [(1, 0.08), (3, 0.4), (2, 30.0)])
def test_simulation_follows_the_update_rule(width, step_size):
    given = {"width": width, "step_size": step_size, "noise": 0.1, "dimension": 30, "seed": 3}
    unit, steps = step_size / (width * 30), 2500
    reference = slow_sgd(**given, steps=steps)
    times = (0.0, 150.4 * unit, steps * unit)
    found = solve("sgd", **given, exit_fraction=0.4, times=times)
    q, m = unpack(reference[[0, 150, steps]], width=width)
    np.testing.assert_allclose(found["student_overlap"][0], q, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["teacher_overlap"][0], m, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["recorded_time"][0], [0, 150 * unit, steps * unit], rtol=1e-12)
    risks = risk_of(*unpack(reference, width=width))
    below = np.flatnonzero(risks <= 0.6 * risks[0])
    expected = below[0] * unit if len(below) else np.nan
    np.testing.assert_allclose(found["exit_time"][0], expected, rtol=1e-12)
    assert found["status"][0] == (Status.CONVERGED if len(below) else Status.MAX_STEPS)
    if len(below):
        stopped = solve("sgd", **given, exit_fraction=0.4, times=times, after_exit="stop")
        assert stopped["exit_time"][0] == found["exit_time"][0]
        assert stopped["steps"][0] == below[0]
        assert stopped["recorded_time"][0, -1] == pytest.approx(expected)
        assert stopped["final_risk"][0] == pytest.approx(risks[below[0]], rel=1e-7)


def test_a_longer_run_goes_on_where_a_shorter_one_ended():
    given = {"width": 2, "step_size": [0.1, 0.4], "noise": 0.2, "seed": [4, 4], "dimension": 40}
    short = solve("sgd", **given, times=(0.2, 0.5))
    long = solve("sgd", **given, times=(0.2, 0.3, 0.5, 1.0))
    np.testing.assert_allclose(long["risk"][:, [0, 2]], short["risk"], rtol=1e-9)


def test_all_methods_start_alike_and_a_file_is_a_start():
    q, m = random_overlaps(2, 8)
    for initial in ("random", {"M": m, "Q": q}):
        given = {
            "width": 2,
            "step_size": 0.1,
            "dimension": 50,
            "seed": [0, 7],
            "times": (0.0, 1e-9),
        }
        found = [solve(method, **given, initial=initial) for method in ("ode", "sde", "sgd")]
        for name in ("student_overlap", "teacher_overlap", "risk"):
            for other in found[1:]:
                np.testing.assert_allclose(other[name], found[0][name], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found[2]["teacher_overlap"][0, 0], m, rtol=1e-12)
    narrow = start_weights("random", width=1, dimension=50, seed=7)[0]
    wide = start_weights("random", width=3, dimension=50, seed=7)[0]
    np.testing.assert_allclose(wide[:1], narrow, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"M": np.zeros(3)}, r"array M has shape \(3,\); width=2"),
        ({"Q": [[1.0, 0.2], [0.3, 1.0]]}, "must be symmetric"),
        ({"Q": [[2.0, 0.0], [0.0, 1.0]]}, "diagonal of Q must be 1"),
        ({"M": [0.9, 0.9]}, "negative eigenvalue"),
    ],
)
def test_overlaps_that_are_none_are_refused(change, message):
    arrays = FileContent.of({"M": np.zeros(2), "Q": np.eye(2)} | change)
    for method in ("ode", "sde", "sgd"):
        given = {"width": 2, "step_size": 0.1, "dimension": 20, "seed": 0, "initial": arrays}
        with pytest.raises(ValueError, match=message):
            solve(method, **given)


@pytest.fixture(scope="module")
def from_one_state():
    """Overlaps of runs from one state: SGD and SDE (seeds, times) at three dimensions, and ODE."""
    q = np.array([[1.0, 0.1], [0.1, 1.0]])
    given = {"width": 2, "step_size": 0.4, "noise": 0.1, "times": (0.1, 0.3, 0.6)}
    given["initial"] = {"M": [0.3, -0.2], "Q": q}
    found = {"ode": solve("ode", **given, dimension=10, seed=0)["teacher_overlap"][0]}
    for dimension in (50, 200, 800):
        for method in ("sde", "sgd"):
            count = 400 if dimension == 200 else 64
            if method == "sde" and dimension != 200:
                continue
            answer = solve(method, **given, dimension=dimension, seed=np.arange(count))
            found[method, dimension] = answer["teacher_overlap"]
    return found


def test_sgd_follows_the_equations_as_dimension_grows(from_one_state):
    """Means within four standard errors and a bias c/d; deviations fall as 1/√d."""
    spreads = []
    for dimension in (50, 200, 800):
        difference = from_one_state["sgd", dimension] - from_one_state["ode"]
        error = difference.std(axis=0, ddof=1) / math.sqrt(len(difference))
        assert np.all(np.abs(difference.mean(axis=0)) < 4 * error + 5 / dimension)
        spreads.append(math.sqrt(np.mean(difference**2)))
    assert 1.6 < spreads[0] / spreads[1] < 2.5
    assert 1.6 < spreads[1] / spreads[2] < 2.5


def test_the_diffusion_is_that_of_sgd(from_one_state):
    """Means and covariances of (m_1, m_2) over 400 runs of each, at every recorded time."""
    sde, sgd = (from_one_state[method, 200] for method in ("sde", "sgd"))
    for time in range(sde.shape[1]):
        a, b = sde[:, time], sgd[:, time]
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a))
        assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4 * error + 1 / 200)
        one, two = np.cov(a.T), np.cov(b.T)
        scale = np.sqrt(np.outer(np.diag(two), np.diag(two)))
        # A relative error of √(2/400) each, and a correction of order 1/d.
        np.testing.assert_array_less(np.abs(one - two) / scale, 4 * math.sqrt(4 / 400) + 0.05)


@pytest.fixture(scope="module")
def exits():
    """Exit times of 500 starts, one unit in 100 dimensions."""
    given = {"width": 1, "step_size": 0.05, "dimension": 100, "exit_fraction": 0.2}
    given |= {"seed": np.arange(500), "times": (8.0,)}
    found = {"ode": solve("ode", **given), "sgd": solve("sgd", **given, after_exit="stop")}
    found["sde"] = solve("sde", **given | {"seed": np.arange(250)}, time_step=0.005)
    times = {name: answer["exit_time"] for name, answer in found.items()}
    assert all(np.isfinite(time).all() for time in times.values())
    return times


def test_exit_times_of_sgd(exits):
    """Quenched formula plus what it leaves out: the diffusion, and the slowing down of order T.

    The slowing down is measured where it is exact: ODE minus formula over the same starts. So SGD
    must be within four standard errors of the diffusive formula, corrected so, and 0.03 (1/√d² terms).
    """
    given = {"width": 1, "step_size": 0.05, "dimension": 100, "exit_fraction": 0.2}
    start = start_states("random", width=1, dimension=np.full(500, 100), seed=np.arange(500))
    mu = 100 * start[:, 0] ** 2
    linear = np.log((0.4 * 100 + 1.6 * mu) / (2 * mu)) / 5.6
    slow = exits["ode"] - linear
    assert np.all((slow > 0.02) & (slow < 0.06))
    formula = solve("exit_time", **given, average="quenched")
    error = exits["sgd"].std() / math.sqrt(500)
    expected = formula["diffusive_exit_time"][0] + slow.mean()
    assert abs(exits["sgd"].mean() - expected) < 4 * error + 0.03
    annealed = solve("exit_time", **given, average="annealed")["exit_time"][0]
    assert exits["sgd"].mean() - annealed > 4 * error  # the annealed one is another quantity


def test_fluctuations_make_exits_earlier(exits):
    """SGD and SDE exit before the flow from the same starts, by log(1 + ω)/Λ = 0.064 or so."""
    early = exits["ode"] - exits["sgd"]
    error = early.std() / math.sqrt(len(early))
    assert early.mean() > 2 * error
    omega = diffusion(width=1, step_size=0.05, noise=0.0)
    assert abs(early.mean() - math.log1p(omega) / 5.6) < 4 * error
    difference = exits["sgd"].mean() - exits["sde"].mean()
    error = math.hypot(
        exits["sgd"].std() / math.sqrt(500), exits["sde"].std() / math.sqrt(len(exits["sde"]))
    )
    assert abs(difference) < 4 * error


def test_runs_that_do_not_exit_say_so():
    given = {"width": 1, "step_size": 0.3, "dimension": 400, "seed": 0, "times": (0.5, 2.0)}
    for method, status in (
        ("ode", Status.CONVERGED),
        ("sde", Status.MAX_STEPS),
        ("sgd", Status.MAX_STEPS),
    ):
        found = solve(method, **given, exit_fraction=0.5)
        assert found["status"][0] == status
        assert np.isnan(found["exit_time"][0])
        assert "no exit before t = 2" in found["message"][0]
        assert np.all(np.isfinite(found["risk"]))


def test_overflow_and_long_euler_steps_are_statuses():
    times = tuple(1e200 * step / 30 for step in (1, 2, 3))
    found = solve("sgd", width=1, step_size=1e200, dimension=30, seed=0, times=times)
    assert found["status"][0] == Status.DIVERGED
    assert "diverged at t = 0" in found["message"][0]
    assert np.all(np.isfinite(found["risk"]))
    assert found["recorded_time"][0, -1] == 0
    found = solve("sde", width=1, step_size=1.0, dimension=30, seed=0, time_step=0.1)
    assert found["status"][0] == Status.DIVERGED
    assert "time_step" in found["message"][0]
    found = solve("ode", width=1, step_size=0.1, dimension=30, seed=0, max_steps=5)
    assert found["status"][0] == Status.MAX_STEPS
    assert found["recorded_time"][0, -1] < 4

"""Single-index models with more units: staircases, two time scales, steps beyond stability."""

import math

import numpy as np
import pytest

from solvers.contract import Status
from solvers.systems.single_index.layers_steps import (
    power_sums,
    slopes_finite_width,
    slopes_mean_field,
)
from solvers.systems.single_index.staircase_steps import rule, slopes, target
from solvers.systems.single_index.units import paper_unit
from tests.single_index import solve

# --- staircase -----------------------------------------------------------------------------------


@pytest.mark.parametrize("leap", [1, 2, 3])
def test_staircase_drift_is_the_mean_step(leap):
    rng = np.random.default_rng(leap)
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0][:, :2].T
    w = 0.5 * basis + 0.6 * rng.normal(size=(2, 4)) / 2
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    state = np.array([w[0, 0], w[0, 1], w[1, 0], w[1, 1], w[0] @ w[1]])
    gamma, noise = 0.02, 0.3
    x, weight = rule(leap)
    out = np.empty(5)
    slopes(state, leap, gamma, noise, x, weight, out)
    # Four real dimensions and a finer rule, with the weights themselves.
    z, p = np.polynomial.hermite_e.hermegauss(11)
    p /= p.sum()
    grid = np.stack(np.meshgrid(z, z, z, z, indexing="ij")).reshape(4, -1)
    mass = np.prod(np.meshgrid(p, p, p, p, indexing="ij"), axis=0).ravel()
    of = np.vectorize(lambda a, b: target.py_func(a, b, leap))
    lam = w @ grid
    f, *partial = of(lam[0], lam[1])
    error = of(grid[0], grid[1])[0] - f
    g = error * np.array(partial)
    towards = np.einsum("n,in,cn->ic", mass, g, grid)
    towards -= np.einsum("n,in,in->i", mass, g, lam)[:, None] * w
    square = np.einsum("n,in,jn->ij", mass * (error**2 + noise), np.array(partial), partial)
    dm = towards[:, :2] - 0.5 * gamma * np.diag(square)[:, None] * w[:, :2]
    q = state[4]
    dq = towards[0] @ w[1] + towards[1] @ w[0]
    dq += gamma * (square[0, 1] - 0.5 * q * np.trace(square))
    np.testing.assert_allclose(out, [*dm.ravel(), dq], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("leap", "gamma"), [(1, 0.05), (2, 0.02)])
def test_staircase_of_sgd_follows_its_equations(leap, gamma):
    d = 200
    times = tuple(np.array([0.5, 1.2, 2.0, 3.0]) / gamma * d / float(paper_unit(d, leap)))
    given = {
        "leap": leap,
        "dimension": d,
        "step_size": gamma,
        "start": "fixed",
        "start_overlap": 0.3,
        "times": times,
    }
    theory = solve("staircase", **given)
    runs = solve("staircase_sgd", seed=np.arange(16), **given)
    for name in ("first_overlap", "second_overlap"):
        mean, error = runs[name].mean(0), runs[name].std(0, ddof=1) / 4
        assert np.all(np.abs(mean - theory[name][0]) < 4 * error + 4.0 / d)
    assert np.all(theory["first_recovery_steps"] < theory["recovery_steps"])


def test_the_second_step_of_a_staircase_takes_the_time_of_its_leap():
    d = np.array([10**3, 10**4])
    for leap, gamma in ((1, 0.02), (2, 0.005)):
        given = {"leap": leap, "step_size": gamma, "tolerance": 1e-6, "times": (20 / gamma,)}
        answer = solve("staircase", dimension=d, **given)
        assert np.all(answer["status"] == Status.CONVERGED)
        ratio = answer["recovery_time"][1] / answer["recovery_time"][0]
        assert ratio == pytest.approx(1.0, abs=0.12)
        first = np.log(answer["first_recovery_steps"][1] / answer["first_recovery_steps"][0])
        assert first / math.log(10) == pytest.approx(1.0, abs=0.06)


# --- two time scales -----------------------------------------------------------------------------


def test_power_sums():
    x = np.linspace(-1, 1, 7)
    value_, derived = power_sums(x, 4)
    np.testing.assert_allclose(value_, sum(x**j for j in range(5)))
    np.testing.assert_allclose(derived, sum(j * x ** (j - 1) for j in range(1, 5)), atol=1e-15)


def test_both_layers_go_down_the_gradient_of_the_risk():
    # Brute force: risk as a function of weights in R^7, gradients by central differences.
    rng = np.random.default_rng(2)
    p, d, degree, epsilon, h = 3, 7, 3, 0.6, 1e-6
    w = rng.normal(size=(p, d))
    w /= np.linalg.norm(w, axis=1, keepdims=True)
    a = rng.normal(size=p)

    def risk(a, w):
        w = w / np.linalg.norm(w, axis=1, keepdims=True)
        own = a @ power_sums(w @ w.T, degree)[0] @ a / p**2
        return 0.5 * (degree + 1 + own) - np.mean(a * power_sums(w[:, 0], degree)[0])

    def gradient(of, at):
        out = np.empty(at.shape)
        for index in np.ndindex(at.shape):
            step = np.zeros(at.shape)
            step[index] = h
            out[index] = (of(at + step) - of(at - step)) / (2 * h)
        return out

    da = -p * epsilon * gradient(lambda v: risk(v, w), a)
    dw = -p * gradient(lambda v: risk(a, v), w)
    q = w @ w.T
    state = np.concatenate([a, w[:, 0], q.ravel()])[None]
    found = slopes_finite_width(state, np.array([epsilon]), p, degree)[0]
    dq = dw @ w.T + w @ dw.T
    np.testing.assert_allclose(found, [*da, *dw[:, 0], *dq.ravel()], rtol=1e-6, atol=1e-8)
    # With q_il = s_i s_l, diagonal included, it is the mean-field rule.
    s = w[:, 0]
    flat = np.concatenate([a, s, np.outer(s, s).ravel()])[None]
    wide = slopes_finite_width(flat, np.array([epsilon]), p, degree)[0, :p]
    mean = slopes_mean_field(flat[:, : 2 * p], np.array([epsilon]), p, degree)[0]
    np.testing.assert_allclose(wide, mean[:p], rtol=1e-12)


@pytest.mark.parametrize("epsilon", [0.1, 10.0])
def test_sgd_of_two_layers_follows_the_flow_of_its_width(epsilon):
    given = {"width": 5, "degree": 1, "epsilon": epsilon, "times": (0.1, 0.5, 1.0, 3.0)}
    flow = solve("two_time_scales", interaction="finite_width", **given)
    run = solve("two_time_scales_sgd", dimension=200, step_size=0.01, seed=np.arange(16), **given)
    error = run["components"].std(0, ddof=1) / 4
    gap = np.abs(run["components"].mean(0) - flow["components"][0])
    assert np.all(gap < 4 * error + 0.01)
    assert np.all(np.abs(run["risk"].mean(0) - flow["risk"][0]) < 0.02)


def test_a_wide_student_forgets_its_own_width():
    given = {"degree": 2, "epsilon": 1.0, "times": (0.2, 0.5, 1.0)}
    gaps = []
    for width in (8, 16):
        exact = solve("two_time_scales", width=width, interaction="finite_width", **given)
        field = solve("two_time_scales", width=width, **given)
        gaps.append(np.max(np.abs(exact["risk"] - field["risk"])))
    assert 0.35 < gaps[1] / gaps[0] < 0.65


def test_a_fast_second_layer_learns_the_degrees_one_after_another():
    times = tuple(10 ** np.linspace(-4, 0.3, 60))
    given = {"width": 12, "degree": 2, "times": times, "tolerance": 1e-6}
    learned = solve("two_time_scales", epsilon=np.array([100.0, 1000.0]), **given)
    found = learned["component_times"]
    assert np.all(np.diff(found, axis=1) > 0)
    powers = np.log10(found[1] / found[0])
    # 1/ε, and ε^(-1/4); in between ε^(-1/2) with a logarithm
    assert powers[0] == pytest.approx(-1.0, abs=0.05)
    assert -0.5 < powers[1] < -0.25
    assert powers[2] == pytest.approx(-0.25, abs=0.05)


# --- beyond stability ----------------------------------------------------------------------------


def test_absurd_steps_end_with_a_status():
    for method in ("sgd", "chain"):
        given = {"link": "hermite3", "dimension": 20, "seed": np.arange(3), "times": (1.0, 5.0)}
        huge, large = (solve(method, step_size=g, **given) for g in (1e200, 1e8))
        np.testing.assert_allclose(huge["overlap"], large["overlap"], rtol=1e-3)
        assert np.all(np.abs(huge["overlap"]) <= 1.0)
    answer = solve("staircase", leap=1, dimension=20, step_size=1e4, times=(1.0,), max_steps=200)
    assert answer["status"][0] == Status.MAX_STEPS
    assert np.isnan(answer["recovery_steps"][0])
    assert "took max_steps steps" in answer["message"][0]
    assert 0 < answer["recorded_time"][0, 0] < 1.0
    assert abs(answer["first_overlap"][0, 0]) < 1.0


def test_overflow_holds_the_last_finite_record():
    given = {"dimension": 20, "step_size": 1e300, "noise": 1e308, "step_scaling": "constant"}
    given |= {"times": (0.0, 0.1, 1.0), "seed": np.arange(2)}
    for method, names, own in (
        ("sgd", ("overlap",), {"link": "hermite3"}),
        ("chain", ("overlap",), {"link": "hermite3"}),
        ("staircase_sgd", ("first_overlap", "second_overlap"), {"leap": 3}),
    ):
        answer = solve(method, **given, **own)
        assert np.all(answer["status"] == Status.DIVERGED)
        assert answer["message"][0].startswith("diverged after time 0:")
        np.testing.assert_array_equal(answer["recorded_time"], 0.0)
        for name in names:
            assert np.all(np.abs(answer[name]) < 1.0)
            np.testing.assert_array_equal(answer[name], answer[name][:, :1].repeat(3, axis=1))


@pytest.mark.parametrize(("step_size", "unit"), [(1.0, 1.0), (1e300, 1e298)])
def test_two_layers_beyond_stability_diverge_and_say_when(step_size, unit):
    times = tuple(unit * np.array([0.0, 0.1, 1.0, 20.0]))
    given = {"width": 4, "degree": 3, "epsilon": 100.0, "dimension": 100, "seed": np.arange(3)}
    answer = solve("two_time_scales_sgd", step_size=step_size, times=times, **given)
    assert np.all(answer["status"] == Status.DIVERGED)
    assert np.all((answer["diverged_at"] > 0) & (answer["diverged_at"] < times[-1]))
    assert answer["message"][0].startswith(f"diverged at t = {answer['diverged_at'][0]:.6g};")
    assert np.all(answer["recorded_time"][:, -1] <= answer["diverged_at"])
    np.testing.assert_array_equal(answer["risk"][:, -1], answer["risk"][:, -2])
    for name in ("risk", "final_risk", "components", "recorded_time"):
        assert np.all(np.isfinite(answer[name]))
    stable = solve("two_time_scales_sgd", step_size=1e-3, times=(0.1,), **given)
    assert np.all(stable["status"] == Status.CONVERGED)
    assert np.all(np.isnan(stable["diverged_at"]))
    # A prediction error beyond the bound, at a second layer that would not feel it.
    given |= {"epsilon": 1e-12, "noise": 1e24}
    lost = solve("two_time_scales_sgd", step_size=1.0, times=(0.0, 1.0), **given)
    assert np.all(lost["status"] == Status.DIVERGED)
    np.testing.assert_array_equal(lost["diverged_at"], 0.0)
    np.testing.assert_array_equal(lost["risk"][:, 1], lost["risk"][:, 0])

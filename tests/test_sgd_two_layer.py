"""Two-layer SGD: the equations against SGD, starts, limits, published values."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import erf

from solvers.axes import FileContent
from solvers.contract import Status
from solvers.numerics.erf_integrals import excess_risk
from solvers.numerics.random import Stream
from solvers.systems.sgd_two_layer.drift import drift, pack, unpack
from solvers.systems.sgd_two_layer.starts import start_overlaps, start_weights
from tests.two_layer import METHODS, random_overlaps, solve


def slopes_of(student, teacher, target, *, ratio, noise):
    """dQ/dt and dM/dt."""
    p, k = teacher.shape
    state = pack(student[None], teacher[None])
    out = np.empty_like(state)
    drift(state, target[None], np.array([ratio]), np.array([noise]), p, k, out)
    own, cross = unpack(out, width=p, teacher_width=k)
    return own[0], cross[0]


def test_gradient_flow_descends_the_risk_along_minus_its_gradient():
    """dR/dt = -p Σ |∂R/∂w_i|² <= 0, with ∂R/∂M and ∂R/∂Q by finite differences."""
    student, teacher, target = random_overlaps(3, 2, 7)
    own, cross = slopes_of(student, teacher, target, ratio=0.0, noise=0.0)
    h = 1e-6
    ahead = excess_risk(student + h * own, teacher + h * cross, target)
    behind = excess_risk(student - h * own, teacher - h * cross, target)
    rate = (ahead - behind) / (2 * h)
    p = len(student)
    by_cross, by_own = np.zeros_like(teacher), np.zeros_like(student)
    for i in range(p):
        for r in range(teacher.shape[1]):
            step = np.zeros_like(teacher)
            step[i, r] = h
            up, down = (excess_risk(student, teacher + s * step, target) for s in (1, -1))
            by_cross[i, r] = (up - down) / (2 * h)
        for j in range(p):
            step = np.zeros_like(student)
            step[i, j] += h / 2
            step[j, i] += h / 2
            up, down = (excess_risk(student + s * step, teacher, target) for s in (1, -1))
            by_own[i, j] = (up - down) / (2 * h)
    # ∂R/∂w_i = (Σ_r R_M w*_r + 2 Σ_j R_Q w_j)/d, and gradient flow is dw_i/dt = -p d ∂R/∂w_i.
    square = (
        np.sum(by_cross @ target * by_cross)
        + 4 * np.sum(by_own @ teacher * by_cross)
        + 4 * np.sum(by_own @ student * by_own)
    )
    np.testing.assert_allclose(rate, -p * square, rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 3])
def test_equations_agree_with_scipy(seed):
    p, k, step_size, noise, times = 3, 2, 1.5, 0.01, (1.0, 10.0, 60.0, 300.0)
    student, teacher, target = start_overlaps(
        "random", width=p, teacher_width=k, dimension=1000, seed=seed
    )

    def slope(_, y):
        out = np.empty((1, len(y)))
        drift(y[None], target[None], np.array([step_size / p]), np.array([noise]), p, k, out)
        return out[0]

    start = pack(student[None], teacher[None])[0]
    reference = solve_ivp(slope, (0, times[-1]), start, "DOP853", times, rtol=1e-12, atol=1e-14)
    own, cross = unpack(reference.y.T, width=p, teacher_width=k)
    found = solve(
        "ode", width=p, teacher_width=k, step_size=step_size, noise=noise, times=times, seed=seed
    )
    assert found["status"][0] == Status.CONVERGED
    np.testing.assert_allclose(found["student_overlap"][0], own, atol=1e-9)
    np.testing.assert_allclose(found["teacher_overlap"][0], cross, atol=1e-9)
    np.testing.assert_allclose(found["excess_risk"][0], excess_risk(own, cross, target), rtol=1e-8)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-7])
def test_tolerance_is_the_relative_accuracy_of_the_risk(tolerance):
    given = {"width": 2, "teacher_width": 2, "step_size": [0.3, 2.0], "noise": 1e-3}
    given["times"] = tuple(np.geomspace(0.1, 500, 12))
    fine = solve("ode", **given, tolerance=1e-12)
    found = solve("ode", **given, tolerance=tolerance)
    np.testing.assert_allclose(found["excess_risk"], fine["excess_risk"], rtol=tolerance)
    assert np.all(found["steps"] < fine["steps"])


def test_gradient_flow_is_the_limit_of_small_steps():
    """The difference is linear in the step size; under gradient flow, step size and noise are idle."""
    given = {"width": 2, "teacher_width": 2, "noise": 0.1, "times": (3.0, 20.0)}
    steps = np.array([1e-4, 2e-4])
    flow = solve("ode", **given, step_size=steps, limit="gradient_flow")["excess_risk"]
    risk = solve("ode", **given, step_size=steps)["excess_risk"]
    np.testing.assert_array_equal(flow[0], flow[1])
    np.testing.assert_allclose((risk[1] - flow[1]) / (risk[0] - flow[0]), 2, rtol=2e-3)
    np.testing.assert_allclose(risk, flow, rtol=2e-2)


def test_a_recovered_teacher_is_a_resting_point_without_noise():
    own = random_overlaps(2, 2, 3)[2]
    found = solve(
        "ode",
        width=2,
        teacher_width=2,
        step_size=5.0,
        times=(0.0, 100.0),
        initial={"M": own, "Q": own, "P": own},
    )
    assert np.all(found["excess_risk"] < 1e-15)
    np.testing.assert_allclose(found["student_overlap"][0, 1], own, rtol=1e-12)


def test_units_can_be_renamed():
    student, teacher, target = random_overlaps(3, 2, 1)
    order, other = [2, 0, 1], [1, 0]
    given = {"width": 3, "teacher_width": 2, "step_size": 1.0, "noise": 0.01, "times": (5.0, 40.0)}
    first = solve("ode", **given, initial={"M": teacher, "Q": student, "P": target})
    renamed = {
        "M": teacher[np.ix_(order, other)],
        "Q": student[np.ix_(order, order)],
        "P": target[np.ix_(other, other)],
    }
    second = solve("ode", **given, initial=renamed)
    np.testing.assert_allclose(second["excess_risk"], first["excess_risk"], rtol=1e-8)
    np.testing.assert_allclose(
        second["teacher_overlap"][0], first["teacher_overlap"][0][:, order][:, :, other], atol=1e-9
    )


def test_running_out_of_steps_holds_the_last_state():
    found = solve(
        "ode", width=2, teacher_width=2, step_size=1.0, times=(1.0, 10.0, 1e4), max_steps=30
    )
    assert found["status"][0] == Status.MAX_STEPS
    assert found["steps"][0] == 30
    assert 1.0 < found["recorded_time"][0, -1] < 1e4
    assert np.all(np.isfinite(found["excess_risk"]))


def slow_sgd(*, width, teacher_width, step_size, noise, dimension, seed, steps):
    """The update rule as it is written, in NumPy, from the same samples."""
    w, teacher = start_weights(
        "random", width=width, teacher_width=teacher_width, dimension=dimension, seed=seed
    )
    rows = Stream("sgd_two_layer", seed, dimension, "samples").normals(
        0, steps, dimension + 1, dtype=np.float32
    )
    for row in rows.astype(float):
        x = row[:-1] / math.sqrt(dimension)
        y = erf(teacher @ x / math.sqrt(2)).mean() + math.sqrt(noise) * row[-1]
        fields = w @ x
        f = erf(fields / math.sqrt(2)).mean()
        slope = math.sqrt(2 / math.pi) * np.exp(-(fields**2) / 2)
        w = w + step_size / width * (y - f) * np.outer(slope, x)
    return w @ w.T / dimension, w @ teacher.T / dimension


def test_simulation_follows_the_update_rule():
    given = {
        "width": 3,
        "teacher_width": 2,
        "step_size": 2.5,
        "noise": 0.1,
        "seed": 5,
        "dimension": 40,
    }
    unit = given["step_size"] / (3 * 40)
    found = solve("sgd", **given, times=(0.0, 150.4 * unit, 400 * unit))
    for row, steps in ((1, 150), (2, 400)):
        own, cross = slow_sgd(**given, steps=steps)
        np.testing.assert_allclose(found["student_overlap"][0, row], own, rtol=1e-9)
        np.testing.assert_allclose(found["teacher_overlap"][0, row], cross, rtol=1e-9)
    np.testing.assert_allclose(found["recorded_time"][0], [0, 150 * unit, 400 * unit], rtol=1e-12)
    np.testing.assert_allclose(found["residual"][0], 0.4 * unit, rtol=1e-6)
    assert found["steps"][0] == 400


def test_a_longer_run_goes_on_where_a_shorter_one_ended():
    given = {"width": 2, "teacher_width": 1, "step_size": [0.7, 3.0], "noise": 0.2, "seed": [4, 4]}
    short = solve("sgd", **given, dimension=30, times=(0.5, 2.0))
    long = solve("sgd", **given, dimension=30, times=(0.5, 1.0, 2.0, 9.0))
    np.testing.assert_allclose(long["excess_risk"][:, [0, 2]], short["excess_risk"], rtol=1e-10)


@pytest.fixture(scope="module")
def deviations():
    """SGD minus ODE from the same starts, (seeds, times), at two dimensions; and the risks."""
    found = {}
    times = (0.5, 2.0, 8.0, 25.0, 60.0)
    given = {"width": 3, "teacher_width": 2, "step_size": 1.5, "noise": 0.05, "times": times}
    for dimension in (100, 400):
        seeds = np.arange(24)
        theory = solve("ode", **given, seed=seeds, dimension=np.full(24, dimension))
        measured = solve("sgd", **given, seed=seeds, dimension=dimension)
        overlaps = {
            name: measured[name] - theory[name] for name in ("student_overlap", "teacher_overlap")
        }
        found[dimension] = (theory["excess_risk"], measured["excess_risk"], overlaps)
    return found


def test_simulated_risk_agrees_with_the_equations(deviations):
    """Mean over 24 seeds within four standard errors and a bias of order 1/dimension."""
    for dimension, (theory, measured, _) in deviations.items():
        difference = measured - theory
        error = difference.std(axis=0, ddof=1) / math.sqrt(len(difference))
        allowed = 4 * error + 4 / dimension * theory.mean(axis=0)
        assert np.all(np.abs(difference.mean(axis=0)) < allowed), dimension


def test_deviations_shrink_as_the_root_of_dimension(deviations):
    """Overlaps deviate by a multiple of √(step_size/(dimension width)) that is flat in dimension."""
    spread = {
        dimension: math.sqrt(np.mean([np.mean(v**2) for v in overlaps.values()]))
        for dimension, (_, _, overlaps) in deviations.items()
    }
    assert 1.6 < spread[100] / spread[400] < 2.5
    assert spread[400] < 3 * math.sqrt(1.5 / (400 * 3))


def test_random_starts_are_the_same_for_theory_and_simulation():
    given = {"width": 3, "teacher_width": 2, "step_size": 1.0, "times": (0.0, 1e-9), "seed": [0, 7]}
    theory = solve("ode", **given, dimension=50)
    measured = solve("sgd", **given, dimension=50)
    for name in ("student_overlap", "teacher_overlap", "target_overlap"):
        np.testing.assert_allclose(measured[name], theory[name], rtol=1e-7, atol=1e-9)
    assert not np.allclose(theory["target_overlap"][0], theory["target_overlap"][1])
    narrow = solve("sgd", **{**given, "width": 2}, dimension=50)
    np.testing.assert_allclose(
        narrow["student_overlap"], measured["student_overlap"][:, :, :2, :2], rtol=1e-12
    )


def test_a_file_reproduces_a_run(tmp_path):
    given = {
        "width": 2,
        "teacher_width": 2,
        "step_size": 0.8,
        "noise": 0.01,
        "times": (0.0, 5.0, 30.0),
    }
    own, cross, target = start_overlaps("random", width=2, teacher_width=2, dimension=500, seed=3)
    np.savez(tmp_path / "start.npz", M=cross, Q=own, P=target)
    text = json.dumps({"M": cross.tolist(), "Q": own.tolist(), "P": target.tolist()})
    (tmp_path / "start.json").write_text(text)
    from_seed = solve("ode", **given, dimension=500, seed=3)
    for name in ("start.npz", "start.json"):
        from_file = solve("ode", **given, initial=str(tmp_path / name))
        for observable in METHODS["ode"].gives:
            np.testing.assert_array_equal(from_file[observable], from_seed[observable])
    first, second = (
        solve("sgd", **given, dimension=60, seed=[1, 2], initial=str(tmp_path / name))
        for name in ("start.npz", "start.json")
    )
    for observable in METHODS["sgd"].gives:
        np.testing.assert_array_equal(first[observable], second[observable])
    for point in range(2):  # weights of any orientation, with exactly these overlaps
        np.testing.assert_allclose(first["student_overlap"][point, 0], own, rtol=1e-12)
        np.testing.assert_allclose(first["teacher_overlap"][point, 0], cross, atol=1e-13)
        np.testing.assert_allclose(first["target_overlap"][point], target, rtol=1e-12)
    assert np.all(first["excess_risk"][0, 1:] != first["excess_risk"][1, 1:])


def test_a_file_with_dependent_weights_is_a_start():
    same = np.ones((2, 2))
    found = solve(
        "sgd",
        width=2,
        teacher_width=2,
        step_size=1.0,
        dimension=20,
        seed=0,
        times=(0.0, 1.0),
        initial={"M": 0.1 * same, "Q": 0.3 * same, "P": np.eye(2)},
    )
    np.testing.assert_allclose(found["student_overlap"][0, 0], 0.3 * same, rtol=1e-12)
    np.testing.assert_allclose(found["teacher_overlap"][0, 0], 0.1 * same, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"M": np.zeros((2, 2))}, r"array M has shape \(2, 2\); width=2 and teacher_width=1"),
        ({"Q": [[1.0, 0.2], [0.3, 1.0]]}, "must be symmetric"),
        ({"M": [[1.2], [0.0]]}, "negative eigenvalue"),
    ],
)
def test_overlaps_that_are_none_are_refused(change, message):
    arrays = {"M": np.zeros((2, 1)), "Q": np.eye(2), "P": np.eye(1)} | change
    for method, own in (("ode", {}), ("sgd", {"dimension": 20, "seed": 0})):
        with pytest.raises(ValueError, match=message):
            solve(
                method,
                width=2,
                teacher_width=1,
                step_size=1.0,
                initial=FileContent.of(arrays),
                **own,
            )


def test_too_few_dimensions_for_given_overlaps_are_refused():
    arrays = {"M": np.zeros((2, 1)), "Q": np.eye(2), "P": np.eye(1)}
    with pytest.raises(ValueError, match="take dimension >= 3"):
        solve("sgd", width=2, teacher_width=1, step_size=1.0, dimension=2, seed=0, initial=arrays)


def test_overflow_is_a_status_with_the_last_finite_record():
    times = tuple(1e20 * step / 60 for step in (0, 1, 2, 3, 50))
    given = {"width": 2, "teacher_width": 1, "step_size": 1e20, "noise": 1e300, "times": times}
    found = solve("sgd", **given, dimension=30, seed=0)
    assert found["status"][0] == Status.DIVERGED
    assert np.all(np.isfinite(found["student_overlap"]))
    assert found["recorded_time"][0, -1] < times[-1]
    found = solve("ode", **given)
    assert found["status"][0] == Status.NOT_FINITE
    assert np.all(found["recorded_time"] == 0)
    assert np.all(np.isfinite(found["excess_risk"]))


def test_large_steps_do_not_stop_a_bounded_network():
    """Units saturate: overlaps grow, the excess risk stays below (1 + 1)²/2."""
    found = solve(
        "ode", width=2, teacher_width=2, step_size=[1e2, 1e4], noise=1.0, times=(1.0, 100.0)
    )
    assert np.all(found["status"] == Status.CONVERGED)
    assert np.all(found["excess_risk"] < 2)
    assert np.all(found["student_overlap"][:, -1, 0, 0] > 10)


_TABLE = Path(__file__).parents[1] / "data" / "published" / "sgd_two_layer.csv"
PUBLISHED = list(csv.DictReader(_TABLE.read_text().splitlines()))


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["parameters"])
def test_published_values(row):
    units = int(dict(p.split("=") for p in row["parameters"].split(";"))["width"])
    same, one = np.ones((units, units)), np.eye(units)
    given = {"width": units, "teacher_width": units}
    if row["quantity"] == "symmetric_plateau_excess_risk":
        start = {"M": 0.2 * same, "Q": 0.5 * same, "P": one}
        given |= {"step_size": 1.0, "limit": "gradient_flow", "times": (80.0,), "initial": start}
        value, rtol = solve("ode", **given)["final_excess_risk"][0], 1e-6
    else:
        start, step, noise = {"M": one, "Q": one, "P": one}, np.array([1e-4, 2e-4]), 1e-2
        given |= {"step_size": step, "noise": noise, "times": (1e3 * units,), "initial": start}
        risk = solve("ode", **given)["final_excess_risk"] / (step * noise)
        value, rtol = 2 * risk[0] - risk[1], 1e-6  # to step_size -> 0, where corrections are linear
    np.testing.assert_allclose(value, float(row["value"]), rtol=rtol)

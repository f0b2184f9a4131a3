"""Limits, units, second layer and plateaus of two-layer SGD: equations, samples and each other."""

import json
import math
import warnings

import array_api_compat.numpy
import numpy as np
import pytest

from solvers.contract import Status
from solvers.systems.sgd_two_layer.descent import Run, descend
from solvers.systems.sgd_two_layer.lockstep import descend_together
from solvers.systems.sgd_two_layer.observing import BOUND, escape_time
from solvers.systems.sgd_two_layer.starts import start_weights
from tests.two_layer import random_overlaps, solve

UNITS = ("erf", "relu", "quadratic")


def mean_and_error(samples):
    return samples.mean(axis=0), samples.std(axis=0, ddof=1) / math.sqrt(len(samples))


@pytest.mark.parametrize("second_layer", ["fixed", "trained"])
@pytest.mark.parametrize(("unit", "step_size"), [("erf", 1.5), ("relu", 0.8), ("quadratic", 0.08)])
def test_simulation_follows_the_equations(unit, step_size, second_layer):
    """Mean over 24 seeds within 4.5 standard errors and a bias of order 1/dimension."""
    seeds, dimension = np.arange(24), 200
    given = {
        "width": 3,
        "teacher_width": 2,
        "activation": unit,
        "second_layer": second_layer,
        "step_size": step_size,
        "noise": 0.05,
        "times": (0.3, 1.0, 3.0),
        "seed": seeds,
    }
    theory = solve("ode", **given, dimension=np.full(24, dimension))
    measured = solve("sgd", **given, dimension=dimension)
    for name in ("excess_risk", "second_layer_weights"):
        mean, error = mean_and_error(measured[name] - theory[name])
        allowed = 4.5 * error + 6 / dimension * np.abs(theory[name]).mean(axis=0) + 1e-12
        assert np.all(np.abs(mean) < allowed), name
    if second_layer == "fixed":
        np.testing.assert_array_equal(theory["second_layer_weights"], 1.0)
    else:
        assert np.ptp(theory["second_layer_weights"][:, -1]) > 0.02


def test_a_student_may_have_other_units_than_its_teacher():
    """relu that learns one erf unit: both, the equations and the samples, stay above zero risk."""
    given = {"width": 2, "teacher_width": 1, "activation": "relu", "teacher_activation": "erf"}
    given |= {"step_size": 0.5, "times": (5.0, 40.0), "seed": np.arange(16)}
    theory = solve("ode", **given, dimension=np.full(16, 400))
    measured = solve("sgd", **given, dimension=400)
    mean, error = mean_and_error(measured["excess_risk"] - theory["excess_risk"])
    assert np.all(np.abs(mean) < 4.5 * error + 6 / 400 * theory["excess_risk"].mean(axis=0))
    same = solve("ode", **(given | {"teacher_activation": "relu"}), dimension=np.full(16, 400))
    assert theory["excess_risk"][:, -1].min() > 10 * same["excess_risk"][:, -1].min()


@pytest.mark.parametrize("unit", UNITS)
def test_finite_dimension_is_the_mean_of_one_step_at_every_dimension(unit):
    """Mean change of Q in one step over many samples in 3 dimensions, to the standard error.

    The time of the record is that of one step, so that the equations take about one Euler step:
    their curvature is of second order in the step, which a small step size keeps small.
    """
    p, k, dimension, step_size, noise, count = 2, 1, 5, 1e-3, 0.2, 400_000
    student, teacher, target = random_overlaps(p, k, 2, dimension)
    rng = np.random.default_rng(5)
    joint = np.block([[student, teacher], [teacher.T, target]])
    weights = np.zeros((p + k, dimension))
    weights[:, : p + k] = np.linalg.cholesky(joint) * math.sqrt(dimension)
    x = rng.normal(size=(count, dimension))
    fields = x @ weights.T / math.sqrt(dimension)
    value = {
        "erf": np.vectorize(math.erf),
        "relu": lambda u: np.maximum(u, 0),
        "quadratic": np.square,
    }[unit]
    slope = {
        "erf": lambda u: math.sqrt(2 / math.pi) * np.exp(-u * u / 2),
        "relu": lambda u: (u > 0) * 1.0,
        "quadratic": lambda u: 2 * u,
    }[unit]
    outputs = value(fields if unit != "erf" else fields / math.sqrt(2))
    error = outputs[:, p:].mean(axis=1) - outputs[:, :p].mean(axis=1)
    error += math.sqrt(noise) * rng.normal(size=count)
    kick = error[:, None] * slope(fields[:, :p])
    square = kick[:, :, None] * kick[:, None, :] * np.sum(x * x, axis=1)[:, None, None] / dimension
    measured, deviation = mean_and_error(square)
    found = {}
    for limit in ("gradient_flow", "high_dimensional", "finite_dimension"):
        unit_of_time = step_size / (p * dimension)
        run = solve(
            "ode",
            width=p,
            teacher_width=k,
            activation=unit,
            step_size=step_size,
            noise=noise,
            limit=limit,
            times=(unit_of_time,),
            dimension=[dimension],
            initial={"M": teacher, "Q": student, "P": target},
        )
        found[limit] = run["student_overlap"][0, 0]
    scale = (step_size / p) ** 2 / dimension
    term = (found["finite_dimension"] - found["gradient_flow"]) / scale
    np.testing.assert_array_less(np.abs(term - measured), 4.5 * deviation + 1e-3 * np.abs(term))
    infinite = (found["high_dimensional"] - found["gradient_flow"]) / scale
    assert np.max(np.abs(infinite - measured) / deviation) > 10


@pytest.mark.parametrize(
    ("unit", "times", "largest"), [("erf", (0.3, 1.0, 3.0), 0.7), ("quadratic", (0.1, 0.3), 0.02)]
)
def test_error_of_the_mean_field_falls_with_width_and_dimension(unit, times, largest):
    """Relative error of the risk at fixed dimension/width: at least halved by a factor of eight."""
    errors = []
    for width, dimension in ((4, 100), (32, 800)):
        given = {
            "width": width,
            "teacher_width": 2,
            "activation": unit,
            "step_size": 0.2,
            "noise": 0.01,
            "times": times,
            "seed": np.arange(4),
            "dimension": np.full(4, dimension),
        }
        full = solve("ode", **given)["excess_risk"]
        reduced = solve("ode", **given, limit="mean_field")["excess_risk"]
        errors.append(math.sqrt(np.mean((reduced / full - 1) ** 2)))
    assert 0 < errors[1] < 0.5 * errors[0]
    assert errors[0] < largest


def test_error_of_the_reduced_overlaps_is_below_its_law():
    """RMS error of Q against 0.4 (width^(-1/2) + dimension^(-1/2)), and what remains of each term."""
    error = {}
    for width, dimension in ((2, 64), (2, 16_384), (16, 64), (16, 1024), (16, 16_384)):
        given = {"width": width, "teacher_width": 1, "step_size": 0.1, "noise": 0.01}
        given |= {"times": (1.0,), "seed": np.arange(6), "dimension": np.full(6, dimension)}
        full, reduced = (
            solve("ode", **given, limit=limit)["student_overlap"]
            for limit in ("high_dimensional", "mean_field")
        )
        error[width, dimension] = math.sqrt(np.mean((full - reduced) ** 2))
        assert error[width, dimension] < 0.4 * (width**-0.5 + dimension**-0.5)
    # Where few units dominate the dimension does not matter; where many do, it is its root.
    assert error[2, 64] / error[2, 16_384] < 1.4
    assert 2 < error[16, 64] / error[16, 1024] < 4
    assert error[2, 16_384] / error[16, 16_384] > math.sqrt(16 / 2)


def test_mean_field_is_exact_where_nothing_is_dropped():
    """One unit has no overlaps with others: the reduced equations are the full ones."""
    given = {"width": 1, "teacher_width": 2, "step_size": 1.3, "noise": 0.1, "times": (1.0, 9.0)}
    full, reduced = (
        solve("ode", **given, limit=limit, seed=[3], dimension=[50])
        for limit in ("high_dimensional", "mean_field")
    )
    for name in ("excess_risk", "student_overlap", "teacher_overlap"):
        np.testing.assert_allclose(reduced[name], full[name], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("unit", ["erf", "quadratic"])
def test_both_integrators_agree(unit):
    given = {"width": 2, "teacher_width": 2, "activation": unit, "noise": 1e-3}
    given |= {"step_size": [0.05, 0.3], "times": (1.0, 10.0, 60.0), "tolerance": 1e-6}
    explicit = solve("ode", **given)
    implicit = solve("ode", **given, integrator="implicit")
    assert np.all(implicit["status"] == Status.CONVERGED)
    np.testing.assert_allclose(implicit["excess_risk"], explicit["excess_risk"], rtol=1e-4)


@pytest.mark.parametrize("integrator", ["explicit", "implicit"])
def test_a_step_size_beyond_stability_diverges_and_says_when(integrator):
    times = (0.01, 0.1, 1.0, 10.0)
    given = {
        "width": 2,
        "teacher_width": 1,
        "activation": "quadratic",
        "noise": 0.1,
        "times": times,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = solve("ode", **given, step_size=[0.05, 2.0], integrator=integrator)
        runs = solve("sgd", **given, step_size=[0.05, 2.0], dimension=400, seed=[0, 0])
    for answer in (found, runs):
        assert list(answer["status"]) == [Status.CONVERGED, Status.DIVERGED]
        assert math.isnan(answer["diverged_at"][0])
        assert 0 < answer["diverged_at"][1] < 1
        assert answer["message"][1].startswith(f"diverged at t = {answer['diverged_at'][1]:.6g};")
        for name in ("excess_risk", "student_overlap", "teacher_overlap", "recorded_time"):
            assert np.all(np.isfinite(answer[name]))
        assert answer["recorded_time"][1, -1] <= answer["diverged_at"][1]
    assert 0.2 < runs["diverged_at"][1] / found["diverged_at"][1] < 5


def test_bound_is_passed_and_not_far():
    """The state held by a diverged run is the last of order BOUND."""
    found = solve(
        "ode",
        width=1,
        teacher_width=1,
        activation="quadratic",
        step_size=8.0,
        noise=0.1,
        times=(1.0,),
    )
    largest = np.max(found["student_overlap"])
    assert BOUND / 1e3 < largest < BOUND * 1e3


def lockstep_runs(give, **given):
    """Records of `sgd` with the steps taken by `give(runs, seeds, ...)`."""
    runs = []
    for seed, step_size in zip(given["seeds"], given["step_sizes"], strict=True):
        student, teacher = start_weights(
            "random", width=3, teacher_width=2, dimension=30, seed=int(seed)
        )
        records = np.array([0, 0, 7, 7, int(40 * step_size), 200])
        runs.append(Run.start(student, teacher, rate=step_size / 3, noise=0.1, records=records))
    give(runs)
    return runs


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("xp", [np, array_api_compat.numpy], ids=["numpy", "compat"])
def test_lockstep_takes_the_same_steps(xp, unit, trained):
    seeds, steps = np.array([4, 9, 4]), [0.5, 0.3, 2.0 if unit != "quadratic" else 60.0]
    network = {"dimension": 30, "units": (unit, "erf"), "trained": trained}

    def alone(runs):
        for seed in np.unique(seeds):
            chosen = [run for run, own in zip(runs, seeds, strict=True) if own == seed]
            descend(chosen, seed=int(seed), **network)

    def together(runs):
        with np.errstate(all="ignore"):
            descend_together(runs, seeds, xp=xp, **network)

    given = {"seeds": seeds, "step_sizes": steps}
    first, second = lockstep_runs(alone, **given), lockstep_runs(together, **given)
    assert (first[2].diverged >= 0) == (unit == "quadratic")
    for a, b in zip(first, second, strict=True):
        assert (a.diverged, a.following) == (b.diverged, b.following)
        for name in ("student_overlap", "teacher_overlap", "second_records"):
            rows = slice(a.following)
            np.testing.assert_allclose(
                getattr(a, name)[rows], getattr(b, name)[rows], rtol=1e-6, atol=1e-8
            )


def plateau(times, left):
    """A risk that falls to 0.1, rests, and falls again after `left`."""
    return 0.9 * np.exp(-times) + 0.1 / (1 + (times / left) ** 4)


@pytest.mark.parametrize("left", [30.0, 300.0, 3000.0])
def test_escape_time_is_where_the_plateau_has_halved(left):
    times = np.geomspace(0.01, 1e5, 141)
    found, why = escape_time(times, plateau(times, left))
    assert why == ""
    np.testing.assert_allclose(found, left, rtol=0.03)


@pytest.mark.parametrize(
    "risk",
    [
        lambda t: 1 / (1 + t),
        lambda t: 0.9 * np.exp(-t) + 0.1,
        lambda t: np.exp(-((t / 1e3) ** 4)),
        np.ones_like,
    ],
    ids=["steady", "not left", "not reached", "constant"],
)
def test_a_missing_escape_time_says_why(risk):
    times = np.geomspace(0.01, 1e3, 101)
    found, why = escape_time(times, risk(times))
    assert math.isnan(found)
    assert why.startswith("no plateau is left")


def test_two_times_show_no_plateau():
    found, why = escape_time(np.array([1.0, 2.0]), np.array([1.0, 0.1]))
    assert math.isnan(found)
    assert why.startswith("fewer than three")


def test_escape_time_is_not_moved_by_noise_or_by_more_times():
    rng = np.random.default_rng(0)
    found = []
    for count in (61, 241):
        times = np.geomspace(0.01, 1e4, count)
        noisy = plateau(times, 300.0) * np.exp(0.02 * rng.normal(size=count))
        found.append(escape_time(times, noisy)[0])
    np.testing.assert_allclose(found, 300.0, rtol=0.06)


def test_plateau_is_left_in_equations_and_samples():
    """Two and three erf units that learn as many, far from d -> infinity: within a factor of two."""
    times = tuple(np.geomspace(0.1, 1e3, 41))
    for width in (2, 3):
        given = {"width": width, "teacher_width": width, "step_size": 4.0, "times": times}
        theory = solve("ode", **given, seed=np.arange(5), dimension=np.full(5, 400))
        measured = solve("sgd", **given, seed=np.arange(5), dimension=400)
        ratio = measured["escape_time"] / theory["escape_time"]
        assert np.all((ratio > 0.5) & (ratio < 2.0))


def test_command_of_a_run_from_a_file(tmp_path, phasesweep):
    student, teacher, target = random_overlaps(8, 4, 0, 200)
    np.savez(tmp_path / "start.npz", M=teacher, Q=student, P=target)
    words = f"width=8 teacher_width=4 step_size=0.1 noise=1e-3 initial={tmp_path}/start.npz"
    command = ["solve", "sgd_two_layer", "ode", *words.split(), "times=1,10,100", "--json"]
    status, out, _ = phasesweep(*command)
    assert status == 0
    row = json.loads(out)
    assert row["times"] == [1, 10, 100]
    again = solve(
        "ode",
        width=8,
        teacher_width=4,
        step_size=0.1,
        noise=1e-3,
        times=(1, 10, 100),
        initial=str(tmp_path / "start.npz"),
    )
    np.testing.assert_array_equal(row["excess_risk"], again["excess_risk"][0])
    for bad, word in (
        ("width=7", "width=7 and"),
        ("step_size=-1", "step_size"),
        ("initial=/nowhere.npz", "nowhere.npz"),
        ("limit=mean", "mean_field"),
    ):
        name = bad.split("=")[0]
        wrong = [bad if part.startswith(f"{name}=") else part for part in command]
        wrong += [bad] if bad not in wrong else []
        status, out, err = phasesweep(*wrong)
        assert (status, out) == (2, "")
        assert word in err
        assert "Traceback" not in err

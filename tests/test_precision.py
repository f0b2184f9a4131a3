"""Message passing with products of rounded factors: its error, its end, its instances, its memory."""

from __future__ import annotations

import math
import re

import array_api_compat.numpy as anp
import numpy as np
import pytest

from benchmarks.gpu import batch, solver
from phasesweep.batches import cut
from phasesweep.errors import UserError
from phasesweep.grid import expand
from phasesweep.sweepfile import single_method
from solvers.contract import Status, load_system
from solvers.numerics import lockstep
from solvers.numerics.lockstep import device
from solvers.numerics.lockstep.held import PLAIN, Held
from solvers.systems.glm_bayes import instance as instance_module
from solvers.systems.glm_bayes.instance import Instance
from solvers.systems.glm_bayes.model import Model
from tests.blas import Library
from tests.namespaces import elsewhere
from tests.test_glm_bayes import call

LOW = ["half", "tf32"]
SPARSE = {"prior": "gauss_bernoulli", "channel": "linear", "sparsity": 0.2, "damping": 0.3}


def many(precision, seeds, **given):
    """Results of several seeds, stacked: (seeds, points)."""
    runs = [call("gamp", seed=seed, precision=precision, **given) for seed in range(seeds)]
    return {n: np.stack([run[n] for run in runs]) for n in runs[0] if n != "message"}


# Error --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"prior": "rademacher", "channel": "sign", "alpha": [0.5, 1.0]},
        {"prior": "gaussian", "channel": "sign", "alpha": [1.5, 3.0], "noise": 0.1},
        {**SPARSE, "alpha": [0.6, 1.0], "noise": 0.01},
    ],
    ids=["binary", "noisy", "sparse"],
)
@pytest.mark.parametrize("precision", LOW)
def test_rounding_is_far_below_the_sampling_error(precision, given):
    given = {**given, "dimension": 500, "iterations": 0, "max_steps": 500}
    exact, rounded = many("double", 16, **given), many(precision, 16, **given)
    for name in ("overlap", "mse", "label_mse", "free_entropy"):
        error = exact[name].std(axis=0, ddof=1) / np.sqrt(16)
        difference = np.abs(rounded[name] - exact[name])
        assert np.all(difference.mean(axis=0) < 0.1 * error), name
        assert np.all(difference.max(axis=0) > 1e-9), name


@pytest.mark.parametrize("precision", LOW)
def test_exact_recovery_ends_at_the_rounding_of_the_factors(precision):
    """mse/rho about eps²/4, not the 1e-11 of single precision: half must not be used for it."""
    given = {**SPARSE, "alpha": [0.6, 0.8, 1.5], "dimension": 500, "iterations": 0}
    runs = many(precision, 8, **given, tolerance=3e-3)
    good = runs["status"] == Status.CONVERGED
    assert good.mean() > 0.9
    assert np.all(np.isposinf(runs["free_entropy"][good]))
    assert np.all((runs["mse"][good] > 1e-8 * 0.2) & (runs["mse"][good] < 3e-5 * 0.2))
    assert np.all(many("single", 2, **given)["mse"] < 1e-10)


# End ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", LOW)
def test_a_tolerance_below_rounding_is_not_claimed(precision):
    given = {"prior": "gaussian", "channel": "sign", "alpha": [0.5, 2.0], "dimension": 400,
             "seed": 0, "precision": precision}  # fmt: skip
    fine = call("gamp", **given, tolerance=1e-5)
    assert np.all(fine["status"] == Status.UNDECIDED)
    assert np.all((fine["residual"] > 1e-5) & (fine["residual"] < 2e-3))
    assert np.all(fine["steps"] < 60)
    assert all("take tolerance 0.00" in text and "single" in text for text in fine["message"])
    named = float(re.search(r"tolerance ([\d.]+)", fine["message"][1]).group(1))
    coarse = call("gamp", **given, tolerance=named)
    assert np.all(coarse["status"] == Status.CONVERGED)
    assert set(coarse["message"]) == {""}
    np.testing.assert_allclose(coarse["overlap"], fine["overlap"], atol=5e-3)
    single = call("gamp", **{**given, "precision": "single"})
    assert np.all(single["status"] == Status.CONVERGED)
    assert "message" not in single
    np.testing.assert_allclose(fine["overlap"], single["overlap"], atol=2e-3)


def test_points_that_go_on_moving_are_not_ended_early():
    """What never settles in single precision does not settle in half either."""
    given = {"prior": "gauss_bernoulli", "channel": "linear", "sparsity": 0.2, "alpha": 0.5,
             "noise": 0.01, "dimension": 500, "iterations": 0}  # fmt: skip
    single, half = many("single", 12, **given), many("half", 12, **given)
    wanders = single["status"] == Status.MAX_STEPS
    assert wanders.any()
    assert np.mean((half["status"] == Status.MAX_STEPS) == wanders) > 0.8


def test_systems_that_have_the_words():
    for system, name in (
        ("glm_bayes", "gamp"),
        ("phase_retrieval", "gamp"),
        ("sparse_recovery", "bayes_amp"),
    ):
        axis = load_system(system).methods[name].axes["precision"]
        assert [axis.parse(word) for word in ("single", "double", *LOW)]
        assert axis.default == "single"
    method = load_system("sparse_recovery").methods["l1_amp"]
    with pytest.raises(UserError, match="precision"):
        single_method(method, {"precision": "half"}, "test")
    point = {"alpha": 0.8, "sparsity": 0.2, "dimension": 200, "seed": 0, "precision": "half"}
    for answer in (
        call("bayes_amp", system="sparse_recovery", **point),
        call("gamp", system="phase_retrieval", prior="gaussian", **{**point, "alpha": 3.0}),
    ):
        assert answer["status"][0] == Status.UNDECIDED
        assert "tolerance" in answer["message"][0]


# Instances ----------------------------------------------------------------------------------------


def draw(precision, xp, *, prior="rademacher", channel="sign", design="gaussian", alpha=1.5):
    one = np.ones(1)
    columns = {"sparsity": 0.3 * one, "kappa": 0 * one, "noise": 0 * one}
    return Instance.draw(
        model=Model.of(prior=prior, channel=channel, **columns), alpha=alpha * one, dimension=101,
        seed=3, design=design, xp=xp, dtype=xp.float32, held=Held.of(precision),
    )  # fmt: skip


@pytest.mark.parametrize("precision", LOW)
def test_the_rounded_design_is_the_instance(precision):
    """Entries rounded once, the same on CPU and device; labels of exact products of these."""
    plain, here = draw("single", anp), draw(precision, anp, channel="linear")
    there = draw(precision, elsewhere(), channel="linear")
    root = np.sqrt(101)
    assert here.held.scale == pytest.approx(1 / root)
    stream = plain.design.astype(float) * root
    error = np.abs(here.design - stream)
    assert 0 < error.max() <= 2.0**-10
    np.testing.assert_array_equal(here.design.astype(np.float16), here.design)
    assert there.design.dtype == (np.float16 if precision == "half" else np.float32)
    # Normals of two namespaces differ by rounding, and then at times by a whole place.
    np.testing.assert_allclose(there.design, here.design, atol=1e-30, rtol=1.01 * 2.0**-10)
    assert np.mean(there.design != here.design) < 0.01
    for instance in (here, there):
        exact = instance.design.astype(float) @ instance.teacher.astype(float) / root
        np.testing.assert_allclose(instance.labels, exact, atol=2e-6)


@pytest.mark.parametrize("xp", [anp, elsewhere()], ids=["cpu", "device"])
def test_binary_instances_are_the_same_in_every_format(xp):
    """±1 is exact in all of them: the same labels, ties included, and almost the same messages."""
    single = draw("single", anp, design="rademacher", alpha=3.0)
    for precision in ("double", *LOW):
        other = draw(precision, xp, design="rademacher", alpha=3.0)
        np.testing.assert_array_equal(other.labels, single.labels)
        np.testing.assert_array_equal(np.sign(other.design), np.sign(single.design))


@pytest.mark.parametrize("xp", [anp, elsewhere()], ids=["cpu", "device"])
@pytest.mark.parametrize("precision", ["single", *LOW])
def test_designs_are_drawn_in_blocks(precision, xp, monkeypatch):
    whole = draw(precision, xp)
    monkeypatch.setattr(instance_module, "_BLOCK", 1000)
    parts = draw(precision, xp)
    np.testing.assert_array_equal(parts.design, whole.design)
    np.testing.assert_array_equal(parts.labels, whole.labels)


# CPU and device -----------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["single", *LOW])
@pytest.mark.parametrize("channel", ["sign", "linear"])
def test_a_device_runs_the_same_messages(channel, precision, monkeypatch):
    """The whole method through the library's call, in blocks of rows, against the CPU."""
    other, fake = elsewhere(), Library()
    monkeypatch.setattr(device, "_cublas", fake.blas)
    monkeypatch.setattr(device, "is_cupy_namespace", lambda xp: xp is other)
    monkeypatch.setattr(lockstep, "GPU_BLOCK", 26)
    given = {"prior": "gauss_bernoulli", "sparsity": 0.3, "channel": channel, "noise": 0.05,
             "alpha": [0.3, 0.8, 1.7], "dimension": 150, "seed": 2, "damping": 0.3,
             "precision": precision, "tolerance": 1e-2, "iterations": 5}  # fmt: skip
    here, there = solver(**given)(anp), solver(**given)(other)
    np.testing.assert_array_equal(there["status"], Status.CONVERGED)
    np.testing.assert_allclose(there["steps"], here["steps"], atol=1)
    atol = 1e-6 if precision == "single" else 3e-5
    for name in ("overlap", "mse", "free_entropy", "overlap_trajectory"):
        np.testing.assert_allclose(there[name], here[name], atol=atol, err_msg=name)
    assert set(fake.calls) == {77 if precision == "tf32" else 68}


@pytest.mark.parametrize("precision", LOW)
def test_a_point_in_half_does_not_feel_the_others(precision):
    alpha = np.array([0.0, 0.004, 0.3, 1.0, 1.7, 0.3, 2.0])
    given = {"prior": "gaussian", "channel": "sign", "dimension": 130, "seed": 1,
             "precision": precision}  # fmt: skip
    together = call("gamp", alpha=alpha, **given)
    for i in (1, 3, 4):
        alone = call("gamp", alpha=alpha[i], **given)
        for name in ("overlap", "mse", "residual", "steps", "status", "overlap_trajectory"):
            np.testing.assert_array_equal(alone[name][0], together[name][i], err_msg=name)


def test_largest_instance_fits():
    """Dimension 40,000 at alpha 2 with 64 points: 14 GB declared, of which half a device needs less."""
    cost = load_system("glm_bayes").methods["gamp"].cost
    point = {"alpha": 2.0, "dimension": 40_000, "iterations": 50, "channel": "sign"}
    for precision in ("single", "half"):
        shared = float(cost.shared_memory(**point, precision=precision))
        each = float(cost.memory(**point, precision=precision))
        entries = 40_000 * lockstep.whole_tiles(80_000)
        assert 4 * entries < shared < 4.4 * entries
        assert shared + 64 * each < 15e9
    assert PLAIN.dtype(np.float32, anp) is np.float32
    assert Held.of("half").dtype(np.float32, elsewhere()) is np.float16


def test_the_benchmark_solves_the_points_that_a_sweep_would():
    """It fills in defaults by itself, so that it runs where the engine is not installed."""
    method = load_system("glm_bayes").methods["gamp"]
    axes = {"prior": "gaussian", "channel": "sign", "alpha": [0.5, 1, 2], "dimension": 50, "seed": 4,
            "precision": "half"}  # fmt: skip
    points = expand(single_method(method, axes, "test"), lambda *_: np.zeros(0))
    (expected,) = cut(points, memory=math.inf, seconds=math.inf)
    count, values = batch(method, axes)
    assert count == len(points)
    assert values.keys() == expected.values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(value, expected.values[name])

"""Generalised approximate message passing against state evolution, and against itself."""

from __future__ import annotations

import array_api_compat.numpy as anp
import numpy as np
import pytest
from scipy.special import ndtr

from phasesweep.api import solve_points
from phasesweep.cache import Cache
from solvers.contract import Status
from solvers.numerics import channels
from solvers.numerics.random import Stream
from solvers.systems.glm_bayes.instance import Instance
from solvers.systems.glm_bayes.model import Model
from tests.test_glm_bayes import PRIORS, STARTS, call, evolve

TESTED = {"gaussian": [0.3, 1.0, 2.5], "rademacher": [0.3, 0.9, 1.9]}
SEEDS = 16
SPARSE = {"prior": "gauss_bernoulli", "channel": "linear", "sparsity": 0.2}


def simulate(prior, alpha, dimension, seeds, **given):
    """Results of several seeds, stacked: (seeds, points)."""
    given = {"prior": prior, "channel": "sign", "alpha": alpha, "dimension": dimension, **given}
    runs = [call("gamp", seed=seed, **given) for seed in range(seeds)]
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


@pytest.fixture(scope="module", params=PRIORS)
def runs(request):
    """Theory and 16 instances of dimension 1000, at three alphas."""
    alpha = np.array(TESTED[request.param])
    return (
        evolve(request.param, alpha, iterations=12),
        simulate(request.param, alpha, 1000, SEEDS, iterations=12),
    )


def assert_agree(values, expected, dimension, scale=1.0):
    """Mean over instances within four standard errors and a finite-size term scale/dimension."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) - expected) < 4 * error + scale / dimension)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("overlap", 3.0),
        ("self_overlap", 3.0),
        ("mse", 3.0),
        ("classification_error", 1.0),
        ("label_mse", 3.0),
        ("free_entropy", 3.0),
    ],
)
def test_gamp_measures_what_state_evolution_says(runs, name, scale):
    theory, measured = runs
    assert np.all(measured["status"] == Status.CONVERGED)
    expected = theory["overlap" if name == "self_overlap" else name]
    assert_agree(measured[name], expected, 1000, scale)


def test_gamp_follows_state_evolution_iteration_by_iteration(runs):
    theory, measured = runs
    for name in ("overlap", "mse", "error"):
        for t in range(1, 13):
            values = measured[f"{name}_trajectory"][:, :, t]
            assert_agree(values, theory[f"{name}_trajectory"][:, t], 1000, 5.0)
    ended = measured["steps"] <= 12
    for name, final in (
        ("overlap", "overlap"),
        ("mse", "mse"),
        ("error", "classification_error"),
    ):
        last = measured[f"{name}_trajectory"][:, :, -1]
        np.testing.assert_allclose(last[ended], measured[final][ended], rtol=1e-6)


def test_deviations_from_state_evolution_shrink_with_the_square_root_of_the_dimension():
    """Standard deviations over instances at d = 250 and 2000 differ by √8, within their errors."""
    given = {**SPARSE, "alpha": [0.5, 0.8], "noise": 0.01, "iterations": 5, "max_steps": 5}
    theory = call("state_evolution", **{k: v for k, v in given.items() if k != "max_steps"})
    spread = {}
    for dimension, seeds in ((250, 64), (2000, 24)):
        runs = simulate(**given, dimension=dimension, seeds=seeds)
        deviation = runs["mse_trajectory"] - theory["mse_trajectory"]
        mean, error = deviation.mean(0), deviation.std(0, ddof=1) / np.sqrt(seeds)
        assert np.all(np.abs(mean) < 4.5 * error + 5.0 / dimension)
        spread[dimension] = deviation.std(0, ddof=1)[:, 1:]
    ratio = spread[250] / spread[2000] / np.sqrt(8)
    assert np.all((ratio > 0.6) & (ratio < 1.6))
    assert np.exp(np.log(ratio).mean()) == pytest.approx(1.0, abs=0.2)


def test_nishimori(runs):
    """E w⟨w⟩ = E⟨w⟩² instance by instance up to fluctuations of order 1/√dimension."""
    _, measured = runs
    difference = measured["overlap"] - measured["self_overlap"]
    error = difference.std(axis=0, ddof=1) / np.sqrt(SEEDS)
    assert np.all(np.abs(difference.mean(axis=0)) < 4 * error + 3e-3)
    assert np.all(np.abs(difference) < 6 / np.sqrt(1000))


def test_errors_are_those_on_real_held_out_samples():
    """The estimate is found again by hand and tried on inputs and labels it has never seen."""
    dimension, alpha, noise, seed = 300, 1.5, 0.1, 4
    answer = call(
        "gamp", prior="gaussian", channel="sign", alpha=alpha, noise=noise, dimension=dimension,
        seed=seed, precision="double", tolerance=1e-9,
    )  # fmt: skip
    samples = int(answer["samples"][0])
    assert samples == 450

    def stream(name):
        return Stream("glm_bayes", seed, dimension, name)

    total = samples + 40_000
    design = stream("design").normals(0, total, dimension) / np.sqrt(dimension)
    teacher = stream("teacher").normals(0, dimension, 1)[:, 0]
    shift = np.sqrt(noise) * stream("noise").normals(0, total, 1)[:, 0]
    label = np.sign(design @ teacher + shift)
    # Plain textbook iteration on the first rows.
    sign = channels.load("sign")
    X, y = design[:samples], label[:samples]
    mean, variance, g = np.zeros(dimension), 1.0, np.zeros(samples)
    for _ in range(60):
        omega = X @ mean - variance * g
        g, curvature = sign.denoise(label=y, omega=omega, variance=variance, noise=noise, xp=anp)
        precision = curvature.sum() / dimension
        mean = (precision * mean + X.T @ g) / (1 + precision)
        variance = 1 / (1 + precision)
    assert mean @ teacher / dimension == pytest.approx(answer["overlap"][0], rel=1e-7)
    assert np.mean((mean - teacher) ** 2) == pytest.approx(answer["mse"][0], rel=1e-7)
    omega = design[samples:] @ mean
    wrong = np.mean(np.sign(omega) != label[samples:])
    posterior = 2 * ndtr(omega / np.sqrt(variance + noise)) - 1
    square = np.mean((label[samples:] - posterior) ** 2)
    assert wrong == pytest.approx(answer["classification_error"][0], abs=4 * 0.5 / 200)
    assert square == pytest.approx(answer["label_mse"][0], abs=4 * 1.0 / 200)


def test_noisy_labels():
    alpha = np.array([1.2, 2.5])
    noise = np.array([0.2, 0.05])
    for prior in PRIORS:
        theory = evolve(prior, alpha, noise=noise)
        measured = simulate(prior, alpha, 500, SEEDS, noise=noise)
        good = np.all(measured["status"] == Status.CONVERGED, axis=1)
        assert good.mean() > 0.8
        for name in ("overlap", "label_mse", "free_entropy"):
            assert_agree(measured[name][good], theory[name], 500, 5.0)


def test_starts():
    """Binary weights without noise stay where the informed start puts them; Gaussian ones forget."""
    alpha = np.array([0.1, 1.0, 2.0])
    given = {"channel": "sign", "alpha": alpha, "dimension": 300, "seed": 0}
    informed = call("gamp", **given, prior="rademacher", initialization="informed")
    np.testing.assert_allclose(informed["overlap"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(informed["mse"], 0.0, atol=1e-6)
    np.testing.assert_allclose(informed["free_entropy"], -np.log(2), rtol=1e-5)
    assert np.all(informed["status"] == Status.CONVERGED)
    both = [
        call(
            "gamp",
            prior="gaussian",
            channel="sign",
            alpha=alpha,
            dimension=300,
            seed=0,
            initialization=start,
        )
        for start in STARTS
    ]
    np.testing.assert_allclose(both[0]["overlap"], both[1]["overlap"], rtol=1e-3)
    assert np.all(both[1]["overlap_trajectory"][:, 0] > 0.9)
    theory = evolve("gaussian", alpha, initialization="informed")
    np.testing.assert_allclose(theory["overlap_trajectory"][:, 0], 100 / 101, rtol=1e-12)


MANY = np.array([0.0, 0.004, 0.3, 1.0, 1.7, 0.3, 2.0, 0.8, 0.6, 1.1])


@pytest.mark.parametrize(
    "given",
    [
        {"prior": "rademacher", "channel": "sign"},
        {
            "prior": "gauss_bernoulli",
            "channel": "linear",
            "sparsity": np.linspace(0.1, 0.9, 10),
            "noise": np.linspace(0.0, 0.2, 10),
        },
        {
            "prior": "gauss_bernoulli",
            "channel": "abs",
            "sparsity": np.linspace(0.9, 0.4, 10),
            "noise": np.linspace(0.2, 0.0, 10),
            "max_steps": 25,
        },
        {
            "prior": "gaussian",
            "channel": "door",
            "kappa": np.linspace(0.1, 1.0, 10),
            "iterations": 2,
            "max_steps": 15,
        },
    ],
    ids=["sign", "linear", "abs", "door"],
)
def test_a_point_does_not_feel_the_others(given):
    """Bitwise the same in any batch, also where every point has its own teacher and noise.

    Only the errors, sums of a quadrature on the host, may differ in their last digits.
    """
    errors = ("classification_error", "label_mse", "error_trajectory")
    given = {"dimension": 250, "seed": 3, "alpha": MANY, **given}
    columns = [name for name, value in given.items() if np.ndim(value)]
    together = call("gamp", **given)
    backwards = call("gamp", **{**given, **{name: given[name][::-1] for name in columns}})
    for i in range(len(MANY)):
        alone = call("gamp", **{**given, **{name: given[name][i] for name in columns}})
        for name in together:
            rtol = 1e-12 if name in errors else 0.0
            for other in (alone[name][0], backwards[name][::-1][i]):
                np.testing.assert_allclose(other, together[name][i], rtol=rtol, err_msg=name)
    np.testing.assert_array_equal(together["samples"], [0, 1, 75, 250, 425, 75, 500, 200, 150, 275])
    assert together["overlap"][0] == 0.0
    assert together["status"][0] == Status.CONVERGED


def test_damping_and_precision_change_the_way_not_the_end():
    given = {"prior": "rademacher", "channel": "sign", "dimension": 250, "seed": 3, "alpha": MANY}
    plain = call("gamp", **given)
    for other in ({"damping": 0.3}, {"precision": "double"}):
        changed = call("gamp", **given, **other)
        both = (plain["status"] == Status.CONVERGED) & (changed["status"] == Status.CONVERGED)
        assert both.sum() >= 8
        np.testing.assert_allclose(changed["overlap"][both], plain["overlap"][both], atol=1e-4)


def test_a_run_cut_short_says_so():
    answer = call("gamp", prior="gaussian", channel="sign", alpha=1.0, dimension=200, seed=0,
                  max_steps=3)  # fmt: skip
    assert answer["status"][0] == Status.MAX_STEPS
    assert answer["steps"][0] == 3
    assert answer["residual"][0] > 1e-3
    trajectory = answer["overlap_trajectory"][0]
    assert np.all(trajectory[3:] == trajectory[3])
    assert trajectory[3] == pytest.approx(answer["overlap"][0], rel=1e-12)


# Exact recovery, and its failures -----------------------------------------------------------------


@pytest.mark.parametrize("precision", ["single", "double"])
def test_sparse_signals_are_recovered_down_to_the_tolerance(precision):
    """Noiseless compressed sensing beyond alpha_amp: mse of the order of tolerance², relatively."""
    given = {**SPARSE, "alpha": [0.6, 0.8, 1.5], "dimension": 1000, "precision": precision}
    runs = simulate(**given, seeds=8)
    good = runs["status"] == Status.CONVERGED
    assert good.mean() > 0.85
    assert np.all(runs["residual"][good] <= 1e-5)
    assert np.all(runs["mse"][good] < 1e-9 * 0.2)
    assert np.all(np.isposinf(runs["free_entropy"][good]))
    assert np.all(np.isnan(runs["classification_error"]))
    # label_mse is a difference of numbers of order one
    np.testing.assert_allclose(runs["label_mse"][good], runs["mse"][good], rtol=1e-2, atol=1e-15)
    if precision == "double":
        fine = call("gamp", **{**given, "tolerance": 1e-9}, seed=0)
        assert np.all(fine["mse"] < 1e-17 * 0.2)
        assert np.all(fine["steps"] > runs["steps"][0])


def test_tiny_noise_has_a_fixed_point_of_its_own():
    """mse/noise follows state evolution however small the noise: convergence is relative."""
    given = {**SPARSE, "alpha": 0.8, "noise": np.array([1e-4, 1e-8, 1e-11])}
    theory = call("state_evolution", **given)
    runs = simulate(**given, dimension=500, seeds=SEEDS, precision="double")
    good = np.all(runs["status"] == Status.CONVERGED, axis=1)
    assert good.mean() > 0.8
    assert_agree(runs["mse"][good] / theory["mse"], 1.0, 500, 20.0)


def test_instances_that_never_settle_say_so():
    """Without damping a fair share of small noisy sparse instances wanders; the rest is right."""
    given = {**SPARSE, "alpha": 0.5, "noise": 0.01}
    theory = call("state_evolution", **given)
    runs = simulate(**given, dimension=500, seeds=24)
    settled = runs["status"][:, 0] == Status.CONVERGED
    assert 0.5 < settled.mean() < 0.97
    assert np.all(runs["residual"][~settled, 0] > 1e-5)
    assert np.all(runs["residual"][settled, 0] <= 1e-5)
    assert np.all(runs["steps"][runs["status"] == Status.MAX_STEPS] == 300)
    assert np.median(runs["mse"]) == pytest.approx(theory["mse"][0], rel=0.15)
    lost = np.flatnonzero(~settled)[:2]
    damped = [
        call("gamp", **given, dimension=500, seed=int(seed), damping=0.4, max_steps=1000)
        for seed in lost
    ]
    assert sum(answer["status"][0] == Status.CONVERGED for answer in damped) >= len(lost) / 2


def test_error_on_fresh_samples_of_a_linear_channel_is_mse_plus_noise():
    answer = call("gamp", **SPARSE, alpha=[0.4, 1.0], noise=[0.3, 0.01], dimension=200, seed=1)
    expected = answer["mse_trajectory"] + np.array([[0.3], [0.01]])
    np.testing.assert_allclose(answer["error_trajectory"], expected, rtol=1e-7)
    np.testing.assert_allclose(answer["mse_trajectory"][:, 0], 0.2, rtol=0.5)


# Designs ------------------------------------------------------------------------------------------


def test_binary_designs_follow_the_same_state_evolution():
    given = {"alpha": [0.5, 1.0], "noise": 0.1, "iterations": 6}
    theory = evolve("gaussian", **given)
    runs = simulate("gaussian", dimension=1000, seeds=SEEDS, design="rademacher", **given)
    for name in ("overlap", "mse", "label_mse", "free_entropy"):
        assert_agree(runs[name], theory[name], 1000, 5.0)
    for t in range(1, 7):
        values = runs["overlap_trajectory"][:, :, t]
        assert_agree(values, theory["overlap_trajectory"][:, t], 1000, 5.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ties_of_binary_designs_and_weights_do_not_hang_on_rounding(dtype):
    """x·w = 0 happens with probability √(2/πd) there; sign(0) = +1 in every precision."""
    one = np.ones(1)
    model = Model.of(prior="rademacher", channel="sign", noise=0 * one, sparsity=one, kappa=0 * one)
    instance = Instance.draw(
        model=model, alpha=np.array([4.0]), dimension=90, seed=2, design="rademacher", xp=anp,
        dtype=dtype,
    )  # fmt: skip
    signs = np.sign(instance.design).astype(int)
    np.testing.assert_allclose(np.abs(instance.design), 90**-0.5, rtol=1e-6)
    exact = (signs @ instance.teacher.astype(int))[:, 0]
    assert np.sum(exact == 0) > 10
    np.testing.assert_array_equal(instance.labels[:, 0], np.where(exact < 0, -1, 1))


def test_supports_of_one_instance_are_nested_in_the_sparsity():
    sparsity = np.array([0.9, 0.1, 0.5])
    zero = np.zeros(3)
    model = Model.of(
        prior="gauss_bernoulli", channel="linear", noise=zero, sparsity=sparsity, kappa=zero
    )
    instance = Instance.draw(
        model=model, alpha=np.ones(3), dimension=300, seed=0, design="gaussian", xp=anp,
        dtype=np.float64,
    )  # fmt: skip
    w = instance.teacher
    assert w.shape == (300, 3)
    np.testing.assert_allclose((w != 0).mean(axis=0), sparsity, atol=0.1)
    assert np.all(w[:, 0][w[:, 2] != 0] == w[:, 2][w[:, 2] != 0])
    assert np.all(w[:, 2][w[:, 1] != 0] == w[:, 1][w[:, 1] != 0])
    np.testing.assert_allclose(instance.labels[:300], (instance.design @ w)[:300], atol=1e-12)


def test_both_starts_in_one_batch_are_those_of_two_to_the_last_bit():
    alpha, start = (
        np.array([0.3, 1.9, 0.8, 1.9, 1.2]),
        np.array([STARTS[i] for i in (1, 0, 0, 1, 1)]),
    )
    for prior, channel in (("rademacher", "sign"), ("gauss_bernoulli", "abs")):
        given = {"prior": prior, "channel": channel, "dimension": 200, "seed": 3, "sparsity": 0.3}
        both = call("gamp", alpha=alpha, initialization=start, iterations=6, **given)
        for word in STARTS:
            part = start == word
            alone = call("gamp", alpha=alpha[part], initialization=word, iterations=6, **given)
            for name in sorted(set(both) - {"label_mse", "error_trajectory"}):
                np.testing.assert_array_equal(both[name][part], alone[name], err_msg=name)


def test_both_starts_of_a_sweep_draw_one_design(data, monkeypatch):
    drawn = []
    draw = Instance.draw
    monkeypatch.setattr(
        Instance, "draw", lambda **given: drawn.append(len(given["alpha"])) or draw(**given)
    )
    axes = {
        "prior": "rademacher", "alpha": [0.5, 1.5], "dimension": 60, "seed": {"count": 2},
        "initialization": list(STARTS),
    }  # fmt: skip
    points, _, report = solve_points("glm_bayes", "gamp", axes, Cache(data / "cache"))
    assert report.computed == len(points) == 8
    assert drawn == [4, 4]

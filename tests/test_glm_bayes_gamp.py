"""Generalised approximate message passing against state evolution, and against itself."""

from __future__ import annotations

import array_api_compat.numpy as anp
import numpy as np
import pytest
from scipy.special import ndtr

from solvers.contract import Status
from solvers.numerics import channels
from solvers.numerics.random import Stream
from tests.test_glm_bayes import PRIORS, STARTS, call, evolve

TESTED = {"gaussian": [0.3, 1.0, 2.5], "rademacher": [0.3, 0.9, 1.9]}
SEEDS = 16


def simulate(prior, alpha, dimension, seeds, **given):
    """Results of several seeds, stacked: (seeds, points)."""
    runs = [
        call("gamp", prior=prior, alpha=alpha, dimension=dimension, seed=seed, **given)
        for seed in range(seeds)
    ]
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
    for t in range(1, 13):
        values = measured["overlap_trajectory"][:, :, t]
        assert_agree(values, theory["overlap_trajectory"][:, t], 1000, 5.0)
    last = measured["overlap_trajectory"][:, :, -1]
    ended = measured["steps"] <= 12
    np.testing.assert_allclose(last[ended], measured["overlap"][ended], rtol=1e-6)


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
        "gamp", prior="gaussian", alpha=alpha, noise=noise, dimension=dimension, seed=seed,
        precision="double", tolerance=1e-9,
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
    informed = call("gamp", prior="rademacher", alpha=alpha, dimension=300, seed=0,
                    initialization="informed")  # fmt: skip
    np.testing.assert_allclose(informed["overlap"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(informed["mse"], 0.0, atol=1e-6)
    np.testing.assert_allclose(informed["free_entropy"], -np.log(2), rtol=1e-5)
    assert np.all(informed["status"] == Status.CONVERGED)
    both = [
        call("gamp", prior="gaussian", alpha=alpha, dimension=300, seed=0, initialization=start)
        for start in STARTS
    ]
    np.testing.assert_allclose(both[0]["overlap"], both[1]["overlap"], rtol=1e-3)
    assert np.all(both[1]["overlap_trajectory"][:, 0] > 0.9)
    theory = evolve("gaussian", alpha, initialization="informed")
    np.testing.assert_allclose(theory["overlap_trajectory"][:, 0], 100 / 101, rtol=1e-12)


def test_one_instance_for_all_points():
    """Bitwise the same in any batch; damping and precision change the way, not the end."""
    alpha = np.array([0.0, 0.004, 0.3, 1.0, 1.7, 0.3, 2.0, 0.8, 0.6, 1.1])
    given = {"prior": "rademacher", "dimension": 250, "seed": 3}
    together = call("gamp", alpha=alpha, **given)
    backwards = call("gamp", alpha=alpha[::-1], **given)
    for i, value in enumerate(alpha):
        alone = call("gamp", alpha=value, **given)
        for name in together:
            np.testing.assert_array_equal(alone[name][0], together[name][i])
            np.testing.assert_array_equal(backwards[name][::-1][i], together[name][i])
    np.testing.assert_array_equal(together["samples"], [0, 1, 75, 250, 425, 75, 500, 200, 150, 275])
    assert together["overlap"][0] == 0.0
    ended = together["status"] == Status.CONVERGED
    for other in ({"damping": 0.3}, {"precision": "double"}):
        changed = call("gamp", alpha=alpha, **given, **other)
        both = ended & (changed["status"] == Status.CONVERGED)
        assert both.sum() >= 8
        np.testing.assert_allclose(changed["overlap"][both], together["overlap"][both], atol=1e-4)


def test_a_run_cut_short_says_so():
    answer = call("gamp", prior="gaussian", alpha=1.0, dimension=200, seed=0, max_steps=3)
    assert answer["status"][0] == Status.MAX_STEPS
    assert answer["steps"][0] == 3
    assert answer["residual"][0] > 1e-3
    trajectory = answer["overlap_trajectory"][0]
    assert np.all(trajectory[3:] == trajectory[3])
    assert trajectory[3] == pytest.approx(answer["overlap"][0], rel=1e-12)

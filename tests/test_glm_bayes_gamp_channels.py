"""Message passing for every prior and channel against state evolution; even channels."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.contract import Status
from solvers.numerics import channels, priors
from solvers.numerics.random import Stream
from tests.test_glm_bayes import call

SEEDS = 16
CASES = {
    "linear": {"alpha": [0.4, 1.3], "noise": 0.1},
    "relu": {"alpha": [0.5, 1.5], "noise": 0.3},
    "sign": {"alpha": [0.6, 1.8], "noise": 0.1},
    "abs": {"alpha": [0.8, 1.6], "noise": 0.2},
    "door": {"alpha": [0.8, 1.6], "noise": 0.1, "kappa": 0.6},
}
EVEN = [name for name in channels.names() if channels.load(name).EVEN]
SPARSITY = {"gaussian": {}, "rademacher": {}, "gauss_bernoulli": {"sparsity": 0.4}}
MODELS = [(prior, channel) for prior in SPARSITY for channel in CASES]
every_model = pytest.mark.parametrize(("prior", "channel"), MODELS)


def simulate(seeds=SEEDS, **given):
    """Results of several seeds, stacked: (seeds, points)."""
    runs = [call("gamp", seed=seed, **given) for seed in range(seeds)]
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


def assert_agree(values, expected, dimension, scale):
    """Mean over instances within four standard errors and a finite-size term scale/dimension."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) - expected) < 4 * error + scale / dimension)


def test_every_model_is_tested():
    assert set(SPARSITY) == set(priors.names())
    assert set(CASES) == set(channels.names())


@every_model
def test_informed_iterations_follow_state_evolution(prior, channel):
    """Four iterations from the informed start, and what is measured on the estimate there."""
    given = {
        "prior": prior, "channel": channel, "initialization": "informed", "iterations": 4,
        **CASES[channel], **SPARSITY[prior],
    }  # fmt: skip
    theory = call("state_evolution", **given)
    runs = simulate(**given, dimension=400, max_steps=4)
    for name in ("overlap_trajectory", "mse_trajectory", "error_trajectory"):
        assert_agree(runs[name][:, :, 1:], theory[name][:, 1:], 400, 8.0)
    difference = (runs["overlap"] - runs["self_overlap"]).mean(axis=0)
    assert np.all(np.abs(difference) < 0.03)


@pytest.mark.parametrize(
    ("prior", "channel"), [(prior, channel) for prior, channel in MODELS if channel not in EVEN]
)
def test_fixed_points_are_those_of_state_evolution(prior, channel):
    given = {"prior": prior, "channel": channel, **CASES[channel], **SPARSITY[prior]}
    theory = call("state_evolution", **given)
    runs = simulate(**given, dimension=500, iterations=0)
    settled = np.all(runs["status"] == Status.CONVERGED, axis=1)
    assert settled.mean() > 0.7
    error = "classification_error" if channel == "sign" else "label_mse"
    for name in ("overlap", "self_overlap", "mse", error, "free_entropy"):
        expected = theory["overlap" if name == "self_overlap" else name]
        assert_agree(runs[name][settled], expected, 500, 5.0)


# Even channels: zero overlap is a fixed point ------------------------------------------------------

BLIND = {"prior": "gaussian", "channel": "abs"}


def norms(dimension, seeds):
    """|w|²/d of the Gaussian teachers."""
    draws = (Stream("glm_bayes", s, dimension, "teacher").normals(0, dimension, 1) for s in seeds)
    return np.array([np.mean(w**2) for w in draws])


def test_uninformed_start_has_a_chance_overlap_as_large_as_its_norm():
    """|ŵ|²/d = rho/d and |ŵ·w|/d = |N(0, 1)| rho/d: the cosine is that of a random vector."""
    dimension, sparsity = 400, 0.5
    given = {"prior": "gauss_bernoulli", "channel": "abs", "sparsity": sparsity}
    runs = simulate(32, **given, alpha=0.5, dimension=dimension, max_steps=1)
    start = runs["overlap_trajectory"][:, 0, 0] * dimension / sparsity
    assert np.mean(start) == pytest.approx(np.sqrt(2 / np.pi), abs=4 * 0.6 / np.sqrt(32))
    assert np.mean(start**2) == pytest.approx(1.0, abs=4 * np.sqrt(2 / 32))


def test_small_estimates_grow_by_alpha_over_the_weak_threshold():
    """|ŵ|²/d multiplies by 2 alpha an iteration (alpha_weak = 1/2) while everything is small."""
    dimension, alpha = 1500, np.array([0.8, 1.0, 1.5])
    runs = simulate(**BLIND, alpha=alpha, dimension=dimension, iterations=3, max_steps=3)
    truth = norms(dimension, range(SEEDS))[:, None, None]
    square = runs["mse_trajectory"] + 2 * runs["overlap_trajectory"] - truth
    square = square.mean(axis=0)
    np.testing.assert_allclose(square[:, 0], 1 / dimension, rtol=0.1)
    np.testing.assert_allclose((square[:, 3] / square[:, 0]) ** (1 / 3), 2 * alpha, rtol=0.1)


def test_below_the_weak_threshold_nothing_is_learnt():
    runs = simulate(8, **BLIND, alpha=[0.0, 0.1, 0.2], dimension=500)
    assert np.median(runs["overlap"], axis=0).max() < 1e-4
    truth = norms(500, range(8))[:, None]
    np.testing.assert_allclose(runs["mse"], truth + runs["self_overlap"] - 2 * runs["overlap"])


@pytest.mark.parametrize(
    "given",
    [
        {**BLIND, "alpha": 3.0},
        {"prior": "rademacher", "channel": "abs", "alpha": 2.5},
        {
            "prior": "gauss_bernoulli",
            "channel": "abs",
            "sparsity": 0.6,
            "alpha": 2.0,
            "damping": 0.3,
        },
        {"prior": "rademacher", "channel": "door", "kappa": 0.67448975, "alpha": 2.5},
    ],
    ids=["gaussian-abs", "rademacher-abs", "sparse-abs", "rademacher-door"],
)
def test_signals_are_recovered_up_to_their_sign(given):
    """In sixteen instances the sign is a coin: the numbers are those of the better of ±ŵ.

    About one in eight of the door does not settle.
    """
    runs = simulate(16, **given, dimension=500, iterations=20)
    good = runs["status"] == Status.CONVERGED
    exact = good & (runs["mse"] < 1e-9)
    assert np.mean(exact) > 0.6
    np.testing.assert_allclose(runs["overlap"][exact], runs["self_overlap"][exact], rtol=1e-4)
    assert np.all(runs["overlap"] >= 0)
    last = runs["mse_trajectory"][:, :, -1]
    ended = exact & (runs["steps"] <= 20)
    np.testing.assert_allclose(last[ended], runs["mse"][ended], rtol=1e-6)


@pytest.mark.parametrize(
    "given",
    [
        {**BLIND, "alpha": 2.5, "noise": 0.1},
        {"prior": "gaussian", "channel": "door", "kappa": 1.0, "alpha": 3.0},
    ],
    ids=["abs", "door"],
)
def test_far_above_the_weak_threshold_the_fixed_point_is_that_of_state_evolution(given):
    theory = call("state_evolution", **given)
    runs = simulate(**given, dimension=500, iterations=0)
    settled = runs["status"][:, 0] == Status.CONVERGED
    assert settled.mean() > 0.7
    error = "classification_error" if given["channel"] == "door" else "label_mse"
    for name in ("overlap", "self_overlap", "mse", error, "free_entropy"):
        expected = theory["overlap" if name == "self_overlap" else name]
        assert_agree(runs[name][settled], expected, 500, 10.0)

"""Bayes-optimal generalised linear models: the fixed points, their free entropy, known limits."""

from __future__ import annotations

import array_api_compat.numpy as anp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import log_ndtr

from solvers.axes import REQUIRED
from solvers.contract import Status, load_system
from solvers.systems.glm_bayes.model import Model

METHODS = load_system("glm_bayes").methods
PRIORS = ("gaussian", "rademacher")
CHANNELS = ("linear", "sign", "abs", "door", "relu")
STARTS = ("uninformed", "informed")
MODELS = [
    *((prior, channel) for prior in (*PRIORS, "gauss_bernoulli") for channel in CHANNELS),
]
every_model = pytest.mark.parametrize(("prior", "channel"), MODELS)


def call(name, *, system="glm_bayes", **given):
    """A method with columns broadcast to one length and defaults for what is not given."""
    method = load_system(system).methods[name]
    length = max([1, *(np.size(given[n]) for n in method.columns if n in given)])
    values = {
        n: given.get(n, axis.otherwise if axis.default is REQUIRED else axis.default)
        for n, axis in method.axes.items()
    }
    for n in method.columns:
        values[n] = np.broadcast_to(np.asarray(values[n]), (length,)).copy()
        if n != "max_steps" and method.axes[n].numeric:
            values[n] = values[n].astype(float)
    return method(length, values, xp=anp)


def evolve(prior, alpha, **given):
    usual = {"channel": "sign", "iterations": 0}
    return call("state_evolution", **{**usual, "prior": prior, "alpha": alpha, **given})


def parameters(prior, channel, count, seed=0, noisy=0.7, kinds=5):
    """Columns of a few random models: noise from nothing to 1, sparsity and kappa if they matter.

    Every model has to be scanned once, which takes longer than solving its points.
    """
    rng = np.random.default_rng([seed, *map(ord, prior + channel)])
    silent = rng.random(kinds) > noisy
    given = {"noise": np.where(silent, 0.0, 10 ** rng.uniform(-6, 0, kinds))}
    if prior == "gauss_bernoulli":
        given["sparsity"] = rng.uniform(0.05, 0.95, kinds)
    if channel == "door":
        given["kappa"] = rng.uniform(0.2, 1.2, kinds)
    return {name: np.resize(column, count) for name, column in given.items()}


def model_of(prior, channel, given, count):
    columns = {"sparsity": 1.0, "kappa": 0.0, **given}
    return Model.of(
        prior=prior,
        channel=channel,
        **{name: np.broadcast_to(column, (count,)) for name, column in columns.items()},
    )


# Fixed points and the free entropy -----------------------------------------------------------------


@every_model
@pytest.mark.parametrize("start", STARTS)
def test_fixed_points_solve_the_equations_and_make_the_free_entropy_stationary(
    prior, channel, start
):
    """d(free entropy)/dq = 0: every overlap is where the potential has no slope."""
    count = 40
    alpha = np.random.default_rng(3).uniform(0.02, 2.5, count)
    given = parameters(prior, channel, count)
    answer = evolve(prior, alpha, channel=channel, initialization=start, **given)
    assert np.all(answer["status"] == Status.CONVERGED)
    assert answer["residual"].max() < 1e-11
    model = model_of(prior, channel, given, count)
    q, deficit = answer["overlap"], answer["mse"]
    np.testing.assert_allclose(q + deficit, model.second_moment(count), rtol=1e-13)
    finite = np.flatnonzero((q > 0) & (deficit > 1e-13))
    assert len(finite) >= (5 if start == "uninformed" else 0)
    part, alpha, q, deficit = model.take(finite), alpha[finite], q[finite], deficit[finite]
    snr = alpha * part.channel_snr(q, deficit)
    again = part.overlaps(snr)
    np.testing.assert_allclose(again[0], q, rtol=1e-9)
    np.testing.assert_allclose(again[1], deficit, rtol=1e-9)
    here = part.free_entropy(alpha=alpha, snr=snr)
    np.testing.assert_allclose(here, answer["free_entropy"][finite], rtol=1e-12, atol=1e-13)
    step = 1e-4
    up, down = (part.free_entropy(alpha=alpha, snr=snr * (1 + s)) for s in (step, -step))
    # Stationary: the first difference is no larger than third-order terms; the second is not zero.
    scale = snr * np.minimum(q, deficit) + q
    assert np.all(np.abs(up - down) < 1e-5 * step * scale + 1e-13)


@every_model
def test_free_entropy_grows_with_alpha_as_the_channel_says(prior, channel):
    """d(free entropy)/d alpha = E log Z of one label: only the explicit dependence counts."""
    count, step = 6, 1e-5
    alpha = np.linspace(0.2, 2.3, count)
    given = parameters(prior, channel, count, seed=1, noisy=1.0)
    here, up, down = (evolve(prior, alpha + s, channel=channel, **given) for s in (0, step, -step))
    smooth = np.abs(up["overlap"] - down["overlap"]) < 1e-3  # not across a threshold
    assert smooth.sum() >= 4
    slope = (up["free_entropy"] - down["free_entropy"]) / (2 * step)
    model = model_of(prior, channel, given, count)
    expected = model.label_entropy(here["overlap"], here["mse"])
    np.testing.assert_allclose(slope[smooth], expected[smooth], rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("prior", [*PRIORS, "gauss_bernoulli"])
def test_noise_takes_free_entropy_at_the_rate_of_the_error(prior):
    """Linear labels: d(free entropy)/d noise = -alpha/(2 (mse + noise)), which gives the mse."""
    alpha, noise, step = np.array([0.15, 0.6, 1.1, 2.0]), np.array([0.3, 0.2, 0.1, 0.5]), 1e-5
    given = {"channel": "linear"}
    if prior == "gauss_bernoulli":
        given["sparsity"] = np.array([0.3, 0.2, 0.7, 0.4])
    here, up, down = (
        evolve(prior, alpha, noise=noise * (1 + s), **given) for s in (0, step, -step)
    )
    slope = (up["free_entropy"] - down["free_entropy"]) / (2 * step * noise)
    np.testing.assert_allclose(-0.5 * alpha / slope - noise, here["mse"], rtol=1e-6)


@every_model
@pytest.mark.parametrize("start", STARTS)
def test_the_fixed_point_is_where_the_plain_iteration_ends(prior, channel, start):
    """From overlap 0, or next to it where that is a fixed point, and from recovery."""
    count = 8
    alpha = np.random.default_rng(11).uniform(0.02, 2.5, count)
    given = parameters(prior, channel, count, seed=2)
    answer = evolve(prior, alpha, channel=channel, initialization=start, **given)
    model = model_of(prior, channel, given, count)
    u = np.full(count, np.log(1e-9) if start == "uninformed" else np.log(1e9))
    with np.errstate(divide="ignore"):
        for _ in range(160):
            u = u + np.log(alpha) - np.log(model.alpha(u)[0])
            u = np.clip(u, np.log(1e-9), np.log(1e9))
        # Ends of the line are cut, and slow at a critical point.
        moving = np.abs(np.log(alpha / model.alpha(u)[0]))
    overlap, deficit = model.overlaps(np.exp(u))
    settled = (moving < 1e-13) | (np.abs(u) > np.log(0.99e9))
    assert settled.sum() >= 4
    np.testing.assert_allclose(answer["overlap"][settled], overlap[settled], rtol=1e-7, atol=1e-8)
    np.testing.assert_allclose(answer["mse"][settled], deficit[settled], rtol=1e-7, atol=1e-8)
    assert answer["steps"].max() < 40


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("channel", CHANNELS)
def test_trajectories_are_the_plain_iteration(channel, start):
    given = parameters("gauss_bernoulli", channel, 6, seed=4)
    alpha = np.linspace(0.3, 1.8, 6)
    answer = evolve(
        "gauss_bernoulli", alpha, channel=channel, initialization=start, iterations=15, **given
    )
    model = model_of("gauss_bernoulli", channel, given, 6)
    snr = np.full(6, 0.0 if start == "uninformed" else 100.0)
    for t in range(16):
        q, deficit = model.overlaps(snr)
        classification, label = model.errors(q, deficit)
        error = classification if channel in ("sign", "door") else label
        for name, value in (("overlap", q), ("mse", deficit), ("error", error)):
            np.testing.assert_allclose(answer[f"{name}_trajectory"][:, t], value, rtol=1e-10)
        snr = alpha * model.channel_snr(q, deficit)
    if start == "uninformed" and channel in ("abs", "door"):
        assert np.all(answer["overlap_trajectory"] == 0)
    elif start == "uninformed":
        assert np.all(np.diff(answer["overlap_trajectory"], axis=1) >= -1e-14)


def test_max_steps_is_a_status():
    answer = evolve("rademacher", 0.03, noise=0.2, max_steps=1)
    assert answer["status"][0] == Status.MAX_STEPS
    assert answer["steps"][0] == 1
    assert answer["residual"][0] > 1e-12


# Limits --------------------------------------------------------------------------------------------


def test_linear_labels_and_gaussian_weights_in_closed_form():
    """m (m + Δ + alpha) = m + Δ, the resolvent of a Wishart matrix; noiseless m = 1 - alpha."""
    alpha = np.array([1e-6, 0.3, 0.999, 1.0, 1.0, 1.001, 4.0, 1e4])
    for noise in (1e-14, 1e-7, 1e-2, 3.0):
        b = noise + alpha - 1.0
        root = np.sqrt(b * b + 4 * noise)
        expected = np.where(b > 0, 2 * noise / (b + root), (root - b) / 2)
        for start in STARTS:
            answer = evolve("gaussian", alpha, channel="linear", noise=noise, initialization=start)
            np.testing.assert_allclose(answer["mse"], expected, rtol=1e-8)
            np.testing.assert_allclose(answer["label_mse"], expected + noise, rtol=1e-8)
    alpha = np.array([0.0, 0.5, 0.999999, 1.0, 1.5])
    answer = evolve("gaussian", alpha, channel="linear")
    np.testing.assert_allclose(answer["mse"], np.maximum(1 - alpha, 0), rtol=1e-9)
    assert answer["free_entropy"][4] == np.inf


def test_few_labels():
    """q = 2 alpha/(π(1 + noise)) to first order, and every label then costs log 2."""
    alpha, noise = np.array([0.0, 1e-8, 1e-8]), np.array([0.0, 0.0, 3.0])
    for prior in PRIORS:
        for start in STARTS if prior == "gaussian" else STARTS[:1]:
            answer = evolve(prior, alpha, noise=noise, initialization=start)
            assert answer["overlap"][0] == 0.0
            assert answer["classification_error"][0] == 0.5
            assert answer["label_mse"][0] == pytest.approx(1.0, rel=1e-15)
            np.testing.assert_allclose(
                answer["overlap"], 2 * alpha / np.pi / (1 + noise), rtol=1e-7, atol=0
            )
            np.testing.assert_allclose(answer["free_entropy"], -alpha * np.log(2), atol=1e-15)


def test_few_equations_for_a_sparse_vector():
    """Linear labels: s = alpha/(ρ + noise) and q = ρ² s to first order in alpha."""
    alpha, rho, noise = 1e-9, np.array([1e-5, 0.01, 0.5]), np.array([0.1, 0.0, 1e4])
    answer = evolve("gauss_bernoulli", alpha, channel="linear", sparsity=rho, noise=noise)
    np.testing.assert_allclose(answer["overlap"], rho**2 * alpha / (rho + noise), rtol=1e-3)
    np.testing.assert_allclose(
        answer["overlap"][1:], (rho**2 * alpha / (rho + noise))[1:], rtol=1e-6
    )


def test_without_samples_nothing_is_known():
    for prior, channel in MODELS:
        given = parameters(prior, channel, 2, noisy=0.5)
        for start in STARTS:
            answer = evolve(prior, 0.0, channel=channel, initialization=start, **given)
            assert np.all(answer["overlap"] == 0)
            assert np.all(np.abs(answer["free_entropy"]) < 1e-14)
            assert np.all(answer["phase"] == 0)


def test_many_labels_gaussian():
    """Error 0.442/alpha: √(1 - q) = √(2π)/(2 alpha I), I = ∫Dv φ(v)/H(v), error √(1 - q)/π."""
    hazard = quad(lambda v: np.exp(-(v**2) - log_ndtr(-v)) / (2 * np.pi), -12, 12)[0]
    alpha = np.array([1e4, 1e6])
    answer = evolve("gaussian", alpha)
    expected = 1 / (np.sqrt(2 * np.pi) * hazard * alpha)
    np.testing.assert_allclose(answer["classification_error"][0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(answer["classification_error"][1], expected[1], rtol=1e-9)
    assert alpha[1] * expected[1] == pytest.approx(0.442, abs=5e-4)


def test_many_equations_with_noise():
    """mse = ρ noise/(alpha - ρ) to first order: least squares on a support that is known."""
    rho, noise = np.array([0.1, 0.5, 1.0]), 1e-16
    answer = evolve("gauss_bernoulli", 1.4, channel="linear", sparsity=rho, noise=noise)
    np.testing.assert_allclose(answer["mse"], rho * noise / (1.4 - rho), rtol=1e-5)


def test_noise_drowns_the_labels():
    noise = np.array([1e2, 1e4, 1e6])
    answer = evolve("rademacher", 1.0, noise=noise)
    np.testing.assert_allclose(answer["overlap"], 2 / np.pi / noise, rtol=2e-2)
    assert np.all(np.diff(answer["overlap"]) < 0)
    np.testing.assert_allclose(answer["classification_error"][-1], 0.5, atol=1e-3)


@every_model
def test_more_labels_and_less_noise_help(prior, channel):
    alpha = np.linspace(0.05, 3.0, 24)
    given = {"channel": channel}
    given |= {"sparsity": 0.4} if prior == "gauss_bernoulli" else {}
    given |= {"kappa": 0.7} if channel == "door" else {}
    both = [evolve(prior, alpha, noise=0.02, initialization=start, **given) for start in STARTS]
    for answer in both:
        assert np.all(np.diff(answer["overlap"]) >= 0)
        assert np.all(np.diff(answer["label_mse"]) <= 1e-15)
    assert np.all(both[0]["overlap"] <= both[1]["overlap"] * (1 + 1e-12))
    if channel in ("sign", "door"):  # a label is no likelier than 1
        assert np.all(np.diff(np.maximum(*(answer["free_entropy"] for answer in both))) < 0)
    overlap = evolve(prior, 1.0, noise=np.linspace(0, 2, 8), **given)["overlap"]
    assert np.all(np.diff(overlap) <= 0)


def test_weights_that_are_never_zero_are_gaussian():
    alpha = np.linspace(0.1, 2.0, 6)
    for channel in ("linear", "sign", "relu"):
        sparse = evolve("gauss_bernoulli", alpha, channel=channel, sparsity=1.0, noise=0.1)
        dense = evolve("gaussian", alpha, channel=channel, noise=0.1)
        for name in set(dense) - {"message", "steps", "residual"}:
            np.testing.assert_allclose(
                sparse[name], dense[name], rtol=1e-9, atol=1e-12, err_msg=name
            )


@every_model
def test_a_point_is_answered_alone_as_among_others(prior, channel):
    """The same numbers."""
    count = 8
    alpha = np.random.default_rng(5).uniform(0.02, 2.0, count)
    given = parameters(prior, channel, count, seed=6)
    together = evolve(prior, alpha, channel=channel, iterations=4, **given)
    for i in (0, 5):
        alone = evolve(
            prior, alpha[i], channel=channel, iterations=4, **{n: c[i] for n, c in given.items()}
        )
        for name in set(alone) - {"residual", "steps", "message"}:
            np.testing.assert_allclose(alone[name][0], together[name][i], rtol=1e-10, err_msg=name)

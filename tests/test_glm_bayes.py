"""Bayes-optimal generalised linear models: theory against itself and published values."""

from __future__ import annotations

import csv
from pathlib import Path

import array_api_compat.numpy as anp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from solvers.contract import Status, load_system
from solvers.numerics import channels
from solvers.systems.glm_bayes.model import Model

METHODS = load_system("glm_bayes").methods
PRIORS = ("gaussian", "rademacher")
STARTS = ("uninformed", "informed")
ALPHA_IT, ALPHA_AMP = 1.24468398985069, 1.49263181823035
"""Rademacher and sign; found again below by adaptive quadrature, and once with 22 digits."""


def call(name, **given):
    """A method with columns broadcast to one length and defaults for what is not given."""
    method = METHODS[name]
    length = max([1, *(np.size(given[n]) for n in method.columns if n in given)])
    values = {n: given.get(n, axis.default) for n, axis in method.axes.items()}
    for n in method.columns:
        values[n] = np.broadcast_to(np.asarray(values[n]), (length,)).copy()
        if n not in ("max_steps",):
            values[n] = values[n].astype(float)
    return method(length, values, xp=anp)


def evolve(prior, alpha, **given):
    return call("state_evolution", prior=prior, alpha=alpha, **given)


# Theory ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("start", STARTS)
def test_fixed_points_solve_the_equations_and_make_the_free_entropy_stationary(prior, start):
    alpha = np.array([1e-6, 0.1, 0.7, 1.2, 1.48, 2.0, 30.0])
    noise = np.array([0.0, 0.01, 0.0, 0.0, 0.0, 0.1, 0.5])
    answer = evolve(prior, alpha, noise=noise, initialization=start)
    assert np.all(answer["status"] == Status.CONVERGED)
    model = Model.of(prior=prior, channel="sign", noise=noise)
    q, deficit = answer["overlap"], answer["mse"]
    snr = alpha * model.channel_snr(q, deficit)
    again = model.overlaps(snr)
    np.testing.assert_allclose(again[0], q, rtol=1e-10)
    np.testing.assert_allclose(again[1], deficit, rtol=1e-9)
    finite = deficit > 1e-12
    step = 1e-4
    up, down = (
        model.take(finite).free_entropy(alpha=alpha[finite], snr=snr[finite] * (1 + s))
        for s in (step, -step)
    )
    here = answer["free_entropy"][finite]
    # Stationary: the first difference is no larger than third-order terms; the second is not zero.
    scale = snr[finite] * deficit[finite]
    assert np.all(np.abs(up - down) < 1e-6 * step * scale + 1e-14)
    assert np.all(np.abs(up - here) < step**2 * 100 * scale + 1e-14)


@pytest.mark.parametrize("prior", PRIORS)
def test_free_entropy_grows_with_alpha_as_the_channel_says(prior):
    """d(free entropy)/d alpha = E log Z of one label: only the explicit dependence counts."""
    alpha = np.array([0.2, 0.9, 1.4, 2.0])
    noise = np.array([0.0, 0.2, 0.0, 0.3])
    step = 1e-5
    up, down = (evolve(prior, alpha + s, noise=noise)["free_entropy"] for s in (step, -step))
    here = evolve(prior, alpha, noise=noise)
    expected = channels.load("sign").free_entropy(
        overlap=here["overlap"], deficit=here["mse"], noise=noise
    )
    np.testing.assert_allclose((up - down) / (2 * step), expected, rtol=1e-8)


@pytest.mark.parametrize("prior", PRIORS)
def test_few_labels(prior):
    """q = 2 alpha/(π(1 + noise)) to first order, and every label then costs log 2."""
    alpha, noise = np.array([0.0, 1e-8, 1e-8]), np.array([0.0, 0.0, 3.0])
    for start in STARTS if prior == "gaussian" else STARTS[:1]:
        answer = evolve(prior, alpha, noise=noise, initialization=start)
        assert answer["overlap"][0] == 0.0
        assert answer["classification_error"][0] == 0.5
        assert answer["label_mse"][0] == pytest.approx(1.0, rel=1e-15)
        np.testing.assert_allclose(
            answer["overlap"], 2 * alpha / np.pi / (1 + noise), rtol=1e-7, atol=0
        )
        np.testing.assert_allclose(answer["free_entropy"], -alpha * np.log(2), atol=1e-15)


def test_many_labels_gaussian():
    """Error 0.442/alpha: √(1 - q) = √(2π)/(2 alpha I), I = ∫Dv φ(v)/H(v), error √(1 - q)/π."""
    hazard = quad(lambda v: np.exp(-(v**2) - log_ndtr(-v)) / (2 * np.pi), -12, 12)[0]
    alpha = np.array([1e4, 1e6])
    answer = evolve("gaussian", alpha)
    expected = 1 / (np.sqrt(2 * np.pi) * hazard * alpha)
    np.testing.assert_allclose(answer["classification_error"][0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(answer["classification_error"][1], expected[1], rtol=1e-9)
    assert alpha[1] * expected[1] == pytest.approx(0.442, abs=5e-4)


def test_noise_drowns_the_labels():
    noise = np.array([1e2, 1e4, 1e6])
    answer = evolve("rademacher", 1.0, noise=noise)
    np.testing.assert_allclose(answer["overlap"], 2 / np.pi / noise, rtol=2e-2)
    assert np.all(np.diff(answer["overlap"]) < 0)
    np.testing.assert_allclose(answer["classification_error"][-1], 0.5, atol=1e-3)


@pytest.mark.parametrize("prior", PRIORS)
def test_more_labels_and_less_noise_help(prior):
    alpha = np.linspace(0.05, 3.0, 60)
    for start in STARTS:
        overlap = evolve(prior, alpha, noise=0.02, initialization=start)["overlap"]
        assert np.all(np.diff(overlap) > 0)
    overlap = evolve(prior, 1.0, noise=np.linspace(0, 2, 30))["overlap"]
    assert np.all(np.diff(overlap) < 0)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("start", STARTS)
def test_the_fixed_point_is_where_the_recorded_iteration_ends(prior, start):
    rng = np.random.default_rng(11)
    alpha = rng.uniform(0.05, 3.0, 60)
    noise = np.where(rng.random(60) < 0.3, 0.0, 10 ** rng.uniform(-8, 0, 60))
    answer = evolve(prior, alpha, noise=noise, initialization=start, iterations=1500)
    trajectory = answer["overlap_trajectory"]
    assert trajectory.shape == (60, 1501)
    np.testing.assert_allclose(trajectory[:, -1], answer["overlap"], rtol=1e-10)
    if start == "uninformed":
        assert np.all(trajectory[:, 0] == 0)
        assert np.all(np.diff(trajectory, axis=1) >= -1e-14)
    assert answer["steps"].max() < 40


def test_recovery_is_complete_above_the_algorithmic_threshold_only():
    distance = 10.0 ** -np.arange(2, 12)
    above = evolve("rademacher", ALPHA_AMP + distance)
    below = evolve("rademacher", ALPHA_AMP - distance)
    assert np.all(above["overlap"] == 1.0)
    assert np.all(above["mse"] == 0.0)
    np.testing.assert_allclose(above["free_entropy"], -np.log(2), rtol=1e-14)
    assert np.all(below["overlap"] < 0.9)
    # The branch ends as a square root.
    root = (below["overlap"][-1] - below["overlap"][2:6]) / np.sqrt(distance[2:6])
    np.testing.assert_allclose(root, root[-1], rtol=0.05)
    assert max(above["steps"].max(), below["steps"].max()) < 100


def test_max_steps_is_a_status():
    answer = evolve("rademacher", 1.0, max_steps=2)
    assert answer["status"][0] == Status.MAX_STEPS
    assert answer["steps"][0] == 2
    assert answer["residual"][0] > 1e-4


# Thresholds --------------------------------------------------------------------------------------


def test_thresholds_by_adaptive_quadrature():
    """The same potential from textbook integrals: tanh and erfc averages, nothing shared."""

    def average(f, centre, scale):
        def weighted(z):
            return np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) * f(centre + scale * z)

        options = {"epsabs": 1e-14, "epsrel": 1e-13, "limit": 200}
        return sum(
            quad(weighted, a, b, **options)[0] for a, b in ((-12, -3), (-3, 0), (0, 3), (3, 12))
        )

    def point(s):
        q = average(np.tanh, s, np.sqrt(s))
        k = np.sqrt(q / (1 - q))
        fisher = average(lambda u: np.exp(-(u**2) - log_ndtr(-u)) / (2 * np.pi), 0.0, k)
        alpha = s / (2 / (1 - q) * fisher)
        prior = average(lambda b: np.logaddexp(b, -b) - np.log(2), s, np.sqrt(s)) - s / 2
        labels = average(lambda u: 2 * ndtr(-u) * log_ndtr(-u), 0.0, k)
        return alpha, -q * s / 2 + prior + alpha * labels

    s = brentq(lambda s: point(s)[1] + np.log(2), 1.2, 2.0, xtol=1e-13)
    assert point(s)[0] == pytest.approx(ALPHA_IT, rel=1e-10)
    s = brentq(lambda s: point(s + 1e-3)[0] - point(s - 1e-3)[0], 2.5, 4.0, xtol=1e-8)
    assert point(s)[0] == pytest.approx(ALPHA_AMP, rel=1e-10)

    answer = call("thresholds", prior="rademacher")
    assert answer["status"][0] == Status.CONVERGED
    assert answer["alpha_it"][0] == pytest.approx(ALPHA_IT, rel=1e-12)
    assert answer["alpha_amp"][0] == pytest.approx(ALPHA_AMP, rel=1e-12)
    assert answer["residual"][0] < 1e-12


def test_published_values():
    path = Path(__file__).parents[1] / "data" / "published" / "glm_bayes.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    answer = call("thresholds", prior="rademacher")
    error = evolve("gaussian", 1e6)["classification_error"]
    answer["classification_error times alpha at large alpha"] = 1e6 * error
    for row in rows:
        assert abs(answer[row["quantity"]][0] - float(row["value"])) < float(row["uncertainty"])


def test_thresholds_with_noise():
    """Between the spinodals both branches exist; at alpha_it they weigh the same."""
    noise = np.array([1e-10, 1e-6, 1e-3, 0.01, 0.017])
    answer = call("thresholds", prior="rademacher", noise=noise)
    assert np.all(answer["status"] == Status.CONVERGED)
    it, amp = answer["alpha_it"], answer["alpha_amp"]
    assert np.all(it < amp)
    assert np.all(np.diff(it) > 0)
    assert np.all(np.diff(amp) > 0)
    low, high = (evolve("rademacher", it, noise=noise, initialization=start) for start in STARTS)
    assert np.all(high["overlap"] > low["overlap"] + 0.005)
    np.testing.assert_allclose(high["free_entropy"], low["free_entropy"], rtol=1e-12)
    before = evolve("rademacher", amp * (1 - 1e-7), noise=noise)
    after = evolve("rademacher", amp * (1 + 1e-7), noise=noise)
    informed = evolve("rademacher", amp * (1 + 1e-7), noise=noise, initialization="informed")
    assert np.all(after["overlap"] > before["overlap"] + 0.005)
    np.testing.assert_allclose(after["overlap"], informed["overlap"], rtol=1e-9)


def test_no_threshold_is_said_to_be_none():
    """The folds annihilate at noise 0.01725; Gaussian weights never have them."""
    noise = np.array([0.01725034, 0.01725036, 0.1, 10.0])
    answer = call("thresholds", prior="rademacher", noise=noise)
    assert answer["status"].tolist() == [Status.CONVERGED] + 3 * [Status.NO_SOLUTION]
    assert np.all(np.isnan(answer["alpha_it"]) == [False, True, True, True])
    assert np.all(np.isnan(answer["alpha_amp"]) == [False, True, True, True])
    assert answer["alpha_amp"][0] == pytest.approx(answer["alpha_it"][0], rel=1e-6)
    answer = call("thresholds", prior="gaussian", noise=np.array([0.0, 0.5]))
    assert np.all(answer["status"] == Status.NO_SOLUTION)

"""Bayes-optimal generalised linear models: theory against itself, published values, simulation."""

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
from solvers.numerics.random import Stream
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


def simulate(prior, alpha, dimension, seeds, **given):
    """Results of several seeds, stacked: (seeds, points)."""
    runs = [
        call("gamp", prior=prior, alpha=alpha, dimension=dimension, seed=seed, **given)
        for seed in range(seeds)
    ]
    return {name: np.stack([run[name] for run in runs]) for name in runs[0]}


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


# Simulation --------------------------------------------------------------------------------------

TESTED = {"gaussian": [0.3, 1.0, 2.5], "rademacher": [0.3, 0.9, 1.9]}
SEEDS = 16


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

"""Thresholds of Bayes-optimal generalised linear models: found again by other means, published."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_ndtr, ndtr

from solvers.contract import Status, load_system
from solvers.systems.glm_bayes.tracing import trace
from tests.test_glm_bayes import STARTS, call, evolve, model_of, parameters

ALPHA_IT, ALPHA_AMP = 1.24468398985069, 1.49263181823035
"""Rademacher and sign; found again below by adaptive quadrature, and once with 22 digits."""

PHASES = load_system("glm_bayes").observables["phase"].labels
NAMES = ("alpha_it", "alpha_amp", "alpha_weak", "alpha_full")


def find(prior, channel, **given):
    return call("thresholds", prior=prior, channel=channel, **given)


def test_published_values():
    path = Path(__file__).parents[1] / "data" / "published" / "glm_bayes.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 8
    for row in rows:
        given = dict(item.split("=") for item in row["parameters"].split())
        given |= {n: float(v) for n, v in given.items() if n not in ("prior", "channel")}
        if row["quantity"] in NAMES:
            value = call("thresholds", **given)[row["quantity"]][0]
        else:
            assert row["quantity"] == "classification_error times alpha at large alpha"
            value = 1e6 * evolve(alpha=1e6, **given)["classification_error"][0]
        assert abs(value - float(row["value"])) <= float(row["uncertainty"]), row


# Found again by other means ------------------------------------------------------------------------


def test_binary_weights_and_signs_by_adaptive_quadrature():
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

    answer = find("rademacher", "sign")
    assert answer["status"][0] == Status.CONVERGED
    assert answer["alpha_it"][0] == pytest.approx(ALPHA_IT, rel=1e-11)
    assert answer["alpha_amp"][0] == pytest.approx(ALPHA_AMP, rel=1e-11)
    assert answer["alpha_full"][0] == answer["alpha_it"][0]
    assert np.isnan(answer["alpha_weak"][0])
    assert answer["residual"][0] < 1e-12


def sparse_mmse(s, rho):
    """Posterior variance of a sparse weight, averaged over the law of the field by `quad`."""

    def variance(b):
        slab = rho / np.sqrt(1 + s) * np.exp(-0.5 * b * b / (s + s * s))
        spike = (1 - rho) * np.exp(-0.5 * b * b / s)
        p, mean = slab / (slab + spike), b / (1 + s)
        density = (slab + spike) / np.sqrt(2 * np.pi * s)
        return density * p * (1 / (1 + s) + (1 - p) * mean**2)

    near, far = np.sqrt(s), 12 * np.sqrt(s + s * s)
    ends = np.unique([*near * np.array([0, 1, 2, 3, 4, 6, 8, 12]), *far * np.array([0.1, 0.3, 1])])
    options = {"epsabs": 0, "epsrel": 1e-11, "limit": 200}
    return 2 * sum(quad(variance, a, b, **options)[0] for a, b in pairwise(ends))


@pytest.mark.parametrize("rho", [0.05, 0.2, 0.6])
def test_compressed_sensing_by_adaptive_quadrature(rho):
    """alpha_amp = max of s·mmse(s)."""
    best = minimize_scalar(
        lambda u: -np.exp(u) * sparse_mmse(np.exp(u), rho),
        bounds=(0, 9),
        method="bounded",
        options={"xatol": 1e-6},
    )
    answer = find("gauss_bernoulli", "linear", sparsity=rho)
    assert answer["alpha_amp"][0] == pytest.approx(-best.fun, rel=1e-9)
    assert answer["alpha_it"][0] == answer["alpha_full"][0] == rho


def test_sparse_fixed_points_by_adaptive_quadrature():
    """mse = mmse(alpha/(mse + noise)) in the middle, nearly recovered, nearly nothing known."""
    cases = np.array(
        [(0.2, 0.01, 0.5), (0.2, 1e-10, 0.6), (1e-3, 1e-4, 0.05), (0.5, 1e3, 2.0), (0.9, 0.0, 0.8)]
    )
    rho, noise, alpha = cases.T
    given = {"channel": "linear", "sparsity": rho, "noise": noise}
    mse = evolve("gauss_bernoulli", alpha, **given)["mse"]
    assert mse[1] < 1e-10
    for r, n, a, m in zip(rho, noise, alpha, mse, strict=True):
        assert sparse_mmse(a / (m + n), r) == pytest.approx(m, rel=1e-9)


FIRST_ORDER = [
    ("rademacher", "sign", {"noise": 1e-3}),
    ("rademacher", "linear", {"noise": 0.05}),
    ("gauss_bernoulli", "linear", {"noise": 1e-5, "sparsity": 0.2}),
    ("gauss_bernoulli", "abs", {"noise": 1e-5, "sparsity": 0.5}),
    ("gauss_bernoulli", "relu", {"noise": 1e-6, "sparsity": 0.3}),
    ("gaussian", "abs", {"noise": 1e-4}),
    ("rademacher", "abs", {"noise": 0.01}),
    ("rademacher", "door", {"noise": 1e-4, "kappa": 0.67448975}),
    ("rademacher", "relu", {"noise": 0.02}),
]


@pytest.mark.parametrize(("prior", "channel", "given"), FIRST_ORDER)
def test_equal_areas(prior, channel, given):
    """d(free entropy) = (alpha - alpha(u)) E g^2 dq/2: Maxwell's construction, no free entropy."""
    answer = find(prior, channel, **given)
    it = answer["alpha_it"][0]
    low, high = (
        evolve(prior, it, channel=channel, initialization=start, **given)["overlap"]
        for start in STARTS
    )
    assert high[0] > low[0] + 0.01
    nodes, weights = np.polynomial.legendre.leggauss(16)
    model = model_of(prior, channel, given, 1)
    with np.errstate(divide="ignore"):
        low, high = (
            np.maximum(np.log(it * model.channel_snr(q, model.second_moment(1) - q)), np.log(1e-7))
            for q in (low, high)
        )
    panels = np.linspace(low[0], high[0], 50)
    width = np.diff(panels)[:, None]
    u = (panels[:-1, None] + 0.5 * width * (1 + nodes)).ravel()
    model = model_of(prior, channel, given, len(u))
    q, deficit, elasticity = model.prior.overlap(snr=np.exp(u), **model.prior_parameters)
    gap = 0.5 * (it * model.channel_snr(q, deficit) - np.exp(u))
    area = gap * -deficit * elasticity * (0.5 * width * weights).ravel()
    assert abs(area.sum()) < 1e-8 * np.abs(area).sum() + 1e-12


@pytest.mark.parametrize(
    ("prior", "channel", "given"),
    [
        ("rademacher", "sign", {"noise": 1e-3}),
        ("gauss_bernoulli", "linear", {"noise": 1e-5, "sparsity": 0.2}),
        ("gauss_bernoulli", "abs", {"sparsity": 0.5}),
        ("gaussian", "abs", {}),
        ("gauss_bernoulli", "relu", {"sparsity": 0.3}),
        ("rademacher", "relu", {}),
        ("rademacher", "door", {"kappa": 0.67448975}),
    ],
)
def test_the_plain_iteration_turns_at_alpha_amp(prior, channel, given):
    """Just below, it stays where it was; just above, it goes where the informed one ends."""
    answer = find(prior, channel, **given)
    amp = answer["alpha_amp"][0]
    assert answer["alpha_it"][0] < amp
    alpha = amp * (1 + np.array([-3e-4, 3e-4]))
    model = model_of(prior, channel, {"noise": 0.0, **given}, 2)
    u = np.full(2, np.log(1e-7))
    with np.errstate(divide="ignore"):
        for _ in range(1500):
            u = np.minimum(u + np.log(alpha) - np.log(model.alpha(u)[0]), 60.0)
    ends = [
        evolve(prior, alpha, channel=channel, initialization=start, **given) for start in STARTS
    ]
    overlap = model.overlaps(np.exp(u))[0]
    np.testing.assert_allclose(overlap, ends[0]["overlap"], rtol=1e-5)
    assert ends[0]["overlap"][0] < ends[1]["overlap"][0] - 0.004
    assert ends[0]["overlap"][1] == pytest.approx(ends[1]["overlap"][1], rel=1e-12)
    assert [PHASES[code] for code in ends[0]["phase"]] == ["hard", "easy"]


@pytest.mark.parametrize("prior", ["gaussian", "rademacher", "gauss_bernoulli"])
@pytest.mark.parametrize("channel", ["linear", "sign", "abs", "door", "relu"])
def test_phases_follow_from_both_starts(prior, channel):
    """Where two fixed points differ, the larger free entropy says whether recovery is possible."""
    count = 60 if channel == "linear" else 24
    alpha = np.random.default_rng(8).uniform(0.02, 1.8, count)
    given = parameters(prior, channel, count, seed=9, kinds=30 if channel == "linear" else 6)
    given["noise"] = np.where(given["noise"] > 1e-2, 0.0, given["noise"])
    low, high = (
        evolve(prior, alpha, channel=channel, initialization=start, **given) for start in STARTS
    )
    phase = np.array(PHASES)[low["phase"]]
    differ = high["overlap"] > low["overlap"] + 1e-9
    better = high["free_entropy"] > low["free_entropy"]
    assert np.all(phase[differ & better] == "hard")
    assert np.all(phase[differ & ~better] == "impossible")
    assert np.all(phase[~differ] != "hard")
    assert np.all(phase[~differ & (low["overlap"] == 0)] == "impossible")
    if channel == "linear" and prior != "gaussian":
        assert set(phase) == set(PHASES)


# Limits --------------------------------------------------------------------------------------------


def test_equations_without_noise():
    """As many equations as unknown degrees of freedom; for relu, half of the labels are zero."""
    rho = np.array([1e-4, 0.03, 0.25, 0.9])
    for channel, factor in (("linear", 1), ("abs", 1), ("relu", 2)):
        answer = find("gauss_bernoulli", channel, sparsity=rho)
        np.testing.assert_allclose(answer["alpha_full"], factor * rho, rtol=1e-10)
        np.testing.assert_allclose(answer["alpha_it"], factor * rho, rtol=1e-10)
        assert np.all(answer["alpha_amp"] > factor * rho)
        dense = find("gaussian", channel)
        assert dense["alpha_full"][0] == factor
        binary = find("rademacher", channel)
        assert binary["alpha_full"][0] == binary["alpha_it"][0] == 0
        assert 0 < binary["alpha_amp"][0] < 2


def test_phase_retrieval_of_gaussian_signals():
    answer = find("gaussian", "abs")
    assert answer["alpha_weak"][0] == 0.5
    assert answer["alpha_it"][0] == answer["alpha_full"][0] == 1
    assert answer["alpha_amp"][0] == pytest.approx(1.128, abs=5e-4)


def test_weak_recovery_of_a_sparse_signal_by_counting():
    """E g^2 = c q/ρ² at small q: alpha_weak does not depend on sparsity, 1/2 without noise.

    c = E (E[z²|y]/ρ - 1)², which is E (z²/ρ - 1)² = 2 if |z| is known exactly.
    """
    rho = np.array([0.01, 0.3, 0.8])
    np.testing.assert_allclose(
        find("gauss_bernoulli", "abs", sparsity=rho)["alpha_weak"], 0.5, rtol=1e-10
    )
    noise = np.array([0.2, 1.0])
    answer = find("gaussian", "abs", noise=noise)["alpha_weak"]
    for delta, value in zip(noise, answer, strict=True):

        def moment(y, power, delta=delta):
            def joint(z):
                return z**power * np.exp(-0.5 * (y - abs(z)) ** 2 / delta - 0.5 * z * z)

            return 2 * quad(joint, 0, 9, epsabs=1e-14)[0] / np.sqrt(2 * np.pi * delta * 2 * np.pi)

        def square(y):
            density = moment(y, 0)
            return (moment(y, 2) - density) ** 2 / density

        c = quad(square, -6 * np.sqrt(delta), 8 + 6 * np.sqrt(delta), epsabs=1e-10, limit=100)[0]
        assert value == pytest.approx(1 / c, rel=1e-7)


def test_symmetric_door():
    """P(|z| > κ) = 1/2: as many labels as bits; weak recovery where 16 κ²φ(κ)² alpha = 1."""
    kappa = 0.674489750196
    answer = find("rademacher", "door", kappa=kappa)
    assert answer["alpha_it"][0] == pytest.approx(1.0, rel=1e-9)
    assert answer["alpha_full"][0] == pytest.approx(1.0, rel=1e-9)
    assert answer["alpha_amp"][0] == pytest.approx(1.566, abs=1e-3)
    density = np.exp(-0.5 * kappa**2) / np.sqrt(2 * np.pi)
    assert answer["alpha_weak"][0] == pytest.approx(1 / (16 * kappa**2 * density**2), rel=1e-10)


@pytest.mark.parametrize("kappa", [0.3, 1.1])
def test_the_door_of_any_width_is_first_order_in_information(kappa):
    """From zero overlap, alpha_it is log 2 over the entropy of a label while that branch lasts."""
    p = 2 * ndtr(-kappa)
    bits = np.log(2) / -(p * np.log(p) + (1 - p) * np.log1p(-p))
    answer = find("rademacher", "door", kappa=kappa)
    if bits < answer["alpha_weak"][0]:
        assert answer["alpha_it"][0] == pytest.approx(bits, rel=1e-9)
    else:
        assert answer["alpha_it"][0] > 0.5 * bits


def test_recovery_is_complete_above_the_algorithmic_threshold_only():
    distance = 10.0 ** -np.arange(2, 11)
    above = evolve("rademacher", ALPHA_AMP + distance)
    below = evolve("rademacher", ALPHA_AMP - distance)
    assert np.all(above["overlap"] == 1.0)
    assert np.all(above["mse"] == 0.0)
    np.testing.assert_allclose(above["free_entropy"], -np.log(2), rtol=1e-14)
    assert np.all(below["overlap"] < 0.9)
    # The branch ends as a square root.
    root = (below["overlap"][-1] - below["overlap"][2:6]) / np.sqrt(distance[2:6])
    np.testing.assert_allclose(root, root[-1], rtol=0.05)
    assert max(above["steps"].max(), below["steps"].max()) < 40


def test_thresholds_with_noise():
    """Between the spinodals both branches exist; at alpha_it they weigh the same."""
    noise = np.array([1e-100, 1e-10, 1e-6, 1e-3, 0.01, 0.017])
    answer = find("rademacher", "sign", noise=noise)
    assert np.all(answer["status"] == Status.CONVERGED)
    it, amp = answer["alpha_it"], answer["alpha_amp"]
    assert it[0] == pytest.approx(ALPHA_IT, rel=1e-11)
    assert np.all(it < amp)
    assert np.all(np.diff(it) > 0)
    assert np.all(np.diff(amp) >= 0)
    low, high = (evolve("rademacher", it, noise=noise, initialization=start) for start in STARTS)
    assert np.all(high["overlap"] > low["overlap"] + 0.005)
    np.testing.assert_allclose(high["free_entropy"], low["free_entropy"], rtol=1e-10)


def test_no_threshold_is_said_to_be_none():
    """The folds annihilate at noise 0.01725; Gaussian weights never have them."""
    noise = np.array([0.01725034, 0.01725036, 0.1, 10.0])
    answer = find("rademacher", "sign", noise=noise)
    assert answer["status"].tolist() == [Status.CONVERGED] + 3 * [Status.NO_SOLUTION]
    assert np.all(np.isnan(answer["alpha_it"]) == [False, True, True, True])
    assert np.all(np.isnan(answer["alpha_amp"]) == [False, True, True, True])
    assert answer["alpha_amp"][0] == pytest.approx(answer["alpha_it"][0], rel=1e-6)
    for name in NAMES:
        said = [name in sentence for sentence in answer["message"]]
        assert said == np.isnan(answer[name]).tolist()
    answer = find("gaussian", "sign", noise=np.array([0.0, 0.5]))
    assert np.all(answer["status"] == Status.NO_SOLUTION)
    answer = find("gaussian", "linear", noise=np.array([0.0, 1e-9]))
    assert answer["status"].tolist() == [Status.CONVERGED, Status.NO_SOLUTION]


def test_the_hard_phase_of_noisy_compressed_sensing_ends():
    """A hard phase at small noise, none beyond; at its end both folds meet alpha_it."""
    rho = np.array([0.05, 0.2, 0.5])
    low, high = np.full(3, 1e-7), np.full(3, 1e-1)
    for _ in range(30):
        middle = np.sqrt(low * high)
        hard = np.isfinite(
            find("gauss_bernoulli", "linear", sparsity=rho, noise=middle)["alpha_it"]
        )
        low, high = np.where(hard, middle, low), np.where(hard, high, middle)
    np.testing.assert_allclose(high, low, rtol=1e-7)
    last = find("gauss_bernoulli", "linear", sparsity=rho, noise=low)
    np.testing.assert_allclose(last["alpha_it"], last["alpha_amp"], rtol=1e-5)
    inside = find("gauss_bernoulli", "linear", sparsity=rho, noise=low / 3)
    alpha = 0.5 * (inside["alpha_it"] + inside["alpha_amp"])
    for noise, differ in ((low / 3, True), (high * 1.001, False)):
        one, other = (
            evolve(
                "gauss_bernoulli", alpha if differ else last["alpha_amp"], channel="linear",
                sparsity=rho, noise=noise, initialization=start,
            )["overlap"]
            for start in STARTS
        )  # fmt: skip
        assert np.all(other - one > 1e-3 if differ else other - one < 1e-9)


def test_branches_of_a_curve():
    """Gaussian phase retrieval: zero overlap with the branch from 1/2 to 1.128, and recovery."""
    model = model_of("gaussian", "abs", {"noise": 0.0}, 1)
    curve = trace(model, 1)
    assert curve.branches.tolist() == [2]
    np.testing.assert_allclose(np.exp(curve.zero), 0.5, rtol=1e-12)
    np.testing.assert_allclose(np.exp(curve.limit), 1.0, rtol=1e-12)
    assert curve.left[0, 0] == -np.inf
    assert curve.right[0, 1] == np.inf
    log_alpha = np.log([0.3, 0.5, 0.7, 1.1, 1.2])
    row = np.zeros(5, dtype=int)
    assert curve.first(row, log_alpha).tolist() == [0, 0, 0, 0, 1]
    assert curve.last(row, log_alpha).tolist() == [0, 0, 0, 1, 1]
    u, _, _, residual = curve.solve(row, curve.first(row, log_alpha), log_alpha)
    assert np.isneginf(u[:2]).all()
    assert np.isfinite(u[2:4]).all()
    assert u[4] == np.inf
    assert residual.max() < 1e-13

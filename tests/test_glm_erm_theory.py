"""Empirical-risk minimisation, theory: against brute-force integrals, exact cases, minimisation."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, ndtr

from phasesweep.errors import UserError
from phasesweep.grid import expand
from phasesweep.sweepfile import single_method
from solvers.contract import Status, load_system
from solvers.systems.glm_erm import averages

METHODS = load_system("glm_erm").methods
BAYES = load_system("glm_bayes").methods["state_evolution"]
PENALISED = ("square", "logistic", "hinge")
SCALARS = ("overlap", "self_overlap", "mse", "training_loss", "objective")


def call(method, **given):
    """A method with columns broadcast to one length and defaults for what is not given."""
    length = max([1, *(np.size(given[n]) for n in method.columns if n in given)])
    values = {}
    for name, axis in method.axes.items():
        values[name] = given.get(name, axis.otherwise if axis.when else axis.default)
    for name in method.columns:
        dtype = int if name == "max_steps" else float
        values[name] = np.broadcast_to(np.asarray(values[name], dtype), (length,)).copy()
    return method(length, values)


def replica(loss, alpha, **given):
    return call(METHODS["replica"], loss=loss, alpha=alpha, **given)


def bayes_error(alpha, noise):
    found = call(BAYES, alpha=alpha, noise=noise, prior="gaussian", channel="sign", iterations=0)
    return found["classification_error"]


def half_line(panels, width, nodes=20):
    t, w = np.polynomial.legendre.leggauss(nodes)
    edges = np.linspace(0, width, panels + 1)
    half = 0.5 * np.diff(edges)[:, None]
    return ((edges[:-1, None] + half * (t + 1)).ravel(), (half * w).ravel())


# The fixed point ----------------------------------------------------------------------------------


def scalar_proximal(loss, u, variance):
    if loss == "hinge":
        return u if u > 1 else min(1.0, u + variance)
    return brentq(lambda p: p - u - variance * expit(-p), u - 1e-9, u + variance + 1e-9, xtol=1e-14)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize(
    ("alpha", "noise", "regularization"),
    [(0.7, 0.0, 0.03), (2.0, 0.0, 1.0), (3.0, 0.4, 1e-3), (12.0, 0.4, 0.0)],
)
def test_stationarity_by_integrals_over_teacher_and_noise(loss, alpha, noise, regularization):
    """λm = alpha E[f y z], 1/V = λ + alpha E(-f'), σ² = V² alpha E f², by adaptive quadrature.

    E over z, σ η and the label noise directly: none of the densities of `averages` is used.
    """
    a = replica(loss, alpha, noise=noise, regularization=regularization)
    assert a["status"][0] == Status.CONVERGED
    m, q, variance = (a[n][0] for n in ("overlap", "self_overlap", "susceptibility"))
    sigma = np.sqrt(q - m * m)
    z, wz = half_line(24, 9.0)
    z, wz = np.concatenate([-z, z]), np.concatenate([wz, wz]) * 1.0
    wz = wz * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    positive = ndtr(z / np.sqrt(noise)) if noise else (z > 0) * 1.0

    def density(u, power):
        """E[(y z)^power δ(u - y omega)]."""
        total = 0.0
        for y, probability in ((1.0, positive), (-1.0, 1 - positive)):
            gap = (y * u - m * z) / sigma
            bump = np.exp(-gap * gap / 2) / np.sqrt(2 * np.pi) / sigma
            total += np.sum(wz * probability * (y * z) ** power * bump)
        return total

    def average(function, power=0):
        reach = 9 * np.sqrt(q)
        marks = sorted({-reach, reach, *np.clip([1 - variance, 1.0, 0.0], -reach, reach)})
        return sum(
            quad(lambda u: function(u) * density(u, power), low, high, epsabs=1e-12, limit=200)[0]
            for low, high in pairwise(marks)
        )

    def force(u):
        return (scalar_proximal(loss, u, variance) - u) / variance

    def stiffness(u):
        p = scalar_proximal(loss, u, variance)
        if loss == "hinge":
            return 1 / variance if 1 - variance < u < 1 else 0.0
        return 1 / (variance + 1 / (expit(p) * expit(-p)))

    def value(u):
        p = scalar_proximal(loss, u, variance)
        return max(0.0, 1 - p) if loss == "hinge" else np.logaddexp(0, -p)

    assert average(lambda u: 1.0) == pytest.approx(1, rel=1e-9)
    force_square = average(lambda u: force(u) ** 2)
    assert variance**2 * alpha * force_square == pytest.approx(sigma**2, rel=1e-8)
    stiff = regularization + alpha * average(stiffness)
    assert 1 / stiff == pytest.approx(variance, rel=1e-8)
    pull = alpha * average(force, power=1)
    assert pull == pytest.approx(regularization * m, rel=1e-8, abs=1e-8)
    assert average(value) == pytest.approx(a["training_loss"][0], rel=1e-8)


@pytest.mark.parametrize(
    ("loss", "teacher"), [*((loss, "sign") for loss in PENALISED), ("square", "linear")]
)
def test_envelope(loss, teacher):
    """∂e/∂λ = q/2; ∂e/∂alpha = training loss + V E f²/2, the price of one more sample."""
    alpha = np.array([0.03, 0.8, 1.0, 2.5, 40.0])
    base = {"teacher": teacher, "noise": np.array([0.0, 0.3, 0.0, 1.0, 1e-3]), "tolerance": 1e-12}
    penalty = np.array([0.1, 1e-3, 2.0, 1e-2, 30.0])
    a = replica(loss, alpha, regularization=penalty, **base)
    step = 1e-3

    def slope(function):
        up, down, far_up, far_down = (function(1 + k * step) for k in (1, -1, 2, -2))
        return (8 * (up - down) - (far_up - far_down)) / (12 * step)

    along = slope(lambda k: replica(loss, alpha, regularization=penalty * k, **base)["objective"])
    np.testing.assert_allclose(along, penalty * a["self_overlap"] / 2, rtol=1e-8)
    along = slope(lambda k: replica(loss, alpha * k, regularization=penalty, **base)["objective"])
    spread = a["self_overlap"] - a["overlap"] ** 2
    price = alpha * a["training_loss"] + spread / (2 * a["susceptibility"])
    np.testing.assert_allclose(along, price, rtol=1e-8)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_converges_everywhere(loss):
    """Sixteen decades of regularization, six of alpha, noise from none to all."""
    rng = np.random.default_rng(3)
    points = 150
    alpha = 10 ** rng.uniform(-3, 3, points)
    penalty = 10 ** rng.uniform(-8, 8, points)
    noise = rng.choice([0, 0, 1e-6, 1e-3, 0.1, 1, 100, 1e6], points)
    a = replica(loss, alpha, noise=noise, regularization=penalty)
    assert np.all(a["status"] == Status.CONVERGED)
    assert np.all(a["residual"] <= 1e-10)
    assert np.all(a["overlap"] > 0)
    # Strong regularization: w = X^T y f(0)/λ, for which m and q are sums.
    strong = penalty > 1e5 * np.maximum(1, alpha)
    pull = 0.5 if loss == "logistic" else 1.0
    m = pull * alpha * np.sqrt(2 / np.pi / (1 + noise)) / penalty
    np.testing.assert_allclose(a["overlap"][strong], m[strong], rtol=1e-4)
    q = m**2 + alpha * (pull / penalty) ** 2
    np.testing.assert_allclose(a["self_overlap"][strong], q[strong], rtol=1e-4)


def test_quadrature_has_converged(monkeypatch):
    rng = np.random.default_rng(4)
    alpha, penalty = 10 ** rng.uniform(-2, 3, 30), 10 ** rng.uniform(-8, 2, 30)
    given = {"noise": rng.choice([0, 1e-4, 1, 100], 30), "tolerance": 1e-12}
    coarse = [replica(loss, alpha, regularization=penalty, **given) for loss in PENALISED[1:]]
    nodes, weights = np.polynomial.legendre.leggauss(24)
    monkeypatch.setattr(averages, "_T", nodes)
    monkeypatch.setattr(averages, "_W", weights)
    monkeypatch.setattr(averages, "_BASE", np.linspace(-10, 10, 22))
    for loss, before in zip(PENALISED[1:], coarse, strict=True):
        after = replica(loss, alpha, regularization=penalty, **given)
        for name in ("overlap", "mse", "objective", "classification_error", "susceptibility"):
            np.testing.assert_allclose(after[name], before[name], rtol=1e-11)


@pytest.mark.parametrize(
    ("loss", "alpha", "noise", "regularization"),
    [("logistic", 2.0, 0.0, 0.05), ("logistic", 6.0, 0.5, 0.0), ("square", 0.7, 0.5, 0.3)],
)
def test_direct_minimisation(loss, alpha, noise, regularization):
    """Newton's method on 32 instances of dimension 100."""
    rng, dimension, rows = np.random.default_rng(1), 100, []
    for _ in range(32):
        samples = round(alpha * dimension)
        x = rng.normal(size=(samples, dimension)) / np.sqrt(dimension)
        w = rng.normal(size=dimension)
        w *= np.sqrt(dimension) / np.linalg.norm(w)
        y = np.sign(x @ w + np.sqrt(noise) * rng.normal(size=samples))
        estimate = np.zeros(dimension)
        for _ in range(30):
            margin = y * (x @ estimate)
            slope = expit(-margin) if loss == "logistic" else 1 - margin
            curvature = slope * expit(margin) if loss == "logistic" else np.ones(samples)
            gradient = regularization * estimate - x.T @ (y * slope)
            hessian = x.T @ (curvature[:, None] * x) + regularization * np.eye(dimension)
            if np.linalg.norm(gradient) < 1e-8:
                break
            estimate = estimate - np.linalg.solve(hessian, gradient)
        assert np.linalg.norm(gradient) < 1e-8
        margin = y * (x @ estimate)
        value = np.logaddexp(0, -margin) if loss == "logistic" else (1 - margin) ** 2 / 2
        m, q = w @ estimate / dimension, estimate @ estimate / dimension
        error = np.arccos(m / np.sqrt(q * (1 + noise))) / np.pi
        rows.append([m, q, 1 - 2 * m + q, value.mean(), error])
    rows = np.array(rows)
    a = replica(loss, alpha, noise=noise, regularization=regularization)
    names = ("overlap", "self_overlap", "mse", "training_loss", "classification_error")
    theory = np.array([a[n][0] for n in names])
    spread = rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    assert np.all(np.abs(rows.mean(axis=0) - theory) < 4 * spread + 4 * np.abs(theory) / dimension)


# Square loss --------------------------------------------------------------------------------------


def test_ridge_against_the_spectrum_of_one_large_matrix():
    """mse and V = tr(X^T X + λ)^-1/d from eigenvalues, averaged over teacher and noise exactly."""
    dimension, alpha, noise, penalty = 400, 1.5, 0.4, 0.2
    rng = np.random.default_rng(0)
    x = rng.normal(size=(round(alpha * dimension), dimension)) / np.sqrt(dimension)
    spectrum = np.linalg.eigvalsh(x.T @ x)
    resolvent = 1 / (spectrum + penalty)
    bias, variance = (penalty * resolvent) ** 2, noise * spectrum * resolvent**2
    a = replica("square", alpha, teacher="linear", noise=noise, regularization=penalty)
    assert a["mse"][0] == pytest.approx(np.mean(bias + variance), rel=1e-2)
    assert a["susceptibility"][0] == pytest.approx(np.mean(resolvent), rel=1e-2)


def test_ridge_is_the_posterior_mean_at_regularization_equal_to_noise():
    """Then its mse is the posterior variance noise·V."""
    noise = np.array([1e-6, 0.3, 20.0])
    for alpha in (0.4, 1.0, 3.0):
        a = replica("square", alpha, teacher="linear", noise=noise, regularization=noise)
        np.testing.assert_allclose(a["mse"], noise * a["susceptibility"], rtol=1e-9)


def test_ridge_limits_of_weak_regularization():
    alpha, noise = np.array([0.2, 0.9, 1.1, 5.0]), 0.3
    for teacher in ("linear", "sign"):
        zero = replica("square", alpha, teacher=teacher, noise=noise, regularization=0)
        weak = replica("square", alpha, teacher=teacher, noise=noise, regularization=1e-12)
        for name in SCALARS[:3]:
            np.testing.assert_allclose(weak[name], zero[name], rtol=1e-8)
        assert np.all(zero["training_loss"][:2] == 0)
    lost = replica("square", 1.0, teacher="linear", noise=noise, regularization=0)
    assert lost["status"][0] == Status.NO_SOLUTION
    assert "alpha = 1" in lost["message"][0]
    exact = replica("square", [1.0, 4.0], teacher="linear", noise=0, regularization=0)
    assert np.all(exact["status"] == Status.CONVERGED)
    np.testing.assert_array_equal(exact["mse"], 0.0)
    # Nearly recovered: mse = λ² E tr (X^T X)^-2/d = λ² alpha/(alpha - 1)^3.
    near = replica("square", 4.0, teacher="linear", noise=0, regularization=1e-9)
    assert near["mse"][0] == pytest.approx(1e-18 * 4 / 27, rel=1e-7)


def test_ridge_solves_the_equations_of_every_margin_loss():
    alpha, noise, penalty = 1.7, 0.4, 0.2
    a = replica("square", alpha, noise=noise, regularization=penalty)
    m, q, variance = (a[n] for n in ("overlap", "self_overlap", "susceptibility"))
    law = averages.Law(m, np.sqrt(q - m**2), np.array([noise]))
    u, w = law.margins([])
    g = variance * (1 - u) / (1 + variance)
    assert alpha * np.sum(w * g**2) == pytest.approx(q[0] - m[0] ** 2, rel=1e-12)
    v, w = law.plane_margins([])
    g = variance * (1 - law.plane * v) / (1 + variance)
    assert alpha * np.sqrt(2 / np.pi / 1.4) * np.sum(w * g) == pytest.approx(m[0], rel=1e-12)
    assert 1 - penalty * variance[0] == pytest.approx(alpha * variance[0] / (1 + variance[0]))


# Without a penalty --------------------------------------------------------------------------------


def test_max_margin_of_random_labels_is_gardner():
    """Noise without end: 1/alpha = ∫_{-κ}^∞ Dt (t + κ)²."""
    alpha = np.array([0.1, 0.7, 1.5, 1.99])
    a = replica("max_margin", alpha, noise=1e18)
    for ratio, margin in zip(alpha, a["margin"], strict=True):
        integral = quad(
            lambda t: (t + margin) ** 2 * np.exp(-t * t / 2) / np.sqrt(2 * np.pi),  # noqa: B023
            -margin,
            12,
            epsabs=1e-14,
        )[0]
        assert 1 / ratio == pytest.approx(integral, rel=1e-7)


def test_hinge_without_penalty_is_max_margin_of_separable_data():
    alpha, noise = np.array([0.3, 1.0, 4.0, 3.0]), np.array([0.0, 0.2, 0.1, 0.0])
    hard = replica("max_margin", alpha, noise=noise)
    soft = replica("hinge", alpha, noise=noise, regularization=0)
    weak = replica("hinge", alpha, noise=noise, regularization=1e-9)
    for name in ("overlap", "self_overlap", "mse", "classification_error"):
        np.testing.assert_array_equal(hard[name], soft[name])
        np.testing.assert_allclose(weak[name], hard[name], rtol=1e-6)
    np.testing.assert_allclose(weak["objective"] / 1e-9, hard["objective"], rtol=1e-5)
    np.testing.assert_allclose(hard["margin"] ** 2 * hard["self_overlap"], 1)


def test_logistic_without_penalty_tends_to_the_direction_of_max_margin():
    hard = replica("max_margin", 1.5, noise=0.1)["classification_error"][0]
    limit = replica("logistic", 1.5, noise=0.1, regularization=0)
    assert limit["status"][0] == Status.NO_SOLUTION
    assert "separable" in limit["message"][0]
    assert limit["classification_error"][0] == hard
    assert np.isnan(limit["self_overlap"][0])
    penalty = 10.0 ** -np.array([4, 8, 16, 32])
    found = replica("logistic", 1.5, noise=0.1, regularization=penalty)
    away = np.abs(found["classification_error"] - hard)
    assert np.all(np.diff(away) < 0)
    assert away[-1] < 2e-3
    np.testing.assert_allclose(found["classification_error"][-1], hard, rtol=1e-2)


def test_both_sides_of_separability():
    """The norm diverges at the threshold from both sides, with one direction."""
    end = call(METHODS["separability"], signal=2.0, link="probit")["alpha_separable"][0]
    alpha = end * (1 + np.array([-1e-3, -1e-5, 1e-5, 1e-3]))
    hinge = replica("hinge", alpha, noise=0.25, regularization=0)
    logistic = replica("logistic", alpha, noise=0.25, regularization=0)
    assert np.all(hinge["status"] == Status.CONVERGED)
    assert logistic["status"].tolist() == [4, 4, 0, 0]
    assert np.all(hinge["self_overlap"][[1, 2]] > 1e3 * hinge["self_overlap"][[0, 3]])
    np.testing.assert_allclose(
        hinge["classification_error"][1], logistic["classification_error"][2], rtol=1e-4
    )
    refused = replica("max_margin", alpha, noise=0.25)
    assert refused["status"].tolist() == [0, 0, 4, 4]
    assert "not separable" in refused["message"][2]


def test_without_samples():
    for loss in ("logistic", "hinge", "square"):
        a = replica(loss, [0.0, 1e-9], regularization=0.5)
        assert a["overlap"][0] == a["self_overlap"][0] == a["objective"][0] == 0
        assert a["mse"][0] == 1
        assert a["classification_error"][0] == 0.5
        np.testing.assert_allclose(a["training_loss"][0], a["training_loss"][1], rtol=1e-6)
        np.testing.assert_allclose(a["susceptibility"], 2.0, rtol=1e-6)
    a = replica("max_margin", [0.0, 1e-9])
    np.testing.assert_allclose(a["self_overlap"], [0.0, 1e-9], rtol=1e-6)


def test_no_loss_beats_bayes():
    alpha = np.array([0.01, 0.3, 1.0, 3.0, 10.0, 100.0])
    for noise in (0.0, 0.2):
        best = bayes_error(alpha, noise)
        for loss in PENALISED:
            for penalty in (1e-6, 0.05, 1.0, 50.0):
                a = replica(loss, alpha, noise=noise, regularization=penalty)
                assert np.all(a["classification_error"] > best)
        a = call(METHODS["optimal_regularization"], loss="logistic", alpha=alpha, noise=noise)
        assert np.all(a["classification_error"] > best)
        np.testing.assert_allclose(a["classification_error"], best, rtol=2e-3)


# Published ----------------------------------------------------------------------------------------


def test_published_values():
    path = Path(__file__).parents[1] / "data" / "published" / "glm_erm.csv"
    rows = {
        (row["quantity"], row["parameters"].split()[0]): (
            float(row["value"]),
            float(row["uncertainty"]),
        )
        for row in csv.DictReader(path.read_text().splitlines())
    }
    alpha = 1e5
    margin = replica("max_margin", alpha)["classification_error"][0]
    logistic = call(METHODS["optimal_regularization"], loss="logistic", alpha=alpha)
    ridge = call(METHODS["optimal_regularization"], loss="square", alpha=3.0)
    ours = {
        ("dimension_per_sample", "signal=0"): call(METHODS["separability"], signal=0)[
            "dimension_per_sample"
        ][0],
        ("optimal_regularization", "loss=square"): ridge["optimal_regularization"][0],
        ("classification_error times alpha at large alpha", "loss=max_margin"): alpha * margin,
        ("classification_error times alpha at large alpha", "loss=logistic"): alpha
        * logistic["classification_error"][0],
    }
    assert set(rows) == set(ours)
    for key, (value, uncertainty) in rows.items():
        assert abs(ours[key] - value) <= uncertainty, key


def test_ridge_error_falls_like_one_over_root_alpha():
    """√(π/2 - 1)/π = 0.2405 over √alpha."""
    a = replica("square", 1e6, regularization=0)
    expected = np.sqrt(np.pi / 2 - 1) / np.pi / 1e3
    assert a["classification_error"][0] == pytest.approx(expected, rel=1e-5)


# Optimal regularization ---------------------------------------------------------------------------


def test_optimal_ridge_is_a_minimum():
    method = METHODS["optimal_regularization"]
    for teacher, name in (("sign", "classification_error"), ("linear", "mse")):
        best = call(method, loss="square", teacher=teacher, alpha=[0.4, 1.0, 3.0], noise=0.3)
        for factor in (0.99, 1.01):
            penalty = best["optimal_regularization"] * factor
            near = replica(
                "square", [0.4, 1.0, 3.0], teacher=teacher, noise=0.3, regularization=penalty
            )
            assert np.all(near[name] > best[name])
    zero = call(method, loss="square", teacher="linear", alpha=[0.5, 1.0, 2.0])
    np.testing.assert_array_equal(zero["optimal_regularization"], 0.0)
    np.testing.assert_allclose(zero["mse"], [0.5, 0.0, 0.0])


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_optimal_regularization_is_the_best_of_all(loss):
    alpha, noise = np.array([0.2, 1.0, 5.0]), np.array([0.0, 0.4, 0.0])
    best = call(METHODS["optimal_regularization"], loss=loss, alpha=alpha, noise=noise)
    assert np.all(best["status"] == Status.CONVERGED)
    grid = np.geomspace(1e-6, 1e4, 41)
    for i in range(3):
        errors = replica(loss, alpha[i], noise=noise[i], regularization=grid)
        assert np.all(errors["classification_error"] >= best["classification_error"][i])

        def error(s, i=i):
            found = replica(loss, alpha[i], noise=noise[i], regularization=np.exp(s))
            return found["classification_error"][0]

        centre = np.log(best["optimal_regularization"][i])
        found = minimize_scalar(error, bounds=(centre - 0.5, centre + 0.4), method="bounded")
        assert found.x == pytest.approx(centre, abs=1e-3)


def test_hinge_wants_no_regularization_with_many_noisy_samples():
    best = call(METHODS["optimal_regularization"], loss="hinge", alpha=300.0, noise=0.05)
    assert best["optimal_regularization"][0] == 0
    assert "limit 0+" in best["message"][0]
    penalty = np.array([1e-4, 1e-2, 1.0, 100.0])
    errors = replica("hinge", 300.0, noise=0.05, regularization=penalty)["classification_error"]
    assert np.all(errors > best["classification_error"][0])


def test_hinge_wants_infinite_regularization_for_labels_that_are_nearly_random():
    best = call(METHODS["optimal_regularization"], loss="hinge", alpha=1.0, noise=1e4)
    assert best["status"][0] == Status.NO_SOLUTION
    assert np.isnan(best["optimal_regularization"][0])
    assert "infinite" in best["message"][0]
    strong = replica("hinge", 1.0, noise=1e4, regularization=[0.1, 1.0, 1e6])
    assert np.all(strong["classification_error"][:2] > best["classification_error"][0])
    assert strong["classification_error"][2] == pytest.approx(best["classification_error"][0])


def test_weak_signals_make_logistic_regression_ridge_regression():
    """log(1 + e^-u) = (u - 2)²/8 + const.: a fourth of the penalty of ridge."""
    noise = 1e5
    best = call(METHODS["optimal_regularization"], loss="logistic", alpha=2.0, noise=noise)
    expected = (np.pi / 2 * (1 + noise) - 1) / 4
    assert best["optimal_regularization"][0] == pytest.approx(expected, rel=1e-4)


# Separability -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("link", "function"), [("logistic", expit), ("probit", ndtr)])
def test_separability_by_direct_minimisation(link, function):
    signal = np.array([0.3, 1.0, np.sqrt(5), 8.0])
    a = call(METHODS["separability"], signal=signal, link=link)

    def gain(x):  # E (Z - x)_+²
        return (1 + x * x) * ndtr(-x) - x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

    for gamma, h in zip(signal, a["dimension_per_sample"], strict=True):

        def mean(t, gamma=gamma):
            return quad(
                lambda v: 2 * np.exp(-v * v / 2) * function(gamma * v) * gain(t * v),
                -12,
                12,
                points=[0.0],
                epsabs=1e-13,
            )[0] / np.sqrt(2 * np.pi)

        found = minimize_scalar(mean, bounds=(0, 2 * gamma), method="bounded")
        assert h == pytest.approx(found.fun, rel=1e-9)
    np.testing.assert_allclose(a["alpha_separable"] * a["dimension_per_sample"], 1)


def test_separability_limits():
    for link, constant in (("logistic", 1.0152678576), ("probit", 0.5513288954)):
        signal = np.array([0.0, 1e-5, 1e-3, 1e6, 1e12])
        a = call(METHODS["separability"], signal=signal, link=link)
        assert np.all(a["status"] == Status.CONVERGED)
        h = a["dimension_per_sample"]
        assert h[0] == 0.5
        # Second order in the signal: h = 1/2 - (E v)²/π, E v = signal/2 or √(2/π) signal.
        slope = 0.25 if link == "logistic" else 2 / np.pi
        np.testing.assert_allclose(0.5 - h[2], slope / np.pi * 1e-6, rtol=1e-5)
        np.testing.assert_allclose(h[3:] * signal[3:], constant, rtol=1e-9)
        many = call(METHODS["separability"], signal=np.linspace(0, 20, 60), link=link)
        assert np.all(np.diff(many["dimension_per_sample"]) < 0)


# The edge -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["logistic", "hinge", "max_margin"])
def test_classification_losses_refuse_real_labels(loss):
    given = {"alpha": 1, "loss": loss, "teacher": "linear"}
    if loss != "max_margin":
        given["regularization"] = 1
    with pytest.raises(UserError, match=r"needs labels \+1 and -1"):
        expand(single_method(METHODS["replica"], given, "x"), lambda *_: np.zeros(1))
    with pytest.raises(UserError, match="regularization"):
        single_method(
            METHODS["replica"], {"alpha": 1, "loss": "max_margin", "regularization": 1}, "x"
        )

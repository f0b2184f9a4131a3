"""Compressed sensing in theory: the l1 line, l1-penalised least squares, and the Bayes plane."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from solvers.contract import Status
from solvers.systems.sparse_recovery.donoho_tanner import weak_threshold
from solvers.systems.sparse_recovery.lasso import lasso_fixed_point
from solvers.systems.sparse_recovery.soft_threshold import measures, risk_slope
from tests.test_glm_bayes import call as call_any


def call(name, **given):
    return call_any(name, system="sparse_recovery", **given)


def minimax_risk(c, rho):
    """Risk of soft thresholding at c: a share rho infinitely large, the others zero."""
    return rho * (1 + c * c) + 2 * (1 - rho) * ((1 + c * c) * norm.sf(c) - c * norm.pdf(c))


# ---- the l1 line


@pytest.mark.parametrize("rho", [1e-3, 0.02, 0.1, 0.35, 0.7, 0.95, 0.999])
def test_l1_line_is_the_minimum_of_the_risk(rho):
    alpha, ratio, _, residual = weak_threshold(np.array([rho]))
    best = minimize_scalar(minimax_risk, args=(rho,), bounds=(0, 6), method="bounded",
                           options={"xatol": 1e-9})  # fmt: skip
    assert alpha[0] == pytest.approx(best.fun, rel=1e-12)
    assert ratio[0] == pytest.approx(best.x, abs=1e-5)
    assert residual[0] < 1e-13


@pytest.mark.parametrize("rho", ["1e-100", "1e-8", "1e-6", "0.3", "0.999999"])
def test_l1_line_to_sixteen_digits(rho):
    mpmath.mp.dps = 50
    r = mpmath.mpf(float(rho))

    def tail(x):
        return mpmath.erfc(x / mpmath.sqrt(2)) / 2

    def first(x):
        return mpmath.npdf(x) - x * tail(x)

    start = weak_threshold(np.array([float(rho)]))
    c = mpmath.findroot(
        lambda x: mpmath.log(2 * first(x) / x) - mpmath.log(r / (1 - r)), start[1][0]
    )
    exact = r + 2 * (1 - r) * tail(c)
    assert start[0][0] == pytest.approx(float(exact), rel=3e-14)
    # 1 - alpha of a nearly dense signal is known as well as doubles can tell.
    assert 1 - start[0][0] == pytest.approx(float(1 - exact), rel=1e-13, abs=2e-16)


def test_published_values():
    """Each row is met: the limit of few non-zero weights within its logarithmic correction."""
    path = Path(__file__).parents[1] / "data" / "published" / "sparse_recovery.csv"
    with path.open() as file:
        rows = {row["quantity"]: float(row["value"]) for row in csv.DictReader(file)}
    rho = np.array([1e-8, 1e-30, 1e-100, 1e-300])
    line = weak_threshold(rho)[0]
    ratio = line / (2 * rho * np.log(1 / line))
    expected = rows.pop("alpha_l1 / (2 sparsity log(1/alpha_l1))")
    assert np.all(np.diff(np.abs(ratio - expected)) < 0)
    assert ratio[-1] == pytest.approx(expected, abs=4e-3)
    found = call("thresholds", sparsity=[0.01, 0.5])
    expected = rows.pop("alpha_it / sparsity")
    np.testing.assert_allclose(found["alpha_it"] / [0.01, 0.5], expected, rtol=1e-11)
    assert not rows


def test_thresholds_are_ordered_and_end_at_one():
    rho = np.array([1e-6, 1e-3, 0.05, 0.2, 0.4, 0.8, 0.99, 1.0])
    found = call("thresholds", sparsity=rho)
    assert np.all(found["status"] == Status.CONVERGED)
    np.testing.assert_allclose(found["alpha_it"], rho, rtol=1e-11)
    inside = rho < 1
    assert np.all((found["alpha_it"] < found["alpha_amp"])[inside])
    assert np.all((found["alpha_amp"] < found["alpha_l1"])[inside])
    for name in ("alpha_it", "alpha_amp", "alpha_l1"):
        assert found[name][-1] == pytest.approx(1.0, rel=1e-11)


@pytest.mark.parametrize("rho", [0.1, 0.4])
def test_bayes_threshold_by_brute_force(rho):
    """The state evolution alpha = s·mse(s), mse by adaptive quadrature, has its top at alpha_amp."""

    def mse(s):
        """E (w - ⟨w⟩)² of B = s w + √s Z, over non-zero weights and the identity q = E⟨w⟩w."""

        def weight(z):
            b = np.sqrt(s * (1 + s)) * z
            odds = (1 - rho) / rho * np.sqrt(1 + s) * np.exp(-0.5 * b * b / (1 + s))
            return z * z * norm.pdf(z) / (1 + odds)

        switch = np.sqrt(2 * np.log((1 - rho) / rho * np.sqrt(1 + s)) / s) if s > 1 else 1.0
        parts = [0.0, 0.5 * switch, switch, 2 * switch, 12.0]
        seen = sum(
            quad(weight, a, b, epsabs=0, epsrel=1e-12)[0] for a, b in itertools.pairwise(parts)
        )
        return rho * (1 - s / (1 + s) * 2 * seen)

    found = call("thresholds", sparsity=rho)["alpha_amp"][0]
    top = minimize_scalar(lambda u: -np.exp(u) * mse(np.exp(u)), bounds=(0.0, 6.0), method="bounded",
                          options={"xatol": 1e-6})  # fmt: skip
    assert found == pytest.approx(-top.fun, rel=1e-9)


# ---- soft thresholding


@pytest.mark.parametrize(
    ("ratio", "tau", "rho"),
    [(1.2, 0.3, 0.2), (0.0, 2.0, 0.5), (2.5, 1e-3, 0.05), (0.4, 30.0, 0.9), (3.0, 0.7, 1.0)],
)
def test_soft_thresholding_against_quadrature(ratio, tau, rho):
    got = measures(ratio=np.array([ratio]), tau=np.array([tau]), sparsity=np.array([rho]))
    theta, sigma = ratio * tau, np.hypot(1, tau)

    def cut(u):
        return max(u - theta, 0.0) - max(-u - theta, 0.0)

    def average(f, width):
        """E f(u) for u ~ N(0, width²), f even."""
        edges = [0.0, theta, theta + width, 12 * width + theta]
        return 2 * sum(
            quad(lambda u: f(u) * norm.pdf(u / width) / width, a, b, epsabs=0, epsrel=1e-11)[0]
            for a, b in itertools.pairwise(edges)
            if b > a
        )

    mean, spread = 1 / sigma**2, tau**2 / sigma**2  # w given u: mean u/σ², variance τ²/σ²
    expected = {
        "mse": (1 - rho) * average(lambda u: cut(u) ** 2, tau)
        + rho * average(lambda u: (cut(u) - mean * u) ** 2 + spread, sigma),
        "overlap": rho * average(lambda u: cut(u) * mean * u, sigma),
        "self_overlap": (1 - rho) * average(lambda u: cut(u) ** 2, tau)
        + rho * average(lambda u: cut(u) ** 2, sigma),
        "l1_norm": (1 - rho) * average(lambda u: abs(cut(u)), tau)
        + rho * average(lambda u: abs(cut(u)), sigma),
        "active": (1 - rho) * 2 * norm.sf(ratio) + rho * 2 * norm.sf(theta / sigma),
    }
    for name, value in expected.items():
        assert got[name][0] == pytest.approx(value, rel=1e-9), name


def test_slope_of_the_risk_vanishes_where_the_risk_is_least():
    for tau, rho in itertools.product([1e-4, 0.1, 1.0, 50.0], [0.01, 0.5, 1.0]):
        c = np.geomspace(1e-5, 1e3 * max(1, tau), 4001)
        columns = {"tau": np.full_like(c, tau), "sparsity": np.full_like(c, rho)}
        risk = measures(ratio=c, **columns)["mse"]
        slope = risk_slope(ratio=c, **columns)
        change = np.flatnonzero(np.diff(np.sign(slope)))
        assert len(change) == 1
        assert np.all(np.diff(slope)[: change[0]] < 0)
        least = np.argmin(risk)
        assert abs(least - change[0]) <= 3 or risk[change[0]] == pytest.approx(
            risk[least], rel=1e-13
        )


# ---- l1-penalised least squares


def test_fixed_point_equations_hold_where_roots_are_hard_to_find():
    """Both equations, recomputed from the answer, over twenty decades of everything."""
    corners = itertools.product(
        [1e-6, 1e-3, 0.1, 0.5, 0.99, 1.5, 50.0],
        [1e-8, 1e-3, 0.2, 1.0],
        [0.0, 1e-30, 1e-8, 0.1, 1e6],
        [0.0, 1e-12, 1e-3, 1.0, 1e8],
    )
    alpha, rho, noise, penalty = np.array(list(corners)).T
    point = lasso_fixed_point(alpha=alpha, sparsity=rho, noise=noise, regularization=penalty)
    assert np.all(point.residual < 1e-11)
    some = point.tau > 0
    alpha, rho, noise, penalty = (v[some] for v in (alpha, rho, noise, penalty))
    tau, ratio = point.tau[some], point.ratio[some]
    got = measures(ratio=ratio, tau=tau, sparsity=rho)
    np.testing.assert_allclose(alpha * tau**2, noise + got["mse"], rtol=1e-10)
    theta = ratio * tau
    np.testing.assert_allclose(
        theta * (alpha - got["active"]), penalty * (theta > 0), rtol=1e-10,
        atol=1e-13 * np.max(theta * alpha),
    )  # fmt: skip
    # Relative to the two terms that cancel:
    miss = np.abs(theta * (alpha - got["active"]) - penalty * (theta > 0))
    assert np.all(miss <= 1e-12 * (theta * alpha + penalty))


def test_objective_changes_with_lambda_as_the_norm():
    """Envelope theorem: d min P/dλ = |ŵ|_1. It ties calibration, loss and norm together."""
    alpha = np.array([0.3, 0.3, 0.7, 1.0, 2.0])
    rho = np.array([0.05, 0.3, 0.2, 1.0, 0.5])
    noise = np.array([0.0, 0.1, 1e-4, 0.3, 1.0])
    penalty = np.array([0.02, 0.5, 1e-3, 0.1, 2.0])
    step = 1e-4 * penalty

    def solve(x):
        return call("l1", alpha=alpha, sparsity=rho, noise=noise, regularization=x, iterations=0)

    slope = (solve(penalty + step)["objective"] - solve(penalty - step)["objective"]) / (2 * step)
    np.testing.assert_allclose(slope, solve(penalty)["l1_norm"], rtol=1e-6)


def test_basis_pursuit_is_exact_above_the_line_only():
    rho = np.array([1e-4, 0.05, 0.3, 0.8])
    line = weak_threshold(rho)[0]
    for factor, exact in ((1 + 1e-9, True), (1 - 1e-6, False)):
        got = call("l1", alpha=line * factor, sparsity=rho, iterations=0)
        assert np.all(got["status"] == Status.CONVERGED)
        assert np.all((got["mse"] == 0) == exact)
        np.testing.assert_allclose(got["active"], rho if exact else line * factor, rtol=1e-9)
    # Just below, the error grows from zero: continuously, and faster than linearly.
    near, far = (
        call("l1", alpha=line * (1 - e), sparsity=rho, iterations=0)["mse"] for e in (1e-4, 1e-3)
    )
    np.testing.assert_allclose(far / near, 100, rtol=0.1)


def test_noise_sensitivity():
    """mse/noise for vanishing noise: M/(1 - M/alpha)/alpha, least at the best threshold."""
    rho, alpha = np.array([0.01, 0.1, 0.3]), np.array([0.1, 0.5, 0.8])
    line = weak_threshold(rho)[0]
    for noise in (1e-14, 1e-60):
        best = call("optimal_regularization", alpha=alpha, sparsity=rho, noise=noise)
        np.testing.assert_allclose(best["mse"] / noise, line / (alpha - line), rtol=1e-5)
        # Basis pursuit takes the threshold with as many active weights as samples.
        bare = call("l1", alpha=alpha, sparsity=rho, noise=noise, iterations=0)
        c = [
            brentq(lambda x, r=r, a=a: r + 2 * (1 - r) * norm.sf(x) - a, 0, 9, xtol=1e-14)
            for r, a in zip(rho, alpha, strict=True)
        ]
        risk = minimax_risk(np.array(c), rho)
        np.testing.assert_allclose(bare["mse"] / noise, risk / (alpha - risk), rtol=1e-5)
        assert np.all(best["mse"] < bare["mse"])


def test_optimal_lambda_is_optimal():
    rng = np.random.default_rng(1)
    alpha, rho = rng.uniform(0.05, 2, 30), rng.uniform(0.01, 1, 30)
    noise = 10 ** rng.uniform(-4, 1, 30)
    best = call("optimal_regularization", alpha=alpha, sparsity=rho, noise=noise)
    columns = {"alpha": alpha, "sparsity": rho, "noise": noise, "iterations": 0}
    there = call("l1", regularization=best["optimal_regularization"], **columns)
    for name in ("mse", "overlap", "self_overlap", "active", "l1_norm"):
        np.testing.assert_allclose(there[name], best[name], rtol=1e-8)
    for factor in (0.0, 0.5, 0.99, 1.01, 2.0):
        other = call("l1", regularization=factor * best["optimal_regularization"], **columns)
        felt = best["active"] > 1e-6  # elsewhere the optimum is flat to rounding
        assert np.all(other["mse"][felt] > best["mse"][felt])
        np.testing.assert_array_less(best["mse"] * (1 - 1e-14), other["mse"])
    bayes = call("state_evolution", alpha=alpha, sparsity=rho, noise=noise, iterations=0)
    informed = call(
        "state_evolution", alpha=alpha, sparsity=rho, noise=noise, iterations=0,
        initialization="informed",
    )  # fmt: skip
    assert np.all(best["mse"] > np.minimum(bayes["mse"], informed["mse"]))


def test_special_cases_of_least_squares():
    got = call("l1", alpha=[0.9, 1.0, 1.5, 30.0], sparsity=0.2, noise=0.3, iterations=0)
    assert got["status"][1] == Status.NO_SOLUTION
    assert np.isnan(got["mse"][1])
    assert "alpha = 1" in got["message"][1]
    np.testing.assert_allclose(got["mse"][2:], [0.6, 0.3 / 29], rtol=1e-12)
    np.testing.assert_allclose(got["training_loss"][2:], 0.15 * np.array([0.5, 29.0]) / [1.5, 30.0])
    assert got["training_loss"][0] == 0
    # λ -> 0 continuously.
    tiny = call("l1", alpha=[0.9, 1.5], sparsity=0.2, noise=0.3, regularization=1e-10, iterations=0)
    np.testing.assert_allclose(tiny["mse"], got["mse"][[0, 2]], rtol=1e-7)
    # A penalty that nothing survives, and no samples.
    gone = call("l1", alpha=[0.5, 0.0], sparsity=0.2, noise=0.3, regularization=[100.0, 0.1])
    np.testing.assert_allclose(gone["mse"], 0.2, rtol=1e-12)
    np.testing.assert_allclose(gone["training_loss"], 0.25, rtol=1e-12)
    blind = call("optimal_regularization", alpha=[0.0, 0.6], sparsity=0.2, noise=[0.1, 0.0])
    assert blind["status"].tolist() == [Status.NO_SOLUTION, Status.CONVERGED]
    assert np.isnan(blind["optimal_regularization"][0])
    assert (blind["optimal_regularization"][1], blind["mse"][1]) == (0, 0)


def test_trajectories_end_at_the_fixed_point():
    corners = itertools.product([0.02, 0.3, 0.6, 0.95, 1.3], [0.001, 0.1, 0.6], [0.0, 0.1],
                                [0.0, 0.01, 1.0])  # fmt: skip
    alpha, rho, noise, penalty = np.array(list(corners)).T
    got = call("l1", alpha=alpha, sparsity=rho, noise=noise, regularization=penalty, iterations=200)
    path = got["mse_trajectory"]
    np.testing.assert_allclose(path[:, 0], rho)
    np.testing.assert_allclose(path[:, -1], got["mse"], rtol=1e-3, atol=1e-6)
    # Without noise at alpha = 1, where calibrated thresholds would stand still.
    square = call("l1", alpha=1.0, sparsity=0.2, iterations=60)["mse_trajectory"][0]
    assert square[-1] < 1e-14
    # The decrease of the error tends to the best possible one, min M/alpha.
    line = weak_threshold(np.array([0.2]))[0][0]
    assert square[30] / square[29] == pytest.approx(line, rel=1e-3)


# ---- the Bayes plane


def test_bayes_plane_is_that_of_generalised_linear_models():
    alpha, rho = np.array([0.2, 0.45, 0.7]), np.array([0.4, 0.4, 0.4])
    noise = np.array([0.0, 0.0, 0.01])
    got = call("state_evolution", alpha=alpha, sparsity=rho, noise=noise)
    same = call_any(
        "state_evolution", prior="gauss_bernoulli", channel="linear", alpha=alpha, sparsity=rho,
        noise=noise,
    )  # fmt: skip
    for name in ("mse", "overlap", "free_entropy", "mse_trajectory"):
        np.testing.assert_array_equal(got[name], same[name])
    labels = ("impossible", "hard", "easy")
    assert [labels[i] for i in got["phase"]] == ["impossible", "hard", "easy"]
    assert call("state_evolution", alpha=0.65, sparsity=0.4)["mse"][0] == 0


def test_bayes_overlap_is_the_slope_of_the_free_entropy():
    """d φ/d alpha = E log Z of a label = -log(2πe (mse + noise))/2 along a branch."""
    step = 1e-5
    columns = {"sparsity": [0.2, 0.5], "noise": [1e-3, 0.1], "iterations": 0}
    up, down = (
        call("state_evolution", alpha=np.array([0.5, 0.4]) + e, **columns)["free_entropy"]
        for e in (step, -step)
    )
    mse = call("state_evolution", alpha=[0.5, 0.4], **columns)["mse"]
    expected = -0.5 * np.log(2 * np.pi * np.e * (mse + columns["noise"]))
    np.testing.assert_allclose((up - down) / (2 * step), expected, rtol=1e-6)

"""Phase retrieval: the compressive plane, and that it is glm_bayes with absolute values."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.special import k1

from solvers.contract import Status, load_system
from tests.test_glm_bayes import STARTS, call

PHASES = load_system("phase_retrieval").observables["phase"].labels


def find(prior="gauss_bernoulli", **given):
    return call("thresholds", system="phase_retrieval", prior=prior, **given)


def evolve(prior, alpha, **given):
    return call("state_evolution", system="phase_retrieval", prior=prior, alpha=alpha, **given)


def test_published_values():
    path = Path(__file__).parents[1] / "data" / "published" / "phase_retrieval.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) >= 4
    for row in rows:
        given = dict(item.split("=") for item in row["parameters"].split())
        given |= {n: float(v) for n, v in given.items() if n != "prior"}
        value = find(**given)[row["quantity"]][0]
        assert abs(value - float(row["value"])) <= float(row["uncertainty"]), row


def test_gaussian_signal_by_another_integral():
    """Without noise alpha(q) = q/(1 - √(1 - q) S), S = (2/π)∫ p K_1(p) sech(√q p) dp.

    The sign of z has posterior mean tanh(y omega/V), so that V E g² = 1 - E y² sech²(y omega/V)/V,
    and the product of two Gaussians has the density K_0(|p|)/π.
    """
    p, weight = np.polynomial.legendre.leggauss(400)
    p, weight = 22.5 * (p + 1), 22.5 * weight
    kernel = 2 / np.pi * weight * p * k1(p)
    q = np.linspace(0.005, 0.999, 20_000)
    alpha = np.empty_like(q)
    for i in range(0, len(q), 500):
        part = q[i : i + 500, None]
        missing = (kernel / np.cosh(np.sqrt(part) * p)).sum(axis=1)
        alpha[i : i + 500] = q[i : i + 500] / (1 - np.sqrt(1 - q[i : i + 500]) * missing)
    answer = find("gaussian")
    assert answer["alpha_amp"][0] == pytest.approx(alpha.max(), rel=1e-7)
    start = alpha[0] - q[0] * (alpha[1] - alpha[0]) / (q[1] - q[0])
    assert start == pytest.approx(answer["alpha_weak"][0], rel=1e-3)
    rising = np.argmax(alpha)
    chosen = np.linspace(0, rising, 30).astype(int)[1:-1]
    found = evolve("gaussian", alpha[chosen], iterations=0)
    np.testing.assert_allclose(found["overlap"], q[chosen], rtol=1e-7)


def test_zero_overlap_up_to_weak_recovery_and_linear_beyond():
    alpha = 0.5 * (1 + np.array([-0.5, -1e-6, 0.0, 1e-6, 1e-5, 1e-4]))
    for prior, given in (("gaussian", {}), ("gauss_bernoulli", {"sparsity": 0.9})):
        answer = evolve(prior, alpha, **given)
        assert np.all(answer["status"] == Status.CONVERGED)
        assert np.all(answer["overlap"][:3] == 0)
        assert np.all(answer["overlap_trajectory"] == 0)
        slope = answer["overlap"][3:] / (alpha[3:] - 0.5)
        assert np.all(slope > 0.1)
        np.testing.assert_allclose(slope, slope[0], rtol=5e-3)


def test_the_compressive_plane():
    """One equation for each non-zero entry suffices; message passing needs more, and >= 1/2."""
    rho = np.array([1e-4, 0.01, 0.1, 0.3, 0.45, 0.5, 0.55, 0.6, 0.7, 0.9, 1.0])
    answer = find(sparsity=rho)
    assert np.all(answer["status"] == Status.CONVERGED)
    np.testing.assert_allclose(answer["alpha_it"], rho, rtol=1e-10)
    np.testing.assert_allclose(answer["alpha_full"], rho, rtol=1e-10)
    np.testing.assert_allclose(answer["alpha_weak"], 0.5, rtol=1e-11)
    amp = answer["alpha_amp"]
    assert np.all(amp >= np.maximum(answer["alpha_weak"], rho))
    assert np.all(np.diff(amp) > 0)
    # A very sparse signal is found (almost) as soon as anything is found of it.
    np.testing.assert_allclose(amp[:2] - 0.5, 2.1 * rho[:2] ** 2, rtol=0.02)
    assert amp[-1] == pytest.approx(find("gaussian")["alpha_amp"][0], rel=1e-9)


def test_from_nothing_to_everything_in_a_small_step():
    """Sparse: from alpha_weak to alpha_amp is half a per mille, then recovery is exact."""
    alpha = 0.5 * np.array([0.1, 1 - 1e-9, 1 + 1e-5, 1.0006])
    answer = evolve("gauss_bernoulli", alpha, sparsity=0.01)
    assert answer["overlap"].tolist()[::3] == [0.0, 0.01]
    assert answer["mse"].tolist()[::3] == [0.01, 0.0]
    assert answer["overlap"][1] == 0
    assert 0 < answer["overlap"][2] < 1e-4
    assert answer["free_entropy"][3] == np.inf
    assert [PHASES[code] for code in answer["phase"]] == ["hard", "hard", "hard", "easy"]
    informed = evolve("gauss_bernoulli", 0.11, sparsity=0.1, initialization="informed")
    assert informed["mse"][0] == 0


def test_noise_ends_the_hard_phase():
    noise = np.array([0.0, 1e-4, 0.5])
    for prior, given in (("gaussian", {}), ("gauss_bernoulli", {"sparsity": 0.3})):
        answer = find(prior, noise=noise, **given)
        assert np.isfinite(answer["alpha_amp"]).tolist() == [True, True, False]
        assert np.isfinite(answer["alpha_full"]).tolist() == [True, False, False]
        assert np.all(np.diff(answer["alpha_weak"]) > 0)
        assert np.all(answer["status"] == Status.CONVERGED)
        assert "alpha_it, alpha_amp" in answer["message"][2]


@pytest.mark.parametrize("method", ["state_evolution", "thresholds", "gamp"])
def test_it_is_the_generalised_linear_model_with_absolute_values(method):
    given = {"prior": "gauss_bernoulli", "sparsity": 0.6, "noise": 0.01}
    if method != "thresholds":
        given |= {"alpha": np.array([0.4, 1.7]), "iterations": 5}
    if method == "gamp":
        given |= {"dimension": 60, "seed": 2, "max_steps": 20}
    for start in STARTS if method != "thresholds" else STARTS[:1]:
        started = {"initialization": start} if method != "thresholds" else {}
        own = call(method, system="phase_retrieval", **given, **started)
        whole = call(method, channel="abs", **given, **started)
        missing = set(whole) - set(own)
        assert missing <= {"classification_error"}
        for name in set(own) - {"message"}:
            np.testing.assert_array_equal(own[name], whole[name], err_msg=name)

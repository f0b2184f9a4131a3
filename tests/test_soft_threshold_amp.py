"""Simulated l1 recovery against state evolution, against other solvers, and against itself."""

from __future__ import annotations

import array_api_compat.numpy as anp
import numpy as np
import pytest
from scipy.optimize import linprog, lsq_linear, minimize

from solvers.contract import Status
from solvers.numerics.random import Stream
from solvers.systems.sparse_recovery.cut import cut
from solvers.systems.sparse_recovery.donoho_tanner import weak_threshold
from tests.test_sparse_recovery import call

SEEDS = 16


def simulate(name, seeds=SEEDS, **given):
    """Results of several seeds, stacked: (seeds, points, ...)."""
    runs = [call(name, seed=seed, **given) for seed in range(seeds)]
    return {key: np.stack([run[key] for run in runs]) for key in runs[0] if key != "message"}


def assert_agree(values, expected, dimension, scale):
    """Mean over instances within four standard errors and a finite-size term scale/dimension."""
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    assert np.all(np.abs(values.mean(axis=0) - expected) < 4 * error + scale / dimension)


def problem(*, dimension, alpha, sparsity, noise, seed):
    """The instance that a simulation draws: X, w and y, in double precision."""

    def stream(name):
        return Stream("glm_bayes", seed, dimension, name)

    samples = int(np.floor(alpha * dimension + 0.5))
    X = stream("design").normals(0, samples, dimension) / np.sqrt(dimension)
    chosen = stream("teacher").uniforms(0, dimension, 1)[:, 0] < sparsity
    w = np.where(chosen, stream("teacher").normals(0, dimension, 1)[:, 0], 0.0)
    y = X @ w + np.sqrt(noise) * stream("noise").normals(0, samples, 1)[:, 0]
    return X, w, y


# ---- against state evolution


@pytest.fixture(scope="module")
def penalised():
    """Sixteen instances at four points of the plane, sparsity and noise and λ different in each."""
    given = {
        "alpha": np.array([0.3, 0.5, 0.8, 1.4]),
        "sparsity": np.array([0.1, 0.2, 0.3, 0.2]),
        "noise": np.array([0.01, 0.05, 0.0, 0.2]),
        "regularization": np.array([0.1, 0.15, 0.05, 0.3]),
    }
    return call("l1", iterations=12, **given), simulate(
        "l1_amp", dimension=600, iterations=12, **given
    )


@pytest.mark.parametrize(
    "name", ["mse", "overlap", "self_overlap", "active", "l1_norm", "training_loss", "objective"]
)
def test_the_minimiser_is_as_state_evolution_says(penalised, name):
    theory, measured = penalised
    assert np.all(measured["status"] == Status.CONVERGED)
    assert_agree(measured[name], theory[name], 600, 1.0)


def test_message_passing_follows_state_evolution_iteration_by_iteration(penalised):
    theory, measured = penalised
    for t in range(13):
        values = measured["mse_trajectory"][:, :, t]
        assert_agree(values, theory["mse_trajectory"][:, t], 600, 3.0)


def test_basis_pursuit_follows_state_evolution():
    """λ = 0: recovered, not recovered, and interpolating noise; then least squares."""
    given = {
        "alpha": np.array([0.6, 0.3, 0.4, 2.0]),
        "sparsity": np.array([0.1, 0.2, 0.1, 0.3]),
        "noise": np.array([0.0, 0.0, 0.05, 0.1]),
    }
    theory = call("l1", iterations=8, **given)
    measured = simulate("l1_amp", dimension=400, iterations=8, max_steps=250, **given)
    for t in range(1, 9):
        values = measured["mse_trajectory"][:, :, t]
        assert_agree(values, theory["mse_trajectory"][:, t], 400, 3.0)
    assert np.all(measured["success"][:, 0])
    assert not np.any(measured["success"][:, 1:])
    assert np.all(measured["status"][:, 3] == Status.CONVERGED)
    assert np.all(measured["residual"] < 0.05)
    for name in ("mse", "l1_norm"):
        assert_agree(measured[name][:, 1:], theory[name][1:], 400, 3.0)
    # A vertex has as many non-zero weights as there are samples; stopped early, not quite.
    np.testing.assert_allclose(
        measured["active"][:, 1:].mean(axis=0), theory["active"][1:], atol=0.03
    )


def test_bayes_message_passing_recovers_where_it_should():
    """On the same instances Bayes succeeds between alpha_amp and alpha_l1, where l1 does not."""
    rho = 0.2
    line = call("thresholds", sparsity=rho)
    between = 0.5 * (line["alpha_amp"][0] + line["alpha_l1"][0])
    given = {"alpha": np.array([between, line["alpha_l1"][0] + 0.1]), "sparsity": rho}
    bayes = simulate("bayes_amp", seeds=6, dimension=800, damping=0.2, **given)
    plain = simulate("l1_amp", seeds=6, dimension=800, max_steps=150, **given)
    assert np.all(bayes["success"])
    assert np.all(plain["success"][:, 1])
    assert not np.any(plain["success"][:, 0])
    theory = call("state_evolution", alpha=0.3, sparsity=rho, noise=0.02)
    noisy = simulate("bayes_amp", dimension=500, alpha=0.3, sparsity=rho, noise=0.02, damping=0.3)
    good = noisy["status"][:, 0] == Status.CONVERGED
    assert good.mean() > 0.8
    for name in ("mse", "overlap"):
        assert_agree(noisy[name][good], theory[name], 500, 3.0)


# ---- against other solvers, instance by instance


def test_lasso_against_a_general_solver():
    given = {"dimension": 60, "alpha": 0.7, "sparsity": 0.3, "noise": 0.05, "seed": 5}
    for penalty in (0.02, 0.3):
        answer = call("l1_amp", regularization=penalty, precision="double", tolerance=1e-9,
                      max_steps=20_000, **given)  # fmt: skip
        assert answer["status"][0] == Status.CONVERGED
        X, w, y = problem(**given)

        def value(v, X=X, y=y, penalty=penalty):
            miss = X @ (v[:60] - v[60:]) - y
            slope = X.T @ miss
            gradient = np.concatenate([slope, -slope]) + penalty
            return 0.5 * miss @ miss + penalty * v.sum(), gradient

        found = minimize(value, np.zeros(120), jac=True, method="L-BFGS-B", bounds=[(0, None)] * 120,
                         options={"ftol": 1e-16, "gtol": 1e-10, "maxiter": 20_000})  # fmt: skip
        assert answer["objective"][0] * 60 == pytest.approx(found.fun, rel=1e-7)
        v = found.x[:60] - found.x[60:]
        assert answer["mse"][0] == pytest.approx(np.mean((v - w) ** 2), rel=1e-4)
        assert answer["l1_norm"][0] == pytest.approx(np.abs(v).mean(), rel=1e-4)


@pytest.mark.parametrize(("alpha", "sparsity"), [(0.7, 0.15), (0.4, 0.3), (0.9, 0.3)])
def test_basis_pursuit_against_linear_programming(alpha, sparsity):
    given = {"dimension": 80, "alpha": alpha, "sparsity": sparsity, "noise": 0.0, "seed": 2}
    answer = call("l1_amp", precision="double", tolerance=5e-4, max_steps=8000, **given)
    assert answer["status"][0] == Status.CONVERGED
    X, w, y = problem(**given)
    found = linprog(np.ones(160), A_eq=np.hstack([X, -X]), b_eq=y, method="highs")
    v = found.x[:80] - found.x[80:]
    assert answer["l1_norm"][0] == pytest.approx(found.fun / 80, rel=1e-3)
    assert answer["mse"][0] == pytest.approx(np.mean((v - w) ** 2), rel=1e-2, abs=1e-7)
    assert answer["success"][0] == (np.mean((v - w) ** 2) < 1e-10)


def test_least_squares_against_lstsq():
    given = {"dimension": 100, "alpha": 1.5, "sparsity": 0.3, "noise": 0.1, "seed": 1}
    answer = call("l1_amp", precision="double", tolerance=1e-8, max_steps=5000, **given)
    X, w, y = problem(**given)
    v = lsq_linear(X, y).x
    assert answer["mse"][0] == pytest.approx(np.mean((v - w) ** 2), rel=1e-6)
    assert answer["training_loss"][0] == pytest.approx(0.5 * np.mean((y - X @ v) ** 2), rel=1e-9)


def test_residual_bounds_the_distance_to_the_minimum():
    """However early a run is stopped, the objective is above the minimum by at most the residual."""
    given = {"dimension": 200, "alpha": 0.5, "sparsity": 0.2, "noise": 0.05, "seed": 3}
    best = call("l1_amp", regularization=0.1, precision="double", tolerance=1e-10, **given)
    assert best["status"][0] == Status.CONVERGED
    for steps in (1, 3, 10, 40):
        early = call("l1_amp", regularization=0.1, precision="double", tolerance=1e-10,
                     max_steps=steps, **given)  # fmt: skip
        assert early["status"][0] == Status.MAX_STEPS
        assert early["steps"][0] == steps
        excess = early["objective"][0] - best["objective"][0]
        assert 0 <= excess <= early["residual"][0] * early["objective"][0]


# ---- against itself


def test_success_changes_at_the_l1_line():
    rho = 0.25
    line = weak_threshold(np.array([rho]))[0][0]
    found = simulate(
        "l1_amp", seeds=6, dimension=800, alpha=line + np.array([-0.08, 0.08]), sparsity=rho,
        max_steps=400,
    )  # fmt: skip
    assert not np.any(found["success"][:, 0])
    assert np.all(found["success"][:, 1])


def test_a_plane_on_one_instance():
    """Bitwise the same in any batch: sparsity, alpha, noise and λ are columns of one instance."""
    rng = np.random.default_rng(0)
    columns = {
        "alpha": np.array([0.0, 0.004, 0.2, 0.5, 0.9, 1.0, 1.3, 0.5, 0.7, 0.3]),
        "sparsity": np.array([0.2, 0.2, 0.1, 0.2, 0.3, 0.2, 0.5, 0.2, 0.1, 1.0]),
        "noise": np.array([0.0, 0.0, 0.1, 0.0, 0.0, 0.0, 0.2, 0.01, 0.0, 0.1]),
        "regularization": np.array([0.0, 0.0, 0.1, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2]),
    }
    given = {"dimension": 250, "seed": 3, "max_steps": 150}
    together = call("l1_amp", **columns, **given)
    order = rng.permutation(10)
    shuffled = call("l1_amp", **{k: v[order] for k, v in columns.items()}, **given)
    for i in range(10):
        alone = call("l1_amp", **{k: v[i] for k, v in columns.items()}, **given)
        for name in together:
            np.testing.assert_array_equal(alone[name][0], together[name][i])
            np.testing.assert_array_equal(shuffled[name][np.argsort(order)[i]], together[name][i])
    np.testing.assert_array_equal(together["samples"], [0, 1, 50, 125, 225, 250, 325, 125, 175, 75])
    assert (together["status"][0], together["overlap"][0]) == (Status.CONVERGED, 0)
    assert np.all(together["success"][[4, 5, 8]])


def test_signs_do_as_well_as_gaussian_numbers():
    given = {"dimension": 500, "alpha": 0.6, "sparsity": 0.2, "noise": 0.02, "regularization": 0.1}
    theory = call("l1", **{k: v for k, v in given.items() if k != "dimension"})
    measured = simulate("l1_amp", design="rademacher", **given)
    for name in ("mse", "active", "objective"):
        assert_agree(measured[name], theory[name], 500, 1.0)


def test_threshold_of_an_iteration_by_brute_force():
    """θ (n/d - s) = λ with s between the shares kept on both sides of θ; or the share asked for."""
    rng = np.random.default_rng(2)
    size = np.abs(rng.normal(size=(40, 60)))
    samples = rng.integers(1, 60, 60)
    penalty = np.where(rng.random(60) < 0.3, 0.0, 10 ** rng.uniform(-3, 1, 60))
    pace = rng.uniform(0.05, 1, 60)
    theta, share = cut(size=size, samples=samples, regularization=penalty, pace=pace, xp=anp)
    for i in range(60):
        kept = np.sum(size[:, i] > theta[i]) / 40, np.sum(size[:, i] >= theta[i]) / 40
        assert kept[0] - 1e-12 <= share[i] <= kept[1] + 1e-12
        paced = round(pace[i] * min(samples[i], 40)) / 40
        assert share[i] < paced + 1 / 40
        value = theta[i] * (samples[i] / 40 - share[i])
        if share[i] == pytest.approx(paced):
            assert value >= penalty[i] - 1e-12 or penalty[i] == 0
        else:
            assert value == pytest.approx(penalty[i], rel=1e-10)

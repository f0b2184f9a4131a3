"""Empirical-risk minimisation on instances: optimality conditions, other solvers, theory."""

from __future__ import annotations

import array_api_compat.numpy as anp
import numpy as np
import pytest
from scipy.optimize import linprog, minimize
from scipy.special import expit

import solvers.systems.glm_erm.erm
import solvers.systems.glm_erm.replica  # noqa: F401
from solvers.contract import Status
from solvers.systems.glm_erm.declaration import system
from solvers.systems.glm_erm.solving import ridge
from solvers.systems.glm_erm.solving.gram import Gram
from solvers.systems.glm_erm.solving.instance import Instance
from solvers.systems.glm_erm.solving.margin import hinge, max_margin, multipliers
from solvers.systems.glm_erm.solving.smooth import logistic, square
from solvers.systems.perceptron_storage.dual_active_set import OPTIMAL, dual_active_set
from tests.namespaces import elsewhere

LOSSES = {"square": square, "logistic": logistic, "hinge": hinge}
SETTINGS = {"tolerance": 1e-12, "max_steps": 1000, "xp": anp}


def call(name, xp=anp, **given):
    """A method with columns broadcast to one length and defaults for what is not given."""
    method = system.methods[name]
    length = max([1, *(np.size(given[n]) for n in method.columns if n in given)])
    values = {n: given.get(n, axis.default) for n, axis in method.axes.items()}
    if given["loss"] == "max_margin":
        values["regularization"] = 0.0
    for n in method.columns:
        values[n] = np.broadcast_to(np.asarray(values[n]), (length,)).copy()
        values[n] = values[n].astype(int if n == "max_steps" else float)
    return method(length, values, xp=xp)


def rows_of(*, dimension, alpha, loss, seed=0, teacher="sign", noise=0.0, design="gaussian"):
    count = int(alpha * dimension + 0.5)
    instance = Instance.draw(dimension=dimension, seed=seed, rows=count, design=design, xp=anp)
    return instance.rows(
        samples=count, teacher=teacher, noise=noise, signed=loss != "square", xp=anp
    )


def force_and_loss(loss, rows, z):
    """-dℓ/dz and ℓ, written out once more."""
    if loss == "square":
        return rows.labels - z, 0.5 * (rows.labels - z) ** 2
    if loss == "logistic":
        return expit(-z), np.logaddexp(0.0, -z)
    return None, np.maximum(0.0, 1.0 - z)


# Optimality ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("regularization", [1e-8, 1e-4, 0.1, 10.0, 1e6])
@pytest.mark.parametrize("alpha", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("loss", ["square", "logistic"])
def test_gradient_vanishes(loss, alpha, regularization):
    """λ w = sum of forces times rows, to the accuracy that the condition number leaves."""
    rows = rows_of(dimension=60, alpha=alpha, loss=loss, noise=0.3)
    answer = LOSSES[loss](rows=rows, regularization=regularization, **SETTINGS)
    assert answer.status == Status.CONVERGED
    force, _ = force_and_loss(loss, rows, rows.forward(answer.weights))
    pull = rows.backward(force)
    size = np.linalg.norm(regularization * answer.weights) + np.linalg.norm(force)
    assert np.linalg.norm(pull - regularization * answer.weights) < 1e-6 * size


@pytest.mark.parametrize("bound", [1e-4, 1.0, 30.0, 1e4, 1e8, np.inf])
@pytest.mark.parametrize("alpha", [0.3, 1.5])
def test_multipliers_satisfy_the_conditions_of_karush_kuhn_and_tucker(alpha, bound):
    rows = rows_of(dimension=60, alpha=alpha, loss="hinge", noise=0.1)
    answer, b = multipliers(rows=rows, bound=bound, **SETTINGS)
    assert answer.status == Status.CONVERGED
    w, z = answer.weights, rows.forward(answer.weights)
    np.testing.assert_allclose(w, rows.backward(b), atol=1e-6 * np.linalg.norm(w))
    assert np.all((b >= 0) & (b <= bound))
    off = 1e-7 * max(1.0, np.abs(z).max())
    assert np.all(b[z > 1 + off] == 0)
    assert np.all(b[z < 1 - off] == bound)
    inside = (b > 0) & (b < bound)
    np.testing.assert_allclose(z[inside], 1.0, atol=off)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("teacher", ["sign", "linear"])
def test_another_minimiser_finds_no_less(loss, teacher):
    if teacher == "linear" and loss != "square":
        return
    regularization = 0.05
    rows = rows_of(dimension=20, alpha=2.5, loss=loss, noise=0.5, teacher=teacher)
    answer = LOSSES[loss](rows=rows, regularization=regularization, **SETTINGS)
    if loss == "hinge":
        # The dual, over a box: w = sum a y x / λ.
        def energy(a):
            w = rows.backward(a) / regularization
            return 0.5 * regularization * w @ w - a.sum(), rows.forward(w) - 1.0

        start = np.full(len(rows.labels), 0.5)
        bounds = [(0.0, 1.0)] * len(start)
    else:

        def energy(w):
            force, each = force_and_loss(loss, rows, rows.forward(w))
            value = each.sum() + 0.5 * regularization * w @ w
            return value, regularization * w - rows.backward(force)

        start, bounds = np.zeros(20), None
    options = {"ftol": 1e-16, "gtol": 1e-10, "maxiter": 20_000, "maxfun": 20_000}
    found = minimize(energy, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    w = rows.backward(found.x) / regularization if loss == "hinge" else found.x
    np.testing.assert_allclose(answer.weights, w, atol=2e-4 * np.abs(w).max())
    _, each = force_and_loss(loss, rows, rows.forward(answer.weights))
    value = each.sum() + 0.5 * regularization * answer.weights @ answer.weights
    other = -found.fun if loss == "hinge" else found.fun
    assert value == pytest.approx(other, rel=1e-8)


def separable(rows):
    """By a linear programme: is there a w with all z >= 1?"""
    samples, dimension = rows.inputs.shape
    matrix = rows.labels[:, None] * rows.inputs
    found = linprog(np.zeros(dimension), A_ub=-matrix, b_ub=-np.ones(samples), bounds=(None, None))
    return found.status == 0


def test_margin_and_separability_by_other_methods():
    """The active-set method of the perceptron, and a linear programme, around the transition."""
    outcomes = []
    for seed in range(12):
        rows = rows_of(dimension=24, alpha=2.2, loss="max_margin", noise=20.0, seed=seed)
        answer = max_margin(rows=rows, **SETTINGS)
        outcome, w, *_ = dual_active_set(rows.labels[:, None] * rows.inputs, 1e-12, 100_000)
        assert answer.separable == (outcome == OPTIMAL) == separable(rows)
        outcomes.append(answer.separable)
        if outcome == OPTIMAL:
            np.testing.assert_allclose(answer.weights, w, rtol=1e-5, atol=1e-6 * np.abs(w).max())
            assert rows.forward(answer.weights).min() == pytest.approx(1.0, rel=1e-14)
        else:
            assert answer.status == Status.NO_SOLUTION
            assert answer.message
    assert 0 < sum(outcomes) < 12


@pytest.mark.parametrize("design", ["gaussian", "rademacher"])
def test_hinge_without_penalty_is_a_linear_programme_or_the_largest_margin(design):
    for seed in range(4):
        for alpha in (1.2, 6.0):
            rows = rows_of(
                dimension=16, alpha=alpha, loss="hinge", noise=1.0, seed=seed, design=design
            )
            answer = hinge(rows=rows, regularization=0.0, **SETTINGS)
            assert answer.status == Status.CONVERGED
            loss = np.maximum(0.0, 1.0 - rows.forward(answer.weights)).sum()
            samples, dimension = rows.inputs.shape
            # Variables (w, slack); slack >= 1 - z.
            cost = np.r_[np.zeros(dimension), np.ones(samples)]
            matrix = np.hstack([-rows.labels[:, None] * rows.inputs, -np.eye(samples)])
            limits = [(None, None)] * dimension + [(0, None)] * samples
            found = linprog(cost, A_ub=matrix, b_ub=-np.ones(samples), bounds=limits)
            assert loss == pytest.approx(found.fun, rel=1e-9, abs=1e-9)
            assert answer.separable == (found.fun < 1e-9)
            if answer.separable:
                widest = max_margin(rows=rows, **SETTINGS)
                np.testing.assert_array_equal(answer.weights, widest.weights)


def test_maximum_likelihood_exists_if_and_only_if_the_samples_are_not_separable():
    alpha = np.array([0.8, 1.0, 1.5, 2.0, 2.5, 3.0, 8.0])  # samples per weight; 30 weights
    answer = call(
        "erm", loss="logistic", alpha=alpha, noise=8.0, regularization=0, dimension=30, seed=3
    )
    apart = answer["separable"] == 1
    assert apart[0]
    assert not apart[-1]
    assert np.all(
        np.diff(apart.astype(int)) <= 0
    )  # one design: further samples only add conditions
    assert np.all((answer["status"] == Status.NO_SOLUTION) == apart)
    assert np.all(np.isnan(answer["self_overlap"]) == apart)
    assert all(bool(text) == gone for text, gone in zip(answer["message"], apart, strict=True))
    # The direction in which the norm diverges.
    widest = call("erm", loss="max_margin", alpha=alpha, noise=8.0, dimension=30, seed=3)
    slow = call(
        "erm", loss="logistic", alpha=alpha, noise=8.0, regularization=1e-14, dimension=30, seed=3
    )  # fmt: skip
    error = answer["classification_error"]
    np.testing.assert_allclose(error[apart], widest["classification_error"][apart], rtol=1e-12)
    np.testing.assert_allclose(error[apart], slow["classification_error"][apart], atol=0.02)
    assert np.all(answer["objective"][apart] == 0)
    assert np.all(answer["objective"][~apart] > 0)


# Exact relations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_objective_grows_with_the_penalty_as_half_the_squared_norm(loss):
    """d objective/dλ = q/2: only the explicit dependence counts. True for every instance."""
    regularization = np.array([1e-3, 0.1, 2.0])
    given = {"loss": loss, "alpha": 2.0, "noise": 0.2, "dimension": 50, "seed": 1}
    here = call("erm", regularization=regularization, **given)
    for step in (1e-4,):
        up = call("erm", regularization=regularization * (1 + step), **given)
        down = call("erm", regularization=regularization * (1 - step), **given)
        slope = (up["objective"] - down["objective"]) / (2 * step * regularization)
        np.testing.assert_allclose(slope, 0.5 * here["self_overlap"], rtol=1e-6)
    split = 2.0 * here["training_loss"] + 0.5 * regularization * here["self_overlap"]
    np.testing.assert_allclose(here["objective"], split, rtol=1e-12)


def test_least_squares_in_closed_form():
    for alpha in (0.5, 1.0, 2.0):
        rows = rows_of(dimension=40, alpha=alpha, loss="square", teacher="linear", noise=0.5)
        answer = square(rows=rows, regularization=0.0, **SETTINGS)
        expected = np.linalg.pinv(rows.inputs) @ rows.labels
        np.testing.assert_allclose(answer.weights, expected, rtol=1e-8, atol=1e-9)
    exact = call(
        "erm", loss="square", teacher="linear", alpha=1.5, regularization=0, dimension=40, seed=0
    )
    assert exact["mse"][0] < 1e-24
    assert exact["overlap"][0] == pytest.approx(exact["self_overlap"][0], rel=1e-12)


def test_limits_of_the_penalty():
    """λ to infinity: w = -ℓ'(0) sum y x/λ. Hinge: one w for all λ below a finite one if separable."""
    given = {"alpha": 1.5, "dimension": 40, "seed": 2}
    for loss, force in (("square", 1.0), ("logistic", 0.5), ("hinge", 1.0)):
        rows = rows_of(dimension=40, alpha=1.5, loss="hinge", seed=2)
        w = force * rows.backward(np.ones(60)) / 1e9
        answer = call("erm", loss=loss, regularization=1e9, **given)
        assert answer["self_overlap"][0] == pytest.approx(w @ w / 40, rel=1e-7)
        assert answer["status"][0] == Status.CONVERGED
    widest = call("erm", loss="max_margin", **given)
    small = call("erm", loss="hinge", regularization=np.array([0.0, 1e-8, 1e-5]), **given)
    for name in ("overlap", "self_overlap"):
        np.testing.assert_allclose(small[name], widest[name].repeat(3), rtol=1e-10)
    assert widest["margin"][0] == pytest.approx(widest["self_overlap"][0] ** -0.5)
    np.testing.assert_allclose(small["objective"][1:], [0.5e-8, 0.5e-5] * widest["self_overlap"])


def test_classification_error_is_the_frequency_of_wrong_labels():
    given = {"loss": "logistic", "regularization": 0.1, "dimension": 30, "seed": 4}
    noise = 0.3
    answer = call("erm", alpha=3.0, noise=noise, **given)
    rows = rows_of(dimension=30, alpha=3.0, loss="logistic", noise=noise, seed=4)
    w = logistic(rows=rows, regularization=0.1, **SETTINGS).weights
    truth = Instance.draw(dimension=30, seed=4, rows=0, design="gaussian", xp=anp).teacher
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200_000, 30)) / np.sqrt(30)
    y = np.sign(x @ truth + np.sqrt(noise) * rng.normal(size=200_000))
    wrong = np.mean(np.sign(x @ w) != y)
    assert answer["classification_error"][0] == pytest.approx(wrong, abs=4 * 0.5 / np.sqrt(2e5))


# Robustness ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [*LOSSES, "max_margin"])
def test_corners(loss):
    """No samples, one sample, tiny and huge penalties, two weights, equal rows of signs."""
    for dimension in (2, 5, 40):
        for design in ("gaussian", "rademacher"):
            answer = call(
                "erm",
                loss=loss,
                alpha=np.array([0.0, 0.02, 0.5, 1.0, 4.0, 20.0]).repeat(4),
                noise=np.tile([0.0, 1e-6, 0.5, 1e6], 6),
                regularization=np.tile([1e-8, 1e-3, 1.0, 1e8], 6),
                dimension=dimension,
                seed=7,
                design=design,
            )
            fine = answer["status"] == Status.CONVERGED
            assert np.all(answer["residual"][fine] <= 1e-12)
            assert np.all(np.isfinite(answer["overlap"][fine]))
            assert np.all(answer["classification_error"][answer["samples"] == 0] == 0.5)
            if loss == "max_margin":
                assert np.all(fine == (answer["separable"] == 1))
                assert np.all(answer["status"][~fine] == Status.NO_SOLUTION)
                noiseless = slice(0, None, 4)
                assert np.all(fine[noiseless])
            else:
                assert np.all(fine)


def test_too_few_steps_are_a_status():
    for loss in ("logistic", "hinge"):
        answer = call(
            "erm", loss=loss, alpha=2.0, regularization=0.01, dimension=50, seed=0, max_steps=2
        )
        assert answer["status"][0] == Status.MAX_STEPS
        assert answer["steps"][0] == 2
        assert answer["residual"][0] > 1e-6
    answer = call("erm", loss="max_margin", alpha=3.0, dimension=50, seed=0, max_steps=1)
    assert answer["status"][0] in (Status.UNDECIDED, Status.MAX_STEPS)


def test_points_share_one_instance():
    """A prefix of the samples; noise only strengthens the same disturbances."""
    short, long = (
        Instance.draw(dimension=30, seed=5, rows=n, design="gaussian", xp=anp) for n in (20, 300)
    )
    np.testing.assert_array_equal(short.inputs, long.inputs[:20])
    np.testing.assert_array_equal(short.preactivation, long.preactivation[:20])
    signs = Instance.draw(dimension=30, seed=5, rows=20, design="rademacher", xp=anp)
    np.testing.assert_array_equal(signs.teacher, long.teacher)
    np.testing.assert_allclose(np.abs(signs.inputs), 30**-0.5, rtol=1e-15)
    alpha = np.array([4.0, 0.5, 2.0])
    given = {"loss": "hinge", "regularization": 0.1, "dimension": 30, "seed": 5}
    together = call("erm", alpha=alpha, noise=np.array([0.0, 0.5, 0.1]), **given)
    alone = call("erm", alpha=2.0, noise=0.1, **given)
    for name in ("overlap", "self_overlap", "training_loss", "residual"):
        assert together[name][2] == alone[name][0]


@pytest.mark.parametrize("c", [0.0, 1e-3, 1.0])
@pytest.mark.parametrize("used", [60, 300])
def test_linear_systems_by_iteration_and_by_factorisation(monkeypatch, used, c):
    if c == 0 and used < 90:
        return
    rng = np.random.default_rng(1)
    rows, weight = rng.normal(size=(400, 90)), np.zeros(400)
    weight[rng.permutation(400)[:used]] = rng.uniform(0.5, 2.0, used)
    r = rng.normal(size=90)
    expected = np.linalg.solve(c * np.eye(90) + rows.T @ (weight[:, None] * rows), r)
    monkeypatch.setattr(ridge, "_SHARE", (3, 3))
    for fewest in (10**9, 0):
        monkeypatch.setattr(ridge, "_FEWEST", fewest)
        tool = ridge.Ridge(rows=rows, weight=weight, c=c, xp=anp, gram=Gram(inputs=rows, xp=anp))
        s = tool.solve(r, tolerance=1e-12)
        assert tool.direct == (fewest > 0)
        np.testing.assert_allclose(s, expected, rtol=1e-6, atol=1e-9 * np.abs(expected).max())


def test_kept_inner_products_are_those_of_the_rows():
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(200, 150))
    gram = Gram(inputs=inputs, xp=anp)
    for size in (1, 40, 90, 90, 30, 100, 2, 120):
        rows = np.sort(rng.permutation(200)[:size])
        expected = inputs[rows] @ inputs[rows].T
        np.testing.assert_allclose(gram.of(rows), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", [*LOSSES, "max_margin"])
def test_another_namespace_finds_the_same(loss):
    """A namespace that is not NumPy takes the paths of a GPU."""
    given = {"loss": loss, "alpha": 2.0, "noise": 0.01, "dimension": 40, "seed": 9}
    regularization = np.array([0.0, 0.1])[: 1 if loss == "max_margin" else 2]
    found = call("erm", xp=elsewhere(), regularization=regularization, **given)
    expected = call("erm", regularization=regularization, **given)
    for name in ("overlap", "self_overlap", "training_loss", "classification_error", "separable"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-8, atol=1e-15)


# Theory -------------------------------------------------------------------------------------------

CASES = [
    ("square", "sign", 0.0, (0.0, 0.1, 1.0)),
    ("square", "linear", 0.3, (0.0, 0.3, 2.0)),
    ("logistic", "sign", 0.0, (0.01, 1.0)),
    ("logistic", "sign", 0.5, (0.01, 1.0)),
    ("hinge", "sign", 0.0, (0.01, 1.0)),
    ("hinge", "sign", 0.5, (0.1, 1.0)),
    ("max_margin", "sign", 0.0, (0.0,)),
]


@pytest.mark.parametrize(("loss", "teacher", "noise", "penalties"), CASES)
@pytest.mark.parametrize("design", ["gaussian", "rademacher"])
def test_instances_agree_with_the_replica_theory(loss, teacher, noise, penalties, design):
    """Means over 16 instances, within 5 standard errors and a term of order 1/dimension."""
    if design == "rademacher" and noise > 0:
        return
    dimension, seeds = 120, 16
    alpha, regularization = (a.ravel() for a in np.meshgrid([0.5, 2.0], penalties))
    given = {"loss": loss, "teacher": teacher, "noise": noise, "alpha": alpha}
    theory = call("replica", regularization=regularization, **given)
    runs = [
        call(
            "erm",
            regularization=regularization,
            dimension=dimension,
            seed=s,
            design=design,
            **given,
        )
        for s in range(seeds)
    ]
    assert all(np.all(run["status"] == Status.CONVERGED) for run in runs)
    for name in ("overlap", "self_overlap", "training_loss", "objective", "classification_error"):
        if teacher == "linear" and name == "classification_error":
            continue
        values = np.array([run[name] for run in runs])
        error = values.std(axis=0, ddof=1) / np.sqrt(seeds)
        scale = np.abs(theory[name]) + np.abs(values.mean(axis=0))
        off = np.abs(values.mean(axis=0) - theory[name])
        assert np.all(off < 5 * error + 3 * scale / dimension + 1e-8), name

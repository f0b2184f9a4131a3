"""Perceptron simulations: certificates, exact small cases, exact laws over many instances."""

import itertools

import array_api_compat.numpy as xp
import numba
import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.special import erfcx, ndtr
from scipy.stats import binom

from solvers.contract import Status
from solvers.systems.perceptron_storage.dual_active_set import (
    EXHAUSTED,
    INSEPARABLE,
    OPTIMAL,
    dual_active_set,
)
from solvers.systems.perceptron_storage.enumeration import LOW_BITS, enumeration
from solvers.systems.perceptron_storage.hypercube import count_solutions
from solvers.systems.perceptron_storage.max_margin import max_margin
from solvers.systems.perceptron_storage.outputs import Outputs
from solvers.systems.perceptron_storage.patterns import patterns, samples_of
from solvers.systems.perceptron_storage.reinforced_bp import reinforced_bp
from tests.namespaces import elsewhere


def count(rows, kappa, constraint):
    return count_solutions(rows, kappa=kappa, constraint=constraint, low_bits=LOW_BITS)


def columns(length, **values):
    """Every value as a column of one length."""
    return {name: np.broadcast_to(value, (length,)).copy() for name, value in values.items()}


def margins(alpha, *, dimension, seed, kappa=0.0, tolerance=1e-10, max_steps=100_000):
    alpha = np.atleast_1d(np.asarray(alpha, float))
    return max_margin(
        constraint="step",
        weights="spherical",
        dimension=dimension,
        seed=seed,
        alpha=alpha,
        **columns(len(alpha), kappa=kappa, tolerance=tolerance, max_steps=max_steps),
    )


def counts(alpha, *, dimension, seed, kappa=0.0, constraint="step"):
    alpha = np.atleast_1d(np.asarray(alpha, float))
    return enumeration(
        constraint=constraint,
        weights="binary",
        dimension=dimension,
        seed=seed,
        alpha=alpha,
        **columns(len(alpha), kappa=kappa),
    )


def search(alpha, *, dimension, seed, kappa=0.0, reinforcement=0.01, max_steps=400, xp=xp):
    alpha = np.atleast_1d(np.asarray(alpha, float))
    return reinforced_bp(
        constraint="step",
        weights="binary",
        dimension=dimension,
        seed=seed,
        alpha=alpha,
        xp=xp,
        **columns(len(alpha), kappa=kappa, reinforcement=reinforcement, max_steps=max_steps),
    )


def same(first, second):
    """Two answers agree number by number."""
    return all(np.array_equal(first[name], second[name], equal_nan=True) for name in first)


def part(answer, chosen):
    return {name: values[chosen] for name, values in answer.items()}


# ---- patterns


def test_instances_are_nested_and_rounded_half_up():
    small, large = (patterns(dimension=7, seed=1, samples=n) for n in (5, 50))
    assert np.array_equal(large[:5], small)
    assert samples_of(alpha=np.array([0.0, 0.25, 0.75]), dimension=2).tolist() == [0, 1, 2]
    many = patterns(dimension=50, seed=1, samples=4000)
    assert abs(50 * many.var() - 1) < 5 * np.sqrt(2 / many.size)


# ---- max_margin


@pytest.mark.parametrize("dimension", [1, 2, 5, 20])
def test_probability_of_separability_is_covers(dimension):
    """Cover (1965): P = 2^(1-n) sum_{k<d} C(n-1, k); 400 instances, four standard errors."""
    alpha, seeds = np.array([1.0, 1.4, 1.8, 2.0, 2.2, 2.6, 3.0]), 400
    answers = [margins(alpha, dimension=dimension, seed=s) for s in range(seeds)]
    assert all(np.all(a["status"] == Status.CONVERGED) for a in answers)
    measured = np.mean([a["satisfiable"] for a in answers], axis=0)
    exact = binom.cdf(dimension - 1, answers[0]["samples"] - 1, 0.5)
    error = np.sqrt(exact * (1 - exact) / seeds)
    assert np.all(np.abs(measured - exact) <= 4 * error)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dimension", [3, 12, 40])
def test_bounds_meet_and_agree_with_nnls(dimension, seed):
    """The dual is the distance of the convex hull from the origin, found here by Lawson-Hanson."""
    answer = margins([0.5, 1.0, 1.5, 2.0, 2.5], dimension=dimension, seed=seed)
    for samples, lower, upper in zip(
        answer["samples"], answer["margin"], answer["margin_upper_bound"], strict=True
    ):
        rows = patterns(dimension=dimension, seed=seed, samples=samples)
        target = np.append(np.zeros(dimension), 1.0)
        weights, _ = nnls(np.vstack([rows.T, np.ones(samples)]), target)
        hull = np.sqrt(dimension) * np.linalg.norm(rows.T @ weights) / weights.sum()
        assert upper == pytest.approx(hull, rel=1e-9, abs=1e-9)
        assert lower == pytest.approx(upper, rel=1e-9) if hull > 1e-9 else lower <= 0


def test_certificates_hold_when_recomputed():
    """KKT of the optimum, and Farkas' lemma beyond separability."""
    dimension = 60
    rows = patterns(dimension=dimension, seed=2, samples=150)
    outcome, w, multipliers, _ = dual_active_set(rows[:90], 1e-12, 10_000)
    assert outcome == OPTIMAL
    slack = rows[:90] @ w - 1
    assert slack.min() > -1e-11
    assert multipliers.min() >= 0
    assert np.max(multipliers * slack) < 1e-10  # complementary slackness
    assert np.allclose(rows[:90].T @ multipliers, w, atol=1e-11)  # stationarity
    outcome, w, multipliers, _ = dual_active_set(rows, 1e-12, 10_000)
    assert outcome == INSEPARABLE
    assert multipliers.min() >= 0
    assert np.linalg.norm(rows.T @ multipliers) < 1e-12 * multipliers.sum()
    assert np.count_nonzero(multipliers) == dimension + 1
    assert (rows @ w).min() < 0


def test_two_patterns_in_closed_form():
    """Half the angle between two rows decides; nearest point of a segment to the origin."""
    a, b = rows = patterns(dimension=2, seed=5, samples=2)
    t = np.clip(b @ (b - a) / ((a - b) @ (a - b)), 0, 1)
    expected = np.sqrt(2) * np.linalg.norm(t * a + (1 - t) * b)
    answer = margins([1.0], dimension=2, seed=5)
    assert len(rows) == answer["samples"][0] == 2
    assert answer["margin"][0] == pytest.approx(expected, rel=1e-12)
    assert answer["margin_upper_bound"][0] == pytest.approx(expected, rel=1e-12)


def test_margin_decides_at_every_kappa_and_shrinks_with_alpha():
    alpha = np.repeat(np.linspace(0.2, 2.4, 12), 3)
    kappa = np.tile([0.0, 0.5, 1.2], 12)
    answer = margins(alpha, dimension=30, seed=0, kappa=kappa)
    assert np.array_equal(answer["satisfiable"], answer["margin"] > kappa)
    assert np.all(np.diff(answer["margin_upper_bound"][::3]) <= 1e-12)
    assert np.all(answer["margin"] <= answer["margin_upper_bound"])


def test_largest_margin_approaches_gardners():
    """1/alpha = int_{-kappa}^inf Dt (t + kappa)^2 at alpha = 1: kappa_max = 0.4707 (d -> inf).

    32 instances; the mean is allowed four standard errors and a finite-size term 1/dimension.
    """
    kappa = 0.4706553526
    density = np.exp(-(kappa**2) / 2) / np.sqrt(2 * np.pi)
    assert 1 / ((1 + kappa**2) * ndtr(kappa) + kappa * density) == pytest.approx(1.0, abs=1e-9)
    measured = [margins([1.0], dimension=150, seed=s)["margin"][0] for s in range(32)]
    error = np.std(measured, ddof=1) / np.sqrt(32)
    assert abs(np.mean(measured) - kappa) < 4 * error + 1 / 150


def test_running_out_of_steps_is_not_an_answer():
    full = margins([1.0, 1.5, 3.0], dimension=30, seed=1)
    assert full["satisfiable"].tolist() == [True, True, False]
    short = margins([1.0, 1.5, 3.0], dimension=30, seed=1, max_steps=5)
    assert np.all(short["status"] == Status.UNDECIDED)
    assert not short["satisfiable"].any()
    assert np.all(short["margin"] <= full["margin"] + 1e-12)
    assert np.all(short["margin_upper_bound"] >= full["margin_upper_bound"])
    assert np.all(np.isfinite(short["residual"]))
    # a bound of five steps is enough for a margin that no instance has
    far = margins([1.0], dimension=30, seed=1, kappa=5.0, max_steps=5)
    assert not far["satisfiable"][0]
    assert far["status"][0] == Status.MAX_STEPS
    assert dual_active_set(patterns(dimension=30, seed=1, samples=30), 1e-12, 5)[0] == EXHAUSTED


def test_no_samples():
    answer = margins([0.0], dimension=5, seed=0)
    assert answer["satisfiable"][0]
    assert np.isnan(answer["margin"][0])
    assert counts([0.0], dimension=5, seed=0)["solutions"][0] == 32


def test_margins_do_not_depend_on_the_batch():
    alpha = np.linspace(0.3, 3, 20)
    whole = margins(alpha, dimension=40, seed=3)
    order = np.random.default_rng(0).permutation(20)
    assert same(part(whole, order), margins(alpha[order], dimension=40, seed=3))
    assert same(part(whole, [7]), margins(alpha[[7]], dimension=40, seed=3))


# ---- enumeration


@pytest.mark.parametrize("constraint", ["step", "rectangle", "ushape"])
@pytest.mark.parametrize("dimension", [1, 2, 7, 11, 12, 13])
@pytest.mark.parametrize("kappa", [-0.4, 0.0, 0.6, 1.3])
def test_every_solution_is_counted(constraint, dimension, kappa):
    """Against the full matrix of all configurations, for every number of rows at once."""
    rows = patterns(dimension=dimension, seed=4, samples=2 * dimension + 3)
    z = np.array(list(itertools.product([-1, 1], repeat=dimension))) @ rows.T
    holds = {"step": z > kappa, "rectangle": np.abs(z) < kappa, "ushape": np.abs(z) > kappa}
    exact = [2**dimension, *np.cumprod(holds[constraint], axis=1).sum(axis=0)]
    assert count(rows, kappa, constraint).tolist() == exact


def test_the_walk_restarts_and_divides():
    """Dimension 20 walks 512 high halves: two starts, several threads, one answer."""
    rows = patterns(dimension=20, seed=0, samples=18)
    whole = count(rows, 0.0, "step")
    threads = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        assert np.array_equal(count(rows, 0.0, "step"), whole)
    finally:
        numba.set_num_threads(threads)
    # w -> -w at kappa = 0 shows half of the configurations for one pattern
    assert whole[:2].tolist() == [2**20, 2**19]
    # and maps the solutions of (X, kappa) on the complement of those of (-X, -kappa), row one
    both = count(rows[:1], 0.7, "step")[1] + count(-rows[:1], -0.7, "step")[1]
    assert both == 2**20


@pytest.mark.parametrize(
    ("constraint", "kappa", "probability"),
    [
        ("step", 0.3, ndtr(-0.3)),
        ("rectangle", 1.0, 2 * ndtr(1.0) - 1),
        ("ushape", 0.5, 2 * ndtr(-0.5)),
    ],
)
def test_mean_number_of_solutions_is_the_first_moment(constraint, kappa, probability):
    """E solutions = 2^d P^n exactly, at every size; 400 instances, four standard errors."""
    dimension, alpha, seeds = 10, np.array([0.2, 0.5]), 400
    answers = [
        counts(alpha, dimension=dimension, seed=s, kappa=kappa, constraint=constraint)
        for s in range(seeds)
    ]
    number = np.array([a["solutions"] for a in answers])
    expected = 2.0**dimension * probability ** answers[0]["samples"]
    error = number.std(axis=0, ddof=1) / np.sqrt(seeds)
    assert np.all(np.abs(number.mean(axis=0) - expected) < 4 * error)


def test_entropy_and_its_absence():
    answer = counts([0.1, 0.5, 4.0], dimension=14, seed=0)
    assert np.array_equal(answer["satisfiable"], answer["solutions"] > 0)
    assert answer["satisfiable"].tolist() == [True, True, False]
    expected = np.log(answer["solutions"][:2]) / 14
    assert np.allclose(answer["entropy"][:2], expected)
    assert np.isnan(answer["entropy"][2])
    assert np.all(answer["status"] == Status.CONVERGED)


def test_counts_do_not_depend_on_the_batch():
    alpha, kappa = np.linspace(0.1, 1.2, 12), np.tile([0.0, 0.3], 6)
    whole = counts(alpha, dimension=15, seed=3, kappa=kappa)
    order = np.random.default_rng(0).permutation(12)
    assert same(part(whole, order), counts(alpha[order], dimension=15, seed=3, kappa=kappa[order]))
    assert same(part(whole, [5]), counts(alpha[[5]], dimension=15, seed=3, kappa=kappa[5]))


# ---- reinforced_bp


@pytest.mark.parametrize("namespace", [xp, elsewhere()])
def test_outputs_are_derivatives_of_the_log_probability_of_satisfaction(namespace):
    """g = ∂_ω log H(u) and h(h - u)/V for u from -6 to 600, past the rows of one block."""
    rng = np.random.default_rng(0)
    samples, kappa = np.array([1500, 40, 0, 961]), np.array([0.0, 0.4, 0.0, -0.3])
    variance = np.array([0.5, 1e-6, 1.0, 0.02], np.float32)
    matrix = rng.normal(size=(1512, 30)).astype(np.float32) / np.float32(np.sqrt(30))
    mean = rng.uniform(-1, 1, size=(30, 4)).astype(np.float32)
    outputs = Outputs.zero(rows=1512, samples=samples, kappa=kappa, xp=namespace)
    points = np.array([3, 1, 0, 2])
    before: dict = {}
    for _ in range(2):
        gathered, slopes = outputs.read(matrix, mean[:, points], points, variance[points])
        for place, point in enumerate(points):
            rows, V = matrix[: samples[point]].astype(float), float(variance[point])
            omega = rows @ mean[:, point] - V * before.get(point, np.zeros(len(rows)))
            u = (np.float32(kappa[point]) - omega) / np.sqrt(V)
            h = np.sqrt(2 / np.pi) / erfcx(u / np.sqrt(2))
            g = h / np.sqrt(V)
            # g is rounded, and changes by up to 1/V times what ω is rounded by
            allowed = 3e-7 * np.sqrt(len(rows)) * (np.abs(g).max(initial=0) + 1 / V)
            np.testing.assert_allclose(gathered[:, place], rows.T @ g, atol=allowed)
            curvature = np.where(u > 50, 1 - 1 / np.maximum(u, 1) ** 2, h * (h - u))
            assert slopes[place] == pytest.approx(curvature.sum() / V, rel=1e-4)
            before[point] = g


def test_found_solutions_exist():
    """Where the incomplete search says yes, the complete one finds at least one solution."""
    alpha = np.linspace(0.2, 0.9, 8)
    found = exist = 0
    for seed in range(16):
        bp = search(alpha, dimension=14, seed=seed, reinforcement=0.03, max_steps=150)
        exact = counts(alpha, dimension=14, seed=seed)
        assert np.all(exact["satisfiable"][bp["satisfiable"]])
        found += bp["satisfiable"].sum()
        exist += exact["satisfiable"].sum()
    assert found > 0.7 * exist


@pytest.mark.parametrize("kappa", [0.0, 0.5])
def test_large_instances_are_solved_below_the_algorithmic_threshold(kappa):
    """Far below the threshold nearly always, far above the capacity never."""
    easy, hard = (0.5, 1.2) if kappa == 0 else (0.2, 0.8)
    control = {"reinforcement": 0.02, "max_steps": 205}
    answers = [
        search([easy, hard], dimension=200, seed=s, kappa=kappa, **control) for s in range(16)
    ]
    success = np.mean([a["satisfiable"] for a in answers], axis=0)
    assert success[0] >= 0.9
    assert success[1] == 0
    for answer in answers:
        solved = answer["satisfiable"]
        assert np.array_equal(solved, answer["unsatisfied_fraction"] == 0)
        assert np.array_equal(solved, answer["status"] == Status.CONVERGED)
        assert np.all(answer["steps"][~solved] == 205)
        assert np.all(answer["status"][~solved] == Status.MAX_STEPS)
        # better than random weights, which violate P(z <= kappa) of the patterns
        assert 0 < answer["unsatisfied_fraction"][1] < ndtr(kappa)


def test_search_does_not_depend_on_the_batch():
    """Bit by bit, also for the chaotic instances near the threshold."""
    alpha = np.linspace(0.2, 1.0, 19)
    whole = search(alpha, dimension=300, seed=3, max_steps=155)
    assert 0 < whole["satisfiable"].sum() < 19
    order = np.random.default_rng(0).permutation(19)[:11]
    assert same(part(whole, order), search(alpha[order], dimension=300, seed=3, max_steps=155))
    assert same(part(whole, [12]), search(alpha[[12]], dimension=300, seed=3, max_steps=155))
    different = search(alpha, dimension=300, seed=3, max_steps=np.where(alpha > 0.5, 155, 60))
    assert same(part(whole, alpha > 0.5), part(different, alpha > 0.5))


def test_search_runs_in_another_namespace():
    """The code that a GPU runs: no NumPy kernel, the same decisions away from the threshold."""
    here, there = (search([0.3, 0.5, 1.3], dimension=150, seed=2, xp=x) for x in (xp, elsewhere()))
    assert here["satisfiable"].tolist() == there["satisfiable"].tolist() == [True, True, False]

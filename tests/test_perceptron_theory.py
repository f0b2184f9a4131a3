"""Perceptron theory: independent quadrature, recomputed saddle points, exact small cases, limits."""

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq, minimize_scalar
from scipy.special import erfcx, log_ndtr, ndtr
from scipy.stats import norm

from solvers.contract import Status
from solvers.systems.perceptron_storage.averages import (
    binary_weight,
    step_pattern,
    symmetric_pattern,
)
from solvers.systems.perceptron_storage.capacity import capacity
from solvers.systems.perceptron_storage.cover import cover
from solvers.systems.perceptron_storage.first_moment import log_probability
from solvers.systems.perceptron_storage.replica import replica

PUBLISHED = Path(__file__).parents[1] / "data" / "published" / "perceptron_storage.csv"
CONSTRAINTS = ("step", "rectangle", "ushape")
WEIGHTS = ("spherical", "binary")


def at(kappa, constraint="step", weights="spherical", nodes=16):
    kappa = np.atleast_1d(np.asarray(kappa, float))
    return capacity(
        kappa=kappa, constraint=constraint, weights=weights, nodes=np.full(len(kappa), nodes)
    )


def solve(alpha, kappa=0.0, constraint="step", weights="spherical", nodes=16):
    alpha, kappa = np.broadcast_arrays(np.atleast_1d(np.asarray(alpha, float)), kappa)
    return replica(
        alpha=alpha,
        kappa=kappa.astype(float),
        constraint=constraint,
        weights=weights,
        nodes=np.full(len(alpha), nodes),
    )


def allowed(z, kappa, constraint):
    return {"step": z > kappa, "rectangle": abs(z) < kappa, "ushape": abs(z) > kappa}[constraint]


def average(f, *marks):
    """E f(t), t ~ N(0, 1), by adaptive quadrature between -12 and 12."""
    edges = [-12, *sorted(m for m in {-4.0, 0.0, 4.0, *marks} if -12 < m < 12), 12]
    return sum(
        quad(lambda t: norm.pdf(t) * f(t), a, b, epsabs=1e-14, epsrel=1e-12, limit=200)[0]
        for a, b in itertools.pairwise(edges)
    )


# Capacity


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("kappa", [0.1, 0.7, 2.0, 5.0])
def test_spherical_capacity_is_one_over_the_mean_square_distance(constraint, kappa):
    def square_distance(t):
        if allowed(t, kappa, constraint):
            return 0.0
        return (kappa - t if constraint == "step" else abs(t) - kappa) ** 2

    # Relative to the tail, which is what is left of the rectangle at large kappa.
    expected = 1 / average(square_distance, kappa, -kappa, kappa + 1, -kappa - 1)
    np.testing.assert_allclose(at(kappa, constraint)["alpha_c"], expected, rtol=1e-9)


def test_gardner_capacity_at_extreme_margins():
    # kappa -> inf: 1/alpha_c -> kappa² + 1; kappa -> -inf: M_2 = 2 phi/x³ (1 - 6/x² + 45/x⁴ - ...)
    np.testing.assert_allclose(at(30.0)["alpha_c"], 1 / 901, rtol=1e-14)
    x = 25.0
    series = 1 - 6 / x**2 + 45 / x**4 - 420 / x**6 + 4725 / x**8 - 62370 / x**10
    assert at(-x)["alpha_c"][0] == pytest.approx(x**3 / (2 * norm.pdf(x) * series), rel=1e-8)


def test_spherical_rectangle_is_a_linear_system_for_narrow_windows():
    """|z| < kappa -> 0 asks w orthogonal to all patterns: possible for alpha < 1."""
    np.testing.assert_allclose(at(1e-6, "rectangle")["alpha_c"], 1, atol=1e-5)


def test_what_is_known_about_the_capacity():
    assert list(at([-1e-9, 0, 1])["validity"]) == ["upper_bound", "exact", "exact"]
    for constraint in ("rectangle", "ushape"):
        assert at(1.0, constraint)["validity"] == "upper_bound"
    assert set(at(np.linspace(-12, 12, 25), weights="binary")["validity"]) == {"replica_symmetric"}
    assert at(0.81, "ushape", "binary")["validity"] == "exact"
    assert at(0.83, "ushape", "binary")["validity"] == "upper_bound"
    assert at(3.0, "rectangle", "binary")["validity"] == "exact"


def krauth_mezard(q, q_hat, kappa):
    """Residual of the q equation, the entropy and alpha, all by adaptive quadrature."""

    def u(t):
        return (kappa - math.sqrt(q) * t) / math.sqrt(1 - q)

    def hazard(x):
        return math.sqrt(2 / math.pi) / erfcx(x / math.sqrt(2))

    marks = (kappa / math.sqrt(q), 1.0, -1.0)
    root = math.sqrt(q_hat)
    alpha = q_hat * (1 - q) / average(lambda t: hazard(u(t)) ** 2, *marks)
    entropy = (
        -q_hat * (1 - q) / 2
        + average(lambda t: np.logaddexp(root * t, -root * t), *marks)
        + alpha * average(lambda t: log_ndtr(-u(t)), *marks)
    )
    return entropy, alpha


@pytest.mark.parametrize("kappa", [0.0, 0.5, -0.5])
def test_binary_capacity_against_adaptive_quadrature(kappa):
    def overlap(q_hat):
        return average(lambda t: math.tanh(math.sqrt(q_hat) * t) ** 2)

    q_hat = brentq(
        lambda x: krauth_mezard(overlap(x), x, kappa)[0], 0.5, 12, xtol=1e-12, rtol=1e-13
    )
    expected = krauth_mezard(overlap(q_hat), q_hat, kappa)[1]
    answer = at(kappa, weights="binary")
    np.testing.assert_allclose(answer["alpha_c"], expected, rtol=1e-10)
    assert answer["residual"] < 1e-12


def test_binary_capacity_does_not_depend_on_the_nodes():
    kappa = np.array([-8.9, -3.0, -1.0, 0.0, 1.0, 4.0, 20.0])
    fine = at(kappa, weights="binary", nodes=32)["alpha_c"]
    np.testing.assert_allclose(at(kappa, weights="binary")["alpha_c"], fine, rtol=1e-11)


def test_binary_capacity_is_below_the_first_moment_and_joins_it():
    kappa = np.linspace(-8, 4, 25)
    alpha_c = at(kappa, weights="binary")["alpha_c"]
    bound = -math.log(2) / log_ndtr(-kappa)
    assert np.all(alpha_c < bound * (1 + 1e-12))
    np.testing.assert_allclose(alpha_c[0], bound[0], rtol=1e-12)
    assert np.all(alpha_c < at(kappa)["alpha_c"])  # binary weights lie on the sphere


def test_kappa_star_is_where_the_second_moment_fails():
    stars = {}
    with PUBLISHED.open() as file:
        for row in csv.DictReader(file):
            stars[row["quantity"]] = (float(row["value"]), float(row["uncertainty"]))
    kappa = np.linspace(0.8, 0.84, 401)
    exact = at(kappa, "ushape", "binary")["validity"] == "exact"
    assert np.all(np.diff(exact.astype(int)) <= 0)
    value, uncertainty = stars["kappa_star"]
    assert abs(kappa[exact][-1] - value) < uncertainty


@pytest.mark.parametrize(
    ("constraint", "kappa", "dominated"),
    [
        ("ushape", 0.4, True),
        ("ushape", 0.81, True),
        ("ushape", 0.9, False),
        ("rectangle", 0.3, True),
        ("rectangle", 1.0, True),
        ("rectangle", 2.5, True),
    ],
)
def test_second_moment_over_all_overlaps(constraint, kappa, dominated):
    """max over ρ of h(ρ) + alpha log(P_2(ρ)/P²) at alpha_c, with the pair probability P_2."""
    alpha = at(kappa, constraint, "binary")["alpha_c"][0]
    p = math.exp(log_probability(np.array([kappa]), constraint)[0])
    worst = -np.inf
    for rho in [*np.linspace(0.02, 0.98, 33), 0.99, 0.999]:
        inside = average(
            lambda t, r=rho: (
                (abs(t) < kappa)
                * (
                    ndtr((kappa - r * t) / math.sqrt(1 - r * r))
                    - ndtr((-kappa - r * t) / math.sqrt(1 - r * r))
                )
            ),
            kappa,
            -kappa,
        )
        both = inside if constraint == "rectangle" else inside + 2 * p - 1
        plus, minus = (1 + rho) / 2, (1 - rho) / 2
        entropy = -plus * math.log(2 * plus) - minus * math.log(2 * minus)
        # At ρ = 1 the exponent is exactly 0: only the interior must be negative.
        worst = max(worst, entropy + alpha * math.log(both / p**2))
    assert (worst < 0) == dominated


def test_constraints_that_hold_always_or_never():
    never = at([-1.0, 0.0], "rectangle", "binary")
    np.testing.assert_array_equal(never["alpha_c"], 0)
    always = at([-1.0, 0.0], "ushape", "spherical")
    assert np.all(np.isnan(always["alpha_c"]))
    assert np.all(always["status"] == Status.NO_SOLUTION)
    energy = solve([0.5, 2], 0.0, "rectangle", "spherical")["ground_state_energy"]
    np.testing.assert_array_equal(energy, [0.5, 2])
    answer = solve([0.5, 2], -1.0, "ushape", "binary")
    np.testing.assert_allclose(answer["entropy"], math.log(2))


# Saddle points


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize(("kappa", "q"), [(0.4, 0.3), (1.2, 0.9), (0.8, 0.999)])
def test_pattern_averages_against_adaptive_quadrature(constraint, kappa, q):
    """E log P; its q derivative equals -force/(2 v), which involves every other average."""
    pattern = step_pattern if constraint == "step" else symmetric_pattern
    more = {} if constraint == "step" else {"constraint": constraint}

    def log_p(overlap):
        overlap = np.array([overlap])
        return pattern(q=overlap, v=1 - overlap, kappa=np.array([kappa]), nodes=16, **more)

    def direct(t):
        omega, s = math.sqrt(q) * t, math.sqrt(1 - q)
        if constraint == "step":
            return log_ndtr((omega - kappa) / s)
        if constraint == "ushape":
            return np.logaddexp(log_ndtr((omega - kappa) / s), log_ndtr((-omega - kappa) / s))
        far, near = log_ndtr((abs(omega) - kappa) / s), log_ndtr((kappa - abs(omega)) / s)
        back = log_ndtr((-abs(omega) - kappa) / s)
        return near + math.log1p(-math.exp(back - near)) if near > -30 else near + 0 * far

    here = log_p(q)
    mark = kappa / math.sqrt(q)
    expected = average(direct, mark, -mark, mark + 0.1, -mark - 0.1)
    np.testing.assert_allclose(here.log_weight, expected, rtol=1e-9)
    step = 1e-4 * (1 - q)
    slope = (log_p(q + step).log_weight - log_p(q - step).log_weight) / (2 * step)
    np.testing.assert_allclose(slope, -here.force / (2 * (1 - q)), rtol=1e-6)


def test_binary_weight_averages():
    for log_field in (-30.0, -1.0, 2.0, 20.0):
        weight = binary_weight(np.array([log_field]), nodes=16)
        np.testing.assert_allclose(weight.q + weight.v, 1, rtol=1e-13)
    field = math.exp(-30.0)
    weight = binary_weight(np.array([-30.0]), nodes=16)
    np.testing.assert_allclose(weight.q, field - 2 * field**2, rtol=1e-12)
    weight = binary_weight(np.array([2 * math.log(1e7)]), nodes=16)
    np.testing.assert_allclose(weight.v, math.sqrt(2 / math.pi) * 1e-7, rtol=1e-12)


@pytest.mark.parametrize(("alpha", "kappa"), [(0.3, 0.0), (1.9, 0.0), (1.0, -0.7), (0.4, 0.8)])
def test_spherical_saddle_is_stationary(alpha, kappa):
    """The entropy of another derivation is least at the overlap found, with the value found."""

    def entropy(q):
        def log_p(t):
            return log_ndtr((math.sqrt(q) * t - kappa) / math.sqrt(1 - q))

        marks = (kappa / math.sqrt(q),)
        return 0.5 * (math.log1p(-q) + q / (1 - q)) + alpha * average(log_p, *marks)

    answer = solve(alpha, kappa)
    best = minimize_scalar(
        entropy, bounds=(1e-4, 0.9999), method="bounded", options={"xatol": 1e-9}
    )
    np.testing.assert_allclose(answer["entropy"], best.fun, rtol=1e-10)
    np.testing.assert_allclose(answer["overlap"], best.x, atol=1e-6)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_entropy_derivative_is_the_mean_log_probability(weights, constraint):
    """ds/dalpha = E log P at the saddle point: entropy and overlap are consistent."""
    kappa, alpha, step = 0.6, 0.25, 1e-4
    below, here, above = (solve(alpha + d, kappa, constraint, weights) for d in (-step, 0, step))
    slope = (above["entropy"] - below["entropy"]) / (2 * step)
    q = here["overlap"]
    if q[0] == 0:
        expected = log_probability(np.array([kappa]), constraint)
    else:
        pattern = step_pattern(q=q, v=1 - q, kappa=np.array([kappa]), nodes=16)
        expected = pattern.log_weight
    np.testing.assert_allclose(slope, expected, rtol=1e-6)


def test_entropy_at_the_ends():
    binary = solve([1e-12], weights="binary")
    np.testing.assert_allclose(binary["entropy"], math.log(2), rtol=1e-11)
    np.testing.assert_allclose(binary["overlap"], 2e-12 / math.pi, rtol=1e-10)
    alpha_c = at(0.0, weights="binary")["alpha_c"]
    np.testing.assert_allclose(solve(alpha_c, weights="binary")["entropy"], 0, atol=1e-14)
    # Sphere: v = 1 - q is proportional to alpha_c - alpha, and s goes like log(v)/2 of the volume
    # plus -alpha E log u = alpha P(t < 0) log(v)/2 of the patterns: log(v) in all at alpha = 2.
    near = solve([2 - 1e-6, 2 - 1e-8, 2 - 1e-10])
    v = 1 - near["overlap"]
    np.testing.assert_allclose(v[1] / v[0], 1e-2, rtol=1e-3)
    np.testing.assert_allclose(np.diff(near["entropy"]), math.log(1e-2), rtol=1e-3)
    assert np.isnan(solve([2.0 + 1e-6])["entropy"])


def test_binary_saddle_ends_at_four_over_pi():
    """q -> 1 at 2/pi of the spherical capacity (Gardner and Derrida 1988)."""
    answer = solve([4 / math.pi - 1e-3, 4 / math.pi + 1e-3], weights="binary")
    assert answer["overlap"][0] > 0.99
    assert np.isnan(answer["overlap"][1])
    assert list(answer["validity"]) == ["upper_bound", "not_available"]


def test_spherical_symmetric_constraints_leave_zero_overlap_at_their_stability_limit():
    p = ndtr(1.0) - ndtr(-1.0)
    alpha_at = (p / (2 * norm.pdf(1.0))) ** 2
    answer = solve([0.999 * alpha_at, 1.001 * alpha_at], 1.0, "rectangle")
    assert answer["overlap"][0] == 0
    assert 0 < answer["overlap"][1] < 0.01
    assert list(answer["validity"]) == ["replica_symmetric", "upper_bound"]


def test_first_order_branch_is_the_lower_one():
    """Rectangle, kappa = 3: the curve alpha(q) is not monotone, and saddles are compared."""
    alpha = np.linspace(1300, 1800, 26)
    answer = solve(alpha, 3.0, "rectangle")
    annealed = alpha * log_probability(np.array([3.0]), "rectangle")
    assert np.all(answer["entropy"] <= annealed + 1e-12)
    assert np.all(np.diff(answer["overlap"]) >= 0)
    assert np.all(np.diff(answer["entropy"]) < 0)


# Ground states


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_energy_starts_at_capacity_grows_and_stays_below_random_guessing(weights, constraint):
    kappa = 0.6
    alpha_c = at(kappa, constraint, weights)["alpha_c"][0]
    alpha = alpha_c * np.array([0.5, 1 - 1e-9, 1 + 1e-9, 1.001, 1.1, 1.5, 3, 30, 300])
    energy = solve(alpha, kappa, constraint, weights)["ground_state_energy"]
    np.testing.assert_array_equal(energy[:2], 0)
    assert 0 < energy[2] < 1e-7
    assert np.all(np.diff(energy[2:]) > 0)
    violated = -np.expm1(log_probability(np.array([kappa]), constraint))
    assert np.all(energy < alpha * violated)
    assert energy[-1] > 0.6 * alpha[-1] * violated[0]


@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_spherical_energy_is_the_variational_maximum(constraint):
    """E = max over x of alpha E min(1, d²/2x) - 1/(2x), maximised directly."""
    kappa = 0.5
    alpha = 1.7 * at(kappa, constraint)["alpha_c"][0]

    def bound(log_x):
        x = math.exp(log_x)

        def cost(t):
            if allowed(t, kappa, constraint):
                return 0.0
            d = kappa - t if constraint == "step" else abs(abs(t) - kappa)
            return min(1.0, d * d / (2 * x))

        s = math.sqrt(2 * x)
        marks = (kappa, -kappa, kappa - s, -kappa + s, kappa + s, -kappa - s)
        return -(alpha * average(cost, *marks) - 1 / (2 * x))

    best = minimize_scalar(bound, bounds=(-6, 4), method="bounded", options={"xatol": 1e-8})
    answer = solve(alpha, kappa, constraint)
    np.testing.assert_allclose(answer["ground_state_energy"], -best.fun, rtol=1e-9)
    assert answer["energy_validity"] == "lower_bound"


@pytest.mark.parametrize(("alpha", "kappa"), [(0.9, 0.0), (3.0, 0.0), (1.0, 1.0), (6.0, -1.0)])
def test_frozen_energy_is_the_maximum_of_the_free_energy(alpha, kappa):
    """E = max over β of -φ(β)/β, with φ extremised over q and q̂ by plain iteration."""

    def free_entropy(beta):
        q = 0.5
        for _ in range(400):
            pattern = step_pattern(
                q=np.array([q]),
                v=np.array([1 - q]),
                kappa=np.array([kappa]),
                nodes=16,
                log_x=np.array([-beta]),
            )
            field = alpha * pattern.force / (1 - q)
            weight = binary_weight(np.log(field), nodes=16)
            moved, q = abs(weight.q[0] - q), weight.q[0]
            if moved < 1e-12:
                break
        return (-field * weight.v / 2 + weight.log_weight + alpha * pattern.log_weight)[0]

    best = minimize_scalar(
        lambda log_beta: free_entropy(math.exp(log_beta)) / math.exp(log_beta),
        bounds=(-1.5, 3),
        method="bounded",
        options={"xatol": 1e-6},
    )
    answer = solve(alpha, kappa, weights="binary")
    np.testing.assert_allclose(answer["ground_state_energy"], -best.fun, rtol=1e-9)
    assert answer["energy_validity"] == "frozen"


def lowest_energy(rng, dimension, samples, kappa, constraint):
    """Least number of violated constraints per weight, over all binary vectors."""
    half = dimension // 2
    code = np.arange(2**half)
    spins = 1.0 - 2.0 * ((code >> np.arange(half)[:, None]) & 1)
    x = rng.standard_normal((samples, dimension)) / math.sqrt(dimension)
    violated = np.zeros((len(code), len(code)), np.int16)
    for row in x:
        z = (row[:half] @ spins)[:, None] + row[half:] @ spins
        violated += ~allowed(z, kappa, constraint)
    return violated.min() / dimension


@pytest.mark.parametrize(
    ("alpha", "kappa", "constraint"), [(3.0, 0.0, "step"), (1.0, 1.0, "step"), (3.0, 0.5, "ushape")]
)
def test_frozen_energy_against_exhaustive_search(alpha, kappa, constraint):
    """32 instances of 8 and 14 weights, extrapolated in 1/dimension."""
    rng = np.random.default_rng(11)
    means, errors = [], []
    sizes = (8, 14)
    for size in sizes:
        samples = [
            lowest_energy(rng, size, round(alpha * size), kappa, constraint) for _ in range(32)
        ]
        means.append(np.mean(samples))
        errors.append(np.std(samples, ddof=1) / math.sqrt(32))
    share = sizes[0] / (sizes[1] - sizes[0])
    estimate = means[1] + share * (means[1] - means[0])
    error = math.hypot((1 + share) * errors[1], share * errors[0])
    theory = solve(alpha, kappa, constraint, "binary")["ground_state_energy"][0]
    assert theory < means[1]  # finite instances cannot use the extremes of infinitely many
    assert abs(estimate - theory) < 3 * error + 0.5 / sizes[1]


@pytest.mark.parametrize("weights", WEIGHTS)
def test_rademacher_complexity(weights):
    alpha = np.array([0.5, 3.0, 50.0])
    answer = solve(alpha, 0.0, weights=weights)
    complexity = answer["rademacher_complexity"]
    assert complexity[0] == 1
    np.testing.assert_allclose(answer["ground_state_energy"], alpha / 2 * (1 - complexity))
    assert np.all(np.isnan(solve(alpha, 0.1, weights=weights)["rademacher_complexity"]))


def test_random_labels_leave_little_to_a_large_sample():
    """Sphere, alpha -> inf: s³ alpha/(3 √2π) = 1 and R = 2 s/√2π (Gardner and Derrida 1988)."""
    alpha = 1e6
    s = (3 * math.sqrt(2 * math.pi) / alpha) ** (1 / 3)
    complexity = solve([alpha])["rademacher_complexity"]
    np.testing.assert_allclose(complexity, 2 * s / math.sqrt(2 * math.pi), rtol=1e-4)


def test_answers_do_not_depend_on_the_batch():
    alpha = np.array([0.1, 0.8, 0.84, 1.2, 2.0, 5.0, 0.3])
    kappa = np.array([0.0, 0.0, 0.0, 0.0, 0.5, -1.0, -1.0])
    for weights in WEIGHTS:
        for constraint in CONSTRAINTS:
            together = solve(alpha, kappa, constraint, weights)
            for k in range(len(alpha)):
                alone = solve(alpha[k], kappa[k], constraint, weights)
                for name, value in alone.items():
                    if value.dtype.kind == "U":
                        assert value[0] == together[name][k]
                    elif name not in ("steps", "residual"):
                        np.testing.assert_allclose(
                            value[0], together[name][k], rtol=1e-10, atol=1e-13, err_msg=name
                        )


# Cover


def counted(samples, dimension):
    if samples <= dimension:
        return 1.0
    return float(sum(math.comb(samples - 1, k) for k in range(dimension)) / 2 ** (samples - 1))


def separable(samples, dimension):
    samples, dimension = np.atleast_1d(samples), np.atleast_1d(dimension)
    return cover(
        alpha=samples / dimension,
        kappa=np.zeros(len(samples)),
        constraint="step",
        weights="spherical",
        dimension=dimension,
    )


def test_cover_is_the_binomial_sum():
    cases = [(n, d) for d in (1, 2, 7, 40) for n in (1, d, d + 1, 2 * d, 2 * d + 1, 3 * d + 5)]
    cases += [(1000, 300), (1000, 700)]
    samples, dimension = np.array(cases).T
    answer = separable(samples, dimension)
    np.testing.assert_array_equal(answer["samples"], samples)
    expected = [counted(n, d) for n, d in cases]
    np.testing.assert_allclose(answer["probability_separable"], expected, rtol=1e-12)


def test_cover_is_one_half_at_twice_the_dimension_and_sharp_for_large_ones():
    dimension = np.array([1, 3, 10**3, 10**6, 10**12])
    np.testing.assert_array_equal(separable(2 * dimension, dimension)["probability_separable"], 0.5)
    # n - 1 coins, at most d - 1 heads: normal with mean (n-1)/2 and variance (n-1)/4.
    d = 10**8
    n = 2 * d + np.array([-20_000, 10_000])
    expected = ndtr((d - 0.5 - (n - 1) / 2) / np.sqrt((n - 1) / 4))
    np.testing.assert_allclose(
        separable(n, np.full(2, d))["probability_separable"], expected, rtol=1e-7
    )


def test_cover_against_every_labelling_of_planar_points():
    """d = 2: a labelling is separable if the labelled directions fit in an open half-plane."""
    rng = np.random.default_rng(5)
    samples = 6
    angles = np.sort(rng.uniform(0, 2 * np.pi, samples))
    codes = (np.arange(2**samples)[:, None] >> np.arange(samples)) & 1
    flipped = np.sort(np.mod(angles + np.pi * codes, 2 * np.pi), axis=1)
    gaps = np.diff(np.concatenate([flipped, flipped[:, :1] + 2 * np.pi], axis=1), axis=1)
    share = np.mean(gaps.max(axis=1) > np.pi)
    np.testing.assert_allclose(separable(samples, 2)["probability_separable"], share, rtol=1e-14)

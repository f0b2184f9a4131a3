"""Absolute value and symmetric door: the channels that do not see the sign of the preactivation.

Brute force here is an integral over the preactivation z itself: Z = ∫ N(z; omega, V) P(y | z) and the
posterior mean and variance of z give log Z, g = (⟨z⟩ - omega)/V and -∂g = 1/V - Var(z)/V².
"""

from __future__ import annotations

import array_api_compat.numpy as xp
import mpmath
import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from solvers.numerics import channels, priors
from solvers.numerics.random import Stream
from solvers.numerics.two_signs import two_signs

ABS, DOOR = channels.load("abs"), channels.load("door")
CASES = [
    (ABS, {"noise": 0.0}),
    (ABS, {"noise": 0.04}),
    (ABS, {"noise": 2.0}),
    (DOOR, {"kappa": 0.7, "noise": 0.0}),
    (DOOR, {"kappa": 0.7, "noise": 0.04}),
    (DOOR, {"kappa": 0.4, "noise": 2.0}),
    (DOOR, {"kappa": 0.0, "noise": 0.1}),
]
NAMES = [f"{channel.__name__.split('.')[-1]}-{list(values.values())}" for channel, values in CASES]
each_case = pytest.mark.parametrize(("channel", "parameters"), CASES, ids=NAMES)

LEGENDRE = np.polynomial.legendre.leggauss(16)


def composite(edges):
    """Gauss-Legendre nodes and weights between sorted edges."""
    edges = np.unique(edges)
    nodes, weights = LEGENDRE
    size = np.diff(edges)[:, None]
    return (edges[:-1, None] + size * (nodes + 1) / 2).ravel(), (size * weights / 2).ravel()


def around(*places, end=np.inf, finest=0.25):
    """Edges doubling away from each (centre, width), up to ±end."""
    steps = finest * 2.0 ** np.arange(60)
    edges = [np.concatenate([[c], c - w * steps, c + w * steps]) for c, w in places]
    every = np.concatenate(edges)
    return np.append(every[np.abs(every) < end], [-end, end])


def gauss(x, variance):
    return np.exp(-0.5 * x**2 / variance) / np.sqrt(2 * np.pi * variance)


def likelihood(channel, y, z, *, noise, kappa=0.0):
    if channel is ABS:
        return gauss(y - np.abs(z), noise)
    if noise == 0:
        return np.where(y * (np.abs(z) - kappa) > 0, 1.0, 0.0)
    return ndtr(y * (np.abs(z) - kappa) / np.sqrt(noise))


def brute(channel, y, omega, variance, *, noise, kappa=0.0):
    """log Z, g and -∂g by integration over z, or over the two values of z at |z| = y."""
    if channel is ABS and noise == 0:
        z, weight = np.array([y, -y]), gauss(np.array([y - omega, y + omega]), variance)
    else:
        blur = np.sqrt(noise) if noise else 1.0
        width = np.sqrt(variance)
        centre = y if channel is ABS else kappa
        places = [(0.0, width), (centre, blur), (-centre, blur), (omega, width)]
        z, w = composite(around(*places, end=abs(omega) + centre + 14 * (width + blur)))
        weight = w * gauss(z - omega, variance)
        weight *= likelihood(channel, y, z, noise=noise, kappa=kappa)
    total = weight.sum()
    mean = (weight * (z - omega)).sum() / total
    spread = (weight * (z - omega - mean) ** 2).sum() / total
    return np.log(total), mean / variance, 1 / variance - spread / variance**2


def columns(values, like):
    return {name: np.full_like(like, value) for name, value in values.items()}


def snr(channel, overlap, deficit, **parameters):
    overlap, deficit = np.broadcast_arrays(
        np.atleast_1d(overlap).astype(float), np.atleast_1d(deficit)
    )
    return channel.snr(overlap=overlap, deficit=deficit, **columns(parameters, overlap))


def labels(channel, omega, variance, noise):
    """Nodes and weights for the sum over y at a given omega."""
    if channel is DOOR:
        return np.array([1.0, -1.0]), np.ones(2)
    width, blur = np.sqrt(variance + noise), np.sqrt(min(noise, variance))
    edges = around((0.0, blur or width), (abs(omega), width), end=abs(omega) + 9 * width)
    y, weight = composite(edges[edges >= -12 * np.sqrt(noise)] if noise else edges[edges >= 0])
    return y, weight


def average(channel, overlap, variance, functions, *, noise, kappa=0.0):
    """E f(y, omega) under the law of state evolution, as an integral over omega and y."""
    width = np.sqrt(variance + noise)
    places = [(0.0, min(np.sqrt(variance), width)), (0.0, width), (kappa, width)]
    edges = around(*places, end=9.5 * np.sqrt(overlap))
    omega, weight = composite(edges[edges >= 0])
    weight = 2 * weight * gauss(omega, overlap)
    sums = np.zeros(len(functions))
    values = {"variance": variance, "noise": noise, "xp": xp}
    if channel is DOOR:
        values["kappa"] = kappa
    for point, share in zip(omega, weight, strict=True):
        y, dy = labels(channel, point, variance, noise)
        given = {"label": y, "omega": np.full_like(y, point), **values}
        log_z = channel.log_normalisation(**given)
        g, curvature = channel.denoise(**given)
        law = share * dy * np.exp(log_z)
        sums += [np.sum(law * f(y, log_z, g, curvature)) for f in functions]
    return sums


@pytest.mark.parametrize("s", [-20.0, -3.0, -0.1, 0.0, 0.3, 2.9, 8.0, 30.0])
def test_odds_of_the_two_signs_have_full_relative_accuracy(s):
    for e in (0.0, 1e-12, 1e-3, 0.04, 0.06, 1.0, 9.0, 40.0):
        found = two_signs(s=np.float64(s), e=np.float64(e), tilt=np.float64(s * e), xp=xp)
        with mpmath.workdps(60):
            x, y = mpmath.mpf(s), mpmath.mpf(e)
            plus = mpmath.ncdf(x + y)
            ratio = mpmath.exp(-2 * x * y) * mpmath.ncdf(x - y) / plus
            hazard = mpmath.npdf(x + y) / plus
            expected = [ratio, 1 - ratio, hazard]
            expected = [float(value) for value in expected]
        np.testing.assert_allclose(
            [found.ratio, found.difference, found.hazard], expected, rtol=2e-13, atol=1e-290
        )


@each_case
@pytest.mark.parametrize("variance", [0.5, 0.02])
def test_denoiser_by_integration_over_the_preactivation(channel, parameters, variance):
    blur = np.sqrt(parameters["noise"])
    ys = (1.0, -1.0) if channel is DOOR else (0.05, 0.9, 2.0, *((-blur,) if blur else ()))
    for y in ys:
        for omega in (0.0, 1e-4, 0.3, -0.65, 1.5):
            expected = brute(channel, y, omega, variance, **parameters)
            given = {"label": np.float64(y), "omega": np.float64(omega), **parameters}
            given |= {"variance": np.float64(variance), "xp": xp}
            found = (channel.log_normalisation(**given), *channel.denoise(**given))
            scale = np.sqrt(variance) ** -np.arange(3)
            close = np.abs(np.array(found) - expected) / scale
            assert np.all(close < 2e-10 * (1 + np.abs(np.array(expected) / scale)))


@each_case
def test_the_law_of_the_label_is_normalised(channel, parameters):
    for variance, omega in ((0.5, 0.4), (0.01, 0.69), (1e-4, -1.0)):
        y, weight = labels(channel, omega, variance, parameters["noise"])
        log_z = channel.log_normalisation(
            label=y, omega=np.full_like(y, omega), variance=variance, xp=xp, **parameters
        )
        assert np.sum(weight * np.exp(log_z)) == pytest.approx(1.0, rel=1e-12)


@each_case
@pytest.mark.parametrize(("overlap", "deficit"), [(0.6, 0.4), (0.05, 0.3), (0.99, 1e-3)])
def test_averages_of_state_evolution_by_brute_force(channel, parameters, overlap, deficit):
    functions = [
        lambda y, log_z, g, c: 1.0,
        lambda y, log_z, g, c: g**2,
        lambda y, log_z, g, c: c,
        lambda y, log_z, g, c: c**2,
        lambda y, log_z, g, c: log_z,
    ]
    one, square, nishimori, bend, log_z = average(
        channel, overlap, deficit, functions, **parameters
    )
    assert one == pytest.approx(1.0, rel=1e-12)
    assert nishimori == pytest.approx(square, rel=1e-9)
    value, elasticity = snr(channel, overlap, deficit, **parameters)
    assert value[0] == pytest.approx(square, rel=1e-10)
    assert elasticity[0] == pytest.approx(-deficit * bend / square, rel=1e-8)
    q = np.array([overlap])
    entropy = channel.free_entropy(overlap=q, deficit=np.array([deficit]), **columns(parameters, q))
    assert entropy[0] == pytest.approx(log_z, rel=1e-10, abs=1e-12)


@each_case
def test_free_entropy_has_derivative_half_the_snr(channel, parameters):
    deficit = np.array([1.2, 0.7, 0.3, 0.05, 1e-3, 1e-6])
    step = 1e-5 * deficit

    def free_entropy(deficit):
        q = 1.3 - deficit
        return channel.free_entropy(overlap=q, deficit=deficit, **columns(parameters, q))

    slope = (free_entropy(deficit - step) - free_entropy(deficit + step)) / (2 * step)
    value, _ = snr(channel, 1.3 - deficit, deficit, **parameters)
    rounding = 1e-15 / step
    assert np.all(np.abs(slope - 0.5 * value) < 1e-7 * value + rounding)


@each_case
def test_elasticity_is_the_slope_of_the_snr(channel, parameters):
    for deficit in (1e-250, 1e-40, 1e-12, 1e-3, 0.3, 0.9, 1 - 1e-3):
        step = 1e-4 * min(1.0, (1 - deficit) / deficit)
        up, down = deficit * np.exp(step), deficit * np.exp(-step)
        value, elasticity = snr(channel, 1 - deficit, deficit, **parameters)
        slope = np.log(
            snr(channel, 1 - up, up, **parameters)[0]
            / snr(channel, 1 - down, down, **parameters)[0]
        ) / np.log(up / down)
        np.testing.assert_allclose(elasticity, slope, rtol=3e-7, atol=1e-10)
        assert np.all(value > 0)


@each_case
def test_units_do_not_matter(channel, parameters):
    """z, kappa and √noise in other units: E g² has the unit 1/z²."""
    units = {"noise": 9.0, "kappa": 3.0}
    rescaled = {name: value * units[name] for name, value in parameters.items()}
    for overlap, deficit in ((0.4, 0.2), (1e-5, 0.7), (0.8, 1e-7)):
        value, elasticity = snr(channel, overlap, deficit, **parameters)
        other, same = snr(channel, 9 * overlap, 9 * deficit, **rescaled)
        np.testing.assert_allclose(9 * other, value, rtol=1e-9)
        np.testing.assert_allclose(same, elasticity, rtol=1e-9)


@each_case
def test_small_overlaps_are_told_in_proportion(channel, parameters):
    """E g² ~ c q with relative accuracy, c = E_y (E(z² - rho | y)/rho²)²."""
    rho = 0.8
    y, weight = labels(channel, 0.0, rho, parameters["noise"])
    moments = [brute(channel, at, 0.0, rho, **parameters) for at in y]
    # At omega = 0, -∂g = 1/rho - ⟨z²⟩/rho².
    slope = sum(
        w * np.exp(log_z) * curvature**2
        for w, (log_z, _, curvature) in zip(weight, moments, strict=True)
    )
    for overlap in (1e-300, 1e-40, 1e-16, 1e-9):
        value, elasticity = snr(channel, overlap, rho, **parameters)
        assert value[0] / overlap == pytest.approx(slope, rel=3e-8)
        assert elasticity[0] * overlap / rho == pytest.approx(-1.0, rel=3e-8)
    value, elasticity = snr(channel, 0.0, rho, **parameters)
    assert value[0] == 0.0
    assert elasticity[0] == -np.inf
    assert channel.EVEN


def test_weak_recovery_of_phase_retrieval_is_at_one_half():
    value, _ = snr(ABS, 1e-12, 1.0, noise=0.0)
    assert value[0] / 1e-12 == pytest.approx(2.0, rel=1e-11)


def test_published_thresholds():
    """Barbier et al., PNAS 116, 5451 (2019): 1.128 and 1 (abs, gaussian), 1.566 (door, binary)."""

    def gaussian(q):
        return q / ((1 - q) * snr(ABS, q, 1 - q, noise=0.0)[0][0])

    best = minimize_scalar(lambda q: -gaussian(q), bounds=(0.5, 0.95), method="bounded")
    assert -best.fun == pytest.approx(1.128, abs=5e-4)
    assert gaussian(1e-9) == pytest.approx(0.5, rel=1e-7)
    assert gaussian(1 - 1e-10) == pytest.approx(1.0, rel=1e-4)

    def binary(u):
        q, deficit, _ = priors.load("rademacher").overlap(snr=np.array([np.exp(u)]))
        return (np.exp(u) / snr(DOOR, q, deficit, kappa=0.6744897501960817, noise=0.0)[0])[0]

    best = minimize_scalar(lambda u: -binary(u), bounds=(-3.0, 1.0), method="bounded")
    assert -best.fun == pytest.approx(1.566, abs=5e-4)


def test_recovered_corners():
    tiny = np.array([1e-300, 1e-160, 1e-40, 1e-14])
    value, elasticity = snr(ABS, 1.0, tiny, noise=0.0)
    np.testing.assert_allclose(value * tiny, 1.0, rtol=1e-6)
    np.testing.assert_allclose(elasticity, -1.0, rtol=1e-6)
    value, elasticity = snr(ABS, 1.0, tiny, noise=0.3)
    np.testing.assert_allclose(value, 1 / 0.3, rtol=1e-6)
    assert np.all(np.abs(elasticity) < 1e-6)
    for noise in (1e-20, 1.0, 1e20):  # in units of the deficit
        value, _ = snr(ABS, 1.0, 1e-200, noise=noise * 1e-200)
        assert value[0] * 1e-200 * (1 + noise) == pytest.approx(1.0, rel=1e-12)
    assert [float(x[0]) for x in snr(ABS, 1.0, 0.0, noise=0.0)] == [np.inf, -1.0]

    # A sharp step in a Gaussian landscape: 2φ(kappa) ∫dx φ²/(HΦ) / √V.
    x, w = composite(np.linspace(-35, 35, 71))
    step = np.sum(w * gauss(x, 1) ** 2 / (ndtr(x) * ndtr(-x)))
    value, elasticity = snr(DOOR, 1.0, tiny, kappa=0.7, noise=0.0)
    np.testing.assert_allclose(value * np.sqrt(tiny), 2 * gauss(0.7, 1) * step, rtol=1e-7)
    np.testing.assert_allclose(elasticity, -0.5, rtol=1e-6)
    value, elasticity = snr(DOOR, 1.0, 0.0, kappa=0.7, noise=0.0)
    assert value[0] == np.inf
    assert elasticity[0] == pytest.approx(-0.5, rel=1e-9)
    noise = 1e-12
    value, _ = snr(DOOR, 1.0, 0.0, kappa=0.7, noise=noise)
    assert value[0] * np.sqrt(noise) == pytest.approx(2 * gauss(0.7, 1) * step, rel=1e-9)


def test_weak_noise_joins_none_and_the_two_tables_meet():
    for channel, parameters in ((ABS, {}), (DOOR, {"kappa": 0.7}), (DOOR, {"kappa": 0.02})):
        for overlap, deficit in ((0.5, 0.5), (1e-8, 1.0), (0.9, 1e-6)):
            clean = snr(channel, overlap, deficit, noise=0.0, **parameters)
            near = snr(channel, overlap, deficit, noise=1e-13 * deficit, **parameters)
            np.testing.assert_allclose(near, clean, rtol=1e-9)
    noise = 0.1
    low, high = (snr(ABS, 0.4, noise * (1 + sign * 1e-9), noise=noise) for sign in (-1, 1))
    np.testing.assert_allclose(low, high, rtol=1e-8)
    # Both sides of c² = 1/2.
    low, high = (snr(ABS, 0.5 + sign * 1e-9, 0.3, noise=0.2) for sign in (-1, 1))
    np.testing.assert_allclose(low, high, rtol=1e-8)


def test_a_door_without_width_or_noise_says_nothing():
    one = np.ones(1)
    given = {"overlap": 0.4 * one, "deficit": 0.6 * one, "kappa": 0 * one, "noise": 0 * one}
    assert DOOR.snr(**given)[0][0] == 0.0
    assert np.isfinite(DOOR.snr(**given)[1][0])
    assert DOOR.free_entropy(**given)[0] == 0.0
    assert [float(x[0]) for x in DOOR.errors(**given)] == [0.0, 0.0]
    thin = snr(DOOR, 0.4, 0.6, kappa=1e-9, noise=0.0)[0] / 1e-9
    np.testing.assert_allclose(
        thin, snr(DOOR, 0.4, 0.6, kappa=1e-5, noise=0.0)[0] / 1e-5, rtol=1e-4
    )
    assert thin[0] > 0


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_errors_at_the_ends(noise):
    rho, kappa = 0.7, 0.5
    ends = {"overlap": np.array([0.0, rho]), "deficit": np.array([rho, 0.0])}
    noises = np.full(2, noise)
    none, square = ABS.errors(noise=noises, **ends)
    assert np.all(np.isnan(none))
    np.testing.assert_allclose(square, [rho * (1 - 2 / np.pi) + noise, noise], rtol=1e-14)

    classification, label = DOOR.errors(kappa=np.full(2, kappa), noise=noises, **ends)
    z, w = composite(
        around((0, 1), (kappa, np.sqrt(noise) or 1), (-kappa, np.sqrt(noise) or 1), end=12)
    )
    plus = likelihood(DOOR, 1.0, z, noise=noise, kappa=kappa)
    weight = w * gauss(z, rho)
    share = np.sum(weight * plus)
    known = np.sum(weight * np.minimum(plus, 1 - plus)), np.sum(weight * 4 * plus * (1 - plus))
    # min(P, 1 - P) has a kink that the panels of this brute force do not know, unless at the edge.
    np.testing.assert_allclose(classification, [min(share, 1 - share), known[0]], rtol=1e-4)
    np.testing.assert_allclose(label, [4 * share * (1 - share), known[1]], rtol=1e-10, atol=1e-14)


def test_small_errors_have_relative_accuracy():
    deficit = np.array([1e-200, 1e-30, 1e-12])
    one = np.ones(3)
    _, square = ABS.errors(overlap=one, deficit=deficit, noise=0 * one)
    np.testing.assert_allclose(square, deficit, rtol=1e-5)
    given = {"overlap": one, "kappa": 0.7 * one, "noise": 0 * one}
    classification, label = DOOR.errors(deficit=deficit, **given)
    # 2φ(kappa) √V times ∫ min(H, Φ) = √(2/π) and 4 ∫ H Φ = 4/√π.
    scale = 2 * gauss(0.7, 1) * np.sqrt(deficit)
    np.testing.assert_allclose(classification, scale * np.sqrt(2 / np.pi), rtol=1e-5)
    np.testing.assert_allclose(label, scale * 4 / np.sqrt(np.pi), rtol=1e-5)


@each_case
@pytest.mark.parametrize("mismatch", [0.0, 0.4])
def test_measured_errors_by_brute_force(channel, parameters, mismatch):
    """Averages over x·ŵ and x·w of the error of the answer at x·ŵ, answers from `brute`."""
    self_overlap, overlap, second, variance = 0.6, 0.6 - 0.3 * mismatch, 1.1, 0.5 + mismatch
    noise = parameters["noise"]
    given = {"self_overlap": self_overlap, "overlap": overlap, "second_moment": second}
    given |= {"variance": variance, **parameters}
    found = channel.measured_errors(**{name: np.array([x]) for name, x in given.items()})

    rest = second - overlap**2 / self_overlap
    width = np.sqrt(self_overlap)
    omega, weight = composite(np.linspace(0, 9 * width, 20 if channel is ABS else 50))
    weight = 2 * weight * gauss(omega, self_overlap)
    wrong, square = 0.0, 0.0
    for at, share in zip(omega, weight, strict=True):
        z, w = composite(around((0.0, 1.0), (at, np.sqrt(variance)), end=at + 12))
        y, dy = labels(channel, overlap / self_overlap * at, rest, noise)
        law = dy * np.exp(
            channel.log_normalisation(
                label=y,
                omega=overlap / self_overlap * at + 0 * y,
                variance=rest,
                xp=xp,
                **parameters,
            )
        )
        if channel is ABS:
            answer = np.sum(w * gauss(z - at, variance) * np.abs(z))
        else:
            answer = 2 * np.exp(brute(channel, 1.0, at, variance, **parameters)[0]) - 1
            wrong += share * np.sum(law * (y * answer < 0))
        square += share * np.sum(law * (y - answer) ** 2)
    assert found[1][0] == pytest.approx(square, rel=1e-9)
    if channel is ABS:
        assert np.isnan(found[0][0])
    else:  # the decision falls inside a panel of the brute force
        assert found[0][0] == pytest.approx(wrong, rel=1e-3)


@each_case
def test_measured_errors_of_matched_estimates_are_those_of_bayes(channel, parameters):
    overlap = np.array([0.0, 1e-8, 0.1, 0.6, 0.99, 1 - 1e-9, 1.0])
    given = columns(parameters, overlap)
    bayes = channel.errors(overlap=overlap, deficit=1 - overlap, **given)
    measured = channel.measured_errors(
        self_overlap=overlap,
        overlap=overlap,
        second_moment=np.ones(7),
        variance=1 - overlap,
        **given,
    )
    np.testing.assert_allclose(measured, bayes, rtol=1e-7, atol=3e-9)
    opposite = channel.measured_errors(
        self_overlap=overlap,
        overlap=-overlap,
        second_moment=np.ones(7),
        variance=1 - overlap,
        **given,
    )
    np.testing.assert_array_equal(measured, opposite)


@each_case
@pytest.mark.parametrize("variance", [1e-12, 1e-6, 1e-2, 1.0])
def test_single_precision(channel, parameters, variance):
    """Finite far out in the tails, and close to double precision where labels are possible."""
    far = np.linspace(-1e4, 1e4, 41) * np.sqrt(variance)
    omega = np.concatenate([far, np.linspace(-6, 6, 49), [1e-20, 0.7]]).astype(np.float32)[:, None]
    y = [1.0, -1.0] if channel is DOOR else [0.0, 1e-8, 1e-3, 0.5, 3.0, 1e4 * np.sqrt(variance)]
    given = {"label": np.array([y], dtype=np.float32), "omega": omega}
    given |= {name: np.float32(value) for name, value in parameters.items()}
    given |= {"variance": np.float32(variance)}
    found = [*channel.denoise(xp=xp, **given), channel.log_normalisation(xp=xp, **given)]
    assert all(x.dtype == np.float32 and np.all(np.isfinite(x)) for x in found)
    double = {name: np.asarray(x, dtype=float) for name, x in given.items()}
    exact = [*channel.denoise(xp=xp, **double), channel.log_normalisation(xp=xp, **double)]
    # What the labels are sensitive to is omega in units of √T, rounded to 1e-7 of its size.
    unit = 1 / np.sqrt(variance + parameters["noise"])
    near = np.broadcast_to(np.abs(omega[:, 0]) * unit < 30, omega[:, 0].shape)
    for power, a, b in zip((1, 2), found, exact, strict=False):
        close = np.abs(a - b)[near] <= 2e-4 * (np.abs(b)[near] + 30 * unit**power)
        assert np.all(close)
    assert np.all(np.abs(found[2] - exact[2]) <= 1e-4 * (1 + np.abs(exact[2])))


@each_case
def test_recovered_variances_leave_finite_messages(channel, parameters):
    """At variance 1e-30, once labels and omega agree."""
    rng = np.random.default_rng(2)
    omega = rng.normal(size=(400, 1))
    label = np.abs(omega) if channel is ABS else np.sign(np.abs(omega) - parameters["kappa"])
    for dtype in (np.float32, np.float64):
        with np.errstate(over="ignore"):
            g, curvature = channel.denoise(
                label=label.astype(dtype),
                omega=omega.astype(dtype),
                variance=dtype(1e-30),
                xp=xp,
                **{name: dtype(value) for name, value in parameters.items()},
            )
        assert np.all(np.isfinite(g))
        assert np.all(np.isfinite(curvature))


@each_case
def test_samples_follow_the_law(channel, parameters):
    """The mean and the variance of the label given z, and one column per point."""
    rows, z = 200_000, np.array([0.3, -0.9, 0.65])
    given = {name: np.array([value, value, 0.5]) for name, value in parameters.items()}
    stream = Stream("test", 3, 5, "noise")
    y = channel.sample(
        preactivation=np.broadcast_to(z, (rows, 3)),
        stream=stream,
        start=11,
        xp=xp,
        dtype=np.float64,
        **given,
    )
    assert y.shape == (rows, 3)
    again = channel.sample(
        preactivation=np.full((10, 1), 0.3),
        stream=stream,
        start=11,
        xp=xp,
        dtype=np.float64,
        **given,
    )
    np.testing.assert_array_equal(again[:, 0], y[:10, 0])
    noise = given["noise"]
    if channel is ABS:
        mean, variance = np.abs(z), noise
    else:
        with np.errstate(divide="ignore"):
            mean = 2 * ndtr((np.abs(z) - given["kappa"]) / np.sqrt(noise)) - 1
        variance = 1 - mean**2
        assert set(np.unique(y)) <= {-1.0, 1.0}
    np.testing.assert_allclose(y.mean(axis=0), mean, atol=5 * np.sqrt(1 / rows) + 1e-12, rtol=0)
    np.testing.assert_allclose(y.var(axis=0), variance, atol=0.02 * (1 + noise.max()))


def test_points_do_not_depend_on_each_other():
    rng = np.random.default_rng(0)
    points = 600
    noise = np.where(rng.uniform(size=points) < 0.5, 0.0, 10.0 ** rng.uniform(-6, 1, points))
    deficit = 10.0 ** rng.uniform(-9, 0, points)
    given = {"overlap": 10.0 ** rng.uniform(-9, 0, points), "deficit": deficit, "noise": noise}
    for channel, more in ((ABS, {}), (DOOR, {"kappa": rng.uniform(0, 1.5, points)})):
        whole = channel.snr(**given, **more)
        some = np.array([3, 17, 256, 599])
        part = channel.snr(**{name: x[some] for name, x in (given | more).items()})
        for a, b in zip(whole, part, strict=True):
            np.testing.assert_allclose(a[some], b, rtol=1e-11)

"""Channels: closed forms against brute force, and the identities that tie them together.

Every channel in the folder is tested, with the parameters that stand in the table.
"""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

from solvers.numerics import channels
from solvers.numerics.random import Stream

CASES = {
    "linear": [{"noise": 0.0}, {"noise": 0.3}],
    "sign": [{"noise": 0.0}, {"noise": 0.3}],
    "abs": [{"noise": 0.0}, {"noise": 0.3}, {"noise": 1e-4}],
    "relu": [{"noise": 0.0}, {"noise": 0.3}, {"noise": 1e-4}],
    "door": [{"kappa": 0.7, "noise": 0.0}, {"kappa": 0.7, "noise": 0.3}],
}
PARAMETERS = [
    (name, parameters)
    for name, cases in CASES.items()
    for parameters in cases
    if name in channels.names()
]
SECOND_MOMENTS = [1.0, 0.3]


def sign_likelihood(y, margin, noise):
    return ndtr(y * margin / np.sqrt(noise))


LIKELIHOOD = {  # P(y | z) for noise > 0
    "linear": lambda y, z, noise: norm.pdf(y, z, np.sqrt(noise)),
    "relu": lambda y, z, noise: norm.pdf(y, np.maximum(z, 0.0), np.sqrt(noise)),
    "abs": lambda y, z, noise: norm.pdf(y, np.abs(z), np.sqrt(noise)),
    "sign": lambda y, z, noise: sign_likelihood(y, z, noise),
    "door": lambda y, z, noise, kappa: sign_likelihood(y, np.abs(z) - kappa, noise),
}
RANGE = {  # atoms and lowest label of the noiseless channel
    "linear": ((), -np.inf),
    "relu": ((0.0,), 0.0),
    "abs": ((), 0.0),
}
CONCAVE = ("linear", "sign")  # log Z is a concave function of omega


def test_the_tables_are_complete():
    assert set(channels.names()) <= set(CASES) == set(LIKELIHOOD)
    for name, parameters in PARAMETERS:
        channel = channels.load(name)
        assert set(parameters) == set(channel.PARAMETERS)
        assert ("real" if name in RANGE else "sign") == channel.LABELS
        assert (name in ("abs", "door")) == channel.EVEN


def columns(parameters, like):
    return {name: np.full(np.shape(like), value) for name, value in parameters.items()}


def given_at(parameters, deficit, rho):
    deficit = np.atleast_1d(deficit) * rho
    return {"overlap": rho - deficit, "deficit": deficit, **columns(parameters, deficit)}


# Brute force: panels of Gauss and Legendre wherever anything changes -----------------------------

NODES, WEIGHTS = np.polynomial.legendre.leggauss(14)
STEPS = np.array([0.0, 0.6, 1.2, 2.0, 3.0, 4.2, 5.6, 7.2, 9.0, 12.0])
STEPS = np.concatenate([-STEPS[:0:-1], STEPS])


def panels(edges):
    """Nodes and weights between sorted edges, along the last axis."""
    edges = np.sort(edges, axis=-1)
    half = 0.5 * np.diff(edges, axis=-1)[..., None]
    nodes = edges[..., :-1, None] + half * (1 + NODES)
    shape = (*edges.shape[:-1], nodes.shape[-2] * len(NODES))
    return nodes.reshape(shape), np.broadcast_to(half * WEIGHTS, nodes.shape).reshape(shape)


def over_omega(f, q, scales, places=(0.0,)):
    """∫ N(omega; 0, q) f(omega) d omega, where f changes on `scales` around `places`."""
    if q == 0:
        return f(np.zeros(1))[..., 0]
    far = 12.0 * 2.0 ** np.arange(1, 60)
    steps = np.concatenate([-far, STEPS, far])
    edges = [np.sqrt(q) * STEPS, *(p + scale * steps for p in places for scale in scales)]
    edges = np.sort(np.concatenate(edges))
    edges = edges[np.abs(edges) <= 12 * np.sqrt(q)]
    least = np.minimum.reduce([np.abs(edges[1:] - p) for p in places]) + min(*scales, np.sqrt(q))
    edges = edges[np.append(True, np.diff(edges) > 0.05 * least)]
    omega, weights = panels(edges)
    return np.sum(weights * norm.pdf(omega, scale=np.sqrt(q)) * f(omega), axis=-1)


def over_labels(f, name, omega, variance, parameters):
    """Sum or integral over y of Z(y; omega, V) f(y, omega, log Z), for a vector omega.

    f may return several values along a first axis.
    """
    channel = channels.load(name)
    arguments = {"variance": np.float64(variance), "xp": xp, **parameters}

    def weighted(label, omega):
        log_z = channel.log_normalisation(label=label, omega=omega, **arguments)
        with np.errstate(over="ignore", invalid="ignore"):
            value = f(label, omega, log_z)
            return np.where(log_z > -600, np.exp(log_z) * value, 0.0)

    if channel.LABELS == "sign":
        return sum(weighted(np.full_like(omega, y), omega) for y in (-1.0, 1.0))
    noise = parameters["noise"]
    atoms, low = RANGE[name] if noise == 0 else ((), -np.inf)
    total = np.sqrt(variance + noise)
    centres = [omega] if name != "abs" else [omega, -omega]
    edges = [centre[:, None] + total * STEPS for centre in centres]
    edges += [np.sqrt(noise) * STEPS + 0 * omega[:, None]] if noise else []
    edges = np.clip(np.concatenate(edges, axis=-1), low, None)
    y, weights = panels(edges)
    # The density, not the atom, at the lower end.
    value = np.sum(weights * weighted(y, omega[:, None] + 0 * y), axis=-1)
    return value + sum(weighted(np.full_like(omega, y), omega) for y in atoms)


def brute_force(name, q, variance, parameters):
    """E of 1, g², -∂g, (∂g)² and log Z for the matched channel."""
    channel = channels.load(name)
    noise, kappa = parameters["noise"], parameters.get("kappa", 0.0)
    scales = [np.sqrt(variance), np.sqrt(variance + noise)]
    scales += [np.sqrt(noise)] if noise else []

    def all_of(y, omega, log_z):
        g, curvature = channel.denoise(
            label=y, omega=omega, variance=np.float64(variance), xp=xp, **parameters
        )
        return np.stack([np.ones_like(g), g**2, curvature, curvature**2, log_z])

    def inner(omega):
        parts = [
            over_labels(all_of, name, part, variance, parameters)
            for part in np.array_split(omega, max(1, len(omega) // 100))
        ]
        return np.concatenate(parts, axis=-1)

    return over_omega(inner, q, scales, places=sorted({-kappa, 0.0, kappa}))


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("rho", SECOND_MOMENTS)
@pytest.mark.parametrize("deficit", [0.999, 0.5, 0.02, 1e-4])
def test_averages_by_brute_force(name, parameters, rho, deficit):
    """Normalisation, E g² = -E ∂g, the elasticity from E(∂g)², and E log Z."""
    channel = channels.load(name)
    given = given_at(parameters, deficit, rho)
    q, variance = given["overlap"][0], given["deficit"][0]
    one, square, curvature, bend, log_z = brute_force(name, q, variance, parameters)
    np.testing.assert_allclose(one, 1.0, rtol=1e-11)
    snr, elasticity = (values[0] for values in channel.snr(**given))
    np.testing.assert_allclose(snr, square, rtol=1e-9)
    np.testing.assert_allclose(snr, curvature, rtol=1e-8)
    np.testing.assert_allclose(elasticity, -variance * bend / snr, rtol=1e-8)
    np.testing.assert_allclose(channel.free_entropy(**given)[0], log_z, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("rho", SECOND_MOMENTS)
def test_free_entropy_has_derivative_half_the_snr(name, parameters, rho):
    channel = channels.load(name)
    deficit = np.array([0.999, 0.7, 0.3, 0.05, 1e-3])
    step = 1e-4 * np.minimum(deficit, 1 - deficit)
    up, down = (
        channel.free_entropy(**given_at(parameters, deficit + s, rho)) for s in (step, -step)
    )
    snr, _ = channel.snr(**given_at(parameters, deficit, rho))
    slope, rounding = (down - up) / (2 * step * rho), 1e-15 / (step * rho)
    assert np.all(np.abs(slope - 0.5 * snr) < 2e-6 * snr + rounding)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("rho", SECOND_MOMENTS)
def test_elasticity_is_the_logarithmic_slope(name, parameters, rho):
    channel = channels.load(name)
    deficit = np.concatenate([1 - np.geomspace(1e-6, 0.5, 8), np.geomspace(0.4, 1e-12, 20)])
    step = 1e-4 * np.minimum(1, 10 * (1 - deficit) / deficit)
    up, down = (
        np.log(channel.snr(**given_at(parameters, deficit * np.exp(s), rho))[0])
        for s in (step, -step)
    )
    _, elasticity = channel.snr(**given_at(parameters, deficit, rho))
    np.testing.assert_allclose(elasticity, (up - down) / (2 * step), rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_nearly_recovered(name, parameters):
    """To a deficit of 1e-300: finite, monotone, and with noise the value at deficit 0."""
    channel = channels.load(name)
    deficit = np.concatenate([np.geomspace(1e-8, 1e-300, 40), [0.0]])
    snr, elasticity = channel.snr(**given_at(parameters, deficit, 0.7))
    assert np.all(np.diff(snr) >= -1e-13 * snr[:-1])
    assert np.all(np.isfinite(elasticity))
    if parameters["noise"] == 0:
        assert np.isinf(snr[-1])
        np.testing.assert_allclose(elasticity[-1], elasticity[-2], rtol=1e-12)
        slope = np.diff(np.log(snr[:-1])) / np.diff(np.log(deficit[:-1]))
        np.testing.assert_allclose(slope[1:], elasticity[2:-1], rtol=1e-7)
    else:
        np.testing.assert_allclose(snr[-2], snr[-1], rtol=1e-14)
        assert abs(elasticity[-1]) < 1e-100
    free_entropy = channel.free_entropy(**given_at(parameters, deficit, 0.7))
    assert np.all(np.diff(free_entropy) >= -1e-13 * np.abs(free_entropy[:-1]))
    if parameters["noise"] == 0 and channel.LABELS == "real":
        assert free_entropy[-1] == np.inf


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_knowing_nothing(name, parameters):
    channel = channels.load(name)
    given = given_at(parameters, 1.0, 0.7)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr, _ = channel.snr(**given)
    if channel.EVEN:
        assert snr[0] == 0.0
        overlap = np.array([1e-6, 1e-9, 1e-14, 1e-200])
        small = {**columns(parameters, overlap), "overlap": overlap, "deficit": 0.7 - overlap}
        ratio = channel.snr(**small)[0] / overlap
        np.testing.assert_allclose(ratio, ratio[1], rtol=1e-5)
        np.testing.assert_allclose(ratio[1:], ratio[1], rtol=1e-8)
    else:
        near = channel.snr(**given_at(parameters, 1.0 - 1e-12, 0.7))[0]
        np.testing.assert_allclose(snr, near, rtol=1e-11)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_a_point_is_its_own(name, parameters):
    channel = channels.load(name)
    given = given_at(parameters, np.geomspace(0.99, 1e-9, 700), 0.8)
    alone = {key: column[333:334] for key, column in given.items()}
    for one, all_ in zip(channel.snr(**alone), channel.snr(**given), strict=True):
        np.testing.assert_allclose(all_[333], one[0], rtol=1e-13)
    np.testing.assert_allclose(
        channel.free_entropy(**given)[333], channel.free_entropy(**alone)[0], rtol=1e-13
    )


# Denoisers ----------------------------------------------------------------------------------------


def labels_at(name, parameters):
    """Some labels that occur: both signs, or numbers around zero (and the atom)."""
    if channels.load(name).LABELS == "sign":
        return np.array([-1.0, 1.0])
    if parameters["noise"] > 0:
        return np.array([-1.5, -0.2, 0.0, 0.01, 0.7, 3.0])
    return np.array([0.0, 0.01, 0.7, 3.0] if name == "relu" else [0.01, 0.7, 3.0])


@pytest.mark.parametrize(("name", "parameters"), [c for c in PARAMETERS if c[1]["noise"] > 0])
@pytest.mark.parametrize("variance", [1.5, 0.1, 1e-3])
def test_log_normalisation_is_the_integral_that_defines_it(name, parameters, variance):
    channel = channels.load(name)
    kappa = parameters.get("kappa", 0.0)
    for label in labels_at(name, parameters):
        for omega in (-2.0, -0.3, 0.0, 0.2, 1.1):
            found = channel.log_normalisation(
                label=np.float64(label),
                omega=np.float64(omega),
                variance=variance,
                xp=xp,
                **parameters,
            )
            width, noise = np.sqrt(variance), np.sqrt(parameters["noise"])
            edges = np.concatenate(
                [omega + width * STEPS]
                + [place + noise * STEPS for place in (-kappa, 0, kappa, label, -label)]
            )
            edges = edges[np.abs(edges - omega) <= 13 * width]
            z, weights = panels(edges)
            density = norm.pdf(z, omega, width) * LIKELIHOOD[name](label, z, **parameters)
            value = np.sum(weights * density)
            if value > 1e-20:  # otherwise not within 12 standard deviations of omega
                np.testing.assert_allclose(found, np.log(value), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("variance", [1.5, 0.1, 1e-3])
def test_denoiser_is_the_derivative_of_log_z(name, parameters, variance):
    channel = channels.load(name)
    label = labels_at(name, parameters)
    omega = np.linspace(-3.0, 3.0, 25)[:, None]
    arguments = {"variance": np.float64(variance), "label": label, "xp": xp, **parameters}
    g, curvature = channel.denoise(omega=omega, **arguments)
    step = 1e-5 * np.sqrt(variance)
    up, down = (channel.log_normalisation(omega=omega + s, **arguments) for s in (step, -step))
    scale = np.abs(g).max()
    np.testing.assert_allclose(g, (up - down) / (2 * step), rtol=1e-5, atol=1e-6 * scale)
    up, down = (channel.denoise(omega=omega + s, **arguments)[0] for s in (step, -step))
    scale = np.abs(curvature).max()
    expected = np.broadcast_to((down - up) / (2 * step), curvature.shape)
    np.testing.assert_allclose(curvature, expected, rtol=1e-5, atol=1e-6 * scale)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("variance", [1e-30, 1e-12, 1e-3, 1.0])
def test_denoiser_is_finite(name, parameters, dtype, variance):
    channel = channels.load(name)
    omega = np.linspace(-6.0, 6.0, 49, dtype=dtype)[:, None]
    label = labels_at(name, parameters).astype(dtype)
    arguments = {"variance": dtype(variance), "label": label, "xp": xp}
    arguments |= {key: dtype(value) for key, value in parameters.items()}
    g, curvature = channel.denoise(omega=omega, **arguments)
    assert g.dtype == curvature.dtype == dtype
    assert np.all(np.isfinite(g))
    assert np.all(np.isfinite(curvature))
    if name in CONCAVE:
        assert np.all(curvature >= 0)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("variance", [1e-5, 1e-2, 1.0])
def test_single_precision_follows_double_on_labels_that_occur(name, parameters, variance):
    channel = channels.load(name)
    count, rng = 400, np.random.default_rng(2)
    omega = rng.normal(size=count)
    z = omega + np.sqrt(variance) * rng.normal(size=count)
    label = draw(name, parameters, z)
    numbers = [np.asarray(x, dtype=np.float32) for x in (label, omega, variance)]
    answers = []
    for dtype in (np.float32, np.float64):
        y, w, v = (x.astype(dtype) for x in numbers)
        values = {key: dtype(np.float32(value)) for key, value in parameters.items()}
        answers.append(channel.denoise(label=y, omega=w, variance=v, xp=xp, **values))
    for single, double in zip(*answers, strict=True):
        error = np.abs(single - double) / np.sqrt(np.mean(double**2))
        assert np.median(error) < 1e-5
        # An occasional label has two explanations whose odds feel the rounding of omega.
        assert np.mean(error > 1e-2) < 0.01


# Labels and errors --------------------------------------------------------------------------------


def draw(name, parameters, z, start=7):
    given = {key: np.array([value]) for key, value in parameters.items()}
    stream = Stream("test", 1, 3, "noise")
    return channels.load(name).sample(
        preactivation=z[:, None], stream=stream, start=start, xp=xp, dtype=np.float64, **given
    )[:, 0]


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("omega", [-0.4, 0.8])
def test_samples_have_the_law_of_the_channel(name, parameters, omega):
    """Labels of z ~ N(omega, V) are distributed as Z(y; omega, V): tested by E of three functions."""
    count, variance = 100_000, 0.5
    z = omega + np.sqrt(variance) * np.random.default_rng(3).normal(size=count)
    y = draw(name, parameters, z)
    for f in (np.tanh, lambda y: np.cos(3 * y), lambda y: np.exp(-((y - 0.5) ** 2) * 8)):
        found = f(y)
        expected = over_labels(
            lambda label, w, log_z, f=f: f(label), name, np.array([omega]), variance, parameters
        )[0]
        assert abs(found.mean() - expected) < 5 * found.std() / np.sqrt(count) + 1e-12


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_samples_belong_to_row_and_point(name, parameters):
    """Rows drawn in pieces, points one by one, and one preactivation per point, all agree."""
    channel = channels.load(name)
    stream = Stream("test", 1, 3, "noise")
    z = np.random.default_rng(0).normal(size=(40, 2))
    given = {key: np.array([value, 1.5 * value]) for key, value in parameters.items()}
    options = {"stream": stream, "xp": xp, "dtype": np.float64}
    whole = channel.sample(preactivation=z, start=0, **options, **given)
    assert whole.shape == (40, 2)
    later = channel.sample(preactivation=z[13:], start=13, **options, **given)
    np.testing.assert_array_equal(later, whole[13:])
    for point in range(2):
        one = {key: column[point : point + 1] for key, column in given.items()}
        alone = channel.sample(preactivation=z[:, point : point + 1], start=0, **options, **one)
        np.testing.assert_array_equal(alone[:, 0], whole[:, point])


def answer(name, omega, variance, parameters):
    """⟨y⟩ of the channel's own posterior on a fine grid of omega, interpolated."""
    grid = np.linspace(omega.min() - 1e-9, omega.max() + 1e-9, 1200)
    mean = over_labels(lambda y, w, z: y, name, grid, variance, parameters)
    return np.interp(omega, grid, mean)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize(
    ("self_overlap", "overlap", "second_moment", "variance"),
    [(0.6, 0.6, 1.0, 0.4), (0.2, 0.15, 0.3, 0.1), (0.5, -0.1, 0.4, 0.8), (0.3, 0.3, 0.4, 0.1)],
)
def test_errors_are_those_on_held_out_samples(
    name, parameters, self_overlap, overlap, second_moment, variance
):
    """Estimates of every kind against labels drawn from the channel for fresh inputs."""
    channel = channels.load(name)
    count, rng = 100_000, np.random.default_rng(5)
    omega = np.sqrt(self_overlap) * rng.normal(size=count)
    rest = second_moment - overlap**2 / self_overlap
    z = overlap / self_overlap * omega + np.sqrt(rest) * rng.normal(size=count)
    y = draw(name, parameters, z)
    given = {
        "self_overlap": self_overlap,
        "overlap": overlap,
        "second_moment": second_moment,
        **parameters,
    }
    given = {key: np.array([value]) for key, value in given.items()}
    wrong, square = channel.measured_errors(variance=np.array([variance]), **given)
    mean = answer(name, omega, variance, parameters)
    errors = (y - mean) ** 2
    assert abs(errors.mean() - square[0]) < 5 * errors.std() / np.sqrt(count)
    if channel.LABELS == "sign":
        guess = np.where(mean < 0, -1.0, 1.0)
        assert abs(np.mean(guess != y) - wrong[0]) < 5 * 0.5 / np.sqrt(count)
    else:
        assert np.isnan(wrong[0])


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("rho", SECOND_MOMENTS)
def test_errors_of_a_matched_estimate_are_the_bayes_errors(name, parameters, rho):
    channel = channels.load(name)
    given = given_at(parameters, [0.999, 0.7, 0.1, 1e-3], rho)
    bayes = channel.errors(**given)
    q, variance = given.pop("overlap"), given.pop("deficit")
    matched = channel.measured_errors(
        self_overlap=q, overlap=q, second_moment=q + variance, variance=variance, **given
    )
    np.testing.assert_allclose(bayes, matched, rtol=1e-9)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_small_label_errors_have_relative_accuracy(name, parameters):
    """label_mse - its value at deficit 0 follows a power of the deficit, down to rounding."""
    channel = channels.load(name)
    deficit = np.geomspace(1e-6, 1e-12, 7)
    _, label = channel.errors(**given_at(parameters, deficit, 0.7))
    assert np.all(label > 0)
    if parameters["noise"] == 0:
        slope = np.diff(np.log(label)) / np.diff(np.log(deficit))
        power = 0.5 if channel.LABELS == "sign" else 1.0
        np.testing.assert_allclose(slope, power, atol=1e-3)


def test_an_estimate_of_zero_is_a_coin():
    zero, one = np.zeros(1), np.ones(1)
    wrong, square = channels.load("sign").measured_errors(
        self_overlap=zero, overlap=zero, second_moment=one, variance=one, noise=zero
    )
    assert wrong[0] == 0.5
    assert square[0] == 1.0
    for variance, expected in ((one, 0.5 - 0.5 / np.pi), (zero, 0.5)):
        _, square = channels.load("relu").measured_errors(
            self_overlap=zero, overlap=zero, second_moment=one, variance=variance, noise=zero
        )
        assert square[0] == pytest.approx(expected, rel=1e-14)


# Single channels ----------------------------------------------------------------------------------


def test_hazard_meets_its_asymptotics():
    from solvers.numerics.channels.sign import hazard

    x = np.array([50.0, 1e4, 1e9])
    np.testing.assert_allclose(hazard(x, xp=xp), x + 1 / x - 2 / x**3, rtol=1e-9)
    assert hazard(np.array([0.0]), xp=xp)[0] == pytest.approx(np.sqrt(2 / np.pi), rel=1e-15)
    x = np.array([-37.0, -20.0])
    np.testing.assert_allclose(hazard(x, xp=xp), norm.pdf(x), rtol=1e-12)


@pytest.mark.parametrize(
    ("variance", "noise"),
    [
        (1.0, 1e-10),
        (0.3, 1e-7),
        (1e-12, 1.0),
        (1e-6, 100.0),
        (1e-10, 1e-10),
        (1e-5, 1e-9),
        (1e-9, 1e-5),
    ],
)
def test_relu_with_little_noise_or_little_doubt(variance, noise):
    """By brute force in (omega, y), on panels that know of all four scales."""
    relu, parameters = channels.load("relu"), {"noise": noise}
    q = 1.2 - variance
    given = {"overlap": q, "deficit": variance, "noise": noise}
    given = {key: np.array([value]) for key, value in given.items()}
    snr, elasticity = relu.snr(**given)
    _, first, _, second, third = brute_force("relu", q, variance, parameters)
    np.testing.assert_allclose(snr[0], first, rtol=1e-9)
    np.testing.assert_allclose(elasticity[0], -variance * second / snr[0], rtol=1e-8)
    np.testing.assert_allclose(relu.free_entropy(**given)[0], third, rtol=1e-9)


def test_relu_noise_disappears():
    """The quadrature at noise/V = 1e-29 meets the closed form of the noiseless channel."""
    relu = channels.load("relu")
    deficit = np.array([1.0, 0.999999, 0.9, 0.5, 0.1, 1e-6])
    given = {"overlap": 1.0 - deficit, "deficit": deficit}
    least, none = relu.snr(noise=1e-29 * deficit, **given), relu.snr(noise=0.0 * deficit, **given)
    np.testing.assert_allclose(least[0], none[0], rtol=5e-11)
    np.testing.assert_allclose(least[1], none[1], rtol=5e-11)
    # On both sides of the place where the quadrature is given up.
    tiny = [relu.free_entropy(noise=noise * deficit, **given) for noise in (1.01e-30, 0.99e-30)]
    np.testing.assert_allclose(tiny[0] - tiny[1], 0.25 * np.log(0.99 / 1.01), atol=1e-11)


def test_relu_without_noise_is_half_linear_half_sign():
    deficit = np.array([0.7, 0.2, 1e-3])
    given = {"overlap": 0.7 - deficit, "deficit": deficit, "noise": np.zeros(3)}
    relu, linear, sign = (channels.load(name) for name in ("relu", "linear", "sign"))
    mean = 0.5 * (linear.snr(**given)[0] + sign.snr(**given)[0])
    np.testing.assert_allclose(relu.snr(**given)[0], mean, rtol=1e-14)
    even = {"overlap": np.ones(1), "deficit": np.ones(1), "noise": np.zeros(1)}
    # s = 1: E g² = 1/2 + ∫Dt φ(t)²/H(t).
    value = quad(lambda t: norm.pdf(t) ** 3 / ndtr(-t), -12, 12)[0]
    assert relu.snr(**even)[0][0] == pytest.approx(0.5 + value, rel=1e-12)

"""Priors and channels: closed forms against brute force, and the identities that tie them together.

Every prior and channel in the folders is tested; parameters of the known ones stand in the tables.
"""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np
import pytest
from scipy.integrate import quad

from solvers.numerics import channels, priors
from solvers.numerics.random import Stream

PRIORS = {"gaussian": {}, "rademacher": {}}
CHANNELS = {"sign": [{"noise": 0.0}, {"noise": 0.3}]}
CASES = [(name, parameters) for name, cases in CHANNELS.items() for parameters in cases]
SNR = np.array([1e-9, 1e-3, 0.3, 0.999, 1.001, 4.0, 30.0])


def columns(parameters, like):
    return {name: np.full_like(like, value) for name, value in parameters.items()}


def gaussian(f, *, scale=1.0, centre=0.0):
    """∫ N(x; centre, scale²) f(x) dx by adaptive quadrature."""
    value, _ = quad(
        lambda z: np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * f(centre + scale * z),
        -12,
        12,
        epsabs=1e-14,
        epsrel=1e-13,
        limit=400,
        points=[-centre / scale] if abs(centre / scale) < 12 else None,
    )
    return value


def one(prior, precision, field):
    """Mean, variance and log Z of a scalar field."""
    mean, variance = prior.denoise(precision=precision, field=np.float64(field), xp=xp)
    return mean, variance, prior.log_normalisation(precision=precision, field=field, xp=xp)


def test_the_tables_are_complete():
    assert set(PRIORS) == set(priors.names())
    assert set(CHANNELS) == set(channels.names())


FIELD = {  # mean and variance of the field snr·w + √snr·Z, where w may be taken as +1 if binary
    "gaussian": lambda snr: (0.0, snr + snr**2),
    "rademacher": lambda snr: (snr, snr),
}


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.parametrize("snr", [1e-3, 0.4, 1.5, 12.0])
def test_prior_averages_by_brute_force(name, snr):
    prior = priors.load(name)
    column = np.array([snr])
    overlap, deficit, _ = prior.overlap(snr=column)
    centre, variance = FIELD[name](snr)

    def mean_of(f):
        return gaussian(lambda b: f(*one(prior, snr, b)), scale=np.sqrt(variance), centre=centre)

    np.testing.assert_allclose(overlap[0], mean_of(lambda m, v, z: m**2), rtol=1e-11)
    np.testing.assert_allclose(deficit[0], mean_of(lambda m, v, z: v), rtol=1e-11)
    information = prior.mutual_information(snr=column)[0]
    log_z = mean_of(lambda m, v, z: z)
    np.testing.assert_allclose(information, 0.5 * snr - log_z, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", PRIORS)
def test_prior_identities(name):
    prior = priors.load(name)
    overlap, deficit, elasticity = prior.overlap(snr=SNR)
    np.testing.assert_allclose(overlap + deficit, prior.second_moment(), rtol=1e-14)
    assert np.all(overlap > 0)
    np.testing.assert_allclose(overlap[0], SNR[0], rtol=1e-8)
    step = 1e-5
    up, down = (SNR * np.exp(sign * step) for sign in (1, -1))
    slope = np.log(prior.overlap(snr=up)[1] / prior.overlap(snr=down)[1]) / (2 * step)
    np.testing.assert_allclose(elasticity, slope, rtol=1e-8, atol=1e-10)
    change = prior.mutual_information(snr=up) - prior.mutual_information(snr=down)
    np.testing.assert_allclose(change, 0.5 * deficit * (up - down), rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize("name", PRIORS)
def test_prior_ends(name):
    prior = priors.load(name)
    overlap, deficit, _ = prior.overlap(snr=np.array([0.0, 1e-12]))
    assert overlap[0] == 0.0
    assert deficit[0] == pytest.approx(1.0, rel=1e-14)
    np.testing.assert_allclose(overlap[1], 1e-12, rtol=1e-10)
    overlap, deficit, _ = prior.overlap(snr=np.array([np.inf, 1e3]))
    assert overlap[0] == 1.0
    assert deficit[0] == 0.0
    assert 0.0 < deficit[1] < 1e-2


def test_binary_deficit_has_relative_accuracy_at_large_snr():
    """Saddle point: ∫Dz sech(√s z) = √(π/(2s)) (1 - π²/(8s) + 5π⁴/(128 s²) - ...)."""
    s = np.array([400.0, 1000.0])
    sech_moments = 1 - np.pi**2 / (8 * s) + 5 * np.pi**4 / (128 * s**2)
    expected = np.exp(-s / 2) * np.sqrt(np.pi / (2 * s)) * sech_moments
    deficit = priors.load("rademacher").overlap(snr=s)[1]
    np.testing.assert_allclose(deficit, expected, rtol=1e-6)


@pytest.mark.parametrize("name", PRIORS)
def test_denoisers_are_derivatives_of_the_log_normalisation(name):
    prior = priors.load(name)
    field = np.linspace(-30.0, 30.0, 41)[:, None]
    precision = np.array([0.0, 0.7, 20.0])
    step = 1e-4

    def log_z(field):
        return prior.log_normalisation(precision=precision, field=field, xp=xp)

    mean, variance = prior.denoise(precision=precision, field=field, xp=xp)
    np.testing.assert_allclose(
        np.broadcast_to(mean, (41, 3)),
        (log_z(field + step) - log_z(field - step)) / (2 * step),
        atol=1e-8,
    )
    second = (log_z(field + step) - 2 * log_z(field) + log_z(field - step)) / step**2
    np.testing.assert_allclose(np.broadcast_to(variance, (41, 3)), second, atol=1e-5)


@pytest.mark.parametrize("name", PRIORS)
def test_samples_have_the_moments_of_the_prior(name):
    stream = Stream("test", 0, 40_000, "teacher")
    w = priors.load(name).sample(stream=stream, dimension=40_000, xp=xp, dtype=np.float64)
    assert w.shape == (40_000, 1)
    assert abs(w.mean()) < 5 / np.sqrt(40_000)
    assert abs((w**2).mean() - priors.load(name).second_moment()) < 5 * np.sqrt(2 / 40_000)


@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize("deficit", [1.0, 0.5, 0.02, 1e-4])
def test_channel_averages_by_brute_force(name, parameters, deficit):
    channel = channels.load(name)
    q = np.array([1.0 - deficit])
    given = {"overlap": q, "deficit": np.array([deficit]), **columns(parameters, q)}
    arguments = {"variance": np.float64(deficit), **parameters, "xp": xp}
    total = deficit + parameters["noise"]

    def average(f):
        """Over omega ~ N(0, q) and both labels, in the variable on whose scale Z varies."""

        def at(x):
            omega = x * np.sqrt(total)
            density = np.exp(-0.5 * omega**2 / q[0]) / np.sqrt(2 * np.pi * q[0])
            value = 0.0
            for label in (-1.0, 1.0):
                log_z = channel.log_normalisation(label=label, omega=omega, **arguments)
                value += np.exp(log_z) * f(label, omega, log_z)
            return density * value * np.sqrt(total)

        if q[0] == 0:
            return sum(
                np.exp(z) * f(label, 0.0, z)
                for label in (-1.0, 1.0)
                for z in [channel.log_normalisation(label=label, omega=0.0, **arguments)]
            )
        end = min(14.0, 10 * np.sqrt(q[0] / total))
        value = quad(at, -end, end, epsabs=1e-14, epsrel=1e-12, limit=400)[0]
        return value

    def g(label, omega):
        return channel.denoise(label=label, omega=np.float64(omega), **arguments)

    snr, elasticity = channel.snr(**given)
    np.testing.assert_allclose(snr[0], average(lambda y, w, z: g(y, w)[0] ** 2), rtol=1e-10)
    np.testing.assert_allclose(snr[0], average(lambda y, w, z: g(y, w)[1]), rtol=1e-10)
    curvature = average(lambda y, w, z: g(y, w)[1] ** 2)
    np.testing.assert_allclose(elasticity[0], -deficit * curvature / snr[0], rtol=1e-10)
    expected = average(lambda y, w, z: z)
    np.testing.assert_allclose(channel.free_entropy(**given)[0], expected, rtol=1e-10)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_channel_free_entropy_has_derivative_half_the_snr(name, parameters):
    channel = channels.load(name)
    deficit = np.array([0.999, 0.7, 0.3, 0.05, 1e-3])
    step = 1e-5 * deficit

    def free_entropy(deficit):
        q = 1.0 - deficit
        return channel.free_entropy(overlap=q, deficit=deficit, **columns(parameters, q))

    slope = (free_entropy(deficit - step) - free_entropy(deficit + step)) / (2 * step)
    q = 1.0 - deficit
    snr, _ = channel.snr(overlap=q, deficit=deficit, **columns(parameters, q))
    np.testing.assert_allclose(slope, 0.5 * snr, rtol=2e-7)


@pytest.mark.parametrize(("name", "parameters"), CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_channel_denoiser_is_finite_and_the_derivative_of_log_z(name, parameters, dtype):
    channel = channels.load(name)
    omega = np.linspace(-6.0, 6.0, 49, dtype=dtype)
    label = np.where(np.arange(49) % 2 == 0, 1.0, -1.0).astype(dtype)
    for variance in (1e-30, 1e-12, 1e-3, 1.0):
        arguments = {"variance": dtype(variance), "label": label, "xp": xp}
        arguments |= {name: dtype(value) for name, value in parameters.items()}
        g, curvature = channel.denoise(omega=omega, **arguments)
        assert g.dtype == curvature.dtype == dtype
        assert np.all(np.isfinite(g))
        assert np.all(np.isfinite(curvature))
        assert np.all(curvature >= 0)
        if dtype == np.float64 and variance >= 1e-3:
            step = 1e-5 * np.sqrt(variance)
            up, down = (
                channel.log_normalisation(omega=omega + s, **arguments) for s in (step, -step)
            )
            np.testing.assert_allclose(g, (up - down) / (2 * step), rtol=1e-5, atol=1e-8)
            up, down = (channel.denoise(omega=omega + s, **arguments)[0] for s in (step, -step))
            np.testing.assert_allclose(curvature, (down - up) / (2 * step), rtol=1e-5, atol=1e-7)


def test_hazard_meets_its_asymptotics():
    from solvers.numerics.channels.sign import hazard

    x = np.array([50.0, 1e4, 1e9])
    np.testing.assert_allclose(hazard(x, xp=xp), x + 1 / x - 2 / x**3, rtol=1e-9)
    assert hazard(np.array([0.0]), xp=xp)[0] == pytest.approx(np.sqrt(2 / np.pi), rel=1e-15)
    x = np.array([-37.0, -20.0])
    np.testing.assert_allclose(
        hazard(x, xp=xp), np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi), rtol=1e-12
    )


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_errors_of_an_estimate_are_those_on_held_out_samples(noise):
    """Bayes and measured formulas against labels drawn from the channel for fresh inputs."""
    channel = channels.load("sign")
    count, q, variance = 200_000, 0.6, 0.3
    rng = np.random.default_rng(5)
    omega = np.sqrt(q) * rng.normal(size=count)
    z = omega + np.sqrt(1 - q) * rng.normal(size=count)
    y = channel.sample(
        preactivation=z[:, None],
        stream=Stream("test", 1, 3, "noise"),
        start=7,
        noise=np.array([noise]),
        xp=xp,
        dtype=np.float64,
    )[:, 0]
    posterior = (
        2
        * np.exp(
            channel.log_normalisation(label=1.0, omega=omega, variance=variance, noise=noise, xp=xp)
        )
        - 1
    )
    column = {
        name: np.array([value])
        for name, value in {
            "self_overlap": q,
            "overlap": q,
            "second_moment": 1.0,
            "noise": noise,
        }.items()
    }
    wrong, square = channel.measured_errors(variance=np.array([variance]), **column)
    error = 5 / np.sqrt(count)
    assert abs(np.mean(np.sign(omega) != y) - wrong[0]) < error
    assert abs(np.mean((y - posterior) ** 2) - square[0]) < 2 * error

    bayes = channel.errors(
        overlap=np.array([q]), deficit=np.array([1 - q]), noise=np.array([noise])
    )
    matched = channel.measured_errors(variance=np.array([1 - q]), **column)
    np.testing.assert_allclose(bayes, matched, rtol=1e-12)

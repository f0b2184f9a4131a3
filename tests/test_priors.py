"""Priors: closed forms against brute force, and the identities that tie them together.

Every prior in the folder is tested; parameters of the known ones stand in the table.
"""

from __future__ import annotations

import array_api_compat.numpy as xp
import numpy as np
import pytest
from scipy.integrate import quad

from solvers.numerics import priors
from solvers.numerics.random import Stream

CASES = {
    "gaussian": [{}],
    "rademacher": [{}],
    "gauss_bernoulli": [{"sparsity": value} for value in (1e-3, 0.2, 0.9, 1.0)],
}
PARAMETERS = [(name, parameters) for name, cases in CASES.items() for parameters in cases]
SNR = np.array([1e-9, 1e-3, 0.0999, 0.1001, 0.3, 0.999, 1.001, 4.0, 30.0, 300.0])


def test_the_table_is_complete():
    assert set(CASES) == set(priors.names())
    for name, parameters in PARAMETERS:
        assert set(parameters) == set(priors.load(name).PARAMETERS)


def columns(parameters, like):
    return {name: np.full(np.shape(like), value) for name, value in parameters.items()}


def field_law(name, parameters, snr):
    """Weight, mean and variance of the components of snr·w + √snr·Z (w = 1 if binary: symmetry)."""
    if name == "rademacher":
        return [(1.0, snr, snr)]
    rho = parameters.get("sparsity", 1.0)
    return [(1.0 - rho, 0.0, snr), (rho, 0.0, snr + snr**2)]


def average(f, name, parameters, snr):
    """E f(B) by adaptive quadrature of every component, cut where ±12 standard deviations end."""
    value = 0.0
    for weight, centre, variance in field_law(name, parameters, snr):
        scale = np.sqrt(variance)
        for low, high in zip(range(-12, 12, 2), range(-10, 14, 2), strict=True):
            value += (
                weight
                * quad(
                    lambda z, c=centre, s=scale: (
                        np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) * f(c + s * z)
                    ),
                    low,
                    high,
                    epsabs=1e-15,
                    epsrel=1e-13,
                    limit=100,
                )[0]
            )
    return value


def overlap_at(name, parameters, snr):
    return priors.load(name).overlap(snr=snr, **columns(parameters, snr))


def information_at(name, parameters, snr):
    return priors.load(name).mutual_information(snr=snr, **columns(parameters, snr))


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("snr", [1e-3, 0.4, 1.5, 12.0, 50.0])
def test_averages_by_brute_force(name, parameters, snr):
    prior = priors.load(name)
    arguments = {"precision": snr, "xp": xp, **parameters}
    q, deficit, elasticity = (values[0] for values in overlap_at(name, parameters, np.array([snr])))
    rho = prior.second_moment(**parameters)

    def mean_of(f):
        def at(field):
            return f(*prior.denoise(field=np.float64(field), **arguments))

        return average(at, name, parameters, snr)

    np.testing.assert_allclose(q, mean_of(lambda m, v: m**2), rtol=1e-9)
    np.testing.assert_allclose(deficit, mean_of(lambda m, v: v), rtol=1e-9)
    np.testing.assert_allclose(elasticity, -snr * mean_of(lambda m, v: v**2) / deficit, rtol=1e-9)
    log_z = average(
        lambda field: prior.log_normalisation(field=np.float64(field), **arguments),
        name,
        parameters,
        snr,
    )
    information = information_at(name, parameters, np.array([snr]))[0]
    np.testing.assert_allclose(information, 0.5 * snr * rho - log_z, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_identities(name, parameters):
    """q + deficit = rho, dI/ds = deficit/2, and the elasticity is the logarithmic slope."""
    rho = priors.load(name).second_moment(**parameters)
    q, deficit, elasticity = overlap_at(name, parameters, SNR)
    np.testing.assert_allclose(q + deficit, rho, rtol=1e-14)
    assert np.all(q > 0)
    np.testing.assert_allclose(q[0], SNR[0] * rho**2, rtol=1e-8)
    step = 1e-4
    up, down = (SNR * np.exp(sign * step) for sign in (1, -1))
    slope = np.log(overlap_at(name, parameters, up)[1] / overlap_at(name, parameters, down)[1]) / (
        2 * step
    )
    np.testing.assert_allclose(elasticity, slope, rtol=2e-5, atol=1e-10)
    change = information_at(name, parameters, up) - information_at(name, parameters, down)
    np.testing.assert_allclose(change, 0.5 * deficit * (up - down), rtol=1e-5, atol=1e-15)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_little_and_complete_knowledge(name, parameters):
    rho = priors.load(name).second_moment(**parameters)
    snr = np.array([0.0, 1e-300, 1e-12, 1e30, 1e250, np.inf])
    q, deficit, elasticity = overlap_at(name, parameters, snr)
    assert q[0] == 0.0
    np.testing.assert_allclose(q[1:3], snr[1:3] * rho**2, rtol=1e-11)
    np.testing.assert_allclose(deficit[:3], rho, rtol=1e-11)
    np.testing.assert_allclose(elasticity[:3], 0.0, atol=1e-11)
    np.testing.assert_allclose(q[3:], rho, rtol=1e-14)
    assert deficit[5] == 0.0
    assert np.all(np.diff(deficit) <= 0)
    information = information_at(name, parameters, snr[:3])
    np.testing.assert_allclose(information, 0.5 * rho * snr[:3], rtol=1e-11, atol=0)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_a_point_is_its_own(name, parameters):
    snr = np.geomspace(1e-4, 1e8, 1500)
    together = overlap_at(name, parameters, snr)
    alone = overlap_at(name, parameters, snr[777:778])
    for values, value in zip(together, alone, strict=True):
        np.testing.assert_allclose(values[777], value[0], rtol=1e-14)


def test_binary_deficit_has_relative_accuracy_at_large_snr():
    """Saddle point: ∫Dt sech(√s t) = √(π/(2s)) (1 - π²/(8s) + 5π⁴/(128 s²) - ...)."""
    s = np.array([400.0, 1000.0])
    sech_moments = 1 - np.pi**2 / (8 * s) + 5 * np.pi**4 / (128 * s**2)
    expected = np.exp(-s / 2) * np.sqrt(np.pi / (2 * s)) * sech_moments
    np.testing.assert_allclose(overlap_at("rademacher", {}, s)[1], expected, rtol=1e-6)


def test_sparse_weights_that_are_never_zero_are_gaussian():
    snr = np.concatenate([[0.0], np.geomspace(1e-12, 1e40, 60), [np.inf]])
    expected = overlap_at("gaussian", {}, snr)
    found = overlap_at("gauss_bernoulli", {"sparsity": 1.0}, snr)
    for value, reference in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=1e-15)
    np.testing.assert_allclose(
        information_at("gauss_bernoulli", {"sparsity": 1.0}, snr[:-1]),
        information_at("gaussian", {}, snr[:-1]),
        rtol=1e-13,
    )


def sparse_reference(s, rho):
    """Overlap, deficit, elasticity and mutual information by the textbook averages over B.

    z = B/√s from the mixture (1 - ρ) N(0, 1) + ρ N(0, 1 + s), on some thousand panels of Gauss and
    Legendre that shrink where the posterior switches.
    """
    switch = 0.5 * np.log1p(s) + np.log1p(-rho) - np.log(rho)
    end = 14 * np.sqrt(1 + s)
    switched = np.sqrt(2 * (1 + 1 / s) * np.maximum(switch + np.arange(-60, 60, 0.5), 0))
    edges = np.concatenate([[0], np.geomspace(1e-3, end, 800), np.arange(0, 12, 0.2), switched])
    edges = np.unique(edges[edges <= end])
    nodes, weights = np.polynomial.legendre.leggauss(20)
    half = 0.5 * np.diff(edges)[:, None]
    z = edges[:-1, None] + half * (1 + nodes)
    square, normal = s * z**2 / (1 + s), np.sqrt(1 + s)
    nonzero = 1 / (1 + np.exp(np.minimum(switch - square / 2, 700)))
    zero = 1 / (1 + np.exp(np.minimum(square / 2 - switch, 700)))
    law = (1 - rho) * np.exp(-0.5 * z**2) + rho / normal * np.exp(-0.5 * (z / normal) ** 2)
    mean = nonzero * np.sqrt(s) * z / (1 + s)
    variance = nonzero / (1 + s) * (1 + zero * square)
    log_z = np.logaddexp(np.log1p(-rho), np.log(rho / normal) + square / 2)

    def mean_of(f):
        return 2 / np.sqrt(2 * np.pi) * np.sum(half * weights * law * f)

    deficit = mean_of(variance)
    information = 0.5 * s * rho - mean_of(log_z)
    return mean_of(mean**2), deficit, -s * mean_of(variance**2) / deficit, information


@pytest.mark.parametrize("sparsity", [1e-6, 1e-3, 0.05, 0.5, 0.95, 1 - 1e-9])
def test_sparse_averages_from_small_to_large_snr(sparsity):
    snr = np.array([1e-6, 0.02, 0.3, 3.0, 8.0, 40.0, 300.0, 1e4, 1e6, 1e9, 1e14, 1e20])
    expected = np.array([sparse_reference(s, sparsity) for s in snr]).T
    found = overlap_at("gauss_bernoulli", {"sparsity": sparsity}, snr)
    for value, reference in zip(found, expected, strict=False):
        np.testing.assert_allclose(value, reference, rtol=1e-12)
    np.testing.assert_allclose(1 + found[2], 1 + expected[2], rtol=1e-6, atol=1e-13)
    information = information_at("gauss_bernoulli", {"sparsity": sparsity}, snr)
    # The reference is a difference of numbers of order snr·ρ.
    assert np.all(np.abs(information - expected[3]) < 1e-13 * sparsity * (1 + snr) + 1e-15)


def test_sparse_weights_at_large_snr():
    """1 + s J = 1 + √(2/π) Γ(3/2)√2 F_{1/2}(a)/√s·..., and the elasticity is the derivative of it.

    For s → ∞ the Gaussian is flat over the region of doubt: J = s^{-3/2} √(2/π) ∫x² dx/(1 +
    e^{x²/2 - a}), a Fermi-Dirac integral, whose Sommerfeld expansion gives the leading terms.
    """
    s, rho = np.array([1e12, 1e20, 1e28]), 0.1
    a = 0.5 * np.log1p(s) + np.log((1 - rho) / rho)
    fermi = (2 * a) ** 1.5 / 3 * (1 + np.pi**2 / (8 * a**2) + 7 * np.pi**4 / (640 * a**4))
    lost = np.sqrt(2 / np.pi) * fermi / np.sqrt(s)
    _, deficit, elasticity = overlap_at("gauss_bernoulli", {"sparsity": rho}, s)
    np.testing.assert_allclose(deficit * (1 + s) / rho - 1, lost, rtol=2e-4, atol=1e-15)
    np.testing.assert_allclose(elasticity, -1, atol=1e-4)
    # d log(1 + sJ)/d log s = -sJ/2 (1 - 3/(2a)) to leading order.
    np.testing.assert_allclose((1 + elasticity)[0], -0.5 * lost[0] * (1 - 1.5 / a[0]), rtol=2e-2)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_denoisers_are_derivatives_of_the_log_normalisation(name, parameters):
    prior = priors.load(name)
    field = np.linspace(-30.0, 30.0, 41)[:, None]
    precision = np.array([0.0, 0.7, 20.0])
    step = 1e-4

    def log_z(field):
        return prior.log_normalisation(precision=precision, field=field, xp=xp, **parameters)

    mean, variance = prior.denoise(precision=precision, field=field, xp=xp, **parameters)
    np.testing.assert_allclose(
        np.broadcast_to(mean, (41, 3)),
        (log_z(field + step) - log_z(field - step)) / (2 * step),
        atol=1e-6,
    )
    second = (log_z(field + step) - 2 * log_z(field) + log_z(field - step)) / step**2
    np.testing.assert_allclose(np.broadcast_to(variance, (41, 3)), second, atol=2e-5)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("precision", [0.0, 1e-3, 1.0, 30.0, 1e6, 1e30])
def test_single_precision_follows_double(name, parameters, precision):
    """At the fields that occur, |field| up to a few times √precision + precision."""
    prior = priors.load(name)
    field = np.linspace(-6.0, 6.0, 101) * np.sqrt(precision) + np.linspace(-2, 2, 101) * precision
    field += np.linspace(-1, 1, 101)
    # Both start from numbers that single precision can hold.
    field, snr = field.astype(np.float32), np.float32(precision)
    single = prior.denoise(
        precision=snr, field=field, xp=xp, **{k: np.float32(v) for k, v in parameters.items()}
    )
    double = prior.denoise(
        precision=np.float64(snr),
        field=field.astype(np.float64),
        xp=xp,
        **{k: np.float64(np.float32(v)) for k, v in parameters.items()},
    )
    for value, reference, scale in zip(single, double, (1.0, 0.5), strict=True):
        assert value.dtype == np.float32
        size = np.abs(reference).max()
        np.testing.assert_allclose(value, reference, rtol=3e-4, atol=3e-6 * scale * size)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
def test_samples_have_the_law_of_the_prior(name, parameters):
    count = 40_000
    stream = Stream("test", 0, count, "teacher")
    w = priors.load(name).sample(
        stream=stream, dimension=count, xp=xp, dtype=np.float64, **parameters
    )
    assert w.shape == (count, 1)
    rho = priors.load(name).second_moment(**parameters)
    fourth = rho * (1.0 if name == "rademacher" else 3.0)
    assert abs(w.mean()) < 5 * np.sqrt(rho / count)
    assert abs((w**2).mean() - rho) < 5 * np.sqrt(fourth / count) + 1e-12
    # The whole law: E cos(w u) is its characteristic function.
    for u in (0.7, 2.0):
        expected = np.cos(u) if name == "rademacher" else 1 - rho + rho * np.exp(-0.5 * u**2)
        assert abs(np.cos(u * w).mean() - expected) < 5 * np.sqrt(rho / count) + 1e-12


def test_sparse_samples_belong_to_the_point():
    """A column of sparsities gives nested supports, each column what its sparsity alone gives."""
    prior = priors.load("gauss_bernoulli")
    sparsity = np.array([0.05, 0.3, 1.0])
    given = {"stream": Stream("test", 3, 2000, "teacher"), "dimension": 2000, "xp": xp}
    for dtype in (np.float32, np.float64):
        w = prior.sample(sparsity=sparsity, dtype=dtype, **given)
        assert w.shape == (2000, 3)
        assert w.dtype == dtype
        for column, value in zip(w.T, sparsity, strict=True):
            alone = prior.sample(sparsity=np.array([value]), dtype=dtype, **given)
            np.testing.assert_array_equal(column, alone[:, 0])
        support = w != 0
        assert np.all(support[:, 0] <= support[:, 1])
        assert np.all(support[:, 2])
        np.testing.assert_array_equal(w[support[:, 0], 0], w[support[:, 0], 1])


def test_without_data_the_denoiser_returns_the_prior():
    mean, variance = priors.load("gauss_bernoulli").denoise(
        precision=np.zeros(1), field=np.zeros((1, 1)), sparsity=np.array([0.3]), xp=xp
    )
    assert mean[0, 0] == 0.0
    assert variance[0, 0] == pytest.approx(0.3, rel=1e-15)

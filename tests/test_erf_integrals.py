"""The closed forms against Gauss-Hermite averages, with distinct and with coinciding fields."""

import math

import numpy as np
import pytest
from scipy.special import erf

from solvers.numerics import erf_integrals as integrals

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(48)
WEIGHTS = WEIGHTS / math.sqrt(2 * math.pi)


def unit(u):
    return erf(u / math.sqrt(2))


def slope(u):
    return math.sqrt(2 / math.pi) * np.exp(-u * u / 2)


def gaussian_average(function, covariance, nodes=NODES, weights=WEIGHTS):
    """E f(x1, ..., xn) by a tensor rule on the principal axes of the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    n = len(values)
    grids = np.meshgrid(*[nodes] * n, indexing="ij")
    weight = np.prod(np.meshgrid(*[weights] * n, indexing="ij"), axis=0)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    return float(np.sum(weight * function(*np.einsum("ij,j...->i...", root, np.stack(grids)))))


def random_covariance(n, seed, rank=None):
    factor = np.random.default_rng(seed).normal(size=(n, rank or n + 1))
    return 0.4 * factor @ factor.T / (rank or n + 1)


@pytest.mark.parametrize("seed", range(4))
def test_two_fields_and_slopes(seed):
    c = random_covariance(2, seed)
    args = c[0, 0], c[1, 1], c[0, 1]
    expected = gaussian_average(lambda x, y: unit(x) * unit(y), c)
    np.testing.assert_allclose(integrals.two_fields(*args), expected, rtol=1e-12)
    expected = gaussian_average(lambda x, y: slope(x) * slope(y), c)
    np.testing.assert_allclose(integrals.slopes(*args), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_three_fields(seed):
    c = random_covariance(3, seed)
    expected = gaussian_average(lambda x, y, z: slope(x) * y * unit(z), c)
    value = integrals.three_fields(c[0, 0], c[2, 2], c[0, 1], c[0, 2], c[1, 2])
    np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("seed", range(2))
def test_four_fields(seed):
    c = random_covariance(4, seed)
    nodes, weights = np.polynomial.hermite_e.hermegauss(28)
    expected = gaussian_average(
        lambda x, y, u, v: slope(x) * slope(y) * unit(u) * unit(v),
        c,
        nodes,
        weights / math.sqrt(2 * math.pi),
    )
    np.testing.assert_allclose(integrals.four_fields(c), expected, rtol=1e-9)


@pytest.mark.parametrize(
    "fields", [(0, 0, 0, 0), (0, 0, 1, 1), (0, 1, 0, 1), (0, 1, 1, 1), (0, 0, 0, 1)]
)
def test_fields_may_coincide(fields):
    c = random_covariance(2, 5)
    value = integrals.four_fields(c[np.ix_(fields, fields)])

    def product(*x):
        a, b, u, v = (x[i] for i in fields)
        return slope(a) * slope(b) * unit(u) * unit(v)

    np.testing.assert_allclose(value, gaussian_average(product, c), rtol=1e-11)
    a, b, e = fields[:3]
    value = integrals.three_fields(c[a, a], c[e, e], c[a, b], c[a, e], c[b, e])
    expected = gaussian_average(lambda *x: slope(x[a]) * x[b] * unit(x[e]), c)
    np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-14)


def test_derivatives_with_respect_to_a_cross_covariance():
    """Price's theorem: d E[σ(x1) σ(x2)]/dC12 = E[σ'(x1) σ'(x2)]."""
    a, b, c, h = 0.7, 2.3, 0.4, 1e-5
    difference = integrals.two_fields(a, b, c + h) - integrals.two_fields(a, b, c - h)
    np.testing.assert_allclose(difference / (2 * h), integrals.slopes(a, b, c), rtol=1e-9)


def test_large_variances_give_sign_correlations():
    value = integrals.two_fields(1e12, 1e12, 0.5e12)
    np.testing.assert_allclose(value, 2 / math.pi * math.asin(0.5), rtol=1e-11)
    for variance in (1e17, 1e200):
        assert 1 - 1e-7 < integrals.two_fields(variance, variance, variance) <= 1.0


def test_excess_risk_is_an_average_of_squares():
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(3, 3)) / 2
    c = weights @ weights.T
    p, k = 2, 1
    expected = gaussian_average(
        lambda x, y, z: 0.5 * ((unit(x) + unit(y)) / p - unit(z) / k) ** 2, c
    )
    value = integrals.excess_risk(c[:p, :p], c[:p, p:], c[p:, p:])
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_excess_risk_of_the_teacher_itself_is_rounding():
    q = random_covariance(4, 9)
    assert 0 <= integrals.excess_risk(q, q, q) < 1e-15


def test_compiled_arcsin():
    x = np.concatenate(
        [np.linspace(-1, 1, 20_001), [1e-300, -1e-8, 0.5, -0.5, np.nextafter(0.5, 1)]]
    )
    out = np.empty_like(x)
    integrals.arcsin(x, out)
    np.testing.assert_allclose(out, np.arcsin(x), rtol=1e-15)

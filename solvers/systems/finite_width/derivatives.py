"""Derivatives of every order of the activations without a kink.

With s = 1/(1 + e^-z), t = tanh z, Φ and φ the normal distribution and density:

    sigmoid   s^(k) by s' = s - s²              sin    sin(z + kπ/2)
    tanh      t^(k) by t' = 1 - t²              erf    -2/√π (-1)^k H_{k-1}(z) e^{-z²}
    softplus  s^(k-1)                           gelu   z Φ^(k) + k Φ^(k-1)
    swish     z s^(k) + k s^(k-1)               Φ^(k) = -(-1)^k He_{k-1} φ

with the polynomials H and He of Hermite. Step and relu, whose derivatives are distributions, have
averages of their own (`kinked`).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.hermite import hermval
from numpy.polynomial.hermite_e import hermeval
from scipy.special import expit, ndtr

from solvers.systems.infinite_width.activations import value

Array = np.ndarray


def derivative(name: str, order: int, z: Array) -> Array:
    """The derivative of `order` >= 0 of activation `name`, elementwise."""
    z = np.asarray(z, dtype=float)
    if order == 0:
        return value(name, z)
    match name:
        case "linear":
            return np.full_like(z, float(order == 1))
        case "sin":
            return np.sin(z + 0.5 * math.pi * order)
        case "sigmoid":
            return _by_value((0.0, 1.0, -1.0), order)(expit(z))
        case "tanh":
            return _by_value((1.0, 0.0, -1.0), order)(np.tanh(z))
        case "softplus":
            return _sigmoid(order - 1, z)
        case "swish":
            return z * _sigmoid(order, z) + order * _sigmoid(order - 1, z)
        case "erf":
            last = hermval(z, [0.0] * (order - 1) + [1.0])
            return 2.0 / math.sqrt(math.pi) * (-1) ** (order - 1) * last * np.exp(-z * z)
        case "gelu":
            return z * _normal(order, z) + order * _normal(order - 1, z)
    raise ValueError(name)


@cache
def _by_value(slope: tuple[float, ...], order: int) -> Polynomial:
    """The polynomial P of f^(order) = P(f), for f' = slope(f)."""
    found = Polynomial([0.0, 1.0])
    for _ in range(order):
        found = found.deriv() * Polynomial(slope)
    return found


def _sigmoid(order: int, z: Array) -> Array:
    return expit(z) if order == 0 else derivative("sigmoid", order, z)


def _normal(order: int, z: Array) -> Array:
    if order == 0:
        return ndtr(z)
    last = hermeval(z, [0.0] * (order - 1) + [1.0])
    return (-1) ** (order - 1) * last * np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)

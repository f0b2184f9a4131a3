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
import scipy
from numpy.polynomial import Polynomial
from numpy.polynomial.hermite import hermval
from numpy.polynomial.hermite_e import hermeval

from solvers.systems.infinite_width.activations import value

Array = np.ndarray


def derivatives(name: str, top: int, z: Array) -> list[Array]:
    """[σ, σ', ...] up to the derivative of order `top`, elementwise."""
    z = np.asarray(z, dtype=float)
    orders = range(1, top + 1)
    match name:
        case "linear":
            rest = [np.full_like(z, float(k == 1)) for k in orders]
        case "sin":
            rest = [np.sin(z + 0.5 * math.pi * k) for k in orders]
        case "sigmoid":
            return _by_value(scipy.special.expit(z), (0.0, 1.0, -1.0), top)
        case "tanh":
            return _by_value(np.tanh(z), (1.0, 0.0, -1.0), top)
        case "softplus":
            rest = derivatives("sigmoid", top - 1, z)[:top] if top else []
        case "swish":
            s = derivatives("sigmoid", top, z)
            rest = [z * s[k] + k * s[k - 1] for k in orders]
        case "erf":
            bell = 2.0 / math.sqrt(math.pi) * np.exp(-z * z)
            rest = [(-1) ** (k - 1) * hermval(z, _last(k - 1)) * bell for k in orders]
        case "gelu":
            bell = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
            n = [
                scipy.special.ndtr(z),
                *((-1) ** (k - 1) * hermeval(z, _last(k - 1)) * bell for k in orders),
            ]
            rest = [z * n[k] + k * n[k - 1] for k in orders]
        case _:
            raise ValueError(name)
    return [value(name, z), *rest]


def derivative(name: str, order: int, z: Array) -> Array:
    """The derivative of `order` >= 0 of activation `name`, elementwise."""
    return derivatives(name, order, z)[order]


def _last(degree: int) -> list[float]:
    return [0.0] * degree + [1.0]


def _by_value(f: Array, slope: tuple[float, ...], top: int) -> list[Array]:
    return [f, *(_polynomial(slope, k)(f) for k in range(1, top + 1))]


@cache
def _polynomial(slope: tuple[float, ...], order: int) -> Polynomial:
    """The polynomial P of f^(order) = P(f), for f' = slope(f)."""
    found = Polynomial([0.0, 1.0])
    for _ in range(order):
        found = found.deriv() * Polynomial(slope)
    return found

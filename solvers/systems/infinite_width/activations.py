"""The activation functions: value, slope, and what quadrature and criticality must know of them.

step      1 for z > 0, else 0 (the perceptron)     relu      max(z, 0)
linear    z                                        softplus  log(1 + e^z)
sigmoid   1/(1 + e^-z)                             swish     z/(1 + e^-z)
tanh      tanh z                                   gelu      z Φ(z), Φ the normal distribution
sin       sin z                                    erf       erf z, without a factor 1/√2
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

Array = np.ndarray
_SQRT_2PI = math.sqrt(2.0 * math.pi)


@dataclass(frozen=True)
class Activation:
    """What is known of an activation beyond its formula."""

    at_zero: tuple[float, float, float, float]
    """σ(0), σ'(0), σ''(0), σ'''(0); nan where it has no such derivative"""
    homogeneous: bool = False
    """σ(c z) = c σ(z) for c > 0"""
    smooth: bool = True
    strip: float = math.inf
    """distance of the nearest pole of σ from the real line"""


ACTIVATIONS = {
    "step": Activation((0.5, math.nan, math.nan, math.nan), smooth=False),
    "sigmoid": Activation((0.5, 0.25, 0.0, -0.125), strip=math.pi),
    "tanh": Activation((0.0, 1.0, 0.0, -2.0), strip=0.5 * math.pi),
    "sin": Activation((0.0, 1.0, 0.0, -1.0)),
    "linear": Activation((0.0, 1.0, 0.0, 0.0), homogeneous=True),
    "relu": Activation((0.0, math.nan, math.nan, math.nan), homogeneous=True, smooth=False),
    "softplus": Activation((math.log(2.0), 0.5, 0.25, 0.0), strip=math.pi),
    "swish": Activation((0.0, 0.5, 0.5, 0.0), strip=math.pi),
    "gelu": Activation((0.0, 0.5, 2.0 / _SQRT_2PI, 0.0)),
    "erf": Activation((0.0, 2.0 / math.sqrt(math.pi), 0.0, -4.0 / math.sqrt(math.pi))),
}


def value(name: str, z: Array) -> Array:
    """σ(z), elementwise."""
    z = np.asarray(z, dtype=float)
    match name:
        case "step":
            return (z > 0).astype(float)
        case "sigmoid":
            return scipy.special.expit(z)
        case "tanh":
            return np.tanh(z)
        case "sin":
            return np.sin(z)
        case "linear":
            return z
        case "relu":
            return np.maximum(z, 0.0)
        case "softplus":
            return np.logaddexp(0.0, z)
        case "swish":
            return z * scipy.special.expit(z)
        case "gelu":
            return z * scipy.special.ndtr(z)
        case "erf":
            return scipy.special.erf(z)
    raise ValueError(name)


def slope(name: str, z: Array) -> Array:
    """σ'(z), elementwise; that of a step is zero, its weight at z = 0 left out."""
    z = np.asarray(z, dtype=float)
    match name:
        case "step":
            return np.zeros_like(z)
        case "sigmoid":
            return scipy.special.expit(z) * scipy.special.expit(-z)
        case "tanh":
            return 4.0 * scipy.special.expit(2.0 * z) * scipy.special.expit(-2.0 * z)
        case "sin":
            return np.cos(z)
        case "linear":
            return np.ones_like(z)
        case "relu":
            return (z > 0).astype(float)
        case "softplus":
            return scipy.special.expit(z)
        case "swish":
            return scipy.special.expit(z) * (1.0 + z * scipy.special.expit(-z))
        case "gelu":
            return scipy.special.ndtr(z) + z * np.exp(-0.5 * z * z) / _SQRT_2PI
        case "erf":
            return 2.0 / math.sqrt(math.pi) * np.exp(-z * z)
    raise ValueError(name)


def curvature(name: str, z: Array) -> Array:
    """σ''(z), elementwise, of the activations without a kink."""
    z = np.asarray(z, dtype=float)
    s, t = scipy.special.expit(z), scipy.special.expit(-z)
    match name:
        case "sigmoid":
            return s * t * (t - s)
        case "tanh":
            return -2.0 * np.tanh(z) * slope("tanh", z)
        case "sin":
            return -np.sin(z)
        case "linear":
            return np.zeros_like(z)
        case "softplus":
            return s * t
        case "swish":
            return s * t * (2.0 + z * (t - s))
        case "gelu":
            return (2.0 - z * z) * np.exp(-0.5 * z * z) / _SQRT_2PI
        case "erf":
            return -4.0 / math.sqrt(math.pi) * z * np.exp(-z * z)
    raise ValueError(name)

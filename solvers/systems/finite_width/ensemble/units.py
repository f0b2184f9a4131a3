"""Activations and their derivatives up to the third, in any array namespace.

`infinite_width.activations` is the reference (a test compares them). Kinks count as a network at
rest meets them: derivatives beyond the first are zero, and so is the slope of a step.
"""

from __future__ import annotations

import math
from typing import Any

from solvers.numerics.special import special


def derivatives(name: str, z: Any, order: int, xp: Any) -> list[Any]:
    """σ(z), σ'(z), ... up to `order` <= 3, elementwise."""
    return _DERIVATIVES[name](z, xp)[: order + 1]


def _step(z, xp):
    zero = xp.zeros_like(z)
    return [xp.where(z > 0, 1.0, zero), zero, zero, zero]


def _relu(z, xp):
    zero = xp.zeros_like(z)
    return [xp.where(z > 0, z, zero), xp.where(z > 0, 1.0, zero), zero, zero]


def _linear(z, xp):
    zero = xp.zeros_like(z)
    return [z, zero + 1.0, zero, zero]


def _sin(z, xp):
    sine, cosine = xp.sin(z), xp.cos(z)
    return [sine, cosine, -sine, -cosine]


def _tanh(z, xp):
    t = xp.tanh(z)
    slope = 1.0 - t * t
    return [t, slope, -2.0 * t * slope, slope * (6.0 * t * t - 2.0)]


def _sigmoid(z, xp):
    s = 0.5 + 0.5 * xp.tanh(0.5 * z)
    slope = s * (1.0 - s)
    return [s, slope, slope * (1.0 - 2.0 * s), slope * (1.0 - 6.0 * slope)]


def _softplus(z, xp):
    softly = xp.log1p(xp.exp(-xp.abs(z))) + xp.where(z > 0, z, 0.0)
    return [softly, *_sigmoid(z, xp)[:3]]


def _swish(z, xp):
    s, first, second, third = _sigmoid(z, xp)
    return [z * s, s + z * first, 2.0 * first + z * second, 3.0 * second + z * third]


def _erf(z, xp):
    slope = 2.0 / math.sqrt(math.pi) * xp.exp(-z * z)
    return [special(xp).erf(z), slope, -2.0 * z * slope, (4.0 * z * z - 2.0) * slope]


def _gelu(z, xp):
    below = 0.5 + 0.5 * special(xp).erf(z / math.sqrt(2.0))
    density = xp.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    second, third = density * (2.0 - z * z), density * z * (z * z - 4.0)
    return [z * below, below + z * density, second, third]


_DERIVATIVES = {
    "step": _step,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "sin": _sin,
    "linear": _linear,
    "relu": _relu,
    "softplus": _softplus,
    "swish": _swish,
    "gelu": _gelu,
    "erf": _erf,
}

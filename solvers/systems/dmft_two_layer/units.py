r"""Activations with two derivatives, and the test loss of given overlaps.

σ(u) is u, erf(u/√2), tanh u or max(u, 0), with σ'(0) = 0 for relu. σ'' of relu is a delta function,
which `jumps` treats; here it is 0.

The test loss 1/2 E[(f - f*)²] needs E[σ(u) σ(v)] of two Gaussian fields of covariance
[[A, c], [c, B]]: c for linear units, closed forms for erf and relu (`numerics.unit_averages`), and
for tanh the trapezoidal rule in both directions, which for functions analytic in a strip converges
exponentially: with the poles of tanh(√A x) at distance π/(2√A), spacing h leaves exp(-π²/(h√A)).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.numerics.compiled import jit
from solvers.numerics.special import special
from solvers.numerics.unit_averages import CODES, product

ACTIVATIONS = ("linear", "erf", "tanh", "relu")
_REACH = 8.5
"""Half-width of the trapezoidal rule in standard deviations; beyond it lie 2e-17 of the mass."""
_EXPONENT = 34.0
"""-log of the discretisation error of the trapezoidal rule."""


def value(activation: str, u: Any, xp: Any = np) -> Any:
    """σ(u)."""
    if activation == "erf":
        return special(xp).erf(u * math.sqrt(0.5))
    if activation == "tanh":
        return xp.tanh(u)
    return xp.where(u > 0.0, u, 0.0) if activation == "relu" else u


def slope(activation: str, u: Any, xp: Any = np) -> Any:
    """σ'(u)."""
    if activation == "erf":
        return math.sqrt(2.0 / math.pi) * xp.exp(-0.5 * u * u)
    if activation == "tanh":
        tangent = xp.tanh(u)
        return 1.0 - tangent * tangent
    return xp.astype(u > 0.0, u.dtype) if activation == "relu" else xp.ones_like(u)


def value_slope_bend(activation: str, u: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """σ, σ' and the smooth part of σ''."""
    if activation == "tanh":
        tangent = np.tanh(u)
        steep = 1.0 - tangent * tangent
        return tangent, steep, -2.0 * tangent * steep
    steep = slope(activation, u)
    bend = -u * steep if activation == "erf" else np.zeros_like(u)
    return value(activation, u), steep, bend


def loss_of_overlaps(
    activation: str,
    student: np.ndarray,
    teacher: np.ndarray,
    target: np.ndarray,
    second: np.ndarray,
) -> np.ndarray:
    """1/2 E[(1/p Σ_i a_i σ(z_i) - 1/k Σ_r σ(z*_r))²] of overlaps.

    `student` (..., p, p), `teacher` (..., p, k), `target` (..., k, k) and `second` (..., p). Exact
    to an absolute 1e-16 times the squares of the outputs.
    """
    p, k = teacher.shape[-2:]
    joint = np.zeros((*teacher.shape[:-2], p + k, p + k))
    joint[..., :p, :p], joint[..., :p, p:] = student, teacher
    joint[..., p:, :p], joint[..., p:, p:] = np.swapaxes(teacher, -1, -2), target
    weight = np.full((*teacher.shape[:-2], p + k), -1.0 / k)
    weight[..., :p] = second / p
    variance = np.diagonal(joint, axis1=-2, axis2=-1)
    first, other = np.triu_indices(p + k)
    averages = pair_average(
        activation, variance[..., first], variance[..., other], joint[..., first, other]
    )
    twice = np.where(first == other, 0.5, 1.0) * weight[..., first] * weight[..., other]
    return np.maximum(np.sum(twice * averages, axis=-1), 0.0)


def pair_average(activation: str, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """E[σ(u) σ(v)] for var u = a, var v = b and cov(u, v) = c, arrays of one shape."""
    if activation == "linear":
        return np.array(c, dtype=float)
    flat = [np.ascontiguousarray(x, dtype=float).ravel() for x in (a, b, c)]
    if activation == "tanh":
        cases, place = np.unique(np.stack(flat), axis=1, return_inverse=True)
        averages = np.array([_tanh_average(*case) for case in cases.T])[place.ravel()]
    else:
        averages = np.empty(flat[0].size)
        _products(CODES[activation], flat[0], flat[1], flat[2], averages)
    return averages.reshape(np.shape(c))


@jit
def _products(code, a, b, c, out):
    for i in range(len(out)):
        out[i] = product(code, code, a[i], b[i], c[i])


def _tanh_average(a: float, b: float, c: float) -> float:
    """u = √a x and v = (c/a) u + √(b - c²/a) y, by the trapezoidal rule in x and y."""
    if not math.isfinite(a + b + c) or min(a, b) <= 0.0:
        return 0.0 if math.isfinite(a + b + c) else math.nan
    largest = math.sqrt(max(a, b))
    spacing = min(0.25, math.pi**2 / (_EXPONENT * largest))
    nodes = np.arange(-math.ceil(_REACH / spacing), math.ceil(_REACH / spacing) + 1) * spacing
    mass = np.exp(-0.5 * nodes**2) * spacing / math.sqrt(2.0 * math.pi)
    first = math.sqrt(a) * nodes
    rest = math.sqrt(max(b - c * c / a, 0.0))
    if rest < 1e-9 * math.sqrt(b):
        return float(mass @ (np.tanh(first) * np.tanh(c / a * first)))
    second = np.tanh(np.add.outer(c / a * first, rest * nodes)) @ mass
    return float(mass @ (np.tanh(first) * second))

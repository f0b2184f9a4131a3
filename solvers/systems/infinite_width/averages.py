r"""Gaussian averages of one layer: ⟨σ_a σ_b⟩, ⟨σ'_a σ'_b⟩, and ⟨σ σ''⟩ at equal inputs.

⟨·⟩ is the average over (z_a, z_b) ~ N(0, [[K_a, C], [C, K_b]]). With a = 1 + K_a, b = 1 + K_b,
Δ = ab - C², c = C/√(K_a K_b) and θ = arccos c:

    linear   C;  1                          sin   e^{-(K_a+K_b)/2} sinh C;  ... cosh C
    relu     √(K_a K_b)/2π (sin θ + (π-θ) c);  (π-θ)/2π       (arc-cosine kernels of order 1 and 0)
    step     (π-θ)/2π;  1/(2π √(K_a K_b - C²))                infinite at equal inputs
    erf      2/π arcsin 2C/√((1+2K_a)(1+2K_b));  4/π/√((1+2K_a)(1+2K_b) - 4C²)
    gelu     C P + F (K_a K_b - C² + C²/a + C²/b);  P + F C (1/a + 1/b + 1/Δ)
             P = ⟨ΦΦ⟩ = 1/4 + arcsin(C/√(ab))/2π,  F = ⟨φφ⟩ = 1/(2π√Δ)   (Stein's lemma, thrice)

Sources: Williams, Neural Computation 10 (1998) for erf; Cho and Saul, NeurIPS 2009 for step and
relu; gelu and sin derived here. The others (sigmoid, tanh, softplus, swish) have poles off the real
line, at distance r: with z_a = √K_a u, z_b = √K_b (c u + √(1-c²) v) the integrand is analytic for
|Im u|, |Im v| < r/√K, so that the trapezoidal rule of step h errs by exp(-2πr/(h√K)), and by
exp(-2π²/h²) from the Gaussian: to rounding with h = min(1/2, r/(6√K)). Where that takes more
than 512 nodes (K > 40 or so), nested rules graded towards the zeros of z_a and z_b are used.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from solvers.numerics.compiled import jit
from solvers.numerics.gaussian import bump_rule
from solvers.systems.infinite_width.activations import ACTIVATIONS, curvature, slope, value

Array = np.ndarray
_TRAPEZOIDAL = {"sigmoid": 0, "tanh": 1, "softplus": 2, "swish": 3}
_REACH = 8.5
_MOST_NODES = 512
_LIKE_RELU = 1e16
"""K from which softplus and swish are relu: they differ by 1/K, relatively"""


def pair(name: str, first: ArrayLike, second: ArrayLike, cross: ArrayLike) -> tuple[Array, Array]:
    """⟨σ_a σ_b⟩ and ⟨σ'_a σ'_b⟩ of variances K_a, K_b >= 0 and covariance C, all of one shape.

    C is cut to |C| <= √(K_a K_b), so that rounding cannot leave the cone. Relative error 1e-12 or
    better; the second is inf for a step at equal inputs.
    """
    k_a, k_b, c = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (first, second, cross)))
    bound = np.where(k_a == k_b, k_a, np.sqrt(k_a) * np.sqrt(k_b))
    c = np.clip(c, -bound, bound)
    if name in _TRAPEZOIDAL:
        answers = np.empty((2, c.size))
        flat = zip(k_a.ravel().tolist(), k_b.ravel().tolist(), c.ravel().tolist(), strict=True)
        for at, fields in enumerate(flat):
            answers[:, at] = _one_pair(name, *fields)
        return answers[0].reshape(c.shape), answers[1].reshape(c.shape)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _closed(name, k_a, k_b, c, bound)


def _closed(name: str, first: Array, second: Array, cross: Array, bound: Array):
    if name == "linear":
        return cross + 0.0, np.ones_like(cross)
    if name == "sin":
        near = 0.5 * np.exp(np.abs(cross) - 0.5 * (first + second))
        share = np.exp(-2.0 * np.abs(cross))
        return -np.sign(cross) * near * np.expm1(-2.0 * np.abs(cross)), near * (1.0 + share)
    if name == "erf":
        a, b = 1.0 + 2.0 * first, 1.0 + 2.0 * second
        outer = np.sqrt(a) * np.sqrt(b)
        sine = 2.0 * cross / outer
        return (
            2.0 / math.pi * np.arctan2(sine, np.sqrt((1.0 - sine) * (1.0 + sine))),
            4.0 / math.pi / outer / np.sqrt((1.0 - sine) * (1.0 + sine)),
        )
    if name == "gelu":
        a, b = 1.0 + first, 1.0 + second
        delta = 1.0 + first + second + (bound - cross) * (bound + cross)
        density = 0.5 / math.pi / np.sqrt(delta)
        both = 0.25 + np.arctan2(cross, np.sqrt(delta)) / (2.0 * math.pi)
        square = cross * cross
        return (
            cross * both + density * ((bound - cross) * (bound + cross) + square / a + square / b),
            both + density * cross * (1.0 / a + 1.0 / b + 1.0 / delta),
        )
    # The angle from its tangent: arccos would lose half the digits near equal and opposite inputs.
    height = np.sqrt((bound - cross) * (bound + cross))
    rest = np.where(bound > 0, np.arctan2(height, -cross), math.pi)
    if name == "step":
        rest = np.where(bound > 0, rest, 0.5 * math.pi)
        return rest / (2.0 * math.pi), 1.0 / (2.0 * math.pi * height)
    order_one = np.where(rest < 0.5, bound * _sine_less_cosine(rest), height + rest * cross)
    return order_one / (2.0 * math.pi), rest / (2.0 * math.pi)


def _sine_less_cosine(angle: Array) -> Array:
    """sin φ - φ cos φ of 0 <= φ < 1/2, to full relative accuracy."""
    terms = [(-1) ** (k + 1) * 2 * k / math.factorial(2 * k + 1) for k in range(1, 9)]
    square = np.minimum(angle, 0.5) ** 2
    return angle * square * np.polynomial.polynomial.polyval(square, terms)


def _one_pair(name: str, first: float, second: float, cross: float) -> tuple[float, float]:
    largest = max(first, second)
    if name in ("softplus", "swish") and largest > _LIKE_RELU:
        height = first if first == second else math.sqrt(first) * math.sqrt(second)
        one, two = _closed("relu", *(np.array([x]) for x in (first, second, cross, height)))
        return float(one[0]), float(two[0])
    one, two = math.sqrt(first), math.sqrt(second)
    product = one * two
    along = 1.0 if first == second == cross else cross / product if product > 0 else 0.0
    across = math.sqrt(max(0.0, (1.0 - along) * (1.0 + along)))
    nodes = _node_count(name, largest)
    if nodes <= _MOST_NODES:
        return _trapezoid(_TRAPEZOIDAL[name], one, two * along, two * across, nodes)
    return _graded(name, one, two * along, two * across)


def _node_count(name: str, largest: float) -> int:
    """Nodes on each side of zero of the trapezoidal rule."""
    step = min(0.5, ACTIVATIONS[name].strip / (6.0 * math.sqrt(max(largest, 1e-300))))
    return math.ceil(2 * _REACH / step)


@jit
def _activate(code, z):
    """σ(z) and σ'(z)."""
    small = math.exp(-abs(z))
    up = 1.0 / (1.0 + small) if z >= 0 else small / (1.0 + small)
    down = 1.0 - up if z < 0 else small / (1.0 + small)
    if code == 0:
        return up, up * down
    if code == 1:
        t = math.tanh(z)
        return t, (1.0 - t) * (1.0 + t)
    if code == 2:
        return max(z, 0.0) + math.log1p(small), up
    return z * up, up * (1.0 + z * down)


@jit
def _trapezoid(code, one, along, across, nodes):
    """Averages for z_a = one u and z_b = along u + across v over an even number of cells."""
    step = 2.0 * _REACH / nodes
    weights = np.empty(nodes + 1)
    for i in range(nodes + 1):
        u = -_REACH + i * step
        weights[i] = math.exp(-0.5 * u * u)
    weights /= weights.sum()
    values, slopes = 0.0, 0.0
    for i in range(nodes + 1):
        u = -_REACH + i * step
        outer, outer_slope = _activate(code, one * u)
        if across == 0.0:
            inner, inner_slope = _activate(code, along * u)
        else:
            inner, inner_slope = 0.0, 0.0
            for j in range(nodes + 1):
                f, g = _activate(code, along * u + across * (-_REACH + j * step))
                inner += weights[j] * f
                inner_slope += weights[j] * g
        values += weights[i] * outer * inner
        slopes += weights[i] * outer_slope * inner_slope
    return values, slopes


def _graded(name: str, one: float, along: float, across: float) -> tuple[float, float]:
    """The same averages by rules that resolve the zeros of z_a and z_b, whatever the variances."""
    scale = max(one, abs(along), across)
    t, w = bump_rule(0.0, 1.0 / scale)
    u, weight = t[0], w[0]
    if across == 0.0:
        inner, inner_slope = value(name, along * u), slope(name, along * u)
    else:
        centre = np.clip(-along * u / across, -30.0, 30.0)
        v, inner_weight = bump_rule(centre, min(1.0, 1.0 / across))
        fields = along * u[:, None] + across * v
        inner = np.sum(inner_weight * value(name, fields), axis=-1)
        inner_slope = np.sum(inner_weight * slope(name, fields), axis=-1)
    return (
        float(np.sum(weight * value(name, one * u) * inner)),
        float(np.sum(weight * slope(name, one * u) * inner_slope)),
    )


def bend(name: str, variance: ArrayLike) -> Array:
    """⟨σ σ''⟩ of one input of variance K >= 0, any shape: zero where kernels are critical.

    It is d⟨σσ⟩/dK - ⟨σ'σ'⟩, which also gives it a meaning for relu (0). Not for a step.
    """
    variance = np.asarray(variance, dtype=float)
    if ACTIVATIONS[name].homogeneous:
        return np.zeros_like(variance)
    if name == "sin":
        return 0.5 * np.expm1(-2.0 * variance)
    t, w = bump_rule(0.0, 1.0 / np.sqrt(np.maximum(variance.ravel(), 1.0)))
    z = np.sqrt(variance.ravel())[:, None] * t
    return np.sum(w * value(name, z) * curvature(name, z), axis=-1).reshape(variance.shape)


def growth(name: str, variance: ArrayLike) -> Array:
    """d⟨σσ⟩/dK of one input: chi_parallel is C_W times this."""
    variance = np.asarray(variance, dtype=float)
    if name == "step":
        return np.zeros_like(variance)
    return pair(name, variance, variance, variance)[1] + bend(name, variance)

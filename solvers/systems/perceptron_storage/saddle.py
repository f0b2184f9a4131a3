r"""Replica-symmetric saddle points as curves: everything explicit in one parameter.

**Binary weights, step.** With P(z > kappa | t) = H(u), u = (kappa - √q t)/√(1-q), the entropy
counting weights is the extremum over q, q̂ of (Krauth and Mézard 1989)

    s = -q̂ (1-q)/2 + ∫Dt log 2cosh(√q̂ t) + alpha ∫Dt log H(u).

Its saddle-point equations q = ∫Dt tanh²(√q̂ t) and q̂ (1-q) = alpha F(q), where F = ∫Dt (φ/H)²(u),
are linear in alpha. Choosing q̂ gives q, then alpha = q̂ (1-q)/F, then s: no iteration.

**Spherical weights.** Likewise for the log-volume relative to the sphere (Gardner 1988),

    s = log(1-q)/2 + q/(2(1-q)) + alpha ∫Dt log P,    alpha = q/((1-q) F(q)),

now in the parameter log(q/(1-q)). For rectangle and ushape q = 0 solves the equations as well.

**Which saddle point.** ds/dq has the sign of alpha(q) - alpha, so an alpha crossed from below by
the curve is a local minimum of s. The physical saddle is the minimum over q (the replica limit
turns the maximum into a minimum). The curves are increasing, with one solution, for every kappa
of practical interest; where they are not (binary step for kappa < -2.5, rectangle for kappa > 2.5)
the solutions are compared.

**Stability** against breaking replica symmetry (de Almeida and Thouless):
alpha E[(v ∂_ω² log Z)²] E[sech⁴]/v² < 1, without the factor of E[sech⁴]/v² for the sphere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import scipy

from solvers.numerics.elementwise import find_root
from solvers.numerics.gaussian import Array
from solvers.systems.perceptron_storage.averages import (
    binary_weight,
    step_pattern,
    symmetric_pattern,
)

BINARY_GRID = np.linspace(-40.0, 28.0, 103)
"""log q̂ where a binary curve is tabulated; it is a power law below and constant above."""
SPHERICAL_GRID = np.linspace(-40.0, 36.0, 115)
"""log(q/(1-q)) where a spherical curve is tabulated."""
_BLOCK = 64


@dataclass(frozen=True)
class Curve:
    """Points of a saddle-point curve, each field of shape (points,).

    `stability` is the left side of the de Almeida-Thouless condition: stable below 1.
    """

    alpha: Array
    entropy: Array
    q: Array
    stability: Array


def blocks(function: Callable[..., Curve], *columns: Array) -> Curve:
    """Apply `function` to slices of the columns, so that nodes times points stays small."""
    parts = [
        function(*(c[i : i + _BLOCK] for c in columns))
        for i in range(0, max(1, len(columns[0])), _BLOCK)
    ]
    return Curve(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Curve)))


def binary_curve(
    log_field: Array, kappa: Array, *, nodes: int, log_x: Array | None = None
) -> Curve:
    """Binary weights, step, in log q̂; at finite β = -log_x the entropy is the free entropy."""
    weight = binary_weight(log_field, nodes=nodes)
    pattern = step_pattern(q=weight.q, v=weight.v, kappa=kappa, nodes=nodes, log_x=log_x)
    field = np.exp(log_field)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        alpha = field * weight.v / pattern.force
        entropy = -0.5 * field * weight.v + weight.log_weight + alpha * pattern.log_weight
        stability = alpha * pattern.curvature * weight.replicon / weight.v**2
    return Curve(alpha, entropy, weight.q, stability)


def spherical_curve(logit_q: Array, kappa: Array, *, constraint: str, nodes: int) -> Curve:
    """Spherical weights, any constraint, in log(q/(1-q))."""
    q, v = scipy.special.expit(logit_q), scipy.special.expit(-logit_q)
    if constraint == "step":
        pattern = step_pattern(q=q, v=v, kappa=kappa, nodes=nodes)
    else:
        pattern = symmetric_pattern(q=q, v=v, kappa=kappa, constraint=constraint, nodes=nodes)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        alpha = q / (v * pattern.force)
        # log1p keeps the small q that is all there is to s at small alpha.
        entropy = 0.5 * np.where(q < 0.5, np.log1p(-q), np.log(v)) + 0.5 * q / v
        entropy = entropy + alpha * pattern.log_weight
        stability = alpha * pattern.curvature
    return Curve(alpha, entropy, q, stability)


@dataclass(frozen=True)
class Saddle:
    """Saddle points at given alpha; NaN where there is none. Shapes (points,)."""

    entropy: Array
    q: Array
    stability: Array
    steps: Array
    residual: Array


def solve_curve(
    curve: Callable[[Array], Curve],
    alpha: Array,
    *,
    grid: Array,
    origin: float,
    log_p: float,
    symmetric: bool,
) -> Saddle:
    """The saddle point of least entropy for each alpha, on one curve (one kappa, one constraint).

    `curve(parameter)` is evaluated on `grid` once, and each crossing of alpha from below is then
    solved to rounding. Below the grid, q < 1e-17: there s = origin + alpha log_p, with log_p the
    logarithm of the probability of the constraint, and q is 0 (`symmetric`) or proportional to
    alpha. An alpha beyond the curve gets NaN.
    """
    table = blocks(curve, grid)
    points = len(alpha)
    best = {f: np.full(points, np.nan) for f in ("entropy", "q", "stability", "residual")}
    steps = np.zeros(points, dtype=np.int64)

    low = alpha <= table.alpha[0]
    with np.errstate(under="ignore"):
        ratio = alpha[low] / table.alpha[0]
    best["entropy"][low] = origin + alpha[low] * log_p
    best["q"][low] = 0.0 if symmetric else table.q[0] * ratio
    best["stability"][low] = table.stability[0] * ratio
    best["residual"][low] = 0.0

    def miss(parameter: Array, target: Array) -> Array:
        return np.log(blocks(curve, parameter).alpha / target)

    crossing = (table.alpha[None, :-1] < alpha[:, None]) & (table.alpha[None, 1:] >= alpha[:, None])
    rank = np.cumsum(crossing, axis=1)
    for number in range(1, int(rank[:, -1].max(initial=0)) + 1):
        here = np.flatnonzero(rank[:, -1] >= number)
        at = np.argmax(rank[here] >= number, axis=1)
        root = find_root(
            miss, (grid[at], grid[at + 1]), args=(alpha[here],), tolerances={"xatol": 1e-14}
        )
        found = blocks(curve, root.x)
        steps[here] += root.nit
        better = ~(found.entropy >= best["entropy"][here])
        for name in ("entropy", "q", "stability"):
            best[name][here[better]] = getattr(found, name)[better]
        best["residual"][here[better]] = np.abs(found.alpha / alpha[here] - 1.0)[better]
    return Saddle(steps=steps, **best)

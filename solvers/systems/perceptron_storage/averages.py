r"""Replica-symmetric averages over a pattern and over a binary weight.

Two solutions of overlap q see a pattern as z = √q t + √v ζ with v = 1 - q and t, ζ ~ N(0, 1). With
ω = √q t, a violated constraint weighted with x = e^{-β} (x = 0: hard constraints), and
P = P(constraint | ω) over ζ, the one-pattern weight is Z = x + (1 - x) P. From it follow, as
averages over t,

    log Z,    force = v (∂_ω log Z)²,    curvature = (v ∂_ω² log Z)²,    violated = x (1 - P)/Z.

For the step constraint, P = H(u), u = (kappa - ω)/√v. For a binary weight in a field √q̂ t:
q = E tanh², 1 - q = E sech², replicon = E sech⁴, log 2cosh. Everything takes v or computes 1 - q as
such, never as a difference, so that it holds for q -> 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.numerics.gaussian import (
    CUTOFF,
    Array,
    bump_distances,
    density,
    graded_rule,
    hazard,
    log_tail,
)

_LEFTMOST = -40.0
"""H underflows beyond, so a step with kappa below it never acts."""


@dataclass(frozen=True)
class PatternAverages:
    """Averages of one pattern, each of shape (points,); see the module for their definition."""

    log_weight: Array
    force: Array
    curvature: Array
    violated: Array


@dataclass(frozen=True)
class WeightAverages:
    """Averages of one binary weight, each of shape (points,)."""

    q: Array
    v: Array
    log_weight: Array
    replicon: Array


def binary_weight(log_field: Array, *, nodes: int) -> WeightAverages:
    """Averages over a binary weight in the field √q̂ t, for log q̂ = `log_field`.

    log_weight = E log 2cosh(√q̂ t), 1 - q = v; for small q̂, q = q̂ - 2 q̂² + ... without cancellation.
    """
    amplitude = np.exp(0.5 * log_field)
    t, w = graded_rule(CUTOFF, np.minimum(1.0, 1.0 / amplitude), nodes=nodes)
    w = 2.0 * w * density(t)
    field = amplitude[:, None] * t
    decay = np.exp(-2.0 * field)
    sech2 = 4.0 * decay / (1.0 + decay) ** 2

    def mean(f: Array) -> Array:
        return (w * f).sum(axis=-1)

    return WeightAverages(
        q=mean(np.tanh(field) ** 2),
        v=mean(sech2),
        log_weight=amplitude * np.sqrt(2.0 / np.pi) + mean(np.log1p(decay)),
        replicon=mean(sech2**2),
    )


def step_pattern(
    *, q: Array, v: Array, kappa: Array, nodes: int, log_x: Array | None = None, reach: float = 12.0
) -> PatternAverages:
    """Averages for y z > kappa; `log_x` = -β, or None for hard constraints.

    At finite β the force ends where H(u) ~ x, on a scale of 1/u: panels as fine as half the width
    of the bump are laid up to u = `reach`, enough for β < reach²/2 or if u hardly gets there.
    """
    slope = np.sqrt(q / v)
    ideal = kappa / np.sqrt(q)
    centre = np.clip(ideal, _LEFTMOST, CUTOFF + 1.0)
    offset = np.where(centre == ideal, 0.0, (kappa - np.sqrt(q) * centre) / np.sqrt(v))
    if log_x is None:
        distance, w = bump_distances(centre, np.minimum(1.0, 1.0 / slope), nodes=nodes)
    else:
        width, fine = np.minimum(1.0, 0.5 / slope), int(np.ceil(2.0 * reach))
        distance, w = bump_distances(centre, width, nodes=nodes, flat=(fine, 4))
    u = offset[:, None] - slope[:, None] * distance
    log_p, force = log_tail(u), hazard(u)
    log_z, violated = log_p, np.zeros_like(u)
    if log_x is not None:
        log_x = log_x[:, None]
        log_kept = np.log(-np.expm1(log_x)) + log_p
        log_z = np.logaddexp(log_x, log_kept)
        force = force * np.exp(log_kept - log_z)
        violated = np.exp(log_x + log_tail(-u) - log_z)

    def mean(f: Array) -> Array:
        return (w * f).sum(axis=-1)

    return PatternAverages(
        log_weight=mean(log_z),
        force=mean(force**2),
        curvature=mean((force * (force - u)) ** 2),
        violated=mean(violated),
    )


def symmetric_pattern(
    *, q: Array, v: Array, kappa: Array, constraint: str, nodes: int
) -> PatternAverages:
    """Averages for |z| < kappa (rectangle) or |z| > kappa (ushape), kappa > 0, hard constraints.

    Integrands are even in t, so t >= 0 is enough. They vary on the width √(v/q) at t = kappa/√q,
    and for the ushape also on v/kappa/√q at t = 0, where the nearer side changes.
    """
    root = np.sqrt(q)
    slope = root / np.sqrt(v)
    centre = np.minimum(kappa / root, CUTOFF)
    bump = np.minimum(1.0, 1.0 / slope)
    near_zero = np.minimum(1.0, np.maximum(v / (kappa * root), 1e-12))
    a, wa = graded_rule(0.5 * centre, near_zero, nodes=nodes)
    b, wb = graded_rule(0.5 * centre, bump, nodes=nodes)
    c, wc = graded_rule(CUTOFF, bump, nodes=nodes)
    t = np.concatenate([a, centre[:, None] - b, centre[:, None] + c], axis=-1)
    w = 2.0 * np.concatenate([wa, wb, wc], axis=-1) * density(t)
    scale = np.sqrt(v)[:, None]
    omega = root[:, None] * t
    gap = np.concatenate([np.zeros_like(a), b, -c], axis=-1)
    exact = (centre == kappa / root)[:, None] & (np.arange(t.shape[1]) >= a.shape[1])
    up = np.where(exact, slope[:, None] * gap, (kappa[:, None] - omega) / scale)
    down = (kappa[:, None] + omega) / scale
    # phi(down)/phi(up), from the difference of the squares, which are large as v -> 0.
    exponent = -2.0 * kappa[:, None] * omega / v[:, None]
    ratio = np.exp(exponent)
    if constraint == "rectangle":
        # For ω inside the window P = 1 - H(up) - H(down); beyond it H(-up) - H(down).
        inside = up > 0
        tails = ratio * hazard(np.abs(up)) / hazard(down)
        kept = np.where(inside, 1.0 - np.exp(log_tail(np.abs(up))) - np.exp(log_tail(down)), 1.0)
        log_p = np.where(
            inside, np.log(kept), log_tail(-up) + np.log1p(-np.where(inside, 0, tails))
        )
        peak = np.where(
            inside, density(up) / kept, hazard(-up) / (1.0 - np.where(inside, 0, tails))
        )
        sign = -1.0
    else:
        tails = ratio * hazard(up) / hazard(down)
        log_p = log_tail(up) + np.log1p(tails)
        peak = hazard(up) / (1.0 + tails)
        sign = 1.0
    force = peak * -np.expm1(exponent)
    # v ∂² log Z: the boundary terms u phi(u)/P of both sides, less force².
    second = sign * peak * (up + down * ratio) - force**2

    def mean(f: Array) -> Array:
        return (w * f).sum(axis=-1)

    return PatternAverages(
        log_weight=mean(log_p),
        force=mean(force**2),
        curvature=mean(second**2),
        violated=np.zeros_like(q),
    )

"""Critical initialisations, and where kernels go with depth.

**Fixed points.** K* = C_b + C_W g(K*), with g(K) = ⟨σσ⟩. g grows with K, so that kernels move
monotonically from where they start to the next fixed point in the direction of the first move.

**Criticality** asks for a K* at which neither perturbation grows or shrinks exponentially,
χ_∥ = C_W g'(K*) = 1 and χ_⊥ = C_W ⟨σ'σ'⟩ = 1. As g' = ⟨σ'σ'⟩ + ⟨σσ''⟩ this is

    ⟨σ σ''⟩ = 0 at K*,    C_W = 1/⟨σ'σ'⟩,    C_b = K* - C_W g(K*) >= 0.

* scale_invariant: at every K (linear, relu); C_b = 0.
* vanishing: at K* = 0, where σ(0) = 0 and a_1 = σ'''/σ' + 3/4 (σ''/σ')² < 0 at zero, so that
  kernels do come to 0, as -1/(a_1 l) (tanh, sin, erf); (C_b, C_W) = (0, 1/σ'(0)²).
* half_stable: at K* > 0, approached from one side only, as g'' != 0 there (swish, gelu).
* none: C_b would be negative (sigmoid), ⟨σσ''⟩ > 0 everywhere (softplus), χ_⊥ infinite (step).

Source: Roberts, Yaida and Hanin, The Principles of Deep Learning Theory (2022), chapter 5; phases
by χ_⊥: Poole et al., NeurIPS 2016; Schoenholz et al., ICLR 2017.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from solvers.systems.infinite_width.activations import ACTIVATIONS
from solvers.systems.infinite_width.averages import bend, growth, pair

CLASSES = ("scale_invariant", "vanishing", "half_stable", "none")
PHASES = ("ordered", "critical", "chaotic")
SMALLEST, LARGEST = 1e-12, 1e8
_MARCH = 1.5
_MARGINAL = 1e-12
_CRITICAL = 1e-9


@dataclass(frozen=True)
class Critical:
    """A critical initialisation; numbers that do not exist are NaN."""

    c_b: float
    c_w: float
    kernel: float
    universality_class: str
    message: str = ""


def critical(activation: str) -> Critical:
    """The critical initialisation of an activation, and its universality class."""
    facts = ACTIVATIONS[activation]
    if facts.homogeneous:
        weight = 1.0 / float(pair(activation, 1.0, 1.0, 1.0)[1])
        return Critical(
            0.0, weight, math.nan, "scale_invariant", "every kernel is a fixed point: none is told"
        )
    if not facts.smooth:
        return _none("chi_perp is infinite: the slope of a step is not square integrable")
    value, first, second, third = facts.at_zero
    if value == 0.0 and third / first + 0.75 * (second / first) ** 2 < 0.0:
        return Critical(0.0, 1.0 / first**2, 0.0, "vanishing")
    variances = np.logspace(-4, 6, 401)
    bends = bend(activation, variances)
    turns = np.flatnonzero(np.sign(bends[1:]) != np.sign(bends[:-1]))
    for at in turns:
        kernel = float(
            scipy.optimize.brentq(
                lambda k: float(bend(activation, k)),
                *variances[at : at + 2],
                xtol=1e-13,
                rtol=1e-14,
            )
        )
        g, slope = (float(x) for x in pair(activation, kernel, kernel, kernel))
        if kernel - g / slope >= 0.0:
            return Critical(kernel - g / slope, 1.0 / slope, kernel, "half_stable")
    return _none("no kernel has chi_parallel = chi_perp = 1 with C_b >= 0")


def _none(message: str) -> Critical:
    return Critical(math.nan, math.nan, math.nan, "none", message)


@dataclass(frozen=True)
class FixedPoint:
    """Where kernels of single inputs and of pairs go with depth."""

    kernel: float
    """K*; 0 if kernels vanish, inf if they explode"""
    correlation: float
    """c*, K_ab/K* of two inputs that differ; NaN where K* is 0 or infinite"""
    chi_parallel: float
    chi_perp: float
    phase: str
    message: str = ""


def fixed_point(activation: str, *, c_b: float, c_w: float, start: float) -> FixedPoint:
    """The fixed point that a kernel starting from `start` > 0 comes to."""
    kernel = _flow(activation, c_b, c_w, start)
    at = min(max(kernel, 0.0), LARGEST)
    perp = c_w * float(pair(activation, at, at, at)[1])
    parallel = c_w * float(growth(activation, np.array(at)))
    phase = "ordered" if perp < 1.0 else "chaotic"
    if abs(perp - 1.0) <= _CRITICAL:
        phase = "critical"
    if kernel == 0.0 or math.isinf(kernel):
        fate = "vanishes" if kernel == 0.0 else "grows without bound"
        message = f"the kernel {fate}: correlations have no fixed point of their own"
        return FixedPoint(kernel, math.nan, parallel, perp, phase, message)
    correlation = 1.0 if phase != "chaotic" else _correlation(activation, c_b, c_w, kernel)
    return FixedPoint(kernel, correlation, parallel, perp, phase)


def _flow(activation: str, c_b: float, c_w: float, start: float) -> float:
    """The next zero of K' - K in the direction of the first move."""
    if ACTIVATIONS[activation].homogeneous:
        rate = c_w * float(growth(activation, np.array(1.0)))
        if abs(rate - 1.0) <= _MARGINAL:
            return start if c_b == 0.0 else math.inf
        return c_b / (1.0 - rate) if rate < 1.0 else math.inf

    def move(kernel: float) -> float:
        return c_b + c_w * float(pair(activation, kernel, kernel, kernel)[0]) - kernel

    here, first = start, move(start)
    if abs(first) <= _MARGINAL * start:
        return start
    up = first > 0
    while SMALLEST < here < LARGEST:
        there = here * _MARCH if up else here / _MARCH
        after = move(there)
        if (after > 0) != up:
            low, high = sorted((here, there))
            return float(scipy.optimize.brentq(move, low, high, xtol=1e-300, rtol=1e-14))
        here = there
    return math.inf if up else 0.0


def _correlation(activation: str, c_b: float, c_w: float, kernel: float) -> float:
    """The fixed point below 1 of c' = (C_b + C_W ⟨σ_a σ_b⟩)/K*.

    By Mehler's formula c' is a power series in c with coefficients >= 0: convex on [0, 1], so with
    the slope χ_⊥ > 1 at c = 1 there is one other fixed point there.
    """

    def move(correlation: float) -> float:
        value = float(pair(activation, kernel, kernel, correlation * kernel)[0])
        return (c_b + c_w * value) / kernel - correlation

    if move(0.0) <= _MARGINAL:
        return 0.0
    gap = 0.5
    while move(1.0 - gap) > 0.0:
        gap *= 0.5
        if gap < 1e-13:
            return 1.0
    return float(scipy.optimize.brentq(move, 0.0, 1.0 - gap, xtol=1e-15, rtol=1e-14))

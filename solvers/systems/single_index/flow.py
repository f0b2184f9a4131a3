"""The population dynamics of one unit: an autonomous equation for the overlap.

One step, with x = λ w + x_⊥, λ* = mλ + √(1-m²) z and |x_⊥|² = d + O(√d):

    m' = (m + η g √(1-m²) z) / √(1 + η² g² |x_⊥|²),      η = γ/d.

E[g √(1-m²) z] = (1-m²) E f'(λ) f'(λ*) by Gaussian integration by parts (only y in g depends on z),
and the root takes away m η² g² d/2 to the order 1/d that survives. With t = γ·step/d

    dm/dt = D(m) = (1-m²) A(m) - (γ/2) m Ψ(m),

A and Ψ of `links`. What is left out is of relative order 1/d and, for the law of the recovery time
rather than its typical value, the diffusion of m: over the recovery its variance is of order γ²
(t/γ) /d, comparable to the m² ~ 1/d of the start unless γ is small (`chain` has all of it). For
k = 3 and the matched γ_d the γ term wins where m √d < (γ/2) Ψ(0)/(3 c_3²), which is 16 γ for
hermite3 without noise: at γ = 0.04 just below the median start, 0.67, so that the flow lingers
there and its time is some three times that of SGD, whose diffusion carries it over (measured at
d = 40 ... 640; the exponents agree, `scaling`).

**Recovery time.** t = ∫ dm/D(m) from m0 to the threshold, by adaptive quadrature in the variable v,
m = s sinh(v), s = |m0| or, for k = 1, 1/√d: logarithmic far from 0, linear near 0. D may vanish in
between (a step too large; or, for k >= 2, m0 <= 0): then it never comes, and the point has no
solution. Steps are t d/γ_d.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy

from solvers.contract import Cost, Status
from solvers.numerics.ode import integrate
from solvers.systems.single_index.links import EVEN, alignment, fluctuation
from solvers.systems.single_index.model import THEORY_DIMENSION, system
from solvers.systems.single_index.units import (
    NEVER,
    exponent_of,
    in_units,
    paper_unit,
    start_at,
    step_of,
)

_LOG_STEP = 0.02


def drift(link: str, m: Any, step: Any, noise: Any) -> np.ndarray:
    """D(m) = dm/dt for γ = `step`."""
    rising = (1.0 - m) * (1.0 + m) * alignment(link, m)
    return rising - 0.5 * step * m * fluctuation(link, m, noise)


def time_to(
    link: str, start: float, threshold: float, step: float, noise: float, scale: float
) -> float:
    """Flow time t from overlap `start` to |m| = threshold; NaN if it is never reached."""
    if link in EVEN:
        start = abs(start)
    if abs(start) >= threshold:
        return 0.0
    if start <= 0.0 and exponent_of(link) > 1:
        return NEVER
    unit = abs(start) if exponent_of(link) > 1 else scale
    low, high = math.asinh(start / unit), math.asinh(threshold / unit)

    def speed(v: Any) -> Any:
        """dv/dt"""
        return drift(link, unit * np.sinh(v), step, noise) / (unit * np.cosh(v))

    grid = np.linspace(low, high, 201)
    slowest = int(np.argmin(speed(grid)))
    near = grid[max(slowest - 1, 0)], grid[min(slowest + 1, 200)]
    least = scipy.optimize.minimize_scalar(
        speed, bounds=near, method="bounded", options={"xatol": 1e-10}
    )
    if min(float(least.fun), float(speed(grid)[slowest])) <= 0.0:
        return NEVER
    middle = [v for v in (least.x,) if low < v < high]
    time, _ = scipy.integrate.quad(
        lambda v: 1.0 / float(speed(v)),
        low,
        high,
        points=middle or None,
        epsabs=0.0,
        epsrel=1e-11,
        limit=400,
    )
    return float(time)


def recovery_steps(
    *,
    link: str,
    dimension: float,
    step_size: float,
    step_scaling: str,
    noise: float,
    start: str,
    start_overlap: float,
    quantile: float,
    threshold: float,
) -> float:
    """Steps to the threshold in (real) dimension d, from quantile `quantile` of the start."""
    step = float(step_of(step_size, dimension, exponent_of(link), step_scaling))
    begin = float(start_at(quantile, dimension, start, start_overlap))
    time = time_to(link, begin, threshold, step, noise, dimension**-0.5)
    return time * dimension / step


def _local_exponent(**given: Any) -> float:
    """d log(steps)/d log(dimension), by central differences of order four."""
    centre, logs = float(given.pop("dimension")), {}
    for n in (-2, -1, 1, 2):
        steps = recovery_steps(dimension=centre * math.exp(n * _LOG_STEP), **given)
        if not steps > 0.0:
            return NEVER
        logs[n] = math.log(steps)
    return (8.0 * (logs[1] - logs[-1]) - (logs[2] - logs[-2])) / (12.0 * _LOG_STEP)


def _flow_flops(
    *,
    link: Any,
    dimension: Any,
    step_size: Any,
    step_scaling: Any,
    noise: Any,
    times: Any,
    max_steps: Any,
    **_: Any,
) -> Any:
    """Quadratures, and steps of 0.3 ms, which a large step_size · noise makes many."""
    step = step_of(step_size, dimension, exponent_of(link), step_scaling)
    flow_time = times[-1] * paper_unit(dimension, exponent_of(link)) * step / dimension
    rate = 0.5 * step * fluctuation(link, 0.0, noise)
    return 2e7 + 3e5 * np.minimum(20 + 1.3 * len(times) + 0.3 * rate * flow_time, max_steps)


@system.theory(
    version=1,
    gives=(
        "overlap",
        "start_value",
        "recovery_steps",
        "recovery_alpha",
        "recovery_time",
        "exponent",
    ),
    axes={"dimension": THEORY_DIMENSION},
    cost=Cost(flops=_flow_flops, memory=lambda *, times, **_: 1000 + 40 * len(times)),
)
def flow(
    *,
    link: str,
    dimension: np.ndarray,
    step_size: np.ndarray,
    step_scaling: str,
    noise: np.ndarray,
    start: str,
    start_overlap: np.ndarray,
    quantile: np.ndarray,
    threshold: np.ndarray,
    times: tuple[float, ...],
    tolerance: np.ndarray,
    max_steps: np.ndarray,
) -> dict[str, Any]:
    """Population dynamics of the overlap, its time of weak recovery, and the local exponent.

    The start is the quantile `quantile` of the exact law of a random direction (0.5: the median),
    so quantiles of the flow's recovery time over starts are the times at quantiles of the start.
    `exponent` is d log(recovery_steps)/d log(dimension) at fixed quantile: 1 for k = 1, and at
    finite d above 1 for k = 2 (1 + 1/log d, and more) and near k-1 for k >= 3.

    The recovery time is a quadrature to 1e-11; `residual` is that of the integrator of `overlap`.
    Status: no_solution where the threshold is never reached, whatever the recorded times.
    """
    order = exponent_of(link)
    step = np.asarray(step_of(step_size, dimension, order, step_scaling))
    begin = start_at(quantile, dimension, start, start_overlap)
    rows = []
    for i in range(len(dimension)):
        given: dict[str, Any] = {
            "link": link,
            "dimension": float(dimension[i]),
            "step_size": float(step_size[i]),
            "step_scaling": step_scaling,
            "noise": float(noise[i]),
            "start": start,
            "start_overlap": float(start_overlap[i]),
            "quantile": float(quantile[i]),
            "threshold": float(threshold[i]),
        }
        rows.append((recovery_steps(**given), _local_exponent(**given)))
    steps, exponents = np.array(rows).T
    # The path of each point is integrated in its own unit of time.
    rate = paper_unit(dimension, order) * step / dimension

    def slopes(index: np.ndarray, _: np.ndarray, m: np.ndarray) -> np.ndarray:
        held = np.clip(m[:, 0], -1.0, 1.0)
        return (rate[index] * drift(link, held, step[index], noise[index]))[:, None]

    path = integrate(
        slopes,
        begin[:, None],
        times,
        tolerance=0.1 * tolerance,
        max_steps=max_steps,
        floor=1e-12,
    )
    gone = np.isfinite(steps)
    return {
        "overlap": path.states[:, :, 0],
        "start_value": begin,
        **in_units(steps, dimension, order),
        "exponent": exponents,
        "status": np.where(gone, path.status, Status.NO_SOLUTION),
        "steps": path.steps,
        "residual": path.residual,
        "message": [
            ""
            if found
            else "the flow never reaches the threshold: step_size or noise is too large for the "
            "signal at this overlap, or the start is on the wrong side of 0"
            for found in gone
        ],
    }

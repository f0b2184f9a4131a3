"""Methods of two time scales: gradient flow and SGD (`layers_steps` derives both)."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import Real, Sequence, canonical_float
from solvers.contract import Cost, Status
from solvers.numerics.ode import integrate
from solvers.numerics.random import Stream
from solvers.systems.single_index.layers_steps import (
    descend,
    power_sums,
    second_layer,
    slopes_finite_width,
    slopes_mean_field,
)
from solvers.systems.single_index.model import system
from solvers.systems.single_index.units import SYSTEM

GIVES = ("components", "component_times", "risk", "final_risk", "recorded_time")
_TIMES = Sequence(
    "recorded times t = step · step_size/dimension",
    dim="time",
    low=0.0,
    default=tuple(canonical_float(10 ** (n / 8)) for n in range(-24, 9)),
    symbol="t",
)
_EPSILON = Real(
    "speed of the second layer over that of the first", low=0, open="low", symbol=r"\epsilon"
)
_BLOCK_BYTES = 2**18


def measured(
    a: np.ndarray, s: np.ndarray, q: np.ndarray | None, times: np.ndarray, degree: int
) -> dict[str, np.ndarray]:
    """Observables of a, s (points, times, p), q (points, times, p, p) or None for mean field."""
    powers = s[..., None, :] ** np.arange(degree + 1)[:, None]
    components = np.mean(a[..., None, :] * powers, axis=-1)
    if q is None:
        risk = 0.5 * np.sum((1.0 - components) ** 2, axis=-1)
    else:
        own = np.einsum("...i,...il,...l->...", a, power_sums(q, degree)[0], a) / a.shape[-1] ** 2
        risk = 0.5 * (degree + 1 + own) - np.sum(components, axis=-1)
    return {
        "components": components,
        "component_times": crossing_times(components, times),
        "risk": risk,
        "final_risk": risk[:, -1],
        "recorded_time": times,
    }


def crossing_times(components: np.ndarray, times: np.ndarray) -> np.ndarray:
    """First time (points, degrees) of 1/2, linear between records; NaN if there is none."""
    found = np.full((len(components), components.shape[2]), np.nan)
    for point, degree in np.ndindex(found.shape):
        c, t = components[point, :, degree], times[point]
        above = np.flatnonzero(c >= 0.5)
        if len(above):
            n = above[0]
            share = 0.0 if n == 0 else (0.5 - c[n - 1]) / (c[n] - c[n - 1])
            found[point, degree] = t[n] if n == 0 else t[n - 1] + share * (t[n] - t[n - 1])
    return found


def _flow_flops(*, width: Any, epsilon: Any, times: Any, interaction: Any, **_: Any) -> Any:
    field = interaction == "mean_field"
    evaluation = 1e5 + (200.0 * width if field else 100.0 * width**2 + 3.0 * width**3)
    return (50 + 1.3 * len(times) + 0.2 * times[-1] * (1 + epsilon)) * 12 * evaluation


@system.theory(
    version=1,
    gives=GIVES,
    shares=("width", "degree"),
    axes={"times": _TIMES, "epsilon": _EPSILON},
    cost=Cost(flops=_flow_flops, memory=lambda *, width, times, **_: 8 * len(times) * width**2),
)
def two_time_scales(
    *,
    width: int,
    degree: int,
    epsilon: np.ndarray,
    interaction: str,
    times: tuple[float, ...],
    tolerance: np.ndarray,
    max_steps: np.ndarray,
) -> dict[str, Any]:
    """Gradient flow of both layers for d -> ∞, step_size -> 0: components, risk, plateaus.

    `component_times` are where components pass 1/2, linear between recorded times. `mean_field`
    with p units is the discretisation of the law of a_i by its mid-quantiles; `finite_width` is the
    student of p units itself, and differs from it by O(1/p).

    The second layer relaxes at the rate ε Σ_j s^{2j}: an explicit integrator takes about ε/3 steps
    per unit of time. Status as of the integrator.
    """
    points = len(epsilon)
    a = np.broadcast_to(second_layer(width), (points, width))
    pieces = [a, np.zeros((points, width))]
    if interaction == "finite_width":
        pieces.append(np.broadcast_to(np.eye(width).ravel(), (points, width**2)))
    rule = slopes_mean_field if interaction == "mean_field" else slopes_finite_width
    path = integrate(
        lambda index, _, y: rule(y, epsilon[index], width, degree),
        np.concatenate(pieces, axis=1),
        times,
        tolerance=0.1 * tolerance,
        max_steps=max_steps,
    )
    y = path.states
    q = None
    if interaction == "finite_width":
        q = y[..., 2 * width :].reshape(points, len(times), width, width)
    return {
        **measured(y[..., :width], y[..., width : 2 * width], q, path.times, degree),
        "status": path.status,
        "steps": path.steps,
        "residual": path.residual,
    }


def _check(*, width: int, dimension: int, **_: object) -> None:
    if dimension <= width:
        raise ValueError(
            f"dimension={dimension} has no room for {width} units orthogonal to the target; "
            f"take dimension > {width}"
        )


@system.simulation(
    version=2,
    gives=(*GIVES, "diverged_at"),
    size="dimension",
    shares=("width", "degree", "dimension"),
    check=_check,
    axes={"times": _TIMES, "epsilon": _EPSILON},
    cost=Cost(
        flops=lambda *, width, dimension, step_size, times, **_: (
            1e5
            + times[-1]
            * dimension
            / step_size
            * (200 + 3.5 * dimension + width * (30 + 0.6 * dimension))
        ),
        memory=lambda *, width, dimension, times, **_: 8 * width * (dimension + len(times) * width),
        shared_memory=lambda **_: 2**20,
    ),
)
def two_time_scales_sgd(
    *,
    width: int,
    degree: int,
    epsilon: np.ndarray,
    dimension: int,
    step_size: np.ndarray,
    noise: np.ndarray,
    times: tuple[float, ...],
    seed: np.ndarray,
) -> dict[str, Any]:
    """One-pass SGD of both layers with weights and samples, from the start of the flow.

    w_1 ... w_p, w* start as orthonormal vectors: the first p + 1 basis vectors, which loses nothing
    because the inputs are isotropic. So only samples depend on the seed. The flow is its limit for
    step_size -> 0: a polynomial student feels step_size early, so that 1e-2 is not small for
    degree 3. Status: converged (all steps done), or diverged if the prediction error of a sample
    or a weight of the second layer passed 1e8: `diverged_at` is the time, and the last record
    before it, or the start, is repeated.
    """
    records = np.floor(np.asarray(times) * (dimension / step_size)[:, None] + 0.5).astype(np.int64)
    reached = records * (step_size / dimension)[:, None]
    start = np.column_stack([second_layer(width), np.zeros(width), np.eye(width)])
    out = np.empty((len(seed), len(times), width, 2 + width))
    steps, gone = records[:, -1].copy(), np.full(len(seed), np.nan)
    rows = max(1, _BLOCK_BYTES // (4 * (dimension + 1)))
    for point in range(len(seed)):
        samples = Stream(SYSTEM, int(seed[point]), dimension, "two layer samples")
        weights = np.eye(width, dimension, 1)
        a = second_layer(width)
        follow = int(np.searchsorted(records[point], 0, side="right"))
        out[point, :follow] = start
        position, last, lost = 0, int(records[point, -1]), -1
        while position < last and lost < 0:
            block = samples.normals(
                position, min(position + rows, last), dimension + 1, dtype=np.float32
            )
            follow, lost = descend(
                weights,
                a,
                block,
                position,
                degree,
                float(step_size[point]) / dimension,
                float(epsilon[point]),
                float(noise[point]) ** 0.5,
                records[point],
                follow,
                out[point],
            )
            position += len(block)
        if lost >= 0:
            steps[point], gone[point] = lost, lost * step_size[point] / dimension
            out[point, follow:] = out[point, follow - 1] if follow else start
            reached[point, follow:] = reached[point, follow - 1] if follow else 0.0
    diverged = np.isfinite(gone)
    return {
        **measured(out[..., 0], out[..., 1], out[..., 2:], reached, degree),
        "diverged_at": gone,
        "status": np.where(diverged, Status.DIVERGED, Status.CONVERGED),
        "steps": steps,
        "residual": np.max(np.abs(records * (step_size / dimension)[:, None] - times), axis=1),
        "message": [
            f"diverged at t = {time:.6g}; try a smaller step_size or epsilon" if lost else ""
            for time, lost in zip(gone, diverged, strict=True)
        ],
    }

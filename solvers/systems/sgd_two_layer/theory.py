"""The deterministic limit: ordinary differential equations for the overlaps."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import FileContent, Integer
from solvers.contract import Cost
from solvers.numerics.erf_integrals import excess_risk
from solvers.numerics.ode import integrate
from solvers.systems.sgd_two_layer.drift import drift, pack, unpack
from solvers.systems.sgd_two_layer.model import GIVES, measured, system
from solvers.systems.sgd_two_layer.starts import check_start, start_overlaps

# The residual sums a few hundred local errors and a saddle may amplify each: measured errors of the
# excess risk stay below the tolerance with this share of it allowed to a step.
_STEP_SHARE = 0.1


def _components(width: Any, teacher_width: Any) -> Any:
    return width * teacher_width + width * (width + 1) // 2


def _ode_flops(*, width: Any, teacher_width: Any, times: Any, **_: Any) -> Any:
    """About one step for two units of time, twelve drifts of arcsines each, and bookkeeping."""
    fields = width + teacher_width
    one_drift = width * (width + 1) * fields * (fields + 1) + 3 * width * fields**2 + 1000
    return (300 + 0.5 * times[-1]) * (12 * one_drift + 1e5)


@system.theory(
    version=1,
    gives=GIVES,
    check=check_start,
    shares=("width", "teacher_width"),
    axes={
        "dimension": Integer(
            "dimension of the random start, and of nothing else", low=1, default=1000, symbol="d"
        ),
        "seed": Integer(
            "instance of the random start, and of nothing else", low=0, default=0, symbol="s"
        ),
    },
    cost=Cost(
        flops=_ode_flops,
        memory=lambda *, width, teacher_width, times, **_: (
            8 * (20 + 4 * len(times)) * _components(width, teacher_width)
        ),
    ),
)
def ode(
    *,
    width: int,
    teacher_width: int,
    step_size: np.ndarray,
    noise: np.ndarray,
    limit: str,
    initial: str | FileContent,
    times: tuple[float, ...],
    dimension: np.ndarray,
    seed: np.ndarray,
    tolerance: np.ndarray,
    max_steps: np.ndarray,
) -> dict[str, np.ndarray]:
    """The deterministic limit of the overlaps: the mean one-step update, integrated.

    `high_dimensional` keeps the step_size² term of the update, `gradient_flow` drops it (step_size
    and noise then change nothing). The start `random` is that of the simulation with the same
    dimension and seed; for dimension -> ∞ it would be the symmetric saddle M = 0, Q = P = 1, which
    the flow leaves only through the deviations that a finite dimension makes.

    The integrator holds its local error to a tenth of tolerance · excess_risk, and `residual` is
    the sum of the local errors relative to the excess risk. Measured errors of the excess risk are
    below `tolerance`, down to an absolute 1e-14: a noiseless run that recovers its teacher ends in
    rounding, around 1e-16. A plateau, when left, multiplies errors like all that is small there.

    Status: converged (the last time was reached), max_steps, not_finite (no slope at the start), or
    diverged. Saturating units cannot blow up in finite time, but where step_size · noise drives
    overlaps beyond about 1e8 the determinants of the integrals lose their digits, no step meets the
    tolerance any more, and the run ends so. The last state is then repeated, with its time.
    """
    starts = [
        start_overlaps(
            initial, width=width, teacher_width=teacher_width, dimension=int(d), seed=int(s)
        )
        for d, s in zip(dimension, seed, strict=True)
    ]
    student, teacher, target = (np.stack(parts) for parts in zip(*starts, strict=True))
    ratio = step_size / width if limit == "high_dimensional" else np.zeros(len(step_size))

    def slopes(index: np.ndarray, _: np.ndarray, y: np.ndarray) -> np.ndarray:
        out = np.empty_like(y)
        drift(y, target[index], ratio[index], noise[index], width, teacher_width, out)
        return out

    def risk(index: np.ndarray, y: np.ndarray) -> np.ndarray:
        q, m = unpack(y, width=width, teacher_width=teacher_width)
        return np.minimum(excess_risk(q, m, target[index]), 1.0)

    path = integrate(
        slopes,
        pack(student, teacher),
        times,
        tolerance=_STEP_SHARE * tolerance,
        max_steps=max_steps,
        size=risk,
    )
    student, teacher = unpack(path.states, width=width, teacher_width=teacher_width)
    return {
        **measured(student, teacher, target),
        "recorded_time": path.times,
        "status": path.status,
        "steps": path.steps,
        "residual": path.residual,
    }

"""The deterministic limit: ordinary differential equations for the overlaps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy

from solvers.axes import FileContent, Integer
from solvers.contract import Cost, Status
from solvers.numerics.ode import ROUNDING, Trajectories, integrate
from solvers.systems.sgd_two_layer import observing
from solvers.systems.sgd_two_layer.drift import drift, pack, unpack
from solvers.systems.sgd_two_layer.model import GIVES, measured, system, units
from solvers.systems.sgd_two_layer.starts import check_start, start_overlaps

# The residual sums a few hundred local errors and a saddle may amplify each: measured errors of the
# excess risk stay below the tolerance with this share of it allowed to a step.
_STEP_SHARE = 0.1
_RELU_ROUNDING = 1e-10
"""The smallest local error that makes sense beside the integral of relu students."""


def _components(width: Any, teacher_width: Any) -> Any:
    return width * teacher_width + width * (width + 3) // 2


def _one_drift(width: Any, teacher_width: Any, activation: Any, limit: Any) -> Any:
    """Nanoseconds of a drift: some n²/2 arcsines for each pair of students, 30 times for relu."""
    fields = width + teacher_width
    pairs = np.where(limit == "mean_field", width, width * (width + 1) / 2)
    second = np.where(
        activation == "relu", 28 * 50.0, np.where(activation == "quadratic", 1.0, 1.3)
    ) * (pairs * fields**2)
    second = np.where(limit == "gradient_flow", 0.0, second)
    second = np.where(limit == "finite_dimension", 5.0 * second, second)
    return second + 10.0 * width * fields**2 + 1000


def _ode_flops(
    *, width: Any, teacher_width: Any, activation: Any, limit: Any, times: Any, **_: Any
) -> Any:
    """About one step for two units of time and fifty to begin with, each of twelve drifts."""
    one_drift = _one_drift(width, teacher_width, activation, limit)
    return (50 + 0.5 * times[-1]) * (12 * one_drift + 3e4)


@dataclass(frozen=True)
class _Full:
    """Equations for all overlaps; states as `drift` packs them."""

    width: int
    teacher_width: int
    target: np.ndarray
    ratio: np.ndarray
    noise: np.ndarray
    inverse: np.ndarray
    units: tuple[str, str]
    trained: bool
    _picked: dict[str, Any] = field(default_factory=dict)
    """the columns of the points last asked for, which stay the same for many steps"""

    def pack(self, student: np.ndarray, teacher: np.ndarray, second: np.ndarray) -> np.ndarray:
        return pack(student, teacher, second if self.trained else None)

    def unpack(
        self, index: np.ndarray | slice, states: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Q, M and a of states (..., components)."""
        student, teacher = unpack(states, width=self.width, teacher_width=self.teacher_width)
        ones = np.ones((*states.shape[:-1], self.width))
        return student, teacher, states[..., -self.width :] if self.trained else ones

    def slopes(self, index: np.ndarray, _: np.ndarray, states: np.ndarray) -> np.ndarray:
        return self._drift(index, states, diagonal=False)

    def _drift(self, index: np.ndarray, states: np.ndarray, *, diagonal: bool) -> np.ndarray:
        out = np.empty_like(states)
        if self._picked.get("index") is not index:
            columns = {"target": self.target, "ratio": self.ratio}
            columns |= {"noise": self.noise, "inverse": self.inverse}
            self._picked.update({name: values[index] for name, values in columns.items()})
            self._picked["index"] = index
        picked = self._picked
        drift(
            states,
            picked["target"],
            picked["ratio"],
            picked["noise"],
            self.width,
            self.teacher_width,
            out,
            student=self.units[0],
            teacher=self.units[1],
            trained=self.trained,
            inverse=picked["inverse"],
            diagonal=diagonal,
        )
        return out


class _MeanField(_Full):
    """Equations for M and q, with Q = M P⁺ Mᵀ + diag(q): students overlap through the teacher.

    With N of Q's diagonal alone: dq_i/dt = dQ_ii/dt - 2 (dM/dt P⁺ Mᵀ)_ii.
    """

    def pack(self, student: np.ndarray, teacher: np.ndarray, second: np.ndarray) -> np.ndarray:
        within = np.einsum("nir,nrs,nis->ni", teacher, self._inverse(slice(None)), teacher)
        own = np.einsum("nii->ni", student) - within
        parts = [teacher.reshape(len(teacher), -1), own]
        return np.concatenate([*parts, second] if self.trained else parts, axis=1)

    def _inverse(self, index: np.ndarray | slice) -> np.ndarray:
        return np.linalg.pinv(self.target[index], hermitian=True)

    def unpack(
        self, index: np.ndarray | slice, states: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        p, k = self.width, self.teacher_width
        teacher = states[..., : p * k].reshape(*states.shape[:-1], p, k)
        inverse = self._inverse(index)
        inverse = inverse.reshape(len(inverse), *[1] * (states.ndim - 2), k, k)
        student = teacher @ inverse @ np.swapaxes(teacher, -1, -2)
        own = states[..., p * k : p * k + p]
        student[..., np.arange(p), np.arange(p)] += own
        ones = np.ones((*states.shape[:-1], p))
        return student, teacher, states[..., -p:] if self.trained else ones

    def slopes(self, index: np.ndarray, _: np.ndarray, states: np.ndarray) -> np.ndarray:
        p, k = self.width, self.teacher_width
        student, teacher, second = self.unpack(index, states)
        full = self._drift(index, _Full.pack(self, student, teacher, second), diagonal=True)
        own, cross = unpack(full, width=p, teacher_width=k)
        within = np.einsum("nir,nrs,nis->ni", cross, self._inverse(index), teacher)
        parts = [cross.reshape(len(cross), -1), np.einsum("nii->ni", own) - 2.0 * within]
        return np.concatenate([*parts, full[:, -p:]] if self.trained else parts, axis=1)


def _implicit(
    slopes: Callable, start: np.ndarray, times: Any, *, tolerance: np.ndarray
) -> Trajectories:
    """The same problems by scipy's Radau, point by point; `tolerance` is relative to the state."""
    points = len(start)
    states = np.repeat(start[:, None], len(times), axis=1)
    reached = np.zeros((points, len(times)))
    status, steps = np.full(points, Status.CONVERGED, dtype=np.int8), np.zeros(points, np.int64)
    for point in range(points):

        def one(t: float, y: np.ndarray, at: int = point) -> np.ndarray:
            return slopes(np.array([at]), np.array([t]), y[None])[0]

        last = [0.0, start[point]]

        def beyond(t: float, y: np.ndarray, last: list = last) -> float:
            if np.all(np.isfinite(y)):
                last[:] = t, np.array(y)  # where it is if the next step fails
            return observing.BOUND - float(np.max(np.abs(y)))

        beyond.terminal = True  # type: ignore[attr-defined]
        with np.errstate(all="ignore"):
            found = scipy.integrate.solve_ivp(
                one,
                (0.0, times[-1]),
                start[point],
                method="Radau",
                t_eval=times,
                events=beyond,
                rtol=max(tolerance[point], 1e-13),
                atol=1e-2 * tolerance[point],
            )
        count = len(found.t)
        if count:  # otherwise it ended before the first of them
            states[point, :count], reached[point, :count] = found.y.T, found.t
        if found.status != 0:
            if len(found.t_events[0]):
                last[:] = found.t_events[0][-1], found.y_events[0][-1]
            reached[point, count:], states[point, count:] = last
            status[point] = Status.DIVERGED
        steps[point] = found.nfev
    return Trajectories(states, reached, status, steps, tolerance * 1.0)


@system.theory(
    version=2,
    gives=GIVES,
    check=check_start,
    shares=("width", "teacher_width"),
    axes={
        "dimension": Integer(
            "dimension of the random start, and of the terms of limit=finite_dimension",
            low=1,
            default=1000,
            symbol="d",
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
    activation: str,
    teacher_activation: str,
    second_layer: str,
    step_size: np.ndarray,
    noise: np.ndarray,
    limit: str,
    initial: str | FileContent,
    times: tuple[float, ...],
    dimension: np.ndarray,
    seed: np.ndarray,
    tolerance: np.ndarray,
    integrator: str,
    max_steps: np.ndarray,
) -> dict[str, Any]:
    """The deterministic limit of the overlaps: the mean one-step update, integrated.

    Limits, from the whole mean step to the least of it:
    `finite_dimension` keeps all its terms at `dimension` (those of order 1/dimension too; runs
    fluctuate around it by √(step_size/(width · dimension)) still, and their mean deviates by the
    square of that); `high_dimensional` keeps the step_size² term, for dimension -> ∞;
    `gradient_flow` drops it (step_size and noise then change nothing); `mean_field` keeps of the
    student's overlaps only M and the diagonal, Q = M P⁺ Mᵀ + diag(q), as for width -> ∞: what it
    drops are the random overlaps of a finite dimension, 1/√dimension each, and the noise that two
    units share. So the error of the overlaps is at most of the order
    width^(-1/2) + dimension^(-1/2) (Arnaboldi, Stephan, Krzakala and Loureiro, arXiv:2302.05882).
    Measured at t = 1, teacher_width 1, step_size 0.1: the RMS error of Q is below 0.4 times that
    for erf, from 0.21 (width 2, dimension 64) to 0.020 (32, 4096); for a wide student it falls as
    dimension^(-1/2), in high dimension nearly as 1/width. For quadratic units it depends on the
    dimension alone, as dimension^(-1/2): 0.061 to 0.011 at width 32.

    The start `random` is that of the simulation with the same dimension and seed; for
    dimension -> ∞ it would be the symmetric saddle M = 0, Q = P = 1, which the flow leaves only
    through the deviations that a finite dimension makes.

    The explicit integrator holds its local error to a tenth of tolerance · excess_risk, and
    `residual` is the sum of the local errors relative to the excess risk. Measured errors of the
    excess risk are below `tolerance`, down to an absolute 1e-14: a noiseless run that recovers its
    teacher ends in rounding, around 1e-16. A plateau, when left, multiplies errors like all that is
    small there. The implicit one holds tolerance relative to the overlaps. relu students need an
    integral (`squared_error`) whose relative error is 1e-9, and up to 1e-6 for units that are
    parallel to 1e-4; tolerances below that only take longer.

    Status: converged (the last time was reached), max_steps, not_finite (no slope at the start), or
    diverged: an overlap passed 1e8 (quadratic units do so in a finite time where step_size is
    large) or no further step could be taken. The last state is then repeated with its time, and
    `diverged_at` tells the time.
    """
    starts = [
        start_overlaps(
            initial, width=width, teacher_width=teacher_width, dimension=int(d), seed=int(s)
        )
        for d, s in zip(dimension, seed, strict=True)
    ]
    student, teacher, target = (np.stack(parts) for parts in zip(*starts, strict=True))
    flow, finite = limit == "gradient_flow", limit == "finite_dimension"
    equations = (_MeanField if limit == "mean_field" else _Full)(
        width=width,
        teacher_width=teacher_width,
        target=target,
        ratio=np.zeros(len(step_size)) if flow else step_size / width,
        noise=noise,
        inverse=1.0 / dimension if finite else np.zeros(len(step_size)),
        units=units(activation, teacher_activation),
        trained=second_layer == "trained",
    )

    def risk(index: np.ndarray, y: np.ndarray) -> np.ndarray:
        q, m, a = equations.unpack(index, y)
        found = observing.excess_risk(q, m, target[index], a, units=equations.units)
        return np.minimum(found, 1.0)

    first = equations.pack(student, teacher, np.ones((len(student), width)))
    if integrator == "implicit":
        path = _implicit(equations.slopes, first, times, tolerance=tolerance)
    else:
        path = integrate(
            equations.slopes,
            first,
            times,
            tolerance=_STEP_SHARE * tolerance,
            max_steps=max_steps,
            size=risk,
            bound=observing.BOUND,
            rounding=_RELU_ROUNDING if activation == "relu" and not flow else ROUNDING,
        )
    student, teacher, second = equations.unpack(slice(None), path.states)
    return {
        **measured(
            student,
            teacher,
            target,
            second,
            times=path.times,
            diverged_at=np.where(path.status == Status.DIVERGED, path.times[:, -1], np.nan),
            units=equations.units,
        ),
        "status": path.status,
        "steps": path.steps,
        "residual": path.residual,
    }

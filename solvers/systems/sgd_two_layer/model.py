"""Declaration of the system: axes, observables, demo, and the values it must reproduce."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.axes import Choice, File, Integer, Real, Sequence, canonical_float
from solvers.contract import Limit, Observable, System
from solvers.numerics.unit_averages import CODES
from solvers.systems.sgd_two_layer.observing import BOUND, escape_times, excess_risk
from solvers.systems.sgd_two_layer.starts import SYSTEM

_DEFAULT_TIMES = tuple(canonical_float(10 ** (n / 10)) for n in range(-10, 31))


def _plateau(units: int) -> tuple[float, dict[str, Any]]:
    """Symmetric plateau of gradient flow for p = k = units, P = 1, and a start that leads to it.

    Saad and Solla, Phys. Rev. E 52, 4225 (1995): Q_ij = 1/(2k-1), M_ir = √(Q/k) and, in their
    scale, excess risk (k/π)(π/6 - k arcsin(1/(2k))); ours is smaller by k².
    """
    risk = (math.pi / 6 - units * math.asin(1 / (2 * units))) / (math.pi * units)
    same = np.ones((units, units))
    return risk, {"M": 0.1 * same, "Q": 0.3 * same, "P": np.eye(units)}


def _stationary(units: int) -> tuple[float, dict[str, Any]]:
    """Excess risk per (step_size · noise) that remains for p = k, P = 1 and small step size.

    Goldt et al. (2019): k/(2π√3) in the scale of a sum of units, so ours is 1/(2π√3 k). Derived
    here: near w_i = w*_i + δ_i the risk is tr(H Σ)/(2k²) with H_ij = E[σ'(λ_i) σ'(λ_j)] and
    Σ_ij = δ_i·δ_j/d; gradient and label noise balance in HΣ + ΣH = γΔ H, so Σ = γΔ/2, and
    H_ii = 2/(π√3).
    """
    same = np.eye(units)
    return 1 / (2 * math.pi * math.sqrt(3) * units), {"M": same, "Q": same, "P": same}


def _limits() -> list[Limit]:
    shared = {"noise": 0.0, "limit": "gradient_flow", "step_size": 0.1}
    found = []
    for units in (2, 3):
        risk, start = _plateau(units)
        found.append(
            Limit(
                f"symmetric plateau of gradient flow, {units} units",
                "ode",
                {
                    **shared,
                    "width": units,
                    "teacher_width": units,
                    "initial": start,
                    "times": (60.0,),
                },
                "final_excess_risk",
                risk,
                rtol=1e-7,
                source="Saad and Solla, Phys. Rev. E 52, 4225 (1995)",
            )
        )
        slope, start = _stationary(units)
        found.append(
            Limit(
                f"stationary excess risk at small step size, {units} units",
                "ode",
                {
                    "width": units,
                    "teacher_width": units,
                    "step_size": 1e-4,
                    "noise": 1e-2,
                    "initial": start,
                    "times": (3000.0,),
                },
                "final_excess_risk",
                slope * 1e-6,
                rtol=1e-3,
                source="Goldt et al., NeurIPS 2019, arXiv:1906.08632",
            )
        )
    return found


system = System(
    SYSTEM,
    title="One-pass SGD of two-layer networks",
    axes={
        "width": Integer("hidden units of the student", low=1, symbol="p"),
        "teacher_width": Integer("hidden units of the teacher", low=1, symbol="k"),
        "step_size": Real(
            "step size, as it stands in the update", low=0, open="low", symbol=r"\gamma"
        ),
        "noise": Real("variance of the label noise", low=0, default=0.0, symbol=r"\Delta"),
        "activation": Choice(*CODES, description="units of the student", default="erf"),
        "teacher_activation": Choice(
            "same",
            *CODES,
            description="units of the teacher; `same` as those of the student",
            default="same",
        ),
        "second_layer": Choice(
            "fixed",
            "trained",
            description="second layer of the student: ones, or trained from ones",
            default="fixed",
        ),
        "limit": Choice(
            "high_dimensional",
            "gradient_flow",
            "mean_field",
            "finite_dimension",
            description="dimension to infinity at fixed step size; step size to 0 as well; the "
            "overlaps that remain for width to infinity; all terms of a mean step at a dimension",
            default="high_dimensional",
        ),
        "initial": File(
            "start: random weights, or a file with the overlaps M (width, teacher_width), "
            "Q (width, width) and P (teacher_width, teacher_width)",
            names=("M", "Q", "P"),
            words=("random",),
            default="random",
            symbol=r"\Omega_0",
        ),
        "times": Sequence(
            "recorded times, step · step_size/(width · dimension)",
            dim="time",
            low=0.0,
            default=_DEFAULT_TIMES,
            symbol="t",
        ),
        "dimension": Integer("dimension of the input", low=1, symbol="d"),
        "seed": Integer("index of the instance", low=0, symbol="s"),
        "tolerance": Real(
            "relative accuracy of the excess risk",
            low=1e-13,
            high=1e-2,
            default=1e-8,
            symbol=r"\varepsilon",
        ),
        "integrator": Choice(
            "explicit",
            "implicit",
            description="Runge-Kutta of order 8, or the implicit Radau method for stiff equations",
            default="explicit",
        ),
        "max_steps": Integer(
            "most steps of the integrator", low=1, default=1_000_000, symbol="n_{max}"
        ),
    },
    observables={
        "excess_risk": Observable(
            "half the mean squared error, noise left out", r"R", dims=("time",)
        ),
        "final_excess_risk": Observable("excess risk at the last recorded time", r"R(t_\max)"),
        "student_overlap": Observable(
            "overlaps Q of the student's units", "Q", dims=("time", "unit", "unit_other")
        ),
        "teacher_overlap": Observable(
            "overlaps M of the student's with the teacher's units",
            "M",
            dims=("time", "unit", "teacher_unit"),
        ),
        "target_overlap": Observable(
            "overlaps P of the teacher's units", "P", dims=("teacher_unit", "teacher_unit_other")
        ),
        "second_layer_weights": Observable(
            "second layer of the student", "a", dims=("time", "unit")
        ),
        "escape_time": Observable(
            "time at which the excess risk has halved since its flattest stretch in log-time",
            r"t_\mathrm{esc}",
        ),
        "diverged_at": Observable(
            f"time at which a run that diverges passes {BOUND:g}", r"t_\mathrm{div}"
        ),
        "recorded_time": Observable(
            "time of the recorded state: the asked one, for a simulation that of the nearest step; "
            "a run that stopped early repeats its last state and the time of it",
            "t",
            dims=("time",),
        ),
    },
    source="Saad and Solla (1995); Goldt et al., arXiv:1906.08632; Veiga et al., arXiv:2202.00293",
    demo={
        "title": "Risk of a small student against time: equations and simulation",
        "fixed": {
            "width": 4,
            "teacher_width": 2,
            "noise": 0.01,
            "dimension": 200,
            "times": [round(0.1 * 10 ** (n / 8), 6) for n in range(25)],
        },
        "axes": {
            "activation": ["erf", "quadratic"],
            "step_size": [0.5, 2, 8],
            "seed": {"count": 4},
        },
        "methods": {"ode": {}, "sgd": {}},
        "thresholds": [],
        "figure": {"x": "time", "y": ["excess_risk"], "hue": "step_size"},
    },
    limits=_limits(),
)

GIVES = (
    "excess_risk",
    "final_excess_risk",
    "student_overlap",
    "teacher_overlap",
    "target_overlap",
    "second_layer_weights",
    "escape_time",
    "diverged_at",
    "recorded_time",
)
"""What both methods give."""


def units(activation: str, teacher_activation: str) -> tuple[str, str]:
    """Activations of student and teacher."""
    return activation, activation if teacher_activation == "same" else teacher_activation


def measured(
    student: np.ndarray,
    teacher: np.ndarray,
    target: np.ndarray,
    second: np.ndarray,
    *,
    times: np.ndarray,
    diverged_at: np.ndarray,
    units: tuple[str, str],
) -> dict[str, Any]:
    """Observables of Q, M, a (points, times, ...) and P (points, ...) at `times` (points, times).

    `diverged_at` is NaN where a run did not diverge; that and a missing plateau are told.
    """
    risk = excess_risk(student, teacher, target[:, None], second, units=units)
    left, why = escape_times(times, risk)
    gone = np.isfinite(diverged_at)
    words = [
        f"diverged at t = {time:.6g}; try a smaller step_size" if bad else reason
        for time, bad, reason in zip(diverged_at, gone, why, strict=True)
    ]
    return {
        "excess_risk": risk,
        "final_excess_risk": risk[:, -1],
        "student_overlap": student,
        "teacher_overlap": teacher,
        "target_overlap": target,
        "second_layer_weights": second,
        "escape_time": np.where(gone, np.nan, left),
        "diverged_at": diverged_at,
        "recorded_time": times,
        "message": words,
    }

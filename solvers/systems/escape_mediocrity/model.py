"""Declaration of the system: axes, observables, demo, and the values it must reproduce."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.axes import Choice, File, Integer, Real, Sequence, canonical_float
from solvers.contract import Limit, Observable, System
from solvers.systems.escape_mediocrity.moments import risk_of
from solvers.systems.escape_mediocrity.starts import SYSTEM

_DEFAULT_TIMES = tuple(canonical_float(n / 10) for n in range(41))
_PAPER = "Arnaboldi, Krzakala, Loureiro and Stephan, arXiv:2305.18502 (2023)"


def _annealed(*, width: int, ratio: float, noise: float, dimension: int, fraction: float) -> float:
    rate = 8 * (1 - ratio * (1 + 1 / width + 4 / width**2 + noise / 2))
    start = fraction * (width + 1) * dimension + (width + 1) * (1 - fraction)
    return math.log(start / (2 * width)) / rate


def _limits() -> list[Limit]:
    """Closed forms; the second member of each is computed here, without the solver."""
    found = []
    for width, step_size, noise, dimension, fraction in (
        (1, 0.05, 0.0, 500, 0.1),
        (4, 0.4, 0.5, 3000, 0.2),
    ):
        point = {
            "width": width,
            "step_size": step_size,
            "noise": noise,
            "dimension": dimension,
            "exit_fraction": fraction,
        }
        value = _annealed(
            width=width,
            ratio=step_size / width,
            noise=noise,
            dimension=dimension,
            fraction=fraction,
        )
        found.append(
            Limit(
                f"annealed exit time, {width} units",
                "exit_time",
                {**point, "average": "annealed"},
                "exit_time",
                value,
                source=_PAPER,
            )
        )
    # One unit, d -> ∞: E log B with B ~ Beta(1/2, (d-1)/2) gives log(2d) + γ_Euler for -E log B.
    found.append(
        Limit(
            "quenched exit time of one unit in high dimension",
            "exit_time",
            {
                "width": 1,
                "step_size": 0.05,
                "dimension": 10**9,
                "exit_fraction": 0.1,
                "average": "quenched",
            },
            "exit_time",
            (math.log(0.1 * 2e9) + 0.5772156649015329) / 5.6,
            rtol=1e-6,
            source="derived: ψ(1/2) = -γ - 2 log 2",
        )
    )
    # One unit, small steps: dm/dt = 4 m (1 - m²), so logit(m²) grows as 8 t and R = 2 (1 - m²).
    start = {"M": [0.05], "Q": [[1.0]]}
    square = 0.05**2
    passed = 0.3 + 0.7 * square
    found.append(
        Limit(
            "one unit at vanishing step size follows a logistic curve",
            "ode",
            {
                "width": 1,
                "step_size": 1e-9,
                "dimension": 100,
                "initial": start,
                "exit_fraction": 0.3,
                "times": (0.0, 1.0, 2.0),
                "seed": 0,
            },
            "exit_time",
            (math.log(passed / (1 - passed)) - math.log(square / (1 - square))) / 8,
            rtol=1e-7,
            source="derived",
        )
    )
    # One unit that has learnt, small γΔ: 4 (1 - m²) = 2 γΔ and R = 2 (1 - m²).
    found.append(
        Limit(
            "stationary risk of one unit at small step size",
            "ode",
            {
                "width": 1,
                "step_size": 1e-4,
                "noise": 1e-2,
                "dimension": 100,
                "initial": {"M": [0.9], "Q": [[1.0]]},
                "times": (5.0,),
                "seed": 0,
            },
            "final_risk",
            1e-6,
            rtol=1e-3,
            source="derived",
        )
    )
    return found


system = System(
    SYSTEM,
    title="Escape from mediocrity: phase retrieval by spherical SGD",
    axes={
        "width": Integer("hidden units of the student", low=1, symbol="p"),
        "step_size": Real(
            "step size; the update carries step_size/(width · dimension)",
            low=0,
            open="low",
            symbol=r"\gamma",
        ),
        "noise": Real("variance of the label noise", low=0, default=0.0, symbol=r"\Delta"),
        "dimension": Integer("dimension of the input", low=2, symbol="d"),
        "exit_fraction": Real(
            "share of the initial risk that is lost at the exit",
            low=0,
            high=1,
            open="both",
            default=0.1,
            symbol="T",
        ),
        "average": Choice(
            "annealed",
            "quenched",
            description="formula at the mean random start, or averaged over random starts",
            default="quenched",
            symbol=r"\langle t_{\mathrm{exit}}\rangle",
        ),
        "draws": Integer(
            "random starts that the quenched average is taken over, at width >= 2",
            low=2,
            high=10**7,
            default=4096,
            symbol="n",
            when={"average": ("quenched",)},
            otherwise=2,
        ),
        "initial": File(
            "start: random unit vectors, or a file with overlaps M (width) and Q (width, width)",
            names=("M", "Q"),
            words=("random",),
            default="random",
            symbol=r"\Omega_0",
        ),
        "times": Sequence(
            "recorded times, step · step_size/(width · dimension); the run ends with the last",
            dim="time",
            low=0.0,
            default=_DEFAULT_TIMES,
            symbol="t",
        ),
        "time_step": Real(
            "Euler-Maruyama step, in units of time",
            low=1e-7,
            high=1.0,
            default=0.002,
            symbol=r"\delta t",
        ),
        "after_exit": Choice(
            "continue",
            "stop",
            description="whether a run goes on to the last recorded time after its exit",
            default="continue",
        ),
        "seed": Integer("index of the instance", low=0, symbol="s"),
        "tolerance": Real(
            "relative accuracy of the risk",
            low=1e-13,
            high=1e-2,
            default=1e-8,
            symbol=r"\varepsilon",
        ),
        "max_steps": Integer(
            "most steps of the integrator", low=1, default=100_000, symbol="n_{max}"
        ),
    },
    observables={
        "exit_time": Observable(
            "first time at which the risk is (1 - exit_fraction) of the initial one",
            r"t_{\mathrm{exit}}",
        ),
        "diffusive_exit_time": Observable(
            "exit time with the diffusion of SGD at the start, for large dimension",
            r"t_{\mathrm{exit}}^{\mathrm{diff}}",
        ),
        "escape_rate": Observable(
            "growth rate of the squared overlaps with the teacher at the start", r"\Lambda"
        ),
        "standard_error": Observable(
            "statistical error of the average over starts; 0 where it is an integral", r"\sigma_t"
        ),
        "risk": Observable("half the mean squared error, noise left out", "R", dims=("time",)),
        "final_risk": Observable("risk at the last recorded time", r"R(t_{\max})"),
        "student_overlap": Observable(
            "overlaps of the student's units", "q", dims=("time", "unit", "unit_other")
        ),
        "teacher_overlap": Observable(
            "overlaps of the student's units with the teacher", "m", dims=("time", "unit")
        ),
        "recorded_time": Observable(
            "time of the recorded state: the asked one, or that of the nearest step; a run that "
            "stopped early repeats its last state and the time of it",
            "t",
            dims=("time",),
        ),
    },
    source=_PAPER,
    demo={
        "title": "Escape from mediocrity: equations with and without noise, and SGD",
        "fixed": {
            "dimension": 200,
            "noise": 0,
            "exit_fraction": 0.2,
        },
        "axes": {"width": [1, 3]},
        "methods": {
            "exit_time": {
                "step_size": [0.02, 0.06, 0.15, 0.6],
                "average": ["annealed", "quenched"],
            },
            "ode": {
                "step_size": [0.02, 0.06],
                "seed": {"count": 6},
                "times": [round(0.1 * n, 3) for n in range(26)],
            },
            "sde": {
                "step_size": [0.02, 0.06],
                "seed": {"count": 6},
                "times": [round(0.1 * n, 3) for n in range(26)],
            },
            "sgd": {
                "step_size": [0.02, 0.06],
                "seed": {"count": 6},
                "times": [round(0.1 * n, 3) for n in range(26)],
            },
        },
        "thresholds": [],
        "figure": {"x": "time", "y": ["risk"], "hue": "width"},
    },
    limits=_limits(),
)

GIVES = ("exit_time", "risk", "final_risk", "student_overlap", "teacher_overlap", "recorded_time")
"""What the three kinds of runs give."""


def measured(student: np.ndarray, teacher: np.ndarray) -> dict[str, Any]:
    """Observables of overlaps Q (points, times, p, p) and m (points, times, p)."""
    risk = risk_of(student, teacher)
    return {
        "risk": risk,
        "final_risk": risk[:, -1],
        "student_overlap": student,
        "teacher_overlap": teacher,
    }


def unexited(times: np.ndarray) -> list[str]:
    """What is said of points whose run ended at `times`; empty where it is not finite: it left."""
    return [
        f"no exit before t = {time:.6g}; ask later times, or a smaller step_size if the start is "
        "stable (escape_rate of exit_time not positive)"
        if np.isfinite(time)
        else ""
        for time in times
    ]

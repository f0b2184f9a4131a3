"""Declaration of the system: axes, observables, demo, and the values it must reproduce."""

from __future__ import annotations

import math

from solvers.axes import Choice, Integer, Real, Sequence, canonical_float
from solvers.contract import Limit, Observable, System
from solvers.systems.single_index.links import LINKS
from solvers.systems.single_index.units import SYSTEM

_DEFAULT_TIMES = tuple(canonical_float(10 ** (n / 8)) for n in range(-16, 9))


def _limits() -> list[Limit]:
    """Recovery without noise for γ -> 0, where the flow is elementary.

    m' = 1-m², 2m(1-m²), 3m²(1-m²): t = atanh m, log(m/√(1-m²))/2, (atanh m - 1/m)/3. From 0.1 to
    0.8, in steps t d/γ_d; the γ term changes them by O(γ).
    """
    low, high = 0.1, 0.8
    forms = {
        "hermite1": lambda m: math.atanh(m),
        "hermite2": lambda m: 0.5 * math.log(m / math.sqrt(1 - m * m)),
        "hermite3": lambda m: (math.atanh(m) - 1 / m) / 3,
    }
    return [
        Limit(
            f"gradient flow of {link}",
            "flow",
            {
                "link": link,
                "dimension": 1000,
                "step_size": 1e-9,
                "step_scaling": "constant",
                "noise": 0.0,
                "start": "fixed",
                "start_overlap": low,
                "threshold": high,
                "times": (1.0,),
            },
            "recovery_steps",
            (form(high) - form(low)) * 1000 / 1e-9,
            rtol=1e-6,
            source="elementary integral of the population drift of Ben Arous, Gheissari and "
            "Jagannath, J. Mach. Learn. Res. 22 (2021)",
        )
        for link, form in forms.items()
    ]


_DEMO = {"link": ["hermite1", "hermite2", "hermite3"]}
_DEMO_FIT = {"dimension": 20, "span": 5, "sizes": 4}
_DEMO_TIMES = [1, 2, 5, 10, 20, 50, 100]
_DEMO_LAYERS = {
    "width": 8,
    "degree": 2,
    "epsilon": [0.1, 10],
    "times": [canonical_float(10 ** (n / 6)) for n in range(-12, 5)],
}

THEORY_DIMENSION = Integer(
    "dimension: of the start, the step size and the unit of time", low=4, high=10**9, symbol="d"
)
"""Equations know the dimension only through these, so that it may be as large as you like."""

system = System(
    SYSTEM,
    title="Single-index models: time of weak recovery",
    axes={
        "link": Choice(*LINKS, description="link function of target and student"),
        "dimension": Integer("dimension of the input", low=4, symbol="d"),
        "step_size": Real(
            "step size: the update carries step_size/dimension, times dimension^(-(k-2)/2) where "
            "step_scaling says so",
            low=0,
            open="low",
            symbol=r"\gamma",
        ),
        "step_scaling": Choice(
            "matched",
            "constant",
            description="whether the step size falls as dimension^(-(k-2)/2) for exponents k >= 3",
            default="matched",
        ),
        "noise": Real("variance of the label noise", low=0, default=0.0, symbol=r"\Delta"),
        "start": Choice(
            "half_sphere",
            "sphere",
            "fixed",
            description="start: random with positive overlap, random, or with a given overlap",
            default="half_sphere",
        ),
        "start_overlap": Real(
            "overlap of the start",
            low=-1,
            high=1,
            open="both",
            symbol="m_0",
            when={"start": ("fixed",)},
            otherwise=0.0,
        ),
        "quantile": Real(
            "quantile of the law of the start", low=0, high=1, open="both", default=0.5, symbol="q"
        ),
        "threshold": Real(
            "absolute overlap that counts as weak recovery",
            low=0,
            high=1,
            open="both",
            default=0.5,
            symbol=r"\theta",
        ),
        "times": Sequence(
            "recorded steps in units of n(d): d, d log d, d^(k-1) for exponent (or leap) 1, 2, k",
            dim="time",
            low=0.0,
            default=_DEFAULT_TIMES,
            symbol=r"\tau",
        ),
        "after_recovery": Choice(
            "continue",
            "stop",
            description="whether a run goes on to the last recorded time after its recovery",
            default="continue",
        ),
        "span": Real(
            "largest over smallest dimension of a fit", low=2, high=1e6, default=10.0, symbol="r"
        ),
        "sizes": Integer("dimensions of a fit", low=3, high=100, default=5, symbol="n_d"),
        "runs": Integer(
            "runs of each dimension of a fit", low=4, high=10**6, default=32, symbol="n_r"
        ),
        "leap": Integer("leap of the staircase", low=1, high=3, symbol="L"),
        "width": Integer("hidden units of the student", low=1, symbol="p"),
        "degree": Integer(
            "highest Hermite degree of target and student", low=1, high=4, default=3, symbol="K"
        ),
        "epsilon": Real(
            "speed of the second layer over that of the first",
            low=0,
            open="low",
            symbol=r"\epsilon",
        ),
        "interaction": Choice(
            "mean_field",
            "finite_width",
            description="units overlap through the target alone (width to infinity), or as they do",
            default="mean_field",
        ),
        "seed": Integer("index of the instance", low=0, symbol="s"),
        "tolerance": Real(
            "relative accuracy of the overlaps",
            low=1e-13,
            high=1e-2,
            default=1e-8,
            symbol=r"\varepsilon",
        ),
        "max_steps": Integer(
            "most steps of the integrator", low=1, default=20_000, symbol="n_{max}"
        ),
    },
    observables={
        "overlap": Observable("overlap with the target direction", "m", dims=("time",)),
        "start_value": Observable("overlap of the start", "m(0)"),
        "recovery_steps": Observable(
            "first step with |overlap| >= threshold; of the last direction of a staircase", "T"
        ),
        "recovery_alpha": Observable("recovery_steps / dimension", "T/d"),
        "recovery_time": Observable("recovery_steps in units of n(d)", "T/n(d)"),
        "recorded_time": Observable(
            "time of the recorded state: the asked one, or that of the nearest step; a run that "
            "stopped early repeats its last state and the time of it",
            r"\tau",
            dims=("time",),
        ),
        "exponent": Observable(
            "power of the dimension in recovery_steps: local (flow) or of a fit", r"\nu"
        ),
        "exponent_error": Observable("standard error of the exponent", r"\sigma_\nu"),
        "reduced_exponent": Observable(
            "power of the dimension in recovery_steps/n(d); same error", r"\nu'"
        ),
        "typical_time": Observable("geometric mean of recovery_time over the fit", r"T/n(d)"),
        "chi2": Observable("chi-squared of the fit of the exponent", r"\chi^2"),
        "first_overlap": Observable(
            "overlap of the first unit with the first direction", "m_{11}", dims=("time",)
        ),
        "second_overlap": Observable(
            "overlap of the second unit with the second direction", "m_{22}", dims=("time",)
        ),
        "first_recovery_steps": Observable("first step with |m_11| >= threshold", "T_1"),
        "components": Observable(
            "learned Hermite coefficients over the target's",
            r"c_j/\varphi_j",
            dims=("time", "hermite_degree"),
        ),
        "component_times": Observable(
            "first recorded or interpolated time with component 1/2; null if none",
            "t_j",
            dims=("hermite_degree",),
        ),
        "diverged_at": Observable(
            "time at which the prediction error or second layer of a run that diverges passes 1e8",
            r"t_\mathrm{div}",
        ),
        "risk": Observable("half the mean squared error, noise left out", "R", dims=("time",)),
        "final_risk": Observable("risk at the last recorded time", r"R(t_{\max})"),
    },
    source="Ben Arous, Gheissari and Jagannath, J. Mach. Learn. Res. 22 (2021); Berthier, "
    "Montanari and Zhou, arXiv:2303.00055; Abbe, Boix-Adserà and Misiakiewicz, COLT 2022 and 2023",
    demo={
        "title": "Weak recovery of a single direction: population flow and SGD",
        "fixed": {"noise": 0.1, "step_size": 0.02},
        "axes": {},
        "methods": {
            "flow": {**_DEMO, "dimension": [25, 50, 100, 200], "times": _DEMO_TIMES},
            "chain": {
                **_DEMO,
                "dimension": [25, 50, 100, 200],
                "times": _DEMO_TIMES,
                "after_recovery": "stop",
                "seed": {"count": 8},
            },
            "sgd": {
                **_DEMO,
                "dimension": [25, 50, 100],
                "times": _DEMO_TIMES,
                "after_recovery": "stop",
                "seed": {"count": 4},
            },
            "fitted_flow": {**_DEMO, **_DEMO_FIT},
            "fitted_chain": {**_DEMO, **_DEMO_FIT, "runs": 8, "seed": 0},
            "staircase": {"leap": [1, 2], "dimension": [50, 100], "times": _DEMO_TIMES},
            "staircase_sgd": {
                "leap": [1, 2],
                "dimension": [50, 100],
                "times": _DEMO_TIMES,
                "seed": {"count": 4},
            },
            "two_time_scales": {**_DEMO_LAYERS, "interaction": ["mean_field", "finite_width"]},
            "two_time_scales_sgd": {
                **_DEMO_LAYERS,
                "dimension": 100,
                "seed": {"count": 2},
                "epsilon": [0.1, 10, 1e6],  # beyond stability
            },
        },
        "thresholds": [],
        "figure": {"x": "dimension", "y": ["recovery_time"], "hue": "link", "statistic": "median"},
    },
    limits=_limits(),
)

RUN_GIVES = (
    "overlap",
    "start_value",
    "recorded_time",
    "recovery_steps",
    "recovery_alpha",
    "recovery_time",
)
"""What the simulations of one unit give."""

FIT_GIVES = ("exponent", "exponent_error", "reduced_exponent", "typical_time", "chi2")
"""What a fit over dimensions gives."""

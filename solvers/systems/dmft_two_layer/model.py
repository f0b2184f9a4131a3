"""Declaration of the system: axes, observables, demo, and the values it must reproduce."""

from __future__ import annotations

from typing import Any

from solvers.axes import Choice, Integer, Real
from solvers.contract import Limit, Observable, System
from solvers.systems.dmft_two_layer.units import ACTIVATIONS

SYSTEM = "dmft_two_layer"

_SAMPLED: dict[str, Any] = {"when": {"activation": ("erf", "tanh", "relu")}}
"""Axes of the Monte Carlo over paths, which linear units do without."""

ERRORS = (
    "training_loss_error",
    "test_loss_error",
    "teacher_overlap_error",
    "student_overlap_error",
    "second_layer_weights_error",
)
GIVES = (
    "training_loss",
    "test_loss",
    "teacher_overlap",
    "student_overlap",
    "second_layer_weights",
)
"""What both methods give."""

_UNITS = ("step", "unit", "unit_other")
_TEACHER = ("step", "unit", "teacher_unit")
_KERNEL = ("step", "step_other", "unit", "unit_other")

system = System(
    SYSTEM,
    title="Full-batch gradient descent of two-layer networks",
    axes={
        "alpha": Real("samples per dimension", low=0, open="low", symbol=r"\alpha"),
        "width": Integer("hidden units of the student", low=1, default=1, symbol="p"),
        "teacher_width": Integer("hidden units of the teacher", low=1, default=1, symbol="k"),
        "step_size": Real(
            "step size, as it stands in the update", low=0, open="low", symbol=r"\eta"
        ),
        "noise": Real("variance of the label noise", low=0, default=0.0, symbol=r"\Delta"),
        "momentum": Real(
            "share of the last displacement that a step repeats (heavy ball)",
            low=0,
            high=1,
            open="high",
            default=0.0,
            symbol=r"\beta",
        ),
        "weight_decay": Real(
            "every trained weight is multiplied by 1 - step_size · weight_decay in a step",
            low=0,
            default=0.0,
            symbol=r"\lambda",
        ),
        "activation": Choice(
            *ACTIVATIONS, description="units of student and teacher", default="erf"
        ),
        "second_layer": Choice(
            "fixed",
            "trained",
            description="second layer of the student: ones, or trained from ones",
            default="fixed",
        ),
        "steps": Integer("steps of gradient descent", low=0, default=20, symbol="T"),
        "initial_scale": Real(
            "standard deviation of the student's first weights",
            low=0,
            default=1.0,
            symbol=r"\rho_0",
        ),
        "dimension": Integer("dimension of the input", low=1, symbol="d"),
        "seed": Integer("index of the instance", low=0, symbol="s"),
        "precision": Choice(
            "double",
            "single",
            description="floating-point numbers of the simulation",
            default="double",
        ),
        "paths": Integer(
            "paths of the fields in each randomisation, a power of two",
            low=1,
            default=8192,
            otherwise=1,
            symbol="n_p",
            **_SAMPLED,
        ),
        "randomisations": Integer(
            "independent randomisations of the paths, of which standard errors are taken",
            low=1,
            default=8,
            otherwise=1,
            symbol="n_r",
            **_SAMPLED,
        ),
        "scramble": Integer(
            "index of the set of randomisations",
            low=0,
            default=0,
            otherwise=0,
            symbol="s_r",
            **_SAMPLED,
        ),
    },
    observables={
        "training_loss": Observable(
            "half the mean squared error on the noisy labels of the samples",
            r"L_\mathrm{train}",
            dims=("step",),
        ),
        "test_loss": Observable(
            "half the mean squared error on fresh inputs, noise left out",
            r"L_\mathrm{test}",
            dims=("step",),
        ),
        "teacher_overlap": Observable(
            "overlaps of the student's with the teacher's units", "M", dims=_TEACHER
        ),
        "student_overlap": Observable("overlaps of the student's units", "Q", dims=_UNITS),
        "second_layer_weights": Observable(
            "second layer of the student", "a", dims=("step", "unit")
        ),
        "training_loss_error": Observable(
            "standard error of the training loss", r"\sigma(L_\mathrm{train})", dims=("step",)
        ),
        "test_loss_error": Observable(
            "standard error of the test loss", r"\sigma(L_\mathrm{test})", dims=("step",)
        ),
        "teacher_overlap_error": Observable(
            "standard error of the overlaps with the teacher", r"\sigma(M)", dims=_TEACHER
        ),
        "student_overlap_error": Observable(
            "standard error of the overlaps of the student", r"\sigma(Q)", dims=_UNITS
        ),
        "second_layer_weights_error": Observable(
            "standard error of the second layer", r"\sigma(a)", dims=("step", "unit")
        ),
        "gradient_response": Observable(
            "response of the gradient of a sample at `step` to its field at `step_other`: "
            "α E[∂F_t/∂r_s], F_t = -(step_size/p) (f - y) a σ'(z_t)",
            "A",
            dims=_KERNEL,
        ),
        "weight_response": Observable(
            "response of a weight at `step` to its gradient at `step_other`: E[∂w_t/∂q_s]",
            "B",
            dims=_KERNEL,
        ),
    },
    source="Lovig, For the love of message passing (2025), with its slips corrected; Celentano, "
    "Cheng and Montanari, arXiv:2112.07572",
    demo={
        "title": "Losses of full-batch gradient descent: theory and simulation",
        "fixed": {"width": 2, "noise": 0.1, "initial_scale": 0.5, "steps": 10},
        "axes": {"activation": ["linear", "erf"], "step_size": 0.5, "alpha": [1, 3]},
        "methods": {
            "dmft": {"paths": 512, "randomisations": 4},
            "gradient_descent": {"dimension": 200, "seed": {"count": 4}},
        },
        "thresholds": [],
        "figure": {"x": "step", "y": ["test_loss", "training_loss"], "hue": "alpha"},
    },
    limits=[],
)
_ = Limit

"""Declaration of the system: axes, observables, demo, and the values it must reproduce."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from solvers.axes import Choice, Integer, Real
from solvers.contract import Limit, Observable, System
from solvers.systems.dmft_two_layer.units import ACTIVATIONS

SYSTEM = "dmft_two_layer"

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
    "final_training_loss",
    "final_test_loss",
    "teacher_overlap",
    "student_overlap",
    "second_layer_weights",
)
"""What both methods give."""

_UNITS = ("step", "unit", "unit_other")
_TEACHER = ("step", "unit", "teacher_unit")
_KERNEL = ("step", "step_other", "unit", "unit_other")


def _limits() -> list[Limit]:
    """Values of linear units from the moments and the resolvent of X^T X.

    Entries have variance 1/d, so that tr (X^T X)^j / d is alpha, alpha + alpha², ... for j = 1, 2,
    and g(λ) = tr (X^T X + λ)^(-1) / d solves λ g² + (λ + alpha - 1) g = 1. One step from 0 leaves
    w - w* = -(1 - η X^T X) w* + η X^T √Δ ξ; weight decay ends in ridge regression,
    1/2 [λ² tr (X^T X + λ)^(-2) + Δ tr X^T X (X^T X + λ)^(-2)] / d.
    """
    alpha, eta, noise, decay = 2.0, 0.25, 0.1, 0.5
    linear = {"activation": "linear", "alpha": alpha, "noise": noise, "initial_scale": 0.0}
    one = 1.0 - 2.0 * eta * alpha + eta**2 * (alpha + alpha**2) + noise * eta**2 * alpha
    middle = decay + alpha - 1.0
    root = math.sqrt(middle**2 + 4.0 * decay)
    resolvent = (root - middle) / (2.0 * decay)
    slope = -(resolvent**2 + resolvent) / root
    ridge = -(decay**2) * slope + noise * (resolvent + decay * slope)
    source = "Marchenko and Pastur, Math. USSR Sb. 1, 457 (1967); derived here"
    return [
        Limit(
            "one step of linear regression",
            "dmft",
            {**linear, "step_size": eta, "steps": 1},
            "final_test_loss",
            0.5 * one,
            rtol=1e-12,
            source=source,
        ),
        Limit(
            "weight decay ends in ridge regression",
            "dmft",
            {**linear, "step_size": eta, "weight_decay": decay, "steps": 120},
            "final_test_loss",
            0.5 * ridge,
            rtol=1e-9,
            source=source,
        ),
    ]


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
            "paths of the fields in each randomisation, a power of two (linear units need none)",
            low=1,
            default=8192,
            symbol="n_p",
        ),
        "randomisations": Integer(
            "independent randomisations of the paths, of which standard errors are taken",
            low=1,
            default=8,
            symbol="n_r",
        ),
        "scramble": Integer(
            "index of the set of randomisations",
            low=0,
            default=0,
            symbol="s_r",
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
        "final_training_loss": Observable(
            "training loss after the last step", r"L_\mathrm{train}(T)"
        ),
        "final_test_loss": Observable("test loss after the last step", r"L_\mathrm{test}(T)"),
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
        "fixed": {"width": 2, "noise": 0.1, "initial_scale": 0.5, "steps": 10, "step_size": 0.5},
        "axes": {"activation": ["linear", "erf", "relu"], "alpha": [1, 3]},
        "methods": {
            "dmft": {"paths": 512, "randomisations": 4},
            "gradient_descent": {"dimension": 200, "seed": {"count": 4}},
        },
        "thresholds": [],
        "figure": {"x": "step", "y": ["test_loss", "training_loss"], "hue": "alpha"},
    },
    limits=_limits(),
)


def final(answer: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The losses after the last step."""
    return {f"final_{name}": answer[name][:, -1] for name in ("training_loss", "test_loss")}

"""Declaration of the system: axes, observables, demo, and the values it must reproduce."""

from __future__ import annotations

import math

from solvers.axes import Choice, File, Integer, Real, Sequence, canonical_float
from solvers.contract import Limit, Observable, System
from solvers.systems.infinite_width.activations import ACTIVATIONS
from solvers.systems.infinite_width.criticality import CLASSES, PHASES

_DEFAULT_TIMES = tuple(canonical_float(10 ** (n / 4)) for n in range(-8, 13))
_BOOK = "Roberts, Yaida and Hanin, The Principles of Deep Learning Theory (2022), chapter 5"


def _limits() -> list[Limit]:
    def kernel(name, activation, c_w, layer, observable, value, **kwargs):
        point = {"activation": activation, "c_w": c_w, "depth": layer, "angle": 0.0}
        return Limit(name, "kernels", point, observable, value, **kwargs)

    critical = {
        "swish": (0.55514317, 1.98800468, 14.32017362),
        "gelu": (0.17292239, 1.98305826, None),
        "relu": (0.0, 2.0, None),
        "tanh": (0.0, 1.0, 0.0),
        "erf": (0.0, math.pi / 4, 0.0),
    }
    found = [
        kernel("relu keeps the norm at C_W = 2", "relu", 2.0, 7, "final_nngp", 2.0),
        kernel("tangent kernel of critical relu: Θ = l (1 + 1)", "relu", 2.0, 5, "final_ntk", 10.0),
        kernel("critical linear kernel", "linear", 1.0, 9, "final_nngp", 1.0),
    ]
    for activation, numbers in critical.items():
        names = ("critical_c_b", "critical_c_w", "fixed_kernel")
        found += [
            Limit(
                f"criticality of {activation}",
                "criticality",
                {"activation": activation},
                name,
                value,
                rtol=1e-7,
                source=_BOOK,
            )
            for name, value in zip(names, numbers, strict=True)
            if value is not None
        ]
    return found


system = System(
    "infinite_width",
    title="Wide networks: kernels, criticality, training",
    axes={
        "activation": Choice(*ACTIVATIONS, description="activation function"),
        "depth": Integer("number of layers of preactivations", low=1, symbol="L"),
        "c_b": Real("variance of a bias", low=0, default=0.0, symbol="C_b"),
        "c_w": Real("variance of a weight times the fan-in", low=0, open="low", symbol="C_W"),
        "lambda_b": Real(
            "learning rate of a bias in units of the step size",
            low=0,
            default=1.0,
            symbol=r"\lambda_b",
        ),
        "lambda_w": Real(
            "learning rate of a weight times the fan-in, in units of the step size",
            low=0,
            default=1.0,
            symbol=r"\lambda_W",
        ),
        "inputs": File(
            "a pair of inputs of one norm at an angle, or a file with one row an input",
            names=("inputs",),
            words=("pair",),
            default="pair",
            symbol="x",
        ),
        "norm": Real(
            "norm |x|/√n_0 of the inputs of the pair",
            low=0,
            open="low",
            default=1.0,
            symbol=r"|x|/\sqrt{n_0}",
            when={"inputs": ("pair",)},
            otherwise=1.0,
        ),
        "angle": Real(
            "angle between the inputs of the pair",
            low=0,
            high=canonical_float(math.pi),
            default=canonical_float(math.pi / 3),
            symbol=r"\theta",
            unit="rad",
            when={"inputs": ("pair",)},
            otherwise=0.0,
        ),
        "dataset": File(
            "training inputs and targets (a row each) and test inputs: eight training and nine "
            "test inputs on a circle with the target cos θ, or a file",
            names=("train_inputs", "targets", "test_inputs"),
            words=("circle",),
            default="circle",
        ),
        "algorithm": Choice(
            "gradient_flow",
            "gradient_descent",
            description="flow, its time in units of one step of size 1, or steps of a finite size",
            default="gradient_flow",
        ),
        "step_size": Real(
            "step size of gradient descent, on the summed loss",
            low=0,
            open="low",
            symbol=r"\eta",
            when={"algorithm": ("gradient_descent",)},
            otherwise=1.0,
        ),
        "times": Sequence(
            "recorded times; for gradient descent numbers of steps, rounded to whole ones",
            dim="time",
            low=0.0,
            default=_DEFAULT_TIMES,
            symbol="t",
        ),
    },
    observables={
        "nngp": Observable(
            "covariance of the preactivations of every layer",
            "K",
            dims=("layer", "input", "input_other"),
        ),
        "ntk": Observable(
            "tangent kernel of every layer", r"\Theta", dims=("layer", "input", "input_other")
        ),
        "chi_parallel": Observable(
            "growth of a perturbation of the kernel", r"\chi_\parallel", dims=("layer", "input")
        ),
        "chi_perp": Observable(
            "growth of a perturbation of the input across it",
            r"\chi_\perp",
            dims=("layer", "input"),
        ),
        "final_nngp": Observable("kernel of the first input in the last layer", "K^{(L)}"),
        "final_ntk": Observable(
            "tangent kernel of the first input in the last layer", r"\Theta^{(L)}"
        ),
        "critical_c_b": Observable("critical variance of the biases", "C_b"),
        "critical_c_w": Observable("critical variance of the weights", "C_W"),
        "fixed_kernel": Observable("kernel at which deep layers stay", "K^*"),
        "universality_class": Observable("universality class of the activation", labels=CLASSES),
        "fixed_correlation": Observable("correlation at which pairs of inputs stay", "c^*"),
        "fixed_chi_parallel": Observable("susceptibility at the fixed point", r"\chi_\parallel"),
        "fixed_chi_perp": Observable("susceptibility at the fixed point", r"\chi_\perp"),
        "phase": Observable("whether inputs that differ a little come together", labels=PHASES),
        "mean": Observable(
            "mean of the trained outputs", "m", dims=("time", "test_input", "output")
        ),
        "covariance": Observable(
            "covariance of a trained output between test inputs",
            r"\Sigma",
            dims=("time", "test_input", "test_input_other"),
        ),
        "variance": Observable(
            "variance of the trained outputs", r"\Sigma", dims=("time", "test_input")
        ),
        "final_mean": Observable(
            "mean of the outputs at infinite time", r"m_\infty", dims=("test_input", "output")
        ),
        "final_variance": Observable(
            "variance of the outputs at infinite time", r"\Sigma_\infty", dims=("test_input",)
        ),
        "stable_step_size": Observable(
            "step size up to which gradient descent converges", r"2/\theta_\max"
        ),
    },
    source="Neal (1996); Jacot et al., NeurIPS 2018; Roberts, Yaida and Hanin, arXiv:2106.10165",
    demo={
        "title": "Kernels over depth at criticality and beside it",
        "axes": {"activation": ["relu", "tanh"], "c_w": [0.9, 1.0, 2.0]},
        "methods": {
            "kernels": {"depth": 10},
            "criticality": {},
            "fixed_point": {"c_b": [0.0, 0.1]},
            "trained": {"depth": 3, "algorithm": "gradient_flow", "times": [0.1, 1, 10]},
        },
        "thresholds": [],
        "figure": {"x": "layer", "y": ["nngp"], "hue": "c_w"},
    },
    limits=_limits(),
)

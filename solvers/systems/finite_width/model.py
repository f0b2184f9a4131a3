"""Declaration of the system: axes, observables, demo, and the values it must reproduce."""

from __future__ import annotations

import math

from solvers.axes import Choice, File, Integer, Real, canonical_float
from solvers.contract import Limit, Observable, System
from solvers.systems.finite_width import ensemble_declarations
from solvers.systems.infinite_width.model import system as infinite_width

_TWO = ("input_1", "input_2")
_FOUR = ("input_1", "input_2", "input_3", "input_4")


_BOOK = "Roberts, Yaida and Hanin (2022), chapters 4, 8, 9"


def _tensor(description: str, symbol: str, dims: tuple[str, ...] = _FOUR) -> Observable:
    return Observable(description, symbol, dims=("layer", *dims), folded=dims)


def _limits() -> list[Limit]:
    def vertices(statement, activation, c_w, depth, observable, value, **further):
        point = {"activation": activation, "c_w": c_w, "depth": depth, **further.pop("at", {})}
        return Limit(statement, "vertices", point, observable, value, source=_BOOK, **further)

    erf = {"activation": "erf", "c_w": canonical_float(math.pi / 4)}
    return [
        vertices("critical relu: V = 5 (l - 1) K^2", "relu", 2.0, 9, "vertex_ratio", 40.0),
        vertices("critical linear: V = 2 (l - 1) K^2", "linear", 1.0, 9, "vertex_ratio", 16.0),
        vertices("tanh: V/K^2 grows by 2/3", "tanh", 1.0, 91, "vertex_ratio", 60.0, rtol=0.05),
        vertices("sin: V/K^2 grows by 2/3", "sin", 1.0, 91, "vertex_ratio", 60.0, rtol=0.02),
        vertices(
            "linear tangent kernel of two layers: 2 K^2 and 2 Θ^2 over (2 Θ)^2",
            *("linear", 1.0, 2, "ntk_ratio", (2.0 + 2.0 * 4.0) / 16.0),
        ),
        Limit(
            "relu at finite width",
            "scale_invariant",
            {"activation": "relu", "c_w": 2.0, "depth": 3, "width": 10},
            "exact_vertex_ratio",
            10.0 * (1.5**2 - 1.0),
            source=_BOOK,
        ),
        Limit(
            "coupling of critical relu: 5 (L - 1)/width",
            "effective_coupling",
            {"activation": "relu", "c_w": 2.0, "depth": 11, "width": 100},
            "coupling",
            0.5,
            source=_BOOK,
        ),
        Limit("erf rates go as 1/l", "learning_rates", {**erf, "depth": 3}, "rate_exponent", 1.0),
    ]


def _projector(words: str, symbol: str) -> Observable:
    dims = ("train_1", "train_2", "train_3", "train_4")
    return Observable(f"algorithm projector: {words}", symbol, dims=dims)


system = System(
    "finite_width",
    title="Wide networks: first corrections in depth/width",
    axes={
        **{
            name: infinite_width.axes[name]
            for name in ("activation", "depth", "c_b", "c_w", "lambda_b", "lambda_w")
        },
        "inputs": File(
            "one input of a given norm, or a file with one row an input",
            names=("inputs",),
            words=("single",),
            default="single",
            symbol="x",
        ),
        "norm": Real(
            "norm |x|/√n_0 of the single input",
            low=0,
            open="low",
            default=1.0,
            symbol=r"|x|/\sqrt{n_0}",
            when={"inputs": ("single",)},
            otherwise=1.0,
        ),
        "width": Integer("units of every hidden layer", low=2, symbol="n"),
        "dataset": File(
            "training inputs and targets (a row each) and test inputs: two training inputs and "
            "one between them, or a file",
            names=("train_inputs", "targets", "test_inputs"),
            words=("pair",),
            default="pair",
        ),
        "algorithm": Choice(
            "gradient_flow",
            "gradient_descent",
            description="gradient flow, or full-batch steps of a finite size",
            default="gradient_flow",
        ),
        "step_size": infinite_width.axes["step_size"],
        **ensemble_declarations.AXES,
    },
    observables={
        "G": _tensor("kernel K at infinite width", "K", _TWO),
        "G1": _tensor("first correction of the kernel, times the width", "G^{(1)}", _TWO),
        "H": _tensor("mean tangent kernel at infinite width", r"\Theta", _TWO),
        "H1": _tensor("first correction of the mean tangent kernel", "H^{(1)}", _TWO),
        "V": _tensor("four-point vertex: connected four-point function times the width", "V"),
        "A": _tensor("covariance of tangent kernels, each within one unit", "A"),
        "B": _tensor("covariance of tangent kernels, each between the same two units", "B"),
        "D": _tensor("covariance of a tangent kernel and outputs, each within one unit", "D"),
        "F": _tensor("covariance of a tangent kernel and outputs between the same units", "F"),
        "P": _tensor("dNTK against the output of the unit differentiated twice", "P"),
        "Q": _tensor("dNTK against the output of a unit differentiated once", "Q"),
        "R": _tensor("mean of the first ddNTK", "R"),
        "S": _tensor("mean of the second ddNTK, Hessians of one unit", "S"),
        "T": _tensor("mean of the second ddNTK, each Hessian with its own gradient", "T"),
        "U": _tensor("mean of the second ddNTK, each Hessian with the other gradient", "U"),
        "vertex_ratio": Observable(
            "four-point vertex of the first input in the last layer over its kernel squared",
            "V/K^2",
        ),
        "ntk_ratio": Observable(
            "width times the relative variance of the tangent kernel of the first input in the "
            "last layer",
            r"(A + 2B)/\Theta^2",
        ),
        "coupling": Observable("four-point vertex over width and kernel squared", "V/(n K^2)"),
        "ntk_coupling": Observable(
            "relative variance of the tangent kernel", r"(A + 2B)/(n \Theta^2)"
        ),
        "dntk_coupling": Observable(
            "change of the tangent kernel while it learns", r"Q/(n \Theta^2)"
        ),
        "depth_over_width": Observable("depth over width", "L/n"),
        "exact_vertex": Observable(
            "four-point vertex of scale-invariant units at this width", "V_n", dims=("layer",)
        ),
        "exact_vertex_ratio": Observable("the same over K^2, in the last layer", "V_n/K^2"),
        "bias_rate": Observable(
            "learning rate of the biases of a layer, for equal contributions",
            r"\lambda_b^{(l)}",
            dims=("layer",),
        ),
        "weight_rate": Observable(
            "learning rate of the weights of a layer, for equal contributions",
            r"\lambda_W^{(l)}",
            dims=("layer",),
        ),
        "bias_share": Observable(
            "share of the biases of a layer in the tangent kernel, with one rate for all",
            dims=("layer",),
        ),
        "weight_share": Observable(
            "share of the weights of a layer in the tangent kernel, with one rate for all",
            dims=("layer",),
        ),
        "rate_exponent": Observable("power of depth in the equivalent rates", r"p_\perp"),
        "mean": Observable(
            "mean of the trained outputs at infinite width", "m", dims=("test_input", "output")
        ),
        "variance": Observable(
            "variance of the trained outputs at infinite width", r"\Sigma", dims=("test_input",)
        ),
        "mean_correction": Observable(
            "width times the first correction of that mean",
            "m^{(1)}",
            dims=("test_input", "output"),
        ),
        "variance_correction": Observable(
            "width times the first correction of that variance",
            r"\Sigma^{(1)}",
            dims=("test_input", "output"),
        ),
        "Z_A": _projector("steps after steps", "Z_A"),
        "Z_B": _projector("steps after steps and within them", "Z_B"),
        "stable_step_size": Observable(
            "step size up to which gradient descent converges", r"2/\theta_\max"
        ),
        **ensemble_declarations.OBSERVABLES,
    },
    source="Roberts, Yaida and Hanin, The Principles of Deep Learning Theory (2022), "
    "arXiv:2106.10165, chapters 4, 8, 11 and infinity",
    demo={
        "title": "Growth of the four-point vertex with depth",
        "axes": {"activation": ["relu", "tanh"], "c_w": [1.0, 2.0]},
        "methods": {
            "vertices": {"depth": 10},
            "effective_coupling": {"depth": [2, 10], "width": [100, 1000]},
            "scale_invariant": {"activation": ["relu", "linear"], "depth": 10, "width": [10, 100]},
            "learning_rates": {"depth": 10},
            "trained": {
                "activation": ["sin", "erf"],
                "depth": 2,
                "algorithm": "gradient_descent",
                "step_size": [0.1, 0.2],
            },
            **ensemble_declarations.DEMO,
        },
        "thresholds": [],
        "figure": {"x": "layer", "y": ["V"], "hue": "c_w"},
    },
    limits=[*_limits(), *ensemble_declarations.LIMITS],
)

"""Depth over width: effective couplings, the exact law of scale-invariant units, learning rates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.axes import Choice, Real
from solvers.contract import Cost, Status
from solvers.systems.finite_width.model import system
from solvers.systems.finite_width.recursion import layers
from solvers.systems.finite_width.theory import ending
from solvers.systems.infinite_width import recursion as infinite
from solvers.systems.infinite_width.activations import ACTIVATIONS

Array = np.ndarray
_NORM = {
    "norm": Real(
        "norm |x|/√n_0 of the input", low=0, open="low", default=1.0, symbol=r"|x|/\sqrt{n_0}"
    )
}
_GROWTH = {"linear": 2.0, "relu": 5.0}


@system.theory(
    version=1,
    gives=("coupling", "ntk_coupling", "dntk_coupling", "depth_over_width"),
    shares=("depth",),
    axes=_NORM,
    cost=Cost(
        flops=lambda *, depth, **_: depth * 2e6,
        memory=lambda *, depth, **_: 8 * depth * 20 + 2**16,
        shared_memory=lambda **_: 2**24,
    ),
)
def effective_coupling(
    *,
    activation: str,
    depth: int,
    width: Array,
    c_b: Array,
    c_w: Array,
    lambda_b: Array,
    lambda_w: Array,
    norm: Array,
) -> dict[str, Any]:
    """First corrections in the last layer of one input, relative to infinite width.

    `coupling` is V/(width K²), a third of the excess kurtosis of the output; `ntk_coupling` is
    (A + 2B)/(width Θ²), the relative variance of the tangent kernel; `dntk_coupling` is
    Q/(width Θ²), how much the tangent kernel turns while it learns. At criticality all grow as
    depth/width, elsewhere exponentially in depth. Where one of them passes about 1 the expansion in
    1/width says nothing: networks are too deep for their width.

    Symbols, accuracy and what does not exist are those of `vertices`.
    """
    rates = {"c_b": c_b, "c_w": c_w, "lambda_b": lambda_b, "lambda_w": lambda_w}
    found = layers(activation, (norm**2)[:, None, None], depth=depth, rates=rates)
    status, message = ending(activation, found, depth)
    if activation == "relu":  # nothing here asks for R, S, T, U
        message = np.where(status == Status.CONVERGED, "", message)
    last = {name: tensor[:, -1].reshape(len(c_b)) for name, tensor in found.tensors.items()}
    return {
        "coupling": last["V"] / last["G"] ** 2 / width,
        "ntk_coupling": (last["A"] + 2.0 * last["B"]) / last["H"] ** 2 / width,
        "dntk_coupling": last["Q"] / last["H"] ** 2 / width,
        "depth_over_width": depth / width,
        "status": status,
        "steps": depth,
        "residual": 0.0,
        "message": message,
    }


@system.exact(
    version=1,
    gives=("exact_vertex", "exact_vertex_ratio"),
    shares=("depth",),
    size="width",
    axes={
        "activation": Choice("linear", "relu", description="scale-invariant activation"),
        **_NORM,
    },
    cost=Cost(flops=lambda *, depth, **_: 10 * depth, memory=lambda *, depth, **_: 24 * depth + 64),
)
def scale_invariant(
    *, activation: str, depth: int, width: Array, c_w: Array, norm: Array
) -> dict[str, Any]:
    r"""The four-point vertex of one input at finite width, without biases, to all orders.

    Given the layers before, preactivations are Gaussian with the variance Ĝ^(l), which moves as
    Ĝ^(l+1) = Ĝ^(l) (C_W/width) Σ_j σ(g_j)² with g_j ~ N(0, 1): for relu σ² has mean 1/2 and mean
    square 3/2, so that E Ĝ² gains (C_W/2)² (1 + 5/width) a layer; a linear unit C_W² (1 + 2/width).
    Hence

        V^(l) = width (E Ĝ² - (E Ĝ)²) = width [(1 + r/width)^{l-1} - 1] K²,   r = 5 (relu), 2.

    It grows exponentially in depth/width; `vertices` has its first order r (l - 1) K².
    """
    number = np.arange(depth)[None, :]
    gain = c_w / (2.0 if activation == "relu" else 1.0)
    with np.errstate(over="ignore"):
        kernel = (c_w * norm**2)[:, None] * gain[:, None] ** number
        ratio = width[:, None] * np.expm1(number * np.log1p(_GROWTH[activation] / width)[:, None])
        vertex = ratio * kernel**2
    finite = np.isfinite(vertex).all(axis=1)
    return {
        "exact_vertex": vertex,
        "exact_vertex_ratio": ratio[:, -1],
        "status": np.where(finite, Status.CONVERGED, Status.NOT_FINITE),
        "steps": depth,
        "residual": 0.0,
    }


@system.theory(
    version=1,
    gives=("bias_rate", "weight_rate", "bias_share", "weight_share", "rate_exponent"),
    shares=("depth",),
    axes=_NORM,
    cost=Cost(
        flops=lambda *, depth, **_: depth * 1e5,
        memory=lambda *, depth, **_: 8 * depth * 12 + 2**12,
        shared_memory=lambda **_: 2**22,
    ),
)
def learning_rates(
    *,
    activation: str,
    depth: int,
    c_b: Array,
    c_w: Array,
    lambda_b: Array,
    lambda_w: Array,
    norm: Array,
) -> dict[str, Any]:
    r"""Rates λ_b^(l), λ_W^(l) with which every layer contributes equally to the tangent kernel.

    With one rate for all layers, layer l contributes (of one input, at infinite width)

        λ_b Π_{l<=m<L} χ_⊥^(m)  and  λ_W g^(l-1) Π_{l<=m<L} χ_⊥^(m),   g^(0) = |x|²/n_0, g = ⟨σσ⟩,

    to Θ^(L), the sum of all. `bias_share` and `weight_share` are these, divided by Θ^(L); they show
    which layers learn. The rates that make all biases, and all weights, contribute the same are

        λ_b^(l) = λ_b/(L Π χ_⊥),     λ_W^(l) = λ_W g^(0)/(L g^(l-1) Π χ_⊥),

    normalised so that Θ^(L) = λ_b + λ_W g^(0) at every depth: the first layer's, and the same step
    size is then stable for deep and shallow networks. (Weights have 1/fan-in besides, which makes
    widths equivalent.)

    `rate_exponent` is p of Π χ_⊥ ~ (l/L)^p at criticality: 0 for scale-invariant units (all λ/L),
    and where kernels vanish as 1/l, p = b/a with a = σ_3/σ_1 + 3/4 (σ_2/σ_1)², b = σ_3/σ_1 +
    (σ_2/σ_1)² of the derivatives at zero: λ_b^(l) ~ L^{p-1}/l^p, λ_W^(l) ~ (L/l)^{p-1}, that is 1/l
    and constant for odd units such as tanh. It is null where there is no such class (source:
    section 9.4) and does not ask whether (c_b, c_w) is critical.

    Source: Roberts, Yaida and Hanin (2022), section 9.4. No solution for a step (χ_⊥ infinite).
    """
    found = infinite.layers(
        activation,
        (norm**2)[:, None, None],
        depth=depth,
        c_b=c_b,
        c_w=c_w,
        lambda_b=lambda_b,
        lambda_w=lambda_w,
    )
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        perp = found.chi_perp[:, :, 0]
        onward = np.ones((len(c_b), depth))
        onward[:, :-1] = np.cumprod(perp[:, -2::-1], axis=1)[:, ::-1]
        signal = np.empty((len(c_b), depth))
        signal[:, 0] = norm**2
        signal[:, 1:] = (found.nngp[:, 1:, 0, 0] - c_b[:, None]) / c_w[:, None]
        bias, weight = lambda_b[:, None] * onward, lambda_w[:, None] * signal * onward
        total = (bias + weight).sum(axis=1, keepdims=True)
        answer = {
            "bias_rate": lambda_b[:, None] / (depth * onward),
            "weight_rate": (lambda_w * norm**2)[:, None] / (depth * signal * onward),
            "bias_share": bias / total,
            "weight_share": weight / total,
        }
    fine = np.all([np.isfinite(a).all(axis=1) for a in answer.values()], axis=0)
    status = np.where(fine, Status.CONVERGED, Status.DIVERGED)
    text = "" if activation != "step" else "the slope of a step is not square integrable"
    if activation == "step" and depth > 1:
        status = np.full(len(c_b), Status.NO_SOLUTION)
    return {
        **answer,
        "rate_exponent": np.full(len(c_b), _rate_exponent(activation)),
        "status": status,
        "steps": depth,
        "residual": 0.0,
        "message": np.where(fine, "", text or "kernels or susceptibilities leave the real numbers"),
    }


def _rate_exponent(activation: str) -> float:
    facts = ACTIVATIONS[activation]
    if facts.homogeneous:
        return 0.0
    value, first, second, third = facts.at_zero
    if value != 0.0 or math.isnan(first):
        return math.nan
    a = third / first + 0.75 * (second / first) ** 2
    b = third / first + (second / first) ** 2
    return b / a if a < 0.0 else math.nan

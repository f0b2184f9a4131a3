"""The methods of the theory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.axes import FileContent
from solvers.contract import Cost, Status
from solvers.systems.finite_width.model import system
from solvers.systems.finite_width.recursion import (
    FOUR_INDICES,
    LARGEST,
    TWO_INDICES,
    Layers,
    layers,
)
from solvers.systems.infinite_width.recursion import gram

Array = np.ndarray
_CLOSED = ("linear", "sin", "relu", "step")
_NODES = {1: 1e3, 2: 1e4, 3: 2e5, 4: 4e6}


def products_of(inputs: str | FileContent, norm: Array) -> Array:
    """x_a·x_b/n_0 at every point."""
    if isinstance(inputs, str):
        return (norm**2)[:, None, None]
    own = gram(inputs["inputs"])
    return np.broadcast_to(own, (len(norm), *own.shape))


def layer_flops(activation: Any, count: int) -> Any:
    """Flops of the averages of one layer for so many inputs."""
    rules = sum(math.comb(count, k) * nodes for k, nodes in _NODES.items()) * 100.0
    closed = 1e6 * math.comb(count + 3, 4) + 2e3 * count**4
    return np.where(np.isin(activation, _CLOSED), closed, rules + 2e3 * count**4)


def _count(inputs: str | FileContent) -> int:
    return 1 if isinstance(inputs, str) else len(inputs["inputs"])


def check_inputs(**axes: Any) -> None:
    """Inputs are rows of a matrix."""
    inputs = axes["inputs"]
    if isinstance(inputs, FileContent) and (
        inputs["inputs"].ndim != 2 or inputs["inputs"].size == 0
    ):
        raise ValueError(
            f"inputs: the array has shape {inputs['inputs'].shape}; allowed: one row an input, "
            "(inputs, entries)"
        )


def ending(activation: str, found: Layers, depth: int) -> tuple[Array, Array]:
    """Status and sentence of every point."""
    texts = []
    columns = (found.ended.tolist(), found.vanished.tolist(), found.resolved.tolist())
    for ended, vanished, resolved in zip(*columns, strict=True):
        text = ""
        if ended:
            text = f"the kernel passes {LARGEST:g} in layer {ended}: nothing is told from there on"
        elif vanished:
            text = (
                f"a kernel is zero in layer {vanished}: its fields sit on the kink of {activation}"
            )
        elif not resolved:
            text = "kernels are so large that averages over several inputs are not resolved"
        elif activation == "step" and depth > 1:
            text = "a step has no tangent kernel at equal inputs: only G, G1 and V exist"
        elif activation == "relu" and depth > 1:
            text = "R, S, T and U are infinite where relu's second derivative, a delta, is squared"
        texts.append(text)
    status = np.where(found.resolved, Status.CONVERGED, Status.UNDECIDED)
    status = np.where(found.vanished > 0, Status.NO_SOLUTION, status)
    status = np.where(found.ended > 0, Status.DIVERGED, status)
    return status, np.array(texts, dtype=object)


@system.theory(
    version=1,
    gives=(*TWO_INDICES, *FOUR_INDICES, "vertex_ratio", "ntk_ratio"),
    shares=("depth",),
    check=check_inputs,
    cost=Cost(
        flops=lambda *, activation, depth, inputs, **_: (
            depth * (layer_flops(activation, _count(inputs)) + 1e6)
        ),
        memory=lambda *, depth, inputs, **_: 8 * depth * 15 * _count(inputs) ** 4 + 2**16,
        shared_memory=lambda **_: 2**24,
    ),
)
def vertices(
    *,
    activation: str,
    depth: int,
    c_b: Array,
    c_w: Array,
    lambda_b: Array,
    lambda_w: Array,
    inputs: str | FileContent,
    norm: Array,
) -> dict[str, Any]:
    r"""All tensors of first order in 1/width, in every layer: the coefficients of 1/width.

    All hidden layers have the same width n. With z_ia the preactivation of unit i at input a in a
    layer, H_ij,ab its tangent kernel, ΔH = H - E H, and dH, d_I dH, d_II dH as in (3) of
    docs/theory/finite_width.md, to first order in 1/n (first preactivation = layer 1, whose
    tensors vanish):

        E z_ia z_jb             = δ_ij (G + G1/n)_ab            E H_ij,ab = δ_ij (H + H1/n)_ab
        E z_ia z_jb z_kc z_ld   = Gauss + [δ_ij δ_kl V_abcd + δ_ik δ_jl V_acbd + δ_il δ_jk V_adbc]/n
        E ΔH_ij,ab ΔH_kl,cd     = [δ_ij δ_kl A_abcd + δ_ik δ_jl B_acbd + δ_il δ_jk B_adbc]/n
        E z_ia z_jb ΔH_kl,cd    = [δ_ij δ_kl D_abcd + δ_ik δ_jl F_acbd + δ_il δ_jk F_adbc]/n
        E dH_ijk,abc z_ld       = [δ_il δ_jk P_abcd + δ_ij δ_kl Q_abcd + δ_ik δ_jl Q_acbd]/n
        E d_I dH_ijkl,abcd      = [δ_ij δ_kl R_abcd + δ_ik δ_lj R_acdb + δ_il δ_jk R_adbc]/n
        E d_II dH_ijkl,abcd     = [δ_ij δ_kl S_abcd + δ_ik δ_lj T_acdb + δ_il δ_jk U_adbc]/n

    Shapes: (points, depth, inputs, inputs) for G, G1, H and H1 and (points, depth, inputs x 4) for
    the others, indices in the order in which they are written here. With one input all are one
    number a layer, and are printed so.

    `vertex_ratio` is V/K², `ntk_ratio` (A + 2B)/Θ², n times the relative variance of one diagonal
    entry of the tangent kernel, both of the first input in the last layer.

    Accuracy 1e-10 relative (closed forms, quadrature of one or two inputs), 1e-8 with averages over
    three and four. Status undecided where kernels are too large for the rules of several inputs
    (tanh: K > 400 for two, 20 for three, 5 for four inputs that are linearly independent).

    For relu, σ'' is a delta function: P and Q are exact with it, as limits of smooth networks; R,
    S, T and U are infinite (nan) where σ'' is squared at one place. A step has G, G1 and V, and H
    between inputs that differ. Of both nothing is told (no_solution) from a layer with a kernel of
    zero on. Status diverged where a kernel passes 1e60; later layers are nan.
    """
    rates = {"c_b": c_b, "c_w": c_w, "lambda_b": lambda_b, "lambda_w": lambda_w}
    found = layers(activation, products_of(inputs, norm), depth=depth, rates=rates)
    last = {x: t[:, -1].reshape(len(c_b), -1)[:, 0] for x, t in found.tensors.items()}
    status, message = ending(activation, found, depth)
    with np.errstate(invalid="ignore"):
        ratios = {
            "vertex_ratio": last["V"] / last["G"] ** 2,
            "ntk_ratio": (last["A"] + 2.0 * last["B"]) / last["H"] ** 2,
        }
    return {
        **found.tensors,
        **ratios,
        "status": status,
        "steps": depth,
        "residual": 0.0,
        "message": message,
    }

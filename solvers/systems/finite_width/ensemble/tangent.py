r"""Kernels and tangent kernels of finite networks, layer by layer, and the tensors they give.

With s = σ(z_j), s' = σ'(z_j) of layer l of one network, M_ab,jk = s'_ja Ĥ_jk,ab s'_kb, and width n,

    Ĝ_ab = C_b + C_W/n Σ_j s_ja s_jb           covariance of the next preactivations, given layer l
    ĥ_ab = λ_b + λ_W/n Σ_j s_ja s_jb + C_W/n Σ_j M_ab,jj     mean of Ĥ^(l+1)_ii,ab, given layer l
    Ĥ^(l+1)_ab = δ_ij (λ_b + λ_W/n Σ s_a s_b) + W M_ab W^T.

Given layer l the units of layer l+1 are independent, so that averages over W^(l+1) and b^(l+1) are
taken by Wick's theorem instead of by sampling, at any width: with averages over networks,

    V_1234 = n Cov(Ĝ_12, Ĝ_34)    A_1234 = n Cov(ĥ_12, ĥ_34)    D_1234 = n Cov(Ĝ_12, ĥ_34)
    B_1324 = C_W²/n E Σ_jk M_12,jk M_34,jk          F_1324 = C_W²/n E Σ_jk s_j1 M_34,jk s_k2

(eqs. 4, 5 and 8 of docs/theory/finite_width.md; the first two indices of B and F belong to one
unit). As the width grows they tend to the tensors of the theory, differing by O(1/n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from solvers.systems.finite_width.ensemble.networks import chunks, host, raw_layer
from solvers.systems.finite_width.ensemble.units import derivatives

Array = np.ndarray


@dataclass(frozen=True)
class Point:
    """Parameters of one point, and its inputs (n, n_0)."""

    c_b: float
    c_w: float
    lambda_b: float
    lambda_w: float
    inputs: Array


@dataclass
class Sums:
    """What is kept of the networks of one point."""

    kernel: Array
    """Ĝ of every network, (networks, depth, n, n)"""
    tangent: Array
    """ĥ, of the same shape"""
    between: Array
    """Sum over networks of the terms of B, (depth, n, n, n, n)"""
    crossed: Array
    """Sum over networks of the terms of F"""

    @classmethod
    def empty(cls, networks: int, depth: int, n: int) -> Sums:
        """Before any network."""
        return cls(
            np.zeros((networks, depth, n, n)),
            np.zeros((networks, depth, n, n)),
            np.zeros((depth, n, n, n, n)),
            np.zeros((depth, n, n, n, n)),
        )


def measure(
    points: list[Point],
    *,
    activation: str,
    depth: int,
    width: int,
    networks: int,
    seed: int,
    xp: Any,
) -> list[Sums]:
    """Run all points on the same networks, a chunk at a time."""
    n = len(points[0].inputs)
    sums = [Sums.empty(networks, depth, n) for _ in points]
    for start, stop in chunks(networks, width * width * (2 + n * (n + 1))):
        drawn = {"seed": seed, "width": width, "start": start, "stop": stop, "xp": xp}
        states = [_first(point, drawn) for point in points]
        for point, own in zip(points, sums, strict=True):
            size = point.inputs.shape[1]
            products = point.inputs @ point.inputs.T / size
            own.kernel[start:stop, 0] = point.c_b + point.c_w * products
            own.tangent[start:stop, 0] = point.lambda_b + point.lambda_w * products
        for layer in range(1, depth):
            last = layer == depth - 1
            raw = None if last else raw_layer(layer=layer + 1, fan_in=width, **drawn)
            for at, (point, own) in enumerate(zip(points, sums, strict=True)):
                states[at] = _step(
                    states[at], point, own, raw, slice(start, stop), layer, activation, xp
                )
    return sums


def _first(point: Point, drawn: dict[str, Any]) -> tuple[Any, dict]:
    """Preactivations (networks, width, n) and tangent kernels of the first layer."""
    xp, inputs = drawn["xp"], drawn["xp"].asarray(point.inputs.T)
    size = inputs.shape[0]
    bias, weight = raw_layer(layer=1, fan_in=size, **drawn)
    fields = math.sqrt(point.c_b) * bias + math.sqrt(point.c_w / size) * (weight @ inputs)
    unit = xp.eye(weight.shape[1])[None]
    products = point.inputs @ point.inputs.T / size
    tangent = {
        (a, b): (point.lambda_b + point.lambda_w * float(products[a, b])) * unit
        for a, b in product(range(inputs.shape[1]), repeat=2)
        if a <= b
    }
    return fields, tangent


def _step(state, point, own, raw, where, layer, activation, xp) -> tuple[Any, dict]:
    """Record layer + 1, and move there with the parameters `raw` (unless they are None)."""
    fields, tangent = state
    width, n = fields.shape[1:]
    signal, slope = derivatives(activation, fields, 1, xp)
    overlap = xp.matrix_transpose(signal) @ signal / width
    through = {
        (a, b): slope[:, :, a, None] * h * slope[:, None, :, b] for (a, b), h in tangent.items()
    }
    traced = {
        pair: xp.sum(slope[:, :, pair[0]] * slope[:, :, pair[1]] * xp.linalg.diagonal(h), axis=1)
        for pair, h in tangent.items()
    }
    for (a, b), trace in traced.items():
        value = point.lambda_b + point.lambda_w * overlap[:, a, b] + point.c_w / width * trace
        own.tangent[where, layer, a, b] = own.tangent[where, layer, b, a] = host(value)
    own.kernel[where, layer] = host(point.c_b + point.c_w * overlap)

    def pair(a: int, b: int) -> Any:
        return through[a, b] if a <= b else xp.matrix_transpose(through[b, a])

    scale = (point.c_w / width) ** 2
    for a, b, c, d in product(range(n), repeat=4):
        same = {(a, b, c, d), (b, a, d, c), (c, d, a, b), (d, c, b, a)}
        if (a, b, c, d) == min(same):
            value = scale * float(xp.sum(pair(a, c) * pair(b, d)))
            for indices in same:
                own.between[(layer, *indices)] += value
    for (b, d), m in through.items():
        moved = scale * host(xp.sum(xp.matrix_transpose(signal) @ (m @ signal), axis=0))
        own.crossed[layer, :, b, :, d] += moved
        if b != d:
            own.crossed[layer, :, d, :, b] += moved.T
    if raw is None:
        return state
    bias, normal = raw
    weight = math.sqrt(point.c_w / width) * normal
    back = xp.matrix_transpose(weight)
    unit = xp.eye(width)[None]
    following = {
        (a, b): (point.lambda_b + point.lambda_w * overlap[:, a, b])[:, None, None] * unit
        + weight @ m @ back
        for (a, b), m in through.items()
    }
    return math.sqrt(point.c_b) * bias + weight @ signal, following


def tensors(sums: Sums, width: int) -> dict[str, Array]:
    """The tensors of one point from its networks, each (depth, n, n) or (depth, n, n, n, n)."""
    networks = len(sums.kernel)
    kernel, tangent = sums.kernel.mean(axis=0), sums.tangent.mean(axis=0)

    def covariance(first: Array, second: Array) -> Array:
        return np.einsum("mlab,mlcd->labcd", first, second) * (width / (networks - 1))

    move, turn = sums.kernel - kernel, sums.tangent - tangent
    return {
        "G": kernel,
        "H": tangent,
        "V": covariance(move, move),
        "A": covariance(turn, turn),
        "D": covariance(move, turn),
        "B": sums.between * (width / networks),
        "F": sums.crossed * (width / networks),
    }

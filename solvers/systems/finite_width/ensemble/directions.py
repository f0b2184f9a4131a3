r"""Derivatives of a network along its own gradients: dNTK and ddNTK without any large tensor.

For one input, let v_u = λ ∇z_u be the direction in which gradient descent moves output u (λ is λ_b
for a bias and λ_W/fan-in for a weight). Then

    dĤ_{i u w} = ∂_u ∂_w z_i,    dd_I Ĥ_{i u w v} = ∂_u ∂_w ∂_v z_i,    ∂_u along v_u,
    dd_II Ĥ_{i j u w} = λ-product of the changes of ∇z_i along v_u and of ∇z_j along v_w.

v_u is of rank one in every layer, δ^u s^T with the back-propagated δ^u, so that each costs as much
as a forward or backward pass. With s_k the signals, c_k = λ_b + λ_W |s_{k-1}|²/fan-in, · the
product of vectors over fan-in, and dots the derivatives along u, w, v:

    ż_k = W ṡ_{k-1} + c_k δ^u          ṡ = σ' ż
    z̈_k = W s̈_{k-1} + λ_W Σ δ^u (s·ṡ^w)      s̈ = σ'' ż ż + σ' z̈         (sums over the choices of u)
    z⃛_k = W s⃛_{k-1} + λ_W Σ δ^u (s·s̈^wv)     s⃛ = σ''' żżż + σ'' Σ ż z̈ + σ' z⃛
    δ̇^u_k = σ'' ż^w ⊙ W^T δ^u_{k+1} + σ' ⊙ (W^T δ̇^u_{k+1} + λ_W/n s_k (δ^w·δ^u)_{k+1})

**Tensors** (eqs. 3, 6 and 7 of docs/theory/finite_width.md) from the first units of a layer taken
as outputs, u != w, averages over networks, n the width:

    P = n E z_u dĤ_uww    Q = n E z_w dĤ_uuw    R = n E dd_I Ĥ_uuww
    S = n E dd_II Ĥ_uuww    T = n E dd_II Ĥ_uwuw    U = n E dd_II Ĥ_uwwu
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.systems.finite_width.ensemble.networks import chunks, raw_layer
from solvers.systems.finite_width.ensemble.tangent import Point
from solvers.systems.finite_width.ensemble.units import derivatives

Array = np.ndarray
LETTERS = ("P", "Q", "R", "S", "T", "U")
OUTPUTS = 4
"""Units of a layer that are taken as outputs."""


@dataclass(frozen=True)
class Network:
    """A chunk of networks at one input: weights, and σ and its derivatives, from layer 1 on."""

    weights: list[Any]
    """(networks, units, fan-in) of layers 1, 2, ..."""
    fields: list[Any]
    """(networks, units, 1)"""
    units: list[list[Any]]
    """[σ, σ', σ'', σ'''] at the fields; the first entry is the input, [(networks, n_0, 1)]"""
    lambda_b: float
    lambda_w: float


def measure(
    points: list[Point],
    *,
    activation: str,
    depth: int,
    width: int,
    networks: int,
    seed: int,
    xp: Any,
) -> list[dict[str, Array]]:
    """P, Q, R, S, T, U of every layer, (depth,) each, of every point on the same networks."""
    totals = [{letter: np.zeros(depth) for letter in LETTERS} for _ in points]
    for start, stop in chunks(networks, width * (width * (depth + 2) + 24 * OUTPUTS**2)):
        drawn = {"seed": seed, "width": width, "start": start, "stop": stop, "xp": xp}
        raw = [
            raw_layer(layer=k + 1, fan_in=width if k else points[0].inputs.shape[1], **drawn)
            for k in range(depth)
        ]
        for point, total in zip(points, totals, strict=True):
            network = _forward(point, raw, activation, xp)
            for layer in range(2, depth + 1):
                for letter, value in _one_layer(network, layer, xp).items():
                    total[letter][layer - 1] += value
    scale = width / networks
    return [{letter: scale * value for letter, value in total.items()} for total in totals]


def _forward(point: Point, raw: list, activation: str, xp: Any) -> Network:
    signal = xp.asarray(point.inputs.T)[None]
    weights, fields, units = [], [], [[signal]]
    for bias, normal in raw:
        weights.append(math.sqrt(point.c_w / normal.shape[2]) * normal)
        fields.append(math.sqrt(point.c_b) * bias + weights[-1] @ units[-1][0])
        units.append(derivatives(activation, fields[-1], 3, xp))
    return Network(weights, fields, units, point.lambda_b, point.lambda_w)


def _one_layer(network: Network, layer: int, xp: Any) -> dict[str, float]:
    """Sums over networks, averaged over pairs of outputs, with layer `layer` as the output."""
    count = min(OUTPUTS, network.fields[0].shape[1])
    firsts, seconds = (np.array(x) for x in zip(*_pairs(count), strict=True))
    first, second = xp.asarray(firsts), xp.asarray(seconds)
    # Directions: u = w, u != w; the third derivatives are along (u, w, w).
    all_u = xp.concat([xp.arange(count), first])
    all_w = xp.concat([xp.arange(count), second])
    weights = [*network.weights[: layer - 1], network.weights[layer - 1][:, :count]]
    back, raised = _backward(network, weights, count, xp)
    one: list[Any] = [None] * (layer + 1)  # ż of every layer
    pair: Any = None
    cube: Any = None
    signal_one = signal_two = signal_three = None
    for k in range(1, layer + 1):
        signal, delta = network.units[k - 1][0], back[k]
        fan = signal.shape[1]
        rate = network.lambda_w / fan
        field = (network.lambda_b + rate * xp.sum(signal * signal, axis=1, keepdims=True)) * delta
        pair, cube = 0.0 * delta[:, :, all_u], 0.0 * delta[:, :, first]
        if k > 1:
            w = weights[k - 1]
            along = rate * xp.sum(signal * signal_one, axis=1, keepdims=True)
            twice = rate * xp.sum(signal * signal_two, axis=1, keepdims=True)
            field = field + w @ signal_one
            pair = w @ signal_two + delta[:, :, all_u] * along[:, :, all_w]
            pair = pair + delta[:, :, all_w] * along[:, :, all_u]
            equal, mixed = twice[:, :, :count], twice[:, :, count:]
            cube = w @ signal_three + delta[:, :, first] * equal[:, :, second]
            cube = cube + 2.0 * delta[:, :, second] * mixed
        one[k] = field
        if k < layer:
            _, s1, s2, s3 = network.units[k]
            signal_one = s1 * field
            signal_two = s2 * field[:, :, all_u] * field[:, :, all_w] + s1 * pair
            u, w_ = field[:, :, first], field[:, :, second]
            equal, mixed = pair[:, :, :count][:, :, second], pair[:, :, count:]
            signal_three = s3 * u * w_ * w_ + s2 * (u * equal + 2.0 * w_ * mixed) + s1 * cube
    output = network.fields[layer - 1][:, :count, 0]
    which = xp.arange(len(firsts))
    p = output[:, first] * pair[:, first, second]
    q = output[:, second] * pair[:, first, count + which]
    found = {"P": p, "Q": q, "R": cube[:, first, which]}
    found |= _hessian_products(network, weights, back, raised, one, firsts, seconds, xp)
    return {letter: float(xp.sum(value)) / len(firsts) for letter, value in found.items()}


def _pairs(count: int) -> list[tuple[int, int]]:
    return [(u, w) for u in range(count) for w in range(count) if u != w]


def _backward(network: Network, weights: list, count: int, xp: Any) -> tuple[list, list]:
    """δ^u of layers 1 ... and W^T δ^u of the layer above, (networks, units, outputs) each."""
    layer = len(weights)
    back: list[Any] = [None] * (layer + 1)
    raised: list[Any] = [None] * (layer + 1)
    unit = xp.eye(count)[None]
    back[layer] = unit + xp.zeros((weights[-1].shape[0], 1, 1))
    for k in range(layer - 1, 0, -1):
        raised[k] = xp.matrix_transpose(weights[k]) @ back[k + 1]
        back[k] = network.units[k][1] * raised[k]
    return back, raised


def _hessian_products(network, weights, back, raised, one, firsts, seconds, xp) -> dict[str, Any]:
    """S, T, U of every network and pair of outputs, from the changes of ∇z_u along v_w."""
    layer, count = len(weights), back[-1].shape[2]
    # Column u·count + w: the gradient of z_u, changed along v_w.
    u, w = (xp.asarray(x.ravel()) for x in np.divmod(np.arange(count**2), count))
    uw = xp.asarray(firsts * count + seconds)
    wu = xp.asarray(seconds * count + firsts)
    uu, ww = xp.asarray(firsts * (count + 1)), xp.asarray(seconds * (count + 1))
    sums = dict.fromkeys("STU", 0.0)
    change = xp.zeros((back[layer].shape[0], count, count**2))
    for k in range(layer, 0, -1):
        if k < layer:
            _, s1, s2, _ = network.units[k]
            above = back[k + 1]
            inner = xp.sum(above[:, :, u] * above[:, :, w], axis=1, keepdims=True)
            rate = network.lambda_w / network.units[k][0].shape[1]
            change = s1 * (
                xp.matrix_transpose(weights[k]) @ change + rate * network.units[k][0] * inner
            )
            change = change + s2 * one[k][:, :, w] * raised[k][:, :, u]
        signal = network.units[k - 1][0]
        moved = network.units[k - 1][1] * one[k - 1] if k > 1 else None
        rate = network.lambda_w / signal.shape[1]
        square = xp.sum(signal * signal, axis=1)
        for letter, left, right in (("S", uw, uw), ("T", uu, ww), ("U", uw, wu)):
            a, b = change[:, :, left], change[:, :, right]
            both = xp.sum(a * b, axis=1)
            sums[letter] = sums[letter] + (network.lambda_b + rate * square) * both
            if moved is None:
                continue
            grad_a, grad_b = back[k][:, :, u[left]], back[k][:, :, u[right]]
            move_a, move_b = moved[:, :, w[left]], moved[:, :, w[right]]
            sums[letter] = sums[letter] + rate * (
                xp.sum(a * grad_b, axis=1) * xp.sum(signal * move_b, axis=1)
                + xp.sum(grad_a * b, axis=1) * xp.sum(move_a * signal, axis=1)
                + xp.sum(grad_a * grad_b, axis=1) * xp.sum(move_a * move_b, axis=1)
            )
    return sums

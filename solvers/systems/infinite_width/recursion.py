"""From layer to layer: kernels of the preactivations, tangent kernels and susceptibilities.

With g_ab = ⟨σ_a σ_b⟩ and ġ_ab = ⟨σ'_a σ'_b⟩ at the kernel of layer l (`averages`):

    K_ab^(1)   = C_b + C_W x_a·x_b/n_0         Θ_ab^(1)   = λ_b + λ_W x_a·x_b/n_0
    K_ab^(l+1) = C_b + C_W g_ab                Θ_ab^(l+1) = λ_b + λ_W g_ab + C_W ġ_ab Θ_ab^(l)

    χ_∥^(l) = C_W dg/dK = δK^(l+1)/δK^(l),     χ_⊥^(l) = C_W ġ     at equal inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.systems.infinite_width.averages import bend, pair

Array = np.ndarray
LARGEST = 1e100
"""Kernels beyond this are called infinite."""


@dataclass(frozen=True)
class Layers:
    """Kernels of every layer; those after a kernel passed `LARGEST` are infinite."""

    nngp: Array
    """K, (points, depth, inputs, inputs)"""
    ntk: Array
    """Θ, of the same shape"""
    chi_parallel: Array
    """(points, depth, inputs)"""
    chi_perp: Array


def gram(inputs: Array) -> Array:
    """x_a·x_b/n_0 of inputs (n, n_0), one row an input."""
    return inputs @ inputs.T / inputs.shape[1]


def layers(
    activation: str,
    products: Array,
    *,
    depth: int,
    c_b: Array,
    c_w: Array,
    lambda_b: Array,
    lambda_w: Array,
) -> Layers:
    """All layers for the products x_a·x_b/n_0, shape (points, n, n), and columns (points,)."""
    points, n = products.shape[:2]
    upper = np.triu_indices(n)
    bias, weight, rate_b, rate_w = (x[:, None, None] for x in (c_b, c_w, lambda_b, lambda_w))
    nngp = np.full((points, depth, n, n), np.inf)
    ntk = np.full_like(nngp, np.inf)
    parallel, perp = np.full((2, points, depth, n), np.inf)
    kernel, tangent = bias + weight * products, rate_b + rate_w * products
    alive = np.arange(points)
    for layer in range(depth):
        variance = np.einsum("paa->pa", kernel)
        keep = np.all(variance < LARGEST, axis=-1)
        alive, kernel, tangent, variance = alive[keep], kernel[keep], tangent[keep], variance[keep]
        if not len(alive):
            break
        nngp[alive, layer], ntk[alive, layer] = kernel, tangent
        value, slope = np.empty_like(kernel), np.empty_like(kernel)
        found = pair(
            activation, variance[:, upper[0]], variance[:, upper[1]], kernel[:, upper[0], upper[1]]
        )
        for full, part in zip((value, slope), found, strict=True):
            full[:, upper[0], upper[1]] = full[:, upper[1], upper[0]] = part
        own = np.einsum("paa->pa", slope)
        growing = np.zeros_like(own) if activation == "step" else own + bend(activation, variance)
        parallel[alive, layer] = c_w[alive, None] * growing
        perp[alive, layer] = c_w[alive, None] * own
        tangent = rate_b[alive] + rate_w[alive] * value + weight[alive] * slope * tangent
        kernel = bias[alive] + weight[alive] * value
    return Layers(nngp, ntk, parallel, perp)

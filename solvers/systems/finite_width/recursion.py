"""From layer to layer: kernels and the tensors of first order in 1/width."""

from __future__ import annotations

import numpy as np

from solvers.systems.finite_width.averages import averages

Array = np.ndarray
LARGEST = 1e100


def layers(activation: str, products: Array, *, depth: int, rates: dict[str, Array]):
    """Kernels and vertices of all layers for the products x_a·x_b/n_0, shape (points, n, n)."""
    bias, weight, rate_b, rate_w = (
        rates[x][:, None, None] for x in ("c_b", "c_w", "lambda_b", "lambda_w")
    )
    kernel, tangent = bias + weight * products, rate_b + rate_w * products
    points, n = kernel.shape[:2]
    vertex = np.zeros((points, n, n, n, n))
    kernels, tangents, vertices = [kernel], [tangent], [vertex]
    for _ in range(depth - 1):
        two, four = averages(activation, kernel, two=((0, 0), (2, 0), (1, 1)), four=((0, 0, 0, 0),))
        square = weight[:, :, :, None, None] ** 2
        g = two[0, 0]
        moved = _second(two[2, 0], two[1, 1], vertex)
        moved = _second(two[2, 0], two[1, 1], moved.transpose(0, 3, 4, 1, 2))
        connected = four[0, 0, 0, 0] - g[:, :, :, None, None] * g[:, None, None]
        vertex = square * (connected + 0.25 * moved.transpose(0, 3, 4, 1, 2))
        tangent = rate_b + rate_w * g + weight * two[1, 1] * tangent
        kernel = bias + weight * g
        kernels.append(kernel)
        tangents.append(tangent)
        vertices.append(vertex)
    return tuple(np.stack(found, axis=1) for found in (kernels, tangents, vertices))


def _second(bend: Array, slopes: Array, tensor: Array) -> Array:
    """Σ ⟨∂_a ∂_b σ_i σ_j⟩ tensor_ab.., on the first two of its input axes."""
    own = np.einsum("paa...->pa...", tensor)
    lift = (..., *[None] * (tensor.ndim - 3))
    return (
        bend[lift] * own[:, :, None]
        + bend.swapaxes(1, 2)[lift] * own[:, None]
        + 2.0 * slopes[lift] * tensor
    )

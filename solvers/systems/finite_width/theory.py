"""The methods of the theory."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import FileContent
from solvers.contract import Cost, Status
from solvers.systems.finite_width.model import system
from solvers.systems.finite_width.recursion import layers
from solvers.systems.infinite_width.recursion import gram

Array = np.ndarray


def products_of(inputs: str | FileContent, norm: Array) -> Array:
    """x_a·x_b/n_0 at every point."""
    if isinstance(inputs, str):
        return (norm**2)[:, None, None]
    own = gram(inputs["inputs"])
    return np.broadcast_to(own, (len(norm), *own.shape))


@system.theory(
    version=1,
    gives=("V", "H", "vertex_ratio"),
    shares=("depth",),
    cost=Cost(
        flops=lambda *, depth, **_: depth * 1e5, memory=lambda *, depth, **_: 8 * depth + 2**16
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
    """Vertices of every layer."""
    rates = {"c_b": c_b, "c_w": c_w, "lambda_b": lambda_b, "lambda_w": lambda_w}
    kernels, tangents, found = layers(
        activation, products_of(inputs, norm), depth=depth, rates=rates
    )
    return {
        "V": found,
        "H": tangents,
        "vertex_ratio": found[:, -1, 0, 0, 0, 0] / kernels[:, -1, 0, 0] ** 2,
        "status": Status.CONVERGED,
        "steps": depth,
        "residual": 0.0,
    }

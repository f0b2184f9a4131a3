r"""Gaussian averages of products of derivatives of the activation, of two and of four factors.

    two[a, b]        ⟨σ_i^(a) σ_j^(b)⟩                         shape (points, n, n)
    four[a, b, c, d] ⟨σ_i^(a) σ_j^(b) σ_k^(c) σ_l^(d)⟩         shape (points, n, n, n, n)

over preactivations z ~ N(0, K) of one unit at n inputs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from solvers.numerics.gaussian import bump_rule
from solvers.systems.finite_width.derivatives import derivative

Array = np.ndarray
Two = dict[tuple[int, int], Array]
Four = dict[tuple[int, int, int, int], Array]


def averages(
    name: str,
    kernel: Array,
    *,
    two: Iterable[tuple[int, int]],
    four: Iterable[tuple[int, int, int, int]],
) -> tuple[Two, Four]:
    """The averages asked for, at kernels (points, n, n)."""
    variance = kernel[:, 0, 0]
    width = 1.0 / np.sqrt(np.maximum(variance, 1.0))
    t, weight = bump_rule(0.0, width)
    field = np.sqrt(variance)[:, None] * t
    orders = sorted({o for pattern in (*two, *four) for o in pattern})
    values = {order: _derivative(name, order, field) for order in orders}

    def mean(pattern: tuple[int, ...]) -> Array:
        product = weight
        for order in pattern:
            product = product * values[order]
        return product.sum(axis=-1).reshape(-1, *[1] * len(pattern))

    return {p: mean(p) for p in two}, {p: mean(p) for p in four}


def _derivative(name: str, order: int, field: Array) -> Array:
    if name in ("relu", "step"):
        from solvers.systems.infinite_width.activations import slope, value

        # Second derivatives sit at z = 0, where σ σ'' vanishes (relu) and ⟨z'⟩ does (step).
        return (value, slope)[order](name, field) if order < 2 else np.zeros_like(field)
    return derivative(name, order, field)

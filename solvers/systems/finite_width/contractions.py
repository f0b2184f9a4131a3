"""What every recursion does with the tensors of a layer: averages of derivatives, contracted.

Tensors have shape (points, n, n, ...); `s` are averages of two factors, (points, n, n).
"""

from __future__ import annotations

import itertools

import numpy as np

from solvers.systems.finite_width.averages import Averages

Array = np.ndarray


def lifted(column: Array, tensor_axes: int) -> Array:
    """A column (points,) as an array that multiplies tensors of so many input axes."""
    return column.reshape(-1, *[1] * tensor_axes)


def second(found: Averages, orders: tuple[int, int], tensor: Array) -> Array:
    """Σ_ab ⟨∂_a ∂_b σ_i^(p) σ_j^(q)⟩ X_ab.. on the first two input axes; X symmetric in them."""
    p, q = orders
    own = np.einsum("paa...->pa...", tensor)
    up = (..., *[None] * (tensor.ndim - 3))
    return (
        found[p + 2, q][up] * own[:, :, None]
        + found[p, q + 2][up] * own[:, None]
        + 2.0 * found[p + 1, q + 1][up] * tensor
    )


def second_of_ntk(found: Averages, rate: Array, tangent: Array, tensor: Array) -> Array:
    """The same for Ω_ij = λ_W σ_i σ_j + C_W Θ_ij σ'_i σ'_j; `tangent` is C_W Θ, `rate` λ_W."""
    up = (..., *[None] * (tensor.ndim - 3))
    return lifted(rate, tensor.ndim - 1) * second(found, (0, 0), tensor) + tangent[up] * second(
        found, (1, 1), tensor
    )


def on_last(action, tensor: Array) -> Array:
    """An action on the first pair of input axes, done on the last pair of four."""
    return action(tensor.transpose(0, 3, 4, 1, 2)).transpose(0, 3, 4, 1, 2)


def fourth(found: Averages, orders: tuple[int, int], tensor: Array) -> Array:
    """Σ ⟨∂_a ∂_b ∂_c ∂_d σ_i^(p) σ_j^(q)⟩ X_abcd, (points, n, n)."""
    total = np.zeros_like(tensor[:, :, :, 0, 0])
    for where in itertools.product("ij", repeat=4):
        count = where.count("i")
        average = found[orders[0] + count, orders[1] + 4 - count]
        total += (
            average
            * np.einsum(f"p{''.join(where)}->p{_first(where)}", tensor)[
                (slice(None), *_broadcast(where))
            ]
        )
    return total


def _first(where: tuple[str, ...]) -> str:
    return "".join(sorted(set(where)))


def _broadcast(where: tuple[str, ...]) -> tuple:
    return {"i": (slice(None), None), "j": (None, slice(None))}.get(
        _first(where), (slice(None), slice(None))
    )

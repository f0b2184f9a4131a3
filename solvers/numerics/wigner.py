"""Gaussian symmetric and rectangular matrices as functions of a stream of random numbers."""

from __future__ import annotations

from typing import Any

from solvers.numerics.random import Stream


def goe(*, stream: Stream, dimension: int, xp: Any, dtype: Any) -> Any:
    """Symmetric W of the Gaussian orthogonal ensemble: variance 1/n off the diagonal, 2/n on it.

    W = (G + G^T)/√(2n) with independent G_ij ~ N(0, 1); its spectrum fills [-2, 2].
    """
    matrix = stream.normals(0, dimension, dimension, xp=xp, dtype=dtype)
    matrix = matrix + xp.matrix_transpose(matrix)
    matrix *= float((2.0 * dimension) ** -0.5)
    return matrix


def design(*, stream: Stream, rows: int, dimension: int, xp: Any, dtype: Any) -> Any:
    """X (rows, dimension) with independent N(0, 1/dimension): more rows continue fewer."""
    matrix = stream.normals(0, rows, dimension, xp=xp, dtype=dtype)
    matrix *= float(dimension**-0.5)
    return matrix

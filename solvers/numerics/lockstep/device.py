"""Thin products on a device: large products of its library."""

from __future__ import annotations

from typing import Any


def dots(matrix: Any, columns: Any) -> Any:
    """matrix·columns, shape (rows, columns)."""
    return matrix @ columns


def sums(matrix: Any, factors: Any, total: Any) -> None:
    """total[c] += Σ_r factors[r, c] matrix[r], in place."""
    total += factors.T @ matrix

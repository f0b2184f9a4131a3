"""Square loss ℓ(y, z) = (y - z)²/2, for real labels and for ±1.

g = (y - omega)/(1 + V), -∂g/∂omega = 1/(1 + V): the proximal map is p = (omega + V y)/(1 + V).
"""

from __future__ import annotations

from typing import Any

import numpy as np

LABELS = "real"


def value(*, label: Any, preactivation: Any, xp: Any = np) -> Any:
    """(y - z)²/2."""
    return 0.5 * (label - preactivation) ** 2


def derivative(*, label: Any, preactivation: Any, xp: Any = np) -> Any:
    """z - y."""
    return preactivation - label


def second_derivative(*, label: Any, preactivation: Any, xp: Any = np) -> Any:
    """1."""
    return xp.ones_like(label * preactivation)


def force(*, label: Any, omega: Any, variance: Any) -> tuple[Any, Any]:
    """g = (y - omega)/(1 + V) and 1/(1 + V)."""
    stiffness = 1.0 / (1.0 + np.asarray(variance, dtype=float))
    return (label - omega) * stiffness, stiffness + np.zeros(np.shape(label * omega))


def proximal(*, label: Any, omega: Any, variance: Any) -> tuple[Any, Any]:
    """p = (omega + V y)/(1 + V) and ∂p/∂omega."""
    slope = 1.0 / (1.0 + np.asarray(variance, dtype=float))
    point = slope * omega + (1.0 - slope) * np.asarray(label, dtype=float)
    return point, slope + np.zeros_like(point)


def landmarks(*, variance: Any) -> list[tuple[Any, Any]]:
    """None: the map is linear."""
    return []

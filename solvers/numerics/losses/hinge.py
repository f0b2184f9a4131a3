"""Hinge loss ℓ(y, z) = max(0, 1 - y z) for labels ±1.

With u = y·omega the proximal map has three pieces:

    u >= 1          p = omega           g = 0             ∂p/∂omega = 1      loss 0, beyond the kink
    1 - V < u < 1   p = y               g = (y - omega)/V             0      held at the kink
    u <= 1 - V      p = omega + V y     g = y                         1      loss 1 - y p
"""

from __future__ import annotations

from typing import Any

import numpy as np

LABELS = "sign"


def value(*, label: Any, preactivation: Any, xp: Any = np) -> Any:
    """max(0, 1 - y z)."""
    gap = 1.0 - label * preactivation
    return xp.where(gap > 0, gap, 0.0 * gap)


def derivative(*, label: Any, preactivation: Any, xp: Any = np) -> Any:
    """-y where y z < 1, otherwise 0."""
    inside = label * preactivation < 1.0
    return xp.where(inside, -label + 0.0 * preactivation, 0.0 * (label * preactivation))


def second_derivative(*, label: Any, preactivation: Any, xp: Any = np) -> Any:
    """0 on both sides of the kink."""
    return xp.zeros_like(label * preactivation)


def force(*, label: Any, omega: Any, variance: Any) -> tuple[Any, Any]:
    """g = y min(1, max(0, 1 - u)/V), and 1/V where the sample is held at the kink."""
    variance = np.asarray(variance, dtype=float)
    gap = 1.0 - np.multiply(label, omega)
    held = (gap > 0) & (gap < variance)
    size = np.where(held, gap / variance, np.where(gap > 0, 1.0, 0.0))
    return label * size, np.where(held, 1.0 / variance, 0.0)


def proximal(*, label: Any, omega: Any, variance: Any) -> tuple[Any, Any]:
    """p = omega + y min(V, max(0, 1 - u)), exactly y at the kink, and its slope."""
    variance = np.asarray(variance, dtype=float)
    gap = 1.0 - np.multiply(label, omega)
    held = (gap > 0) & (gap < variance)
    moved = omega + label * np.where(gap > 0, variance, 0.0)
    return np.where(held, label, moved), np.where(held, 0.0, 1.0)


def landmarks(*, variance: Any) -> list[tuple[Any, Any]]:
    """The two kinks, u = 1 and u = 1 - V."""
    return [(1.0, np.inf), (1.0 - variance, np.inf)]

r"""Logistic loss ℓ(y, z) = log(1 + exp(-y z)) for labels ±1, natural logarithm.

With u = y·omega, p = y·prox and the force on the margin f(p) = 1/(1 + e^p), the proximal map solves

    p - u = V f(p).

The solution is mirrored by p -> -p, u -> -(u + V), because f(-p) = 1 - f(p), so that p >= 0 can be
assumed, which means u >= -V/2. There e^{-p}/2 <= f <= e^{-p}, so the root of x - u = (V/2) e^{-x},

    x = u + W,      W + log W = log(V/2) - u       (Wright's omega function),

lies below p, by log 2 at most. From there Halley's method (third order) reaches rounding in four
steps for every u and V.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

LABELS = "sign"

_STEPS = 4


def value(*, label: Any, preactivation: Any, xp: Any = np) -> Any:
    """log(1 + e^{-y z}), without overflow."""
    margin = label * preactivation
    size = xp.abs(margin)
    return xp.log1p(xp.exp(-size)) + 0.5 * (size - margin)


def derivative(*, label: Any, preactivation: Any, xp: Any = np) -> Any:
    """-y/(1 + e^{y z})."""
    margin = label * preactivation
    small = xp.exp(-xp.abs(margin))
    return -label * xp.where(margin >= 0, small, 1.0 + 0.0 * small) / (1.0 + small)


def second_derivative(*, label: Any, preactivation: Any, xp: Any = np) -> Any:
    """f (1 - f), even in z."""
    small = xp.exp(-xp.abs(label * preactivation))
    return small / (1.0 + small) ** 2


def force(*, label: Any, omega: Any, variance: Any) -> tuple[Any, Any]:
    """g = y f(p) and ℓ''/(1 + V ℓ'')."""
    variance = np.asarray(variance, dtype=float)
    margin = _proximal_margin(np.multiply(label, omega), variance)
    pull = scipy.special.expit(-margin)
    curvature = pull * scipy.special.expit(margin)
    return label * pull, curvature / (1.0 + variance * curvature)


def proximal(*, label: Any, omega: Any, variance: Any) -> tuple[Any, Any]:
    """y p, and 1/(1 + V ℓ'')."""
    variance = np.asarray(variance, dtype=float)
    margin = _proximal_margin(np.multiply(label, omega), variance)
    return label * margin, 1.0 / (
        1.0 + variance * scipy.special.expit(margin) * scipy.special.expit(-margin)
    )


def landmarks(*, variance: Any) -> list[tuple[Any, Any]]:
    """Both ends of the ramp of g: the map is analytic within a distance π of the real line."""
    variance = np.asarray(variance, dtype=float)
    turn = np.log1p(variance)
    return [(turn, 1.0), (-variance - turn, 1.0)]


def _proximal_margin(u: Any, variance: Any) -> np.ndarray:
    """The solution p of p - u = V f(p)."""
    mirrored = u < -0.5 * variance
    u = np.where(mirrored, -(u + variance), u)
    with np.errstate(divide="ignore"):
        p = u + scipy.special.wrightomega(np.log(0.5 * variance) - u)
    for _ in range(_STEPS):
        pull = scipy.special.expit(-p)
        curvature = variance * pull * (1.0 - pull)
        slope = 1.0 + curvature
        newton = (p - u - variance * pull) / slope
        # Halley's step: the second derivative is -curvature (1 - 2 pull).
        p = p - newton / (1.0 + 0.5 * newton * (curvature / slope) * (1.0 - 2.0 * pull))
    return np.where(mirrored, -p, p)

"""Convex losses of empirical-risk minimisation: one file each, found by listing this folder.

A loss ℓ(y, z) of label y and preactivation z, convex in z. The file `NAME.py` holds

    LABELS                               "sign" if the loss is meant for y = ±1 (then a function of
                                         y z alone), "real" if for any y
    value(label, preactivation)          ℓ
    derivative(label, preactivation)     ∂ℓ/∂z (a subgradient at a kink)
    second_derivative(label, preactivation)     ∂²ℓ/∂z² (0 at a kink)
    force(label, omega, variance)        g and -∂g/∂omega, see below
    proximal(label, omega, variance)     p and ∂p/∂omega, see below
    landmarks(variance)                  places y·omega around which the proximal map of a label ±1
                                         varies, and on which scale there; a list of pairs. Scale
                                         inf stands for a kink

The first three take the array namespace `xp`. The proximal map of Moreau (1965),

    p = prox(omega) = argmin_z [ℓ(y, z) + (z - omega)²/(2·variance)],

is what a sample does to its own fitted preactivation when all others hold it at omega with
stiffness 1/variance; the force g = -∂ℓ/∂z(y, p), so that

    p = omega + variance·g,        ∂p/∂omega = 1 - variance·(-∂g/∂omega),        0 < ∂p/∂omega <= 1.

g and -∂g/∂omega are returned to full relative accuracy: p - omega and 1 - ∂p/∂omega are not, where
the variance is small. The minimum itself, the Moreau envelope, is ℓ(y, p) + variance·g²/2.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def names() -> tuple[str, ...]:
    """Every loss there is."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Any:
    """The module of one loss."""
    return importlib.import_module(f"{__name__}.{name}")

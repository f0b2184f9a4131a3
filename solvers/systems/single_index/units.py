"""Units and starts shared by theory and simulation of one unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy

from solvers.systems.single_index.links import INFORMATION_EXPONENT

SYSTEM = "single_index"

NEVER = math.nan
"""A time that does not exist."""


def paper_unit(dimension: Any, exponent: int) -> Any:
    """n_k(d): d, d log d, d^{k-1}."""
    d = np.asarray(dimension, dtype=float)
    if exponent == 1:
        return d
    return d * np.log(d) if exponent == 2 else d ** (exponent - 1)


def step_of(step_size: Any, dimension: Any, exponent: int, step_scaling: str) -> Any:
    """γ_d: step_size, times d^{-(k-2)/2} if matched and k >= 3."""
    power = 0.5 * max(exponent - 2, 0) if step_scaling == "matched" else 0.0
    return step_size * np.asarray(dimension, dtype=float) ** -power


def start_at(chance: Any, dimension: Any, start: str, start_overlap: Any) -> np.ndarray:
    """Overlap of the start at quantile `chance` of its law; m² ~ Beta(1/2, (d-1)/2).

    On the half sphere m = |w·w*|, whose quantile is the root of that of the Beta law; on the sphere
    the sign is fair and the law symmetric.
    """
    chance, d, fixed = np.broadcast_arrays(chance, np.asarray(dimension, float), start_overlap)
    if start == "fixed":
        return fixed.astype(float)
    both = start == "sphere"
    part = np.abs(2.0 * chance - 1.0) if both else chance
    sign = np.where(both & (chance < 0.5), -1.0, 1.0)
    return sign * np.sqrt(scipy.special.betaincinv(0.5, 0.5 * (d - 1.0), part))


def exponent_of(link: str) -> int:
    """The information exponent k."""
    return INFORMATION_EXPONENT[link]


def in_units(steps: np.ndarray, dimension: np.ndarray, exponent: int) -> dict[str, np.ndarray]:
    """Recovery in steps, in steps per dimension, and in units of n_k(d)."""
    return {
        "recovery_steps": steps,
        "recovery_alpha": steps / dimension,
        "recovery_time": steps / paper_unit(dimension, exponent),
    }

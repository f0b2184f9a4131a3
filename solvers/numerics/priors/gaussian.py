"""Standard normal weights, w ~ N(0, 1). Everything is a closed form.

B = snr·w + √snr·Z gives ⟨w⟩ = B/(1 + snr): q = snr/(1 + snr), and I(w; B) = log(1 + snr)/2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.numerics.cuda.fused import fused

PARAMETERS: tuple[str, ...] = ()


def second_moment() -> float:
    """Return rho = 1."""
    return 1.0


def overlap(*, snr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlap snr/(1 + snr), deficit 1/(1 + snr), elasticity -snr/(1 + snr)."""
    deficit = 1.0 / (1.0 + snr)
    q = 1.0 / (1.0 + 1.0 / np.maximum(snr, np.finfo(float).tiny))
    q = np.where(snr > 0, q, 0.0)
    return q, deficit, -q


def mutual_information(*, snr: np.ndarray) -> np.ndarray:
    """I = log(1 + snr)/2."""
    return 0.5 * np.log1p(snr)


@fused("gaussian_prior")
def denoise(*, precision: Any, field: Any, xp: Any) -> tuple[Any, Any]:
    """Mean field/(1 + precision), variance 1/(1 + precision)."""
    variance = 1.0 / (1.0 + precision)
    return field * variance, variance + xp.zeros_like(field)


def log_normalisation(*, precision: Any, field: Any, xp: Any) -> Any:
    """log Z = field^2/(2(1 + precision)) - log(1 + precision)/2."""
    return 0.5 * field**2 / (1.0 + precision) - 0.5 * xp.log1p(precision)


def sample(*, stream: Any, dimension: int, xp: Any, dtype: Any) -> Any:
    """Normals of the stream."""
    return stream.normals(0, dimension, 1, xp=xp, dtype=dtype)

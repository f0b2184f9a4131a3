"""Linear labels with Gaussian noise, y = z + √noise·ξ with ξ ~ N(0, 1). Everything is closed form.

With T = deficit + noise, the variance of y given omega, Z(y; omega, V) = N(y; omega, T) and

    g = (y - omega)/T,        -∂_omega g = 1/T,        E g^2 = 1/T,
    E log Z = -log(2π e T)/2,        label_mse = E(y - omega)^2 = T.

At noise = 0 a label is a linear equation in the weights: E g^2 = 1/deficit grows without bound, and
the density of the label, hence E log Z, diverges at deficit 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.numerics.compiled import jit
from solvers.numerics.cuda.fused import fused

PARAMETERS: tuple[str, ...] = ("noise",)
LABELS = "real"
EVEN = False


def snr(
    *, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E g^2 = 1/T and d log(E g^2)/d log(deficit) = -deficit/T, -1 where both vanish."""
    total = deficit + noise + np.zeros_like(overlap)
    with np.errstate(divide="ignore", over="ignore"):
        value = 1.0 / total
    share = np.divide(deficit, total, out=np.ones_like(total), where=total > 0)
    return value, -share


def free_entropy(*, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """E log Z = -log(2π e T)/2."""
    with np.errstate(divide="ignore"):
        logarithm = np.log(deficit + noise + np.zeros_like(overlap))
    return -0.5 * (logarithm + math.log(2 * math.pi) + 1.0)


def errors(
    *, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """There is no classification error; the label mean-square error is T."""
    total = deficit + noise + np.zeros_like(overlap)
    return np.full_like(total, np.nan), total


def measured_errors(
    *,
    self_overlap: np.ndarray,
    overlap: np.ndarray,
    second_moment: np.ndarray,
    variance: np.ndarray,
    noise: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """E(y - x·ŵ)^2 = |w - ŵ|²/d + noise; the posterior variance has no part in the mean ⟨y⟩.

    |w - ŵ|²/d is a difference of the three numbers given: near recovery its error is their
    rounding.
    """
    distance = np.maximum(second_moment - 2.0 * overlap + self_overlap, 0.0)
    total = distance + noise + np.zeros_like(variance)
    return np.full_like(total, np.nan), total


@fused("linear_channel")
def denoise(*, label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> tuple[Any, Any]:
    """g = (y - omega)/T and -∂g = 1/T."""
    inverse = 1.0 / (variance + noise)
    g = (label - omega) * inverse
    return g, inverse + xp.zeros_like(g)


@jit
def respond(label, omega, total, g, curvature):
    """`denoise` into given arrays, all of them flat; `total` is T."""
    for i in range(len(label)):
        inverse = np.float32(1) / total[i]
        g[i], curvature[i] = (label[i] - omega[i]) * inverse, inverse


def log_normalisation(*, label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> Any:
    """log Z = -(y - omega)^2/(2T) - log(2πT)/2."""
    total = variance + noise
    return -0.5 * ((label - omega) ** 2 / total + xp.log(2 * math.pi * total))


def sample(*, preactivation: Any, stream: Any, start: int, noise: Any, xp: Any, dtype: Any) -> Any:
    """Labels; every point adds its own strength of the same noise."""
    rows = preactivation.shape[0]
    shift = stream.normals(start, start + rows, 1, xp=xp, dtype=dtype)
    return preactivation + xp.sqrt(noise) * shift

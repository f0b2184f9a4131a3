"""Sign labels, y = sign(z + √noise·ξ) with ξ ~ N(0, 1): P(y | z) = Φ(y z/√noise).

With T = deficit + noise (the variance of z + √noise·ξ given omega), R = rho + noise = overlap + T
(its variance), H(x) = P(Z > x) and the hazard h = φ/H, log Z = log H(x) with x = -y·omega/√T, and

    g = y h(x)/√T,        -∂_omega g = h(x)(h(x) - x)/T.

**State evolution.** E g^2 = (2/T) ∫Dt φ(st)^2/H(st), s^2 = q/T. The product φ(t) φ(st) is again a
Gaussian density; with c^2 = s^2/(1 + s^2) = q/R,

    E g^2               = 2/√(2π T R) · ∫Dv h(cv),
    d(E g^2)/dq = E(∂g)^2 = 2/√(2π T^3 R) · ∫Dv h(cv)(h(cv) - cv)^2,

whose integrands vary on scale 1 up to and including q = rho: nothing is lost near recovery. H has
its first zeros at Re x = -1.92, |Im x| = 2.82, so the trapezoidal rule with step 0.4 is exact to
rounding. E log Z = 2 ∫Dt H(st) log H(st), taken in t for s < 1 and in st above.

**Errors.** `classification_error` = P(sign(omega) ≠ y) = arccos(√(q/R))/π and `label_mse` =
E(y - ⟨y⟩)^2 = (2/π) arccos(q/R), without a factor 1/2. Both are against a fresh label of the
channel, noise included; at noise = 0 the label is the teacher's sign.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special

from solvers.numerics.compiled import jit
from solvers.numerics.cuda.fused import fused
from solvers.numerics.hazard import hazard as compiled_hazard
from solvers.numerics.special import special

PARAMETERS: tuple[str, ...] = ("noise",)
LABELS = "sign"
EVEN = False

_GRID = 0.4 * np.arange(-24, 25)
_WEIGHTS = 0.4 / math.sqrt(2 * math.pi) * np.exp(-0.5 * _GRID**2)


def hazard(x: Any, *, xp: Any) -> Any:
    """h(x) = φ(x)/H(x), accurate to rounding for every x of either sign."""
    x = xp.minimum(x, 1e15)  # in single precision 1/erfcx would divide by zero beyond
    return math.sqrt(2 / math.pi) / special(xp).erfcx(x * math.sqrt(0.5))


def snr(
    *, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E g^2 and d log(E g^2)/d log(deficit); E g^2 is infinite where deficit = noise = 0."""
    total = deficit + noise
    variance = overlap + total
    x = np.sqrt(overlap / variance)[..., None] * _GRID
    h = hazard(x, xp=np)
    first = np.sum(_WEIGHTS * h, axis=-1)
    second = np.sum(_WEIGHTS * h * (h - x) ** 2, axis=-1)
    with np.errstate(divide="ignore"):
        value = 2.0 * first / (np.sqrt(2 * math.pi * variance) * np.sqrt(total))
    share = np.divide(deficit, total, out=np.ones_like(total), where=total > 0)
    return value, -share * second / first


def free_entropy(*, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """E log Z = 2 ∫Dt H(st) log H(st), s^2 = overlap/(deficit + noise)."""
    with np.errstate(divide="ignore"):
        s = np.sqrt(overlap / (deficit + noise))[..., None]
    x = _GRID * np.minimum(s, 1.0)
    t = _GRID / np.maximum(s, 1.0)
    weights = 0.4 / math.sqrt(2 * math.pi) / np.maximum(s, 1.0) * np.exp(-0.5 * t**2)
    return 2.0 * np.sum(weights * scipy.special.ndtr(-x) * scipy.special.log_ndtr(-x), axis=-1)


def errors(
    *, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Classification error and label mean-square error; arcsines, so that small ones are exact."""
    rest = (deficit + noise) / (overlap + deficit + noise)
    classification = np.arcsin(np.sqrt(np.minimum(rest, 1.0))) / math.pi
    return classification, 4.0 / math.pi * np.arcsin(np.sqrt(0.5 * np.minimum(rest, 1.0)))


def measured_errors(
    *,
    self_overlap: np.ndarray,
    overlap: np.ndarray,
    second_moment: np.ndarray,
    variance: np.ndarray,
    noise: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Errors of an estimate on a fresh Gaussian input, exactly, given the estimate.

    x·ŵ and x·w + √noise·ξ are jointly Gaussian, so that with m, Q and r = |w|²/d the error of
    sign(x·ŵ) is arccos(m/√(Q(r + noise)))/π, and for ⟨y⟩ = 1 - 2H(x·ŵ/√(variance + noise))

        E(y - ⟨y⟩)^2 = 1 - (4/π) arcsin(m/√((r + noise) S)) + (2/π) arcsin(Q/S),
        S = Q + variance + noise.

    An estimate of zero is a coin: 1/2 and 1.
    """
    scale = np.sqrt((second_moment + noise) * self_overlap)
    cosine = np.divide(overlap, scale, out=np.zeros_like(scale), where=scale > 0)
    total = self_overlap + variance + noise
    cross = np.clip(overlap / np.sqrt((second_moment + noise) * total), -1.0, 1.0)
    mean_square = 2.0 / math.pi * np.arcsin(np.clip(self_overlap / total, 0.0, 1.0))
    label = 1.0 - 4.0 / math.pi * np.arcsin(cross) + mean_square
    return np.arccos(np.clip(cosine, -1.0, 1.0)) / math.pi, label


@fused("sign_channel")
def denoise(*, label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> tuple[Any, Any]:
    """g = y h(x)/√T and -∂g = h(x)(h(x) - x)/T at x = -y·omega/√T, T = variance + noise.

    For large x, h - x = 1/x - 2/x^3 + ... is lost in rounding: h(h - x) is taken as 1 - 1/x^2
    there.
    """
    total = variance + noise
    inverse = 1.0 / xp.sqrt(total)
    x = -label * omega * inverse
    h = hazard(x, xp=xp)
    far = xp.maximum(x, 1.0)
    curvature = xp.where(x > 50.0, 1.0 - 1.0 / (far * far), h * (h - x))
    return label * h * inverse, curvature / total


@jit
def respond(label, omega, total, g, curvature):
    """`denoise` into given arrays, all of them flat and of single precision; `total` is T."""
    for i in range(len(label)):
        inverse = np.float32(1) / np.sqrt(total[i])
        h, slope = compiled_hazard(-label[i] * omega[i] * inverse)
        g[i], curvature[i] = label[i] * h * inverse, slope * inverse * inverse


def log_normalisation(*, label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> Any:
    """log Z = log H(-y·omega/√T)."""
    return special(xp).log_ndtr(label * omega / xp.sqrt(variance + noise))


def sample(*, preactivation: Any, stream: Any, start: int, noise: Any, xp: Any, dtype: Any) -> Any:
    """Labels ±1; every point adds its own strength of the same noise."""
    rows = preactivation.shape[0]
    shift = stream.normals(start, start + rows, 1, xp=xp, dtype=dtype)
    noisy = preactivation + xp.sqrt(noise) * shift
    return xp.astype(xp.where(noisy < 0, -1.0, 1.0), dtype)

"""Binary weights, w = ±1 with equal probability.

B = s·w + √s·Z gives ⟨w⟩ = tanh B. Under w = +1 the field B has the density of N(s, s), which is
e^{B - s/2} times that of N(0, s); averaging B and -B leaves integrals whose integrand is even,
decays and has full relative accuracy however close to 1 the overlap is (x = √s·z, Dz Gaussian):

    1 - q        = e^{-s/2} ∫Dz sech x                                            (all s)
    q            = e^{-s/2} ∫Dz sinh x tanh x                                     (used for s < 1)
    -d(1 - q)/ds = e^{-s/2} ∫Dz sech^3 x
    I(w; B)      = log 2 - e^{-s/2} ∫Dz [cosh x log(1 + e^{-2|x|}) + |x| e^{-|x|}]
                 = s - e^{-s/2} ∫Dz cosh x log cosh x                             (used for s < 1)

The integrands are analytic in |Im x| < π/2, so the trapezoidal rule in x (in z for s < 1) converges
as exp(-π²/step): with step 1/4 its error is below rounding at every s, with the same nodes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.numerics.cuda.fused import fused

PARAMETERS: tuple[str, ...] = ()

_STEP = 0.25
_FAR = _STEP * np.arange(157)  # x to 39, where the integrands have fallen to e^-39
_NEAR = _STEP * np.arange(38)  # z to 9.25, where the Gaussian has fallen to 1e-19


def _weights(grid: np.ndarray) -> np.ndarray:
    """Trapezoidal weights of an even integrand on half the line, over √(2π)."""
    return np.where(grid == 0, 1.0, 2.0) * _STEP / math.sqrt(2 * math.pi)


def _sech(x: np.ndarray) -> np.ndarray:
    decay = np.exp(-x)
    return 2.0 * decay / (1.0 + decay**2)


def _uncertainty(x: np.ndarray) -> np.ndarray:
    """cosh x log(1 + e^{-2x}) + x e^{-x}, for x >= 0."""
    return np.cosh(x) * np.log1p(np.exp(-2.0 * x)) + x * np.exp(-x)


# For s >= 1 the nodes x do not depend on s: the averages are one matrix product.
_TABLE = _weights(_FAR)[:, None] * np.stack(
    [_sech(_FAR), _sech(_FAR) ** 3, _uncertainty(_FAR)], axis=1
)
_DENSITY = _weights(_NEAR) * np.exp(-0.5 * _NEAR**2)


def _far(snr: np.ndarray) -> np.ndarray:
    """e^{-s/2} ∫Dz of sech, sech^3 and the uncertainty for s >= 1, shape (points, 3)."""
    gaussian = np.exp(-0.5 * _FAR**2 / snr[:, None] - 0.5 * snr[:, None])
    return gaussian @ _TABLE / np.sqrt(snr)[:, None]


def second_moment() -> float:
    """Return rho = 1."""
    return 1.0


def overlap(*, snr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlap, deficit and elasticity -s E sech^4/(1 - q), which tends to -s/2, by integrals."""
    q, deficit, elasticity = (np.empty(len(snr)) for _ in range(3))
    near = snr < 1.0
    x = np.sqrt(snr[near])[:, None] * _NEAR
    sech, decay = _sech(x), np.exp(-0.5 * snr[near])
    deficit[near] = decay * (sech @ _DENSITY)
    elasticity[near] = -snr[near] * decay * (sech**3 @ _DENSITY) / deficit[near]
    q[near] = decay * ((np.sinh(x) ** 2 * sech) @ _DENSITY)

    s = snr[~near]
    first, third, _ = _far(s).T
    ratio = np.divide(third, first, out=np.full_like(s, 0.5), where=first > 0)
    q[~near], deficit[~near], elasticity[~near] = 1.0 - first, first, -s * ratio
    return q, deficit, elasticity


def mutual_information(*, snr: np.ndarray) -> np.ndarray:
    """I(w; B), with full relative accuracy also where it is small."""
    information = np.empty(len(snr))
    near = snr < 1.0
    s = snr[near]
    x = np.sqrt(s)[:, None] * _NEAR
    known = (np.cosh(x) * np.log1p(2.0 * np.sinh(0.5 * x) ** 2)) @ _DENSITY
    information[near] = s - np.exp(-0.5 * s) * known
    information[~near] = math.log(2.0) - _far(snr[~near])[:, 2]
    return information


@fused("rademacher_prior")
def denoise(*, precision: Any, field: Any, xp: Any) -> tuple[Any, Any]:
    """Mean tanh(field) and variance sech^2(field), without cancellation at large field."""
    decay = xp.exp(-2.0 * xp.abs(field))
    return xp.tanh(field), 4.0 * decay / (1.0 + decay) ** 2


def log_normalisation(*, precision: Any, field: Any, xp: Any) -> Any:
    """log Z = log cosh(field) - precision/2."""
    size = xp.abs(field)
    return size + xp.log1p(xp.exp(-2.0 * size)) - math.log(2.0) - 0.5 * precision


def sample(*, stream: Any, dimension: int, xp: Any, dtype: Any) -> Any:
    """Signs of the stream."""
    return stream.signs(0, dimension, 1, xp=xp, dtype=dtype)

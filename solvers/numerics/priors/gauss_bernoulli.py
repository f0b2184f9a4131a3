"""Sparse weights: w = 0 with probability 1 - ρ, N(0, 1) with probability ρ = `sparsity`.

Given the field B and the precision A, the weight is non-zero with odds e^t, and then normal:

    t = log(ρ/(1 - ρ)) - log(1 + A)/2 + B²/(2(1 + A)),      π = 1/(1 + e^{-t}),
    ⟨w⟩ = π B/(1 + A),       variance = π/(1 + A) + π(1 - π) B²/(1 + A)².

**State evolution.** At B = s·w + √s·Z the law of B is (1 - ρ) N(0, s) + ρ N(0, s + s²), and
P(B) π(B) = ρ N(B; 0, s + s²). So any average is one over non-zero weights, E f(B) = ρ ∫Dz f/π with
B = √(s(1 + s)) z and t = s z²/2 - a, a = log(1 + s)/2 - log(ρ/(1 - ρ)), and

    q            = ρ s/(1 + s) · P,                 P = ∫Dz z² π,
    rho - q      = ρ/(1 + s) · (1 + s J),           J = ∫Dz z² (1 - π) = 1 - P,
    -d(rho-q)/ds = ρ/(1 + s)² · K,                  K = ∫Dz π (1 + (1 - π) s z²)²,
    I(w; B)      = ρ log(1 + s)/2 + h(ρ) - ρ ∫Dz [log(1 + e^{-t}) + e^{-t} log(1 + e^t)],

with the binary entropy h. All are sums of positive terms: nothing cancels, whatever s and ρ are
(I(w; B) alone is a difference, and is taken from its definition for s < 0.1).

**Quadrature.** π(z) switches at z ≈ √(2a/s), on a width that is a fraction of it; its poles
nearest the real line are √(2(a ± iπ)/s) = r ± id. In z = r + d·sinh u they are at distance π/2 or
so whatever a and s are, so one Gauss-Legendre rule in u serves every point. It ends where π is 1 to
rounding (t = 42) and the rest of the Gaussian is in closed form, or at z = 10. Relative error below
1e-12 for ρ from 1e-6 to 1 and every s; mutual information relative to h(ρ) + ρ log(1 + s)/2 there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special

from solvers.numerics.cuda.fused import fused

PARAMETERS: tuple[str, ...] = ("sparsity",)

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_END = 10.0
_CERTAIN = 42.0
_LARGEST = 1e300
_CHUNK = 128


def second_moment(*, sparsity: Any) -> Any:
    """Return rho = sparsity."""
    return sparsity


def _rule(s: np.ndarray, sparsity: np.ndarray) -> tuple[np.ndarray, ...]:
    """Nodes z², weights of 2∫_0^end Dz, log-odds t (points, nodes); the end and a (points,)."""
    with np.errstate(divide="ignore"):
        a = 0.5 * np.log1p(s) + np.log1p(-sparsity) - np.log(sparsity)
    a = np.maximum(a, -2 * _CERTAIN)
    root = np.sqrt(np.maximum(s, 1.0 / _LARGEST))
    pole = np.sqrt(2.0 * (a + 1j * math.pi)) / root
    centre, width = np.minimum(pole.real, _END), np.minimum(pole.imag, _END)
    end = np.minimum(np.sqrt(2.0 * np.maximum(a + _CERTAIN, 0.0)) / root, _END)
    low, high = np.arcsinh(-centre / width), np.arcsinh((end - centre) / width)
    half = 0.5 * (high - low)[:, None]
    u = low[:, None] + half * (1.0 + _NODES)
    z = centre[:, None] + width[:, None] * np.sinh(u)
    square = z * z
    weight = 2.0 / math.sqrt(2 * math.pi) * half * _WEIGHTS * width[:, None] * np.cosh(u)
    weight *= np.exp(-0.5 * square)
    return square, weight, 0.5 * s[:, None] * square - a[:, None], end, a


def _zero_and_not(t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """1 - π and π at log-odds t, and e^{-|t|}."""
    decay = np.exp(-np.abs(t))
    small, large = decay / (1.0 + decay), 1.0 / (1.0 + decay)
    return np.where(t > 0, small, large), np.where(t > 0, large, small), decay


def overlap(*, snr: np.ndarray, sparsity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlap, deficit and elasticity -s/(1 + s) K/(1 + s J), which tends to -1."""
    s, rho = np.broadcast_arrays(np.asarray(snr, float), np.asarray(sparsity, float))
    s = np.minimum(s, _LARGEST)
    parts = [
        _averages(s[start : start + _CHUNK], rho[start : start + _CHUNK])
        for start in range(0, max(len(s), 1), _CHUNK)
    ]
    known, lost, change = (np.concatenate(part) for part in zip(*parts, strict=True))
    gain = s / (1.0 + s)
    deficit = np.where(np.isinf(snr), 0.0, rho / (1.0 + s) * (1.0 + s * lost))
    return rho * gain * known, deficit, -gain * change / (1.0 + s * lost)


def _averages(s: np.ndarray, sparsity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P, J and K."""
    square, weight, t, end, a = _rule(s, sparsity)
    zero, nonzero, _ = _zero_and_not(t)
    # Beyond the end π stays what it is there: 1, unless s is small and the Gaussian ends first.
    there = 2.0 * _zero_and_not(0.5 * s * end * end - a)[1]
    beyond = there * scipy.special.ndtr(-end)
    slope = there * end * np.exp(-0.5 * end * end) / math.sqrt(2 * math.pi)
    lost = np.sum(weight * square * zero, axis=-1)
    weight *= nonzero
    known = np.sum(weight * square, axis=-1) + beyond + slope
    change = np.sum(weight * (1.0 + zero * s[:, None] * square) ** 2, axis=-1) + beyond
    return known, lost, change


_NEAR = 0.25 * np.arange(41)
_DENSITY = np.where(_NEAR == 0, 1.0, 2.0) * 0.25 / math.sqrt(2 * math.pi) * np.exp(-0.5 * _NEAR**2)
_SMALL_SNR = 0.1


def mutual_information(*, snr: np.ndarray, sparsity: np.ndarray) -> np.ndarray:
    """I(w; B) by entropies, or by its definition sρ/2 - E log Z at small s."""
    s, rho = np.broadcast_arrays(np.asarray(snr, float), np.asarray(sparsity, float))
    entropy = -scipy.special.xlogy(rho, rho) - scipy.special.xlog1py(1.0 - rho, -rho)
    answer = 0.5 * rho * np.log1p(s) + entropy
    for start in range(0, len(s), _CHUNK):
        part = slice(start, start + _CHUNK)
        answer[part] -= rho[part] * _doubt(np.minimum(s[part], _LARGEST), rho[part])
    near = s < _SMALL_SNR
    answer[near] = 0.5 * s[near] * rho[near] - _log_z(s[near], rho[near])
    return answer


def _doubt(s: np.ndarray, sparsity: np.ndarray) -> np.ndarray:
    """∫Dz of log(1 + e^{-t}) + e^{-t} log(1 + e^t): the entropy of being zero or not, over ρ."""
    _, weight, t, _, _ = _rule(s, sparsity)
    decay = np.exp(-np.abs(t))
    logarithm = np.log1p(decay)
    ratio = np.divide(logarithm, decay, out=np.ones_like(decay), where=decay > 0)
    sure = logarithm + decay * (t + logarithm)
    return np.sum(weight * np.where(t > 0, sure, logarithm - t + ratio), axis=-1)


def _log_z(s: np.ndarray, sparsity: np.ndarray) -> np.ndarray:
    """E log Z, which is ρ²s²/4 to leading order: both laws of B, and 1 + ρ(e^τ - 1) inside."""
    s, rho = s[:, None], sparsity[:, None]
    value = np.zeros(len(s))
    for share, square in ((1.0 - rho, _NEAR**2 / (1.0 + s)), (rho, _NEAR**2 + 0.0 * s)):
        inside = rho * np.expm1(0.5 * (s * square - np.log1p(s)))
        value += np.sum(share * _DENSITY * np.log1p(inside), axis=-1)
    return value


def _log_odds(precision: Any, field: Any, sparsity: Any, xp: Any) -> tuple[Any, Any, Any]:
    """log ρ + log Z of the normal part, log(1 - ρ), and the mean of the normal part."""
    rho = xp.asarray(sparsity, dtype=field.dtype)
    mean = field / (1.0 + precision)
    normal = 0.5 * (field * mean - xp.log1p(precision)) + xp.log(rho)
    least = float(xp.finfo(field.dtype).smallest_normal)  # so that ρ = 1 has finite odds
    return normal, xp.log(xp.maximum(1.0 - rho, least)), mean


@fused("gauss_bernoulli_prior")
def denoise(*, precision: Any, field: Any, sparsity: Any, xp: Any) -> tuple[Any, Any]:
    """Mean π·field/(1 + precision) and variance; 1 - π keeps its relative accuracy."""
    normal, zero, mean = _log_odds(precision, field, sparsity, xp)
    t = normal - zero
    decay = xp.exp(-xp.abs(t))
    nonzero = xp.where(t > 0, 1.0, decay) / (1.0 + decay)
    both = decay / (1.0 + decay) ** 2
    return nonzero * mean, nonzero / (1.0 + precision) + both * mean * mean


def log_normalisation(*, precision: Any, field: Any, sparsity: Any, xp: Any) -> Any:
    """log Z = log(1 - ρ + ρ (1 + A)^{-1/2} exp(B²/(2(1 + A))))."""
    normal, zero, _ = _log_odds(precision, field, sparsity, xp)
    t = normal - zero
    return xp.where(t > 0, normal, zero) + xp.log1p(xp.exp(-xp.abs(t)))


def sample(*, stream: Any, dimension: int, sparsity: Any, xp: Any, dtype: Any) -> Any:
    """Normals where a uniform number, one per weight, is below ρ: supports grow with ρ."""
    chosen = stream.uniforms(0, dimension, 1, xp=xp, dtype=np.float64) < xp.asarray(sparsity)
    value = stream.normals(0, dimension, 1, xp=xp, dtype=dtype)
    return xp.where(chosen, value, xp.zeros_like(value))

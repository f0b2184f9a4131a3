r"""Certificates of optimality of l1-penalised least squares, from an estimate and a dual vector.

**λ > 0.** For any ν with |X^T ν|_∞ <= λ, ν·y - |ν|²/2 is at most the minimum of P(w) = |y - X w|²/2
+ λ |w|_1 (weak duality). The algorithm offers the direction z, at its end that of the residual
y - X ŵ, and the best multiple of it is

    ν = ±κ z,      κ = min(λ/|X^T z|_∞, |y·z|/|z|²),      D = κ |y·z| - κ² |z|²/2 >= 0.

The certificate is (P(ŵ) - D)/P(ŵ): P(ŵ) is above the minimum by that share at most, whatever ŵ
and z are.

**λ = 0, samples <= dimension** (basis pursuit). Every w with X w = y has |w|_1 >= |y·z|/|X^T z|_∞.
The certificate is the larger of the infeasibility |y - X ŵ|/|y| and of the relative difference of
|ŵ|_1 and this bound.

**λ = 0, samples n > dimension d** (least squares): |X^T(y - X ŵ)|/(μ |ŵ|), μ = (√(n/d) - 1)². As
far as the smallest singular value of X is its asymptotic one, √μ, this bounds the relative distance
of ŵ from the minimiser.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sums:
    """Columns of what a certificate is made of."""

    label: np.ndarray
    """|y|²"""
    dual: np.ndarray
    """|z|²"""
    miss: np.ndarray
    """|y - X ŵ|²"""
    work: np.ndarray
    """y·z"""
    slope: np.ndarray
    """|X^T z|_∞"""
    norm: np.ndarray
    """|ŵ|_1"""
    gradient: np.ndarray
    """|X^T(y - X ŵ)|/|ŵ|"""


def certificate(
    sums: Sums, *, regularization: np.ndarray, samples: np.ndarray, dimension: int
) -> np.ndarray:
    """The certificate of each point; 0 where the labels are all zero, and so is the estimate."""
    work = np.abs(sums.work)
    with np.errstate(divide="ignore", invalid="ignore"):
        primal = 0.5 * sums.miss + regularization * sums.norm
        scale = np.minimum(regularization / sums.slope, work / sums.dual)
        dual = scale * work - 0.5 * scale**2 * sums.dual
        penalised = np.maximum(primal - dual, 0.0) / primal  # rounding may make it negative
        bound = work / sums.slope
        gap = np.abs(sums.norm - bound) / np.maximum(sums.norm, bound)
        pursuit = np.maximum(np.sqrt(sums.miss / sums.label), gap)
        least_squares = sums.gradient / (np.sqrt(samples / dimension) - 1.0) ** 2
    bare = np.where(samples > dimension, least_squares, pursuit)
    value = np.where(regularization > 0, penalised, bare)
    return np.where((sums.label == 0) & (sums.norm == 0), 0.0, value)

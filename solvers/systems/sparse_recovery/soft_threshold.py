r"""Soft thresholding of a gauss_bernoulli weight seen through Gaussian noise: risks and shares.

With u = w + τ Z, Z ~ N(0, 1), and η(u) = sign(u) max(|u| - θ, 0), write c = θ/τ, σ² = 1 + τ²,
b = θ/σ, H(x) = P(Z > x), φ the density and M_k(x) = ∫_x^∞ Dt (t - x)^k (`gaussian`). A weight is
zero with probability 1 - ρ, then u/τ ~ N(0, 1); otherwise w ~ N(0, 1) and u/σ ~ N(0, 1). So

    share active   s = P(η ≠ 0)  = (1 - ρ) 2 H(c)       + ρ 2 H(b)
    mse    E (η - w)²            = (1 - ρ) 2 τ² M_2(c)  + ρ [p(b) + 2 τ² M_2(b)]
    overlap        E η w         =                        ρ 2 H(b)
    self-overlap   E η²          = (1 - ρ) 2 τ² M_2(c)  + ρ 2 σ² M_2(b)
    l1 norm        E |η|         = (1 - ρ) 2 τ M_1(c)   + ρ 2 σ M_1(b)
    p(b) = E min(Z², b²)         = γ(3/2, b²/2) + 2 b² H(b),        γ the regularised incomplete Γ.

The third line is Stein's lemma, E η w = E η u/σ² = E η'; the second follows from E η² - 2 E η w + ρ
and 1 - 4 H + 2 M_2 = p. Every term is positive: nothing is lost where the mse is tiny.

Of the average over τ Z of a non-zero weight only the limit τ -> 0 remains at exact recovery, p/τ²
-> c², and mse/τ² tends to ρ (1 + c²) + 2 (1 - ρ) M_2(c) whatever the law of the non-zero weights.
"""

from __future__ import annotations

import math

import numpy as np
import scipy

from solvers.numerics.gaussian import excess_moments

Array = np.ndarray

_ASYMPTOTIC_FROM = 30.0


def share_active(*, ratio: Array, tau: Array, sparsity: Array) -> Array:
    """Share s of the weights that the threshold θ = ratio·tau leaves non-zero."""
    b = ratio * tau / np.hypot(1.0, tau)
    return 2.0 * ((1.0 - sparsity) * scipy.special.ndtr(-ratio) + sparsity * scipy.special.ndtr(-b))


def relative_mse(*, ratio: Array, tau: Array, sparsity: Array) -> Array:
    """mse/τ², with its limit at tau = 0."""
    sigma = np.hypot(1.0, tau)
    b = ratio * tau / sigma
    small = np.maximum(b, 1e-100)
    # p(b)/τ² = (c/σ)² p(b)/b², and γ(3/2, b²/2) = (b²/2)^{3/2}/Γ(5/2) + ... for small b.
    bias = (ratio / sigma) ** 2 * (
        scipy.special.gammainc(1.5, 0.5 * small**2) / small**2 + 2.0 * scipy.special.ndtr(-b)
    )
    return 2.0 * (1.0 - sparsity) * excess_moments(ratio)[1] + sparsity * (
        bias + 2.0 * excess_moments(b)[1]
    )


def measures(*, ratio: Array, tau: Array, sparsity: Array) -> dict[str, Array]:
    """Observables of the estimate η(w + τ Z; ratio·tau)."""
    sigma = np.hypot(1.0, tau)
    b = ratio * tau / sigma
    zero_first, zero_second = excess_moments(ratio)
    first, second = excess_moments(b)
    with np.errstate(under="ignore"):
        false = 2.0 * (1.0 - sparsity)
        return {
            "mse": tau**2 * relative_mse(ratio=ratio, tau=tau, sparsity=sparsity),
            "overlap": 2.0 * sparsity * scipy.special.ndtr(-b),
            "self_overlap": false * tau**2 * zero_second + 2.0 * sparsity * sigma**2 * second,
            "active": share_active(ratio=ratio, tau=tau, sparsity=sparsity),
            "l1_norm": false * tau * zero_first + 2.0 * sparsity * sigma * first,
        }


def scaled_excess(x: Array) -> tuple[Array, Array]:
    """M_1(x)/φ(x) = 1 - x R(x) and the Mills ratio R = H/φ, for x >= 0.

    Beyond 30 by the asymptotic series x^-2 - 3 x^-4 + 15 x^-6 - ...; before, the difference loses
    at most three digits.
    """
    mills = math.sqrt(0.5 * math.pi) * scipy.special.erfcx(x * math.sqrt(0.5))
    inverse = 1.0 / np.maximum(x, _ASYMPTOTIC_FROM) ** 2
    series = np.zeros_like(inverse)
    for odd in (11, 9, 7, 5, 3, 1):
        series = odd * inverse * (1.0 - series)
    return np.where(x > _ASYMPTOTIC_FROM, series, 1.0 - x * mills), mills


def risk_slope(*, ratio: Array, tau: Array, sparsity: Array) -> Array:
    r"""A function with the sign of -d mse/dθ at fixed τ, decreasing in the ratio c = θ/τ.

    With dM_2/dx = -2 M_1 and dp/db = 4 b H(b), and b = cτ/σ,

        -(1/4τ) d mse/dθ = (1 - ρ) M_1(c) - ρ [c H(b) - (τ/σ) φ(b)].

    Divided by φ(b) = φ(c) e^{c²/(2σ²)}, so that neither term underflows, with m = M_1/φ, R = H/φ:

        (1 - ρ) m(c) e^{-c²/(2σ²)} - ρ [c R(b) - τ/σ],   c R(b) - τ/σ = (σ/τ)(1/σ² - m(b)).
    """
    sigma = np.hypot(1.0, tau)
    b = ratio * tau / sigma
    gain = scaled_excess(ratio)[0] * np.exp(-0.5 * (ratio / sigma) ** 2)
    excess, mills = scaled_excess(b)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        far = sigma / tau * (sigma**-2.0 - excess)
    return (1.0 - sparsity) * gain - sparsity * np.where(b < 1.0, ratio * mills - tau / sigma, far)

r"""The weak threshold of l1 minimisation, in closed parametric form.

At exact recovery τ -> 0 and the state evolution of soft thresholding is linear in τ²: τ²_{t+1} =
τ²_t M(c)/alpha with (`soft_threshold`)

    M(c) = ρ (1 + c²) + 2 (1 - ρ) M_2(c),      M_2(c) = (1 + c²) H(c) - c φ(c),

so zero error is stable for the best ratio c of threshold to noise if alpha > min_c M(c). With
M'(c) = 2 [ρ c - 2 (1 - ρ) M_1(c)], M_1 = φ - c H, the minimum and its value are

    ρ/(1 - ρ) = 2 M_1(c)/c,      alpha_l1 = 2 φ/(c + 2 M_1) = ρ + 2 (1 - ρ) H(c),

the last because M - s = c M'/2 with s the active share: at the threshold, samples and non-zero
weights of the estimate are equally many. This is the weak neighbourliness threshold of random
cross-polytopes (Donoho and Tanner, J. Am. Math. Soc. 22, 1 (2009); Donoho, Maleki and Montanari,
PNAS 106, 18914 (2009), arXiv:0907.3574, with δ = alpha and ρδ for our ρ). It does not depend on the
law of the non-zero weights.
"""

from __future__ import annotations

import numpy as np

from solvers.numerics.gaussian import density, excess_moments, log_tail

_STEPS = 100
_ENOUGH = 4 * np.finfo(float).eps


def weak_threshold(sparsity: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """alpha_l1, the ratio c at the minimum, Newton steps and the residual, for 0 < sparsity <= 1.

    Newton's method for f(x) = log(2 M_1(e^x)) - x - log(ρ/(1 - ρ)) in x = log c, with slope
    -(c H/M_1 + 1). f decreases and is concave, so from a start where f < 0 every step goes left
    and none passes the root. Two such starts are c = 2 φ(0)(1 - ρ)/ρ, as M_1 <= φ(0), and
    1 + √(2 log(1/ρ)), as M_1 <= φ/c²; the smaller is taken. `residual` is |f|.
    """
    sparsity = np.asarray(sparsity, dtype=float)
    dense = sparsity >= 1.0
    rho = np.where(dense, 0.5, sparsity)
    log_odds = np.log(rho) - np.log1p(-rho)
    start = np.minimum(
        2.0 * density(0.0) * (1.0 - rho) / rho, 1.0 + np.sqrt(2.0 * np.log(1.0 / rho))
    )
    x = np.log(start)
    steps = np.zeros(rho.shape, dtype=int)
    miss = np.zeros_like(rho)
    active = np.arange(len(rho))
    for _ in range(_STEPS):
        c = np.exp(x[active])
        first = excess_moments(c)[0]
        f = np.log(2.0 * first) - x[active] - log_odds[active]
        step = f / (c * np.exp(log_tail(c)) / first + 1.0)
        x[active] += step
        steps[active] += 1
        miss[active] = np.abs(f)
        active = active[np.abs(step) > _ENOUGH * np.maximum(1.0, np.abs(x[active]))]
        if not len(active):
            break
    c = np.where(dense, 0.0, np.exp(x))
    alpha = 2.0 * density(c) / (c + 2.0 * excess_moments(c)[0])
    return alpha, c, np.where(dense, 0, steps), np.where(dense, 0.0, miss)

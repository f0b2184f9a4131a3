"""Polynomial regression of many resamples at once, with a normal or a binomial likelihood."""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

LOG_SQRT_2PI = 0.5 * np.log(2 * np.pi)


def _hazards(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """phi(eta)/Phi(eta) and phi(eta)/Phi(-eta), both stable in the tails."""
    log_density = -0.5 * eta**2 - LOG_SQRT_2PI
    return np.exp(log_density - log_ndtr(eta)), np.exp(log_density - log_ndtr(-eta))


def fit_probit(
    *,
    u: np.ndarray,
    successes: np.ndarray,
    trials: np.ndarray,
    order: int,
    prior: np.ndarray,
    tolerance: float = 1e-9,
    max_steps: int = 100,
) -> tuple[np.ndarray, np.ndarray]:
    """Maximise sum_i k_i log Phi(eta_i) + (n_i - k_i) log Phi(-eta_i) - sum_j (b_j/prior_j)^2/2.

    eta_i = sum_j b_j u_i^j with j = 0 ... order (Bliss, Science 79, 38 (1934)). The likelihood
    is log-concave: damped Newton from zero finds its maximum; the weak prior keeps the slope finite
    where successes and failures are perfectly separated.

    Args:
        u: abscissas scaled to about [-1, 1], shape (points,).
        successes: k, shape (resamples, points); trials: n, same shape.
        prior: standard deviations of the coefficients, shape (order + 1,); may be inf.

    Returns:
        Coefficients (resamples, order + 1), and the norm of the gradient (resamples,), which a
        caller can hold against the total number of trials.
    """
    powers = u[:, None] ** np.arange(order + 1)
    precision = 1 / prior**2
    beta = np.zeros((len(trials), order + 1))
    gradient = np.empty_like(beta)
    for _ in range(max_steps):
        eta = beta @ powers.T
        plus, minus = _hazards(eta)
        failures = trials - successes
        gradient = (successes * plus - failures * minus) @ powers - precision * beta
        weight = successes * plus * (plus + eta) + failures * minus * (minus - eta)
        # A hair of ridge: a resample may leave fewer distinct points than coefficients.
        curvature = np.einsum("ra,aj,ak->rjk", weight, powers, powers)
        curvature += np.diag(precision) + 1e-10 * np.eye(order + 1)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        longest = np.max(np.abs(step @ powers.T), axis=1, keepdims=True)
        step *= np.minimum(1, 2 / np.maximum(longest, 1e-300))
        beta = beta + step
        if np.max(np.abs(step)) < tolerance * (1 + np.max(np.abs(beta))):
            break
    return beta, np.linalg.norm(gradient, axis=1)


def fit_least_squares(
    *, u: np.ndarray, means: np.ndarray, weights: np.ndarray, order: int
) -> np.ndarray:
    """Minimise sum_i w_i (y_i - sum_j beta_j u_i^j)^2 for every row of `means`.

    `means` and `weights` have shape (resamples, points); points of weight 0 are left out. Returns
    coefficients (resamples, order + 1).
    """
    powers = u[:, None] ** np.arange(order + 1)
    scale = np.maximum(weights.max(axis=1, keepdims=True), 1e-300)
    weights = weights / scale
    matrix = np.einsum("ra,aj,ak->rjk", weights, powers, powers) + 1e-12 * np.eye(order + 1)
    vector = (weights * np.where(weights > 0, means, 0.0)) @ powers
    return np.linalg.solve(matrix, vector[..., None])[..., 0]

r"""Square loss in closed form, for both teachers.

The least-squares solution depends on the labels through E y² and the slope a = E[y z] alone (z =
x·w* ~ N(0, 1), the inputs being Gaussian):

    linear   y = z + √noise ξ:          a = 1,                     E y² = 1 + noise
    sign     y = sign(z + √noise ξ):    a = √(2/(π (1 + noise))),  E y² = 1

and y - a z, of variance E y² - a², acts as noise. The equations of `saddle`, with g = V (y - u)/
(1 + V) and d = p = V/(1 + V), read

    1 - λV = alpha p,     m = a alpha p,     σ² = alpha p² (E y² - 2 a m + q),     q = m² + σ²,

so that V is the positive root of λV² + (λ + alpha - 1) V - 1 = 0 and

    σ² = alpha p² (E y² - 2 a m + m²)/(1 - alpha p²),      1 - alpha p² = λV + alpha p/(1 + V),

a sum of positive terms. At λ = 0+: for alpha > 1 (least squares) V = 1/(alpha - 1); for alpha < 1
(least norm, zero training loss) V is infinite, p = 1 and λV = 1 - alpha. At alpha = 1 the variance
diverges, unless there is no noise at all (linear teacher), when the answer is w* itself.

E(y - p)²/2 = σ²/(2 alpha V²) is the training loss.
"""

from __future__ import annotations

import numpy as np


def label_moments(teacher: str, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a = E[y z], and E y² - a²."""
    if teacher == "linear":
        return np.ones_like(noise), noise.copy()
    square = 2.0 / np.pi / (1.0 + noise)
    return np.sqrt(square), 1.0 - square


def ridge(
    *, alpha: np.ndarray, regularization: np.ndarray, teacher: str, noise: np.ndarray
) -> dict[str, np.ndarray]:
    """Overlap m, σ, mse (1 - m)² + σ², susceptibility V, training loss; NaN where σ diverges."""
    slope, rest = label_moments(teacher, noise)
    penalty = regularization
    b = penalty + alpha - 1.0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        root = np.hypot(b, 2.0 * np.sqrt(penalty))
        variance = np.where(b >= 0, 2.0 / (b + root), (root - b) / (2.0 * penalty))
        stiff = 1.0 / (1.0 + variance)
        p = np.where(np.isinf(variance), 1.0, variance * stiff)
        unheld = np.where(np.isinf(variance), 1.0 - alpha, penalty * variance)
        m = slope * alpha * p
        misfit = rest + (slope * unheld) ** 2
        rest_of_one = unheld + alpha * p * stiff
        square = alpha * p**2 * misfit / rest_of_one
        # alpha = 1 without regularization and noise: 0/0, and the answer is exact recovery.
        square = np.where((misfit == 0) & (rest_of_one == 0), 0.0, square)
        # E (y - p)²/2 = (1 + V)^-2 E (y - u)²/2
        training = 0.5 * stiff**2 * (misfit + square)
    lost = ~np.isfinite(square)
    mse = (1.0 - slope + slope * unheld) ** 2 + square
    return {
        "overlap": np.where(lost, np.nan, m),
        "sigma": np.where(lost, np.nan, np.sqrt(np.where(lost, 0.0, square))),
        "mse": np.where(lost, np.nan, mse),
        "susceptibility": variance,
        "training_loss": np.where(lost, 0.0, training),
    }

"""Solutions of the equations of `saddle` for any parameters: good starts, and paths from them.

**Starts.** The logistic loss is the square loss around z = 0: log 2 - u/2 + u²/8 = (u - 2)²/8 +
const., the square loss with labels ±2 and a fourth of the weight. The hinge loss has the slope of
the square loss at 0. So ridge regression in closed form is the guess (m, σ, V), exact to leading
order for strong regularization, and the path in log λ starts at λ = 10 max(1, alpha). max_margin of
few samples has every sample on its margin, g = 1: m = alpha √(2/(π T)), σ² = alpha. Its path, up
from alpha = 0.05, is in log alpha - log(1 - alpha/alpha_separable): q grows like the square of the
inverse distance to the end of separability.
"""

from __future__ import annotations

import numpy as np

from solvers.numerics import losses
from solvers.systems.glm_erm.path import Solution, solve
from solvers.systems.glm_erm.ridge import ridge
from solvers.systems.glm_erm.saddle import Problem, equations
from solvers.systems.glm_erm.separability import alpha_separable

_CHUNK = 128
"""Points solved together: bounds the memory of the quadratures (some 500 nodes a point)."""
_STRONG = 10.0
_FEW = 0.05
_STIFFNESS = {"hinge": (1.0, 1.0), "logistic": (4.0, 2.0)}
"""Of the square loss that resembles a loss: how often the penalty counts, and its label."""


def problem_of(
    *, loss: str, alpha: np.ndarray, noise: np.ndarray, regularization: np.ndarray
) -> Problem:
    """Columns of points for `saddle`."""
    module = None if loss == "max_margin" else losses.load(loss)
    return Problem(module, alpha, noise, regularization)


def fixed_points(
    problem: Problem, loss: str, *, tolerance: np.ndarray, max_steps: np.ndarray
) -> Solution:
    """Solve (1)-(3) for every point, alpha > 0; at λ = 0 the data must not be separable."""
    pieces = [
        _chunk(
            problem.take(slice(start, start + _CHUNK)),
            loss,
            tolerance[start : start + _CHUNK],
            max_steps[start : start + _CHUNK],
        )
        for start in range(0, len(problem.alpha), _CHUNK)
    ]
    return Solution(
        *(
            np.concatenate([getattr(piece, name) for piece in pieces])
            for name in ("x", "status", "steps", "residual")
        )
    )


def _chunk(problem, loss, tolerance, max_steps):
    asked = {"tolerance": tolerance, "max_steps": max_steps}
    if problem.loss is None:
        return _along_samples(problem, asked)
    with np.errstate(divide="ignore"):
        target = np.log(problem.regularization)
    origin = np.maximum(np.log(_STRONG * np.maximum(1.0, problem.alpha)), target)

    def function(x, s, points):
        part = problem.take(points)
        found = equations(Problem(part.loss, part.alpha, part.noise, np.exp(s)), x)
        return found.residual, found.jacobian, found.rate

    return solve(
        function,
        target=target,
        guess=like_ridge(problem, loss, target),
        origin=origin,
        origin_guess=like_ridge(problem, loss, origin),
        **asked,
    )


def _along_samples(problem, asked):
    """max_margin, along s = log alpha - log(1 - alpha/alpha_separable)."""
    inverse_end = 1.0 / alpha_separable(problem.noise)
    target = np.log(problem.alpha) - np.log1p(-problem.alpha * inverse_end)
    origin = np.minimum(np.log(_FEW), target)

    def function(x, s, points):
        part = problem.take(points)
        alpha = 1.0 / (np.exp(-s) + inverse_end[points])
        found = equations(Problem(None, alpha, part.noise, part.regularization), x)
        rate = (1.0 - alpha * inverse_end[points])[:, None]
        return found.residual, found.jacobian, np.broadcast_to(rate, x.shape)

    return solve(
        function,
        target=target,
        guess=_few_samples(target, problem.noise),
        origin=origin,
        origin_guess=_few_samples(origin, problem.noise),
        **asked,
    )


def _few_samples(log_alpha, noise):
    """log m and log σ of max_margin for alpha -> 0, where s = log alpha."""
    slope = np.log(np.sqrt(2.0 / np.pi / (1.0 + noise)))
    return np.stack([slope + log_alpha, 0.5 * log_alpha], axis=1)


def like_ridge(problem: Problem, loss: str, log_penalty: np.ndarray) -> np.ndarray:
    """(log m, log σ, log V) of the square loss that resembles the loss around z = 0."""
    weight, label = _STIFFNESS[loss]
    penalty = weight * np.exp(np.maximum(log_penalty, np.log(1e-12)))
    found = ridge(alpha=problem.alpha, regularization=penalty, teacher="sign", noise=problem.noise)
    logs = (
        np.log(label * found["overlap"]),
        np.log(label * found["sigma"]),
        np.log(weight * found["susceptibility"]),
    )
    return np.stack(logs, axis=1)

r"""Primal-dual steps: what `l1_amp` goes over to where message passing cannot end by itself.

The minimum of |y - X w|²/2 + λ |w|_1, at λ = 0 of |w|_1 under X w = y, is the saddle point of

    |w|_1 + ν·(y - X w) - λ |ν|²/2

in w and ν, where |X^T ν|_∞ <= 1 and λ ν = y - X w. With step sizes στ σ_max(X)² < 1 the iteration

    ν <- (ν + σ (y - X w̄))/(1 + σ λ),      w <- η(w + τ X^T ν; τ),      w̄ <- 2 w - w_before

converges to it from every start (Chambolle and Pock, J. Math. Imaging Vis. 40, 120 (2011)), in the
end linearly, as the problem is piecewise linear-quadratic. Message passing at a fixed point, with z
and θ, has ν = (d/n) z/θ, and is a near copy of this iteration with τ = θ: that start, and that
scale of weights against multipliers, is taken over. w̄ is the estimate, as X is read there.

Least squares (λ = 0, more samples than weights) is the saddle of ν·(y - X w) - |ν|²/2: the same
with 1 in the place of λ and no threshold, ν = y - X w, and σ = (√(n/d) - 1)/√L, the square root of
its inverse condition number, which contracts as e^{-σ t} or so.

Elsewhere σ = 1/(τ L), and L = (1 + √(n/d) + 6/√d)²: a Gaussian design has σ_max > 1 + √(n/d) + t
with probability below e^{-d t²/2} (Davidson and Szarek, 2001), here 2e-8.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


def soft(u: Any, threshold: np.ndarray, *, xp: Any) -> Any:
    """sign(u) max(|u| - θ, 0), a threshold for each column."""
    column = xp.asarray(threshold, dtype=u.dtype)
    return xp.sign(u) * xp.maximum(xp.abs(u) - column, 0.0)


@dataclass
class PrimalDual:
    """Which points have gone over, their w (dimension, points) and step sizes.

    ν is kept by the caller where z was; it is found as gain·(y - X w̄) + memory·(what was kept).
    """

    on: np.ndarray
    weights: Any
    tau: np.ndarray
    threshold: np.ndarray
    gain: np.ndarray
    memory: np.ndarray
    following: np.ndarray
    """1/(1 + σλ), the memory of every step but the first, which also turns z into ν."""

    @classmethod
    def nobody(cls, like: Any) -> PrimalDual:
        """No point has gone over; `like` has the shape of the weights."""
        columns = (np.ones(like.shape[1]) for _ in range(5))
        return cls(np.zeros(like.shape[1], dtype=bool), 0 * like, *columns)

    def begin(
        self,
        points: np.ndarray,
        *,
        mean: Any,
        threshold: np.ndarray,
        samples: np.ndarray,
        regularization: np.ndarray,
        xp: Any,
    ) -> None:
        """Go over with `points`, from ŵ = `mean` and the z that is kept; the columns are theirs."""
        dimension = mean.shape[0]
        ratio = np.sqrt(samples / dimension)
        root = 1.0 + ratio + 6.0 / np.sqrt(dimension)
        squares = (regularization == 0) & (ratio > 1.0)
        with np.errstate(divide="ignore"):
            sigma = np.where(squares, (ratio - 1.0) / root, 1.0 / (threshold * root**2))
            scale = np.where(squares, 1.0 - ratio**-2.0, 1.0 / (threshold * ratio**2))
        self.on[points] = True
        self.tau[points] = 1.0 / (sigma * root**2)
        self.threshold[points] = np.where(squares, 0.0, self.tau[points])
        self.following[points] = 1.0 / (1.0 + sigma * np.where(squares, 1.0, regularization))
        self.gain[points] = sigma * self.following[points]
        self.memory[points] = scale * self.following[points]
        self.weights[:, xp.asarray(points)] = mean

    def step(self, points: np.ndarray, *, gathered: Any, xp: Any) -> Any:
        """The next w̄ of `points`, from X^T ν = `gathered`."""
        columns = xp.asarray(points)
        before = self.weights[:, columns]
        tau = xp.asarray(self.tau[points], dtype=before.dtype)
        w = soft(before + tau * gathered, self.threshold[points], xp=xp)
        self.weights[:, columns] = w
        self.memory[points] = self.following[points]
        return 2.0 * w - before

"""The curve of all fixed points, and its rising parts, the branches.

In u = log s the fixed points of every alpha lie on one explicit curve (`model.py`),

    log alpha(u) = u - log E g^2(q_prior(e^u)),       d log alpha/du = 1 - d log E g^2/du.

Where it rises a fixed point is stable (the map s -> alpha E g^2 has slope below one there); where
it falls it is not; folds are its extrema. Its ends are fixed points of their own:

    u = -inf  zero overlap. For an EVEN channel (and the symmetric priors here) E g^2 ~ c q, the
              curve starts at alpha_weak = lim s/E g^2, and zero overlap is stable for alpha below.
              Otherwise the curve starts at alpha = 0.
    u = +inf  exact recovery. The curve ends at a limit: +inf with noise, where recovery is never
              exact; finite, such as the fraction of non-zero weights for linear labels, where E g^2
              ~ 1/deficit and deficit ~ 1/s; 0 for binary weights, whose deficit falls like
              e^{-s/2}. Exact recovery is stable for alpha beyond the limit.

So the stable fixed points form branches, from left to right and from bottom to top:

    branch 0        starts at u = -inf and holds zero overlap for alpha <= alpha_weak (nothing else,
                    if the curve falls at once);
    between         from a minimum of the curve to the next maximum;
    the last one    ends at u = +inf and holds exact recovery for alpha >= the limit (nothing else,
                    if the curve falls to its limit).

The plain iteration from overlap 0 (infinitesimal, if 0 is unstable) climbs to the first branch
whose top is above alpha; the one from exact recovery descends to the last branch whose bottom is
not. `tracing.py` finds the branches of a curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.numerics.monotone import rising_root
from solvers.systems.glm_bayes.model import Model

_ROWS = 4096
"""Evaluations at a time: bounds the memory of the quadratures (some hundred nodes each)."""


@dataclass(frozen=True)
class Curve:
    """Knots and branches of the curves of several models; rows are models, padded with NaN.

    `u`, `value`, `slope` (models, knots): log s, log alpha and its derivative on the grid, with the
    folds added. `left`, `right`, `bottom`, `top` (models, branches): ends of the branches in u
    and in log alpha. `zero` and `limit` (models,): log alpha at u = -inf and u = +inf.
    """

    model: Model
    u: np.ndarray
    value: np.ndarray
    slope: np.ndarray
    left: np.ndarray
    right: np.ndarray
    bottom: np.ndarray
    top: np.ndarray
    zero: np.ndarray
    limit: np.ndarray

    @property
    def branches(self) -> np.ndarray:
        """How many branches each model has."""
        return np.sum(~np.isnan(self.top), axis=1)

    def first(self, row: np.ndarray, log_alpha: np.ndarray) -> np.ndarray:
        """Index of the branch that the uninformed start climbs to."""
        return np.argmax(self.top[row] > log_alpha[:, None], axis=1)

    def last(self, row: np.ndarray, log_alpha: np.ndarray) -> np.ndarray:
        """Index of the branch that the informed start descends to."""
        return np.sum(self.bottom[row] <= log_alpha[:, None], axis=1) - 1

    def solve(self, row, branch, log_alpha, *, tolerance=1e-13, max_steps=100):
        """log s at given log alpha on given branches of given models; all of one length.

        The ends of the line are answered as such. Elsewhere Newton's method starts from the cubic
        through the two knots around the point. Returns u, status, steps, residual.
        """
        nothing = np.isneginf(log_alpha)  # no samples
        at_zero = nothing | (branch == 0) & (log_alpha <= self.zero[row])
        at_end = ~nothing & (branch == self.branches[row] - 1) & (log_alpha >= self.limit[row])
        u = np.where(at_zero, -np.inf, np.inf)
        status, steps, residual = np.zeros(len(u), np.int8), np.zeros(len(u), int), np.zeros(len(u))
        some = np.flatnonzero(~at_zero & ~at_end)
        if not len(some):
            return u, status, steps, residual
        row, branch, target = row[some], branch[some], log_alpha[some]
        tolerance, max_steps = (
            np.broadcast_to(np.asarray(v), u.shape)[some] for v in (tolerance, max_steps)
        )
        asked = np.exp(target)
        start, low, high = self._between(row, branch, target)

        def miss(u, points):
            # Not a difference of logarithms, which loses digits where both are large.
            alpha, slope = evaluate(self.model, u, row[points])
            return np.log(alpha / asked[points]), slope

        answer = rising_root(miss, start, low, high, tolerance=tolerance, max_steps=max_steps)
        u[some], status[some], steps[some], residual[some] = answer
        return u, status, steps, residual

    def _between(self, row, branch, target):
        """A start for log s from the cubics between knots, and a bracket."""
        u, left, right = self.u[row], self.left[row, branch], self.right[row, branch]
        inside = (u >= left[:, None]) & (u <= right[:, None])
        begin = np.argmax(inside, axis=1)
        below = np.sum(inside & (self.value[row] <= target[:, None]), axis=1)
        count = np.sum(inside, axis=1)
        points = np.arange(len(row))
        lower = begin + np.maximum(below - 1, 0)
        upper = begin + np.minimum(below, count - 1)
        low, high = u[points, lower], u[points, upper]
        start = _cubic(
            low,
            high,
            *(self.value[row, i] - target for i in (lower, upper)),
            *(self.slope[row, i] for i in (lower, upper)),
        )
        # Beyond the first and the last knot the curve is straight, or s is linear in alpha.
        before, after = below == 0, below == count
        with np.errstate(divide="ignore", invalid="ignore"):
            gap = self.value[row, lower] - target
            linear = low - gap / self.slope[row, lower]
            rate = self.value[row, lower] - self.zero[row]
            tail = low + np.log1p(np.maximum(-gap / rate, -1.0 + 1e-15))
            tail = np.where(np.isfinite(self.zero[row]), tail, linear)
        start = np.where(before, tail, np.where(after, linear, start))
        low, high = np.where(before, left, low), np.where(after, right, high)
        good = np.isfinite(start) & (start >= low) & (start <= high)
        fallback = np.where(np.isinf(low), high, np.where(np.isinf(high), low, 0.5 * (low + high)))
        return np.where(good, start, fallback), low, high


def evaluate(model, u, row):
    """alpha and d log alpha/du, for points of the curves of the models `row`."""
    alpha, slope = np.empty_like(u), np.empty_like(u)
    for start in range(0, len(u), _ROWS):
        part = slice(start, start + _ROWS)
        alpha[part], slope[part] = model.take(row[part]).alpha(u[part])
    return alpha, slope


def _cubic(low, high, f_low, f_high, d_low, d_high):
    """Root, by bisection, of the cubic with these values and slopes; f_low <= 0 <= f_high."""
    width = high - low
    a, b = np.zeros_like(low), np.ones_like(low)
    for _ in range(40):
        t = 0.5 * (a + b)
        s = 1.0 - t
        f = s * s * ((1 + 2 * t) * f_low + t * width * d_low)
        f = f + t * t * ((1 + 2 * s) * f_high - s * width * d_high)
        a, b = np.where(f <= 0, t, a), np.where(f <= 0, b, t)
    return low + 0.5 * (a + b) * width

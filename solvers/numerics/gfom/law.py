"""The law of an iteration: responses, covariances, means, and any average over its rows.

The updates are gone through once. At each, the averages of its function are taken over the process
of the rows as far as it is known (docs/theory/gfom.md (4)-(9), c = size of the block that is read)

    Σ_ts = c E f_t f_s^T   (s <= t, updates into the same block),
    b_ts = c E d f_t/d r_s (r_s: Gaussian parts of the block that is read),

and the process is continued by z_t = r_t + f̌_t + Σ_s f_s b_ts^T. Two ways of averaging share this
loop: `sampled.Sampled` holds the whole process on fixed nodes, `closures.Closures` realises, for
every average, only the iterates that it depends on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.numerics.gfom.closures import Closures
from solvers.numerics.gfom.iteration import Iteration, Past
from solvers.numerics.gfom.rules import Linear, Paths, Quadrature
from solvers.numerics.gfom.sampled import Sampled
from solvers.numerics.gfom.state import State

Array = Any


@dataclass(frozen=True)
class Estimate:
    """A value and its standard error, zero where the average is not a Monte Carlo one."""

    value: Array
    error: Array


class Law:
    """What `solve` found. `t` and `s` are indices of iterates, as in the description.

    Answers have the axes (points, ...) and end with the columns of the iterates, as far as the
    iteration has points and columns (`Iteration`). The block may be left out if there is only one.
    """

    def __init__(self, state: State, averages: Sampled | Closures) -> None:
        self.state, self._averages = state, averages

    def gaussian_covariance(self, t: int, s: int, block: str | None = None) -> Estimate:
        """Σ_ts = E r_t r_s^T, the covariance of the Gaussian parts."""
        first, second = self._position(t, block), self._position(s, block)
        value = self.state.covariance[max(first, second), min(first, second)]
        return self._estimate(value if first >= second else np.swapaxes(value, -1, -2))

    def response(self, t: int, s: int, block: str | None = None) -> Estimate:
        """b_ts: response of the function that makes iterate t to the Gaussian part s.

        Iterate t is one of `block`, part s one of the block that this function reads. With b_ts the
        function that made iterate s enters iterate t.
        """
        update = self.state.iteration.updates[self._position(t, block)]
        source = self._position(s, update.reads)
        memory = self.state.response[self._position(t, block)]
        q = self.state.columns
        value = memory[source][..., 0, :, :] if source in memory else np.zeros((1, 1, q, q))
        return self._estimate(value)

    def average(self, name: str, t: int) -> Estimate:
        """The deterministic average `name` at time t."""
        return self._estimate(self.state.mean[name][t][..., 0, :], square=False)

    def expect(self, function: Callable[[Past], Array], block: str | None = None) -> Estimate:
        """E function(past) over the rows of a block; the past holds every iterate there is."""
        block = self.state.iteration.block(block)
        return self._estimate(self._averages.expect(function, block)[..., 0, :], square=False)

    def mean(self, t: int, block: str | None = None) -> Estimate:
        """E z_t."""
        return self.expect(lambda past: past[t], block)

    def covariance(self, t: int, s: int, block: str | None = None) -> Estimate:
        """E z_t z_s^T - E z_t E z_s^T."""
        block = self.state.iteration.block(block)
        q = self.state.columns

        def products(past: Past) -> Array:
            outer = past[t][..., :, None] * past[s][..., None, :]
            return np.reshape(outer, (*outer.shape[:-2], q * q))

        second = self._averages.expect(products, block)[..., 0, :]
        first, other = (self._raw_mean(i, block) for i in (t, s))
        value = second.reshape(*second.shape[:-1], q, q) - first[..., :, None] * other[..., None, :]
        return self._estimate(value)

    def _raw_mean(self, t: int, block: str) -> Array:
        return self._averages.expect(lambda past: past[t], block)[..., 0, :]

    def _position(self, t: int, block: str | None) -> int:
        return self.state.position(self.state.iteration.block(block), t)

    def _estimate(self, copies: Array, square: bool = True) -> Estimate:
        """Mean over replicates and its standard error, without the axes that were not asked."""
        iteration, number = self.state.iteration, copies.shape[1]
        copies = np.broadcast_to(copies, (iteration.points or 1, *copies.shape[1:]))
        value = copies.mean(axis=1)
        error = np.zeros_like(value)
        if number > 1:
            error = copies.std(axis=1, ddof=1) / np.sqrt(number)
        pair = [value, error]
        if iteration.columns is None and value.shape[-1] == 1:
            pair = [a[..., 0, 0] if square else a[..., 0] for a in pair]
        if iteration.points is None:
            pair = [a[0] for a in pair]
        return Estimate(*pair)


def solve(iteration: Iteration, rule: Quadrature | Paths | Linear) -> Law:
    """The law of an iteration, with Gaussian averages by `rule`.

    Raises `TooManyDimensionsError` where `Quadrature` would need more dimensions than it may take,
    and ValueError where `Linear` is asked for an iteration that is not affine.
    """
    state = State(iteration)
    if isinstance(rule, Linear):
        if not iteration.affine:
            raise ValueError("Linear needs an iteration declared affine; take Quadrature or Paths")
        state.check_affine()
    averages: Sampled | Closures
    averages = Closures(state, rule) if isinstance(rule, Quadrature) else Sampled(state, rule)
    for position, update in enumerate(iteration.updates):
        size = np.asarray(iteration.blocks[update.reads].size, dtype=float)
        averages.evaluate(position)
        for name in update.averages:
            state.mean.setdefault(name, {})[update.time] = averages.average(position, name)
        for earlier in range(position + 1):
            if iteration.updates[earlier].into == update.into:
                moment = averages.moment(position, earlier)
                state.covariance[position, earlier] = np.reshape(size, (-1, 1, 1, 1)) * moment
        state.response[position] = {
            source: np.reshape(size, (-1, 1, 1, 1, 1)) * slope
            for source, slope in averages.slopes(position).items()
            if np.any(slope != 0)
        }
        averages.extend(position)
    return Law(state, averages)

"""Averages over a process held on fixed nodes: paths, or the nodes that are exact for affine ones.

The Gaussian parts of a block are r = L ξ with the Cholesky factor L of their covariance, which
grows by the rows of each new iterate: causal, so that nothing already realised changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from solvers.numerics.gfom.iteration import Past
from solvers.numerics.gfom.rows import Rows
from solvers.numerics.gfom.rules import Linear, Paths, normal_columns, spread
from solvers.numerics.gfom.state import State

Array = Any

_DEPENDENT = 1e-13
"""A conditional variance below this share of the variance is rounding."""


class Sampled:
    """The whole process of every block on nodes drawn once."""

    def __init__(self, state: State, rule: Paths | Linear) -> None:
        self.state = state
        iteration, q = state.iteration, state.columns
        self.rows: dict[str, Rows] = {}
        self._normals: dict[str, Array] = {}
        self._factor: dict[str, _Factor] = {}
        for name, block in iteration.blocks.items():
            made = q * sum(update.into == name for update in iteration.updates)
            normals, weights = rule.draw(normal_columns(block.side) + made)
            side, rest, shares = spread(normals, weights, block.side)
            self._normals[name] = rest
            self._factor[name] = _Factor()
            self.rows[name] = Rows(
                block=block,
                side=side,
                weights=shares,
                mean=state.mean,
                columns=q,
                xp=np,
                memory=not iteration.subtract_memory,
            )

    def evaluate(self, position: int) -> None:
        """Evaluate the function of an update."""
        update = self.state.iteration.updates[position]
        self.rows[update.reads].evaluate(position, update)

    def average(self, position: int, name: str) -> Array:
        """One of the averages of an update."""
        update = self.state.iteration.updates[position]
        rows = self.rows[update.reads]
        values = update.averages[name](update.time, rows.past(), rows.value[position])
        return rows.average(values)

    def moment(self, position: int, earlier: int) -> Array:
        """E f f'^T of two updates."""
        rows = self.rows[self.state.iteration.updates[position].reads]
        return rows.product_moment(rows.value[position], rows.value[earlier])

    def slopes(self, position: int) -> dict[int, Array]:
        """E d f/d r for every Gaussian part that f depends on."""
        rows = self.rows[self.state.iteration.updates[position].reads]
        return {source: rows.average_slope(d) for source, d in rows.slope[position].items()}

    def extend(self, position: int) -> None:
        """Continue the process by the iterate of an update."""
        state, updates = self.state, self.state.iteration.updates
        update = updates[position]
        block = update.into
        earlier = [p for p in range(position + 1) if updates[p].into == block]
        row = np.concatenate(
            np.broadcast_arrays(*[state.covariance[position, p] for p in earlier]), axis=-1
        )
        factor = self._factor[block].extend(row)
        xi = self._normals[block][..., : factor.shape[-1]]
        self.rows[block].add(
            position,
            update,
            xi @ np.swapaxes(factor, -1, -2),
            state.response[position],
            0.0 if state.iteration.subtract_memory else 1.0,
        )

    def expect(self, function: Callable[[Past], Array], block: str) -> Array:
        """E function(past)."""
        rows = self.rows[block]
        return rows.average(np.asarray(function(rows.past()), dtype=float))


class _Factor:
    """A Cholesky factor of positive semi-definite matrices that grows by rows."""

    def __init__(self) -> None:
        self._rows: list[Array] = []

    def extend(self, covariance: Array) -> Array:
        """Add q rows, given (points, replicates, q, all so far and q); returns their factor."""
        q, total = covariance.shape[-2:]
        for a in range(q):
            length = total - q + a
            row: list[Array] = []
            for j in range(length):
                known = self._rows[j]
                inner = sum((row[k] * known[..., k] for k in range(j)), np.zeros(1))
                pivot = known[..., j]
                rest = covariance[..., a, j] - inner
                row.append(
                    np.divide(
                        rest,
                        pivot,
                        out=np.zeros(np.broadcast_shapes(rest.shape, pivot.shape)),
                        where=pivot > 0,
                    )
                )
            own = covariance[..., a, length]
            left = own - sum((x * x for x in row), np.zeros(1))
            row.append(np.sqrt(np.where(left > _DEPENDENT * own, left, 0.0)))
            self._rows.append(np.stack(np.broadcast_arrays(*row), axis=-1))
        new = self._rows[-q:]
        shape = np.broadcast_shapes(*[r.shape[:-1] for r in new])
        factor = np.zeros((*shape, q, total))
        for a, r in enumerate(new):
            factor[..., a, : r.shape[-1]] = r
        return factor

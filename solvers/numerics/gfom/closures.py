"""Averages by quadrature, each over the few iterates that it depends on.

An average depends on the iterates that its function reads, on those that their local functions and
memory terms read, and so on: their *closure*, found from what each function was seen to read. On
it the process is realised on a tensor grid for r = U √Λ ξ, with the eigenvectors and eigenvalues of
the covariance of the closure; eigenvalues that are rounding take no dimension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from solvers.numerics.gfom.iteration import Past
from solvers.numerics.gfom.rows import Rows
from solvers.numerics.gfom.rules import Quadrature, normal_columns, spread
from solvers.numerics.gfom.state import State

Array = Any

_RANK = 1e-13
_ZERO = 1e-13


class Closures:
    """Quadrature over closures; `reads` of functions and local functions by position."""

    def __init__(self, state: State, rule: Quadrature) -> None:
        self.state, self.rule = state, rule
        self._function: dict[int, tuple[set[int], set[str]]] = {}
        self._local: dict[int, tuple[set[int], set[str]]] = {}
        self._own: Rows | None = None

    def evaluate(self, position: int) -> None:
        """Find what the function reads, and evaluate it on its own closure."""
        update = self.state.iteration.updates[position]
        reads, sides, _ = self.state.trial(
            update.reads, lambda past: update.function(update.time, past), position
        )
        self._function[position] = reads, sides
        self._own = self._realise(update.reads, reads, sides, [position], derivatives=True)

    def average(self, position: int, name: str) -> Array:
        """One of the averages of an update; it may read more than the function does."""
        update = self.state.iteration.updates[position]
        own = update.averages[name]
        reads, sides, _ = self.state.trial(
            update.reads,
            lambda past: own(update.time, past, update.function(update.time, past)),
            position,
        )
        rows = self._realise(update.reads, reads, sides, [position])
        return rows.average(own(update.time, rows.past(), rows.value[position]))

    def moment(self, position: int, earlier: int) -> Array:
        """E f f'^T over the closure of both."""
        rows = self._own
        if earlier != position:
            first, second = self._function[position], self._function[earlier]
            block = self.state.iteration.updates[position].reads
            rows = self._realise(
                block, first[0] | second[0], first[1] | second[1], [earlier, position]
            )
        assert rows is not None
        return rows.product_moment(rows.value[position], rows.value[earlier])

    def slopes(self, position: int) -> dict[int, Array]:
        """E d f/d r over the closure of f; what vanishes to rounding is left out."""
        assert self._own is not None
        means = {u: self._own.average_slope(d) for u, d in self._own.slope[position].items()}
        largest = max((np.max(np.abs(m)) for m in means.values()), default=0.0)
        return {u: m for u, m in means.items() if np.max(np.abs(m)) > _ZERO * largest}

    def extend(self, position: int) -> None:
        """Note what the local function reads."""
        update = self.state.iteration.updates[position]
        self._local[position] = set(), set()
        if update.local is not None:
            local = update.local
            self._local[position] = self.state.trial(
                update.into, lambda past: local(update.time, past), position
            )[:2]

    def expect(self, function: Callable[[Past], Array], block: str) -> Array:
        """E function(past)."""
        reads, sides, _ = self.state.trial(block, function)
        rows = self._realise(block, reads, sides, [])
        return rows.average(np.asarray(function(rows.past()), dtype=float))

    def _closure(
        self, reads: Iterable[int], sides: Iterable[str]
    ) -> tuple[set[int], set[int], set[str]]:
        """Iterates, functions and sides that must be realised for these to be."""
        todo, iterates, functions, names = list(reads), set[int](), set[int](), set(sides)
        while todo:
            position = todo.pop()
            if position in iterates:
                continue
            iterates.add(position)
            parts = [self._local[position]]
            if not self.state.iteration.subtract_memory:
                memory = set(self.state.response[position])
                functions |= memory
                parts += [self._function[s] for s in memory]
            for more, further in parts:
                todo += more
                names |= further
        return iterates, functions, names

    def _realise(
        self,
        block: str,
        reads: set[int],
        sides: set[str],
        functions: list[int],
        derivatives: bool = False,
    ) -> Rows:
        """The closure of what is read, and the asked functions, on a grid of their own."""
        state, q = self.state, self.state.columns
        iteration = state.iteration
        made, needed, names = self._closure(reads, sides)
        described = iteration.blocks[block]
        side_laws = {n: law for n, law in described.side.items() if n in names}
        order = sorted(made)
        root = self._root(order)
        normals, weights = self.rule.draw(normal_columns(side_laws) + root.shape[-1])
        side, xi, shares = spread(normals, weights, side_laws)
        gaussian = xi @ np.swapaxes(root, -1, -2)
        rows = Rows(
            block=described,
            side=side,
            weights=shares,
            mean=state.mean,
            columns=q,
            xp=np,
            memory=not iteration.subtract_memory,
            derivatives=derivatives,
        )
        for position in sorted(made | needed | set(functions)):
            if position in needed or position in functions:
                rows.evaluate(position, iteration.updates[position])
            if position in made:
                at = order.index(position)
                rows.add(
                    position,
                    iteration.updates[position],
                    gaussian[..., q * at : q * (at + 1)],
                    state.response[position],
                    0.0 if iteration.subtract_memory else 1.0,
                )
        return rows

    def _root(self, order: list[int]) -> Array:
        """U √Λ of the covariance of some Gaussian parts: (points, 1, q·parts, rank)."""
        q = self.state.columns
        if not order:
            return np.zeros((1, 1, 0, 0))
        blocks = {(t, s): self.state.covariance[t, s] for t in order for s in order if s <= t}
        shape = np.broadcast_shapes(*[b.shape[:2] for b in blocks.values()])
        full = np.zeros((*shape, q * len(order), q * len(order)))
        for (t, s), value in blocks.items():
            i, j = (q * order.index(p) for p in (t, s))
            full[..., i : i + q, j : j + q] = value
            full[..., j : j + q, i : i + q] = np.swapaxes(value, -1, -2)
        values, vectors = np.linalg.eigh(full)
        top = values[..., -1:]
        rank = int(np.max(np.sum(values > _RANK * top, axis=-1)))
        kept = np.sqrt(np.maximum(values[..., len(values[0, 0]) - rank :], 0.0))
        return vectors[..., vectors.shape[-1] - rank :] * kept[..., None, :]

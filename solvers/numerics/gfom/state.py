"""What is known of a law so far, and facts about its functions found by calling them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from solvers.numerics.gfom.iteration import Atoms, Iteration, Past

Array = Any


class State:
    """Covariances, responses and deterministic averages, by the position of updates.

    `covariance[t, s]` (points, replicates, q, q) for s <= t into the same block, `response[t][s]`
    (points, replicates, 1, q, q), `mean[name][time]` (points, replicates, 1, k).
    """

    def __init__(self, iteration: Iteration) -> None:
        self.iteration = iteration
        self.columns = iteration.columns or 1
        self.covariance: dict[tuple[int, int], Array] = {}
        self.response: dict[int, dict[int, Array]] = {}
        self.mean: dict[str, dict[int, Array]] = {}
        self._positions = {
            (update.into, update.index): p for p, update in enumerate(iteration.updates)
        }

    def position(self, block: str, index: int) -> int:
        """The update that makes an iterate."""
        if (block, index) not in self._positions:
            known = [i for b, i in self._positions if b == block]
            raise ValueError(
                f"block {block} has no iterate {index}; it has {min(known)} to {max(known)}"
            )
        return self._positions[block, index]

    def trial(
        self,
        block: str,
        function: Callable[[Past], Array],
        before: int | None = None,
        generator: np.random.Generator | None = None,
    ) -> tuple[set[int], set[str], Array]:
        """Call a function on one row of random numbers: iterates and sides read, and the value.

        `before`: only iterates made by earlier updates exist.
        """
        generator = generator or np.random.default_rng(0)
        iterates = {
            update.index: generator.normal(size=(1, 1, 1, self.columns))
            for position, update in enumerate(self.iteration.updates)
            if update.into == block and (before is None or position < before)
        }
        past = self._past(block, iterates, generator)
        value = function(past)
        return {self.position(block, index) for index in past.reads}, past.sides_read, value

    def _past(self, block: str, iterates: Mapping[int, Array], generator: Any) -> Past:
        described = self.iteration.blocks[block]
        side = {
            name: np.full((1, 1, 1, 1), law.values[0])
            if isinstance(law, Atoms)
            else generator.normal(size=(1, 1, 1, law.columns))
            for name, law in described.side.items()
        }
        return Past(xp=np, iterates=iterates, side=side, mean=self.mean, start=described.start)

    def check_affine(self) -> None:
        """Raise ValueError if a function is not affine along a random line."""
        for position, update in enumerate(self.iteration.updates):
            if update.averages:
                raise ValueError("Linear takes no iteration with averages; take Paths")
            for block, function in ((update.reads, update.function), (update.into, update.local)):
                if function is not None and not self._affine(block, function, position):
                    raise ValueError(
                        f"a function of update {position} (time {update.time}) is not affine in "
                        "past iterates and side information; take Quadrature or Paths"
                    )

    def _affine(self, block: str, function: Callable, before: int) -> bool:
        generator = np.random.default_rng(1)
        update = self.iteration.updates[before]
        ends = [self._drawn(block, before, generator) for _ in range(2)]
        values = []
        for x in (0.0, 1.0, -1.7):
            iterates, side = (
                {name: a[name] + x * (b[name] - a[name]) for name in a}
                for a, b in zip(*ends, strict=True)
            )
            past = Past(
                xp=np,
                iterates=iterates,
                side=side,
                mean=self.mean,
                start=self.iteration.blocks[block].start,
            )
            values.append(np.asarray(function(update.time, past), dtype=float))
        expected = values[0] - 1.7 * (values[1] - values[0])
        return bool(np.allclose(values[2], expected, rtol=1e-9, atol=1e-12))

    def _drawn(self, block: str, before: int, generator: Any) -> tuple[dict, dict]:
        iterates = {
            update.index: generator.normal(size=(1, 1, 1, self.columns))
            for update in self.iteration.updates[:before]
            if update.into == block
        }
        side = {
            name: generator.normal(size=(1, 1, 1, getattr(law, "columns", 1)))
            for name, law in self.iteration.blocks[block].side.items()
        }
        return iterates, side

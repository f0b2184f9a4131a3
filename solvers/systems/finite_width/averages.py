r"""Tables of Gaussian averages of products of derivatives of the activation.

    two[a, b]        ⟨σ_i^(a) σ_j^(b)⟩                         shape (points, n, n)
    four[a, b, c, d] ⟨σ_i^(a) σ_j^(b) σ_k^(c) σ_l^(d)⟩         shape (points, n, n, n, n)

over preactivations z ~ N(0, K) of one unit at n inputs. `smooth` and `kinked` know the integrals.
Any order of the indices may be asked for; each average is computed once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np

from solvers.systems.finite_width.kinked import Kinked
from solvers.systems.finite_width.smooth import Smooth, single

Array = np.ndarray
Orders = tuple[int, ...]
KINKED = ("step", "relu")


class Averages:
    """The averages at kernels (points, n, n), for patterns of orders declared at the start."""

    def __init__(self, name: str, kernel: Array, patterns: Iterable[Orders]) -> None:
        self.n = kernel.shape[1]
        patterns = list(patterns)
        self.resolved = np.ones(len(kernel), dtype=bool)
        if self.n == 1 and name not in KINKED:
            found = single(name, kernel[:, 0, 0], patterns)
            self.tables = {p: found[p].reshape(-1, *[1] * len(p)) for p in patterns}
            return
        self.tables = {p: np.empty((len(kernel), *[self.n] * len(p))) for p in patterns}
        for point, own in enumerate(kernel):
            source = Kinked(name, own) if name in KINKED else Smooth(name, own)
            for pattern in patterns:
                self._fill(self.tables[pattern][point], source, pattern)
            if isinstance(source, Smooth):
                self.resolved[point] = source.resolved

    def _fill(self, table: Array, source: Kinked | Smooth, pattern: Orders) -> None:
        for where in itertools.product(range(self.n), repeat=len(pattern)):
            if isinstance(source, Kinked) and len(pattern) == 2:
                table[where] = source.two(pattern, where)
            else:
                table[where] = source.mean(pattern, where)

    def __getitem__(self, orders: Orders) -> Array:
        """The table of a pattern, or of a rearrangement of one."""
        if orders in self.tables:
            return self.tables[orders]
        for pattern, table in self.tables.items():
            if sorted(pattern) == sorted(orders):
                left = list(range(len(pattern)))
                axes = []
                for order in orders:
                    axis = next(i for i in left if pattern[i] == order)
                    left.remove(axis)
                    axes.append(1 + axis)
                return table.transpose(0, *axes)
        raise KeyError(orders)

"""Rows of one block on which iterates are realised: nodes of a law, or rows of an instance.

Values have the axes (points, replicates, rows, columns); derivatives have one more,
[..., a, b] = d(component a)/d(component b), and any axis may have length 1 where nothing depends on
it. With J_tρ = d z_t/d r_ρ and D_tρ = d f_t/d r_ρ (docs/theory/gfom.md (4), (5))

    D_tρ = Σ_u ∂f_t/∂z_u J_uρ,      J_tρ = 1[t = ρ] + Σ_u ∂f̌_t/∂z_u J_uρ + Σ_s b_ts D_sρ.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from solvers.numerics.gfom.iteration import Block, Past, Update

Array = Any

_STEP = 1e-3
"""Of differences, in units of the root-mean-square of an iterate: fourth order, error ~1e-12."""


class Rows:
    """Iterates, function values and total derivatives on the rows of one block.

    `weights` (points or 1, 1 or replicates, rows, 1) sum to one over the rows. Iterates and values
    are kept by the position of the update that made them; `memory` says whether iterates carry the
    memory terms, in their values (`add`) and so in their derivatives. `counts` (points,), of
    instances: point p has the first counts[p] rows, and sums stop there, so that they do not depend
    on how many rows other points have, to the last bit.
    """

    def __init__(
        self,
        *,
        block: Block,
        side: Mapping[str, Array],
        weights: Array,
        mean: Mapping[str, Mapping[int, Array]],
        columns: int,
        xp: Any,
        memory: bool,
        derivatives: bool = True,
        counts: np.ndarray | None = None,
    ) -> None:
        self.counts = counts
        self.block, self.side, self.weights, self.mean = block, side, weights, mean
        self.columns, self.xp = columns, xp
        self.memory, self.derivatives = memory, derivatives
        self.iterate: dict[int, Array] = {}
        self.value: dict[int, Array] = {}
        self.slope: dict[int, dict[int, Array]] = {}
        self.iterate_slope: dict[int, dict[int, Array]] = {}
        self._position: dict[int, int] = {}
        self._by_index: dict[int, Array] = {}

    def past(self) -> Past:
        """What a function may read now."""
        return Past(
            xp=self.xp,
            iterates=dict(self._by_index),
            side=self.side,
            mean=self.mean,
            start=self.block.start,
        )

    def evaluate(self, position: int, update: Update) -> Past:
        """Value and total derivatives of the function of one update."""
        past = self.past()
        self.value[position] = self._shaped(update.function(update.time, past))
        if self.derivatives:
            self.slope[position] = self._total(update, update.function, update.derivative, past)
        return past

    def add(
        self,
        position: int,
        update: Update,
        product: Array,
        coefficients: Mapping[int, Array],
        sign: float,
    ) -> None:
        """Make an iterate: product + local + sign·Σ_s value_s b_s^T.

        `coefficients` b by the position of the update whose function they multiply.
        """
        xp = self.xp
        iterate, slopes = product, {}
        past = self.past()
        if update.local is not None:
            iterate = iterate + self._shaped(update.local(update.time, past))
            if self.derivatives:
                slopes = self._total(update, update.local, update.local_derivative, past)
        if sign:
            for s, b in coefficients.items():
                b = b[..., 0, :, :]
                term = (
                    self.value[s] * b
                    if self.columns == 1
                    else (self.value[s] @ xp.matrix_transpose(b))
                )
                iterate = iterate + sign * term
        if self.derivatives:
            if self.memory:
                for s, b in coefficients.items():
                    _accumulate(slopes, {u: _chain(b, d) for u, d in self.slope[s].items()})
            eye = xp.eye(self.columns, dtype=iterate.dtype)
            slopes[position] = eye[None, None, None]
            self.iterate_slope[position] = slopes
        self.iterate[position] = iterate
        self._position[update.index] = position
        self._by_index[update.index] = iterate

    def average(self, values: Array) -> Array:
        """Weighted mean over rows of values (..., rows, columns): shape (..., 1, columns)."""
        return self._sum(self.weights * values)

    def average_slope(self, slope: Array) -> Array:
        """Weighted mean over rows of derivatives: shape (..., 1, columns, columns)."""
        return self._sum(self.weights[..., None] * slope)

    def product_moment(self, first: Array, second: Array) -> Array:
        """E first second^T: shape (..., columns, columns)."""
        xp = self.xp
        weighted, second = xp.broadcast_arrays(self.weights * first, second)
        if self.counts is None:
            return xp.matrix_transpose(weighted) @ second
        pairs = [
            xp.matrix_transpose(weighted[p, :, :count]) @ second[p, :, :count]
            for p, count in enumerate(self.counts)
        ]
        return xp.stack(pairs)

    def _sum(self, values: Array) -> Array:
        """Sum over the rows, which keep an axis of length 1."""
        xp = self.xp
        if self.counts is None:
            return xp.sum(values, axis=2, keepdims=True)
        parts = [
            xp.sum(values[p, :, :count], axis=1, keepdims=True)
            for p, count in enumerate(self.counts)
        ]
        return xp.stack(parts)

    def _shaped(self, values: Any) -> Array:
        """As an array with four axes and `columns` columns."""
        xp = self.xp
        array = xp.asarray(values, dtype=self.weights.dtype)
        while array.ndim < 4:
            array = array[None]
        if array.shape[-1] not in (1, self.columns) or array.ndim > 4:
            raise ValueError(
                f"a function returned an array of shape {tuple(array.shape)}; it must broadcast to "
                f"(points, replicates, rows, {self.columns})"
            )
        return xp.broadcast_to(array, (*array.shape[:-1], self.columns))

    def _total(
        self,
        update: Update,
        function: Callable,
        derivative: Callable | None,
        past: Past,
    ) -> dict[int, Array]:
        """d function/d r_ρ for all ρ, from its partial derivatives and those of the iterates."""
        total: dict[int, Array] = {}
        for s in sorted(past.reads):
            if derivative is None:
                partial = self._differences(update.time, s, function, past)
            else:
                partial = self._matrix(derivative(update.time, s, past))
            if partial is not None:
                inner = self.iterate_slope[self._position[s]]
                _accumulate(total, {u: _chain(partial, d) for u, d in inner.items()})
        return total

    def _matrix(self, partial: Any) -> Array | None:
        """A partial derivative as given, as (..., columns, columns); None if it is the number 0."""
        xp = self.xp
        if isinstance(partial, int | float) and partial == 0:
            return None
        array = xp.asarray(partial, dtype=self.weights.dtype)
        if array.ndim == 5:
            return array
        while array.ndim < 4:
            array = array[None]
        return array[..., None] * xp.eye(self.columns, dtype=array.dtype)

    def _differences(self, time: int, s: int, function: Callable, past: Past) -> Array:
        """Partial derivative by central differences of fourth order, a column at a time."""
        xp, here = self.xp, self._by_index[s]
        size = xp.sqrt(self.average(here * here))
        step = _STEP * xp.where(size > 0, size, xp.ones_like(size))
        columns = []
        for b in range(self.columns):
            unit = xp.asarray([float(a == b) for a in range(self.columns)], dtype=here.dtype)
            h = step[..., b : b + 1]

            def moved(k: float, shift: Array = h * unit) -> Array:
                return self._shaped(function(time, past.replaced(s, here + k * shift)))

            slope = 8.0 * (moved(1.0) - moved(-1.0)) - (moved(2.0) - moved(-2.0))
            columns.append(slope / (12.0 * h))
        return xp.stack(columns, axis=-1)


def _chain(outer: Array, inner: Array) -> Array:
    """Product of derivatives; for one column without the cost of a matrix product."""
    return outer * inner if outer.shape[-1] == 1 else outer @ inner


def _accumulate(total: dict[int, Array], terms: Mapping[int, Array]) -> None:
    for u, term in terms.items():
        total[u] = total[u] + term if u in total else term

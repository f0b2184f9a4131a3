"""The same description run on a random matrix of finite dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics import lockstep, one_way
from solvers.numerics.gfom.iteration import Atoms, Iteration, Normal, Past
from solvers.numerics.gfom.rows import Rows
from solvers.numerics.random import Stream
from solvers.numerics.wigner import design, goe

Array = Any


class Run:
    """Iterates of one instance, and averages over its rows, in the words of `Law`."""

    def __init__(self, iteration: Iteration, rows: dict[str, Rows], realised: Array) -> None:
        self.iteration, self.rows = iteration, rows
        self.alpha = realised
        """Realised number of rows of the rectangular matrix over its columns, for every point."""

    def iterate(self, t: int, block: str | None = None) -> Array:
        """z_t itself, (points, rows, columns) as far as there are such axes."""
        value = self.rows[self.iteration.block(block)].past()[t]
        value = np.broadcast_to(_host(value), (self.iteration.points or 1, *value.shape[1:]))[:, 0]
        value = value[..., 0] if self.iteration.columns is None else value
        return value[0] if self.iteration.points is None else value

    def expect(self, function: Callable[[Past], Array], block: str | None = None) -> Array:
        """Mean of function(past) over the rows of a block."""
        rows = self.rows[self.iteration.block(block)]
        return self._shaped(rows.average(function(rows.past()))[..., 0, :])

    def second_moment(self, function: Callable[[Past], Array], block: str | None = None) -> Array:
        """Mean over rows of all products of two columns of function(past)."""
        rows = self.rows[self.iteration.block(block)]
        values = function(rows.past())
        return self._shaped(rows.product_moment(values, values), square=True)

    def mean(self, t: int, block: str | None = None) -> Array:
        """Mean of z_t over rows."""
        return self.expect(lambda past: past[t], block)

    def covariance(self, t: int, s: int, block: str | None = None) -> Array:
        """Covariance of z_t and z_s over rows."""
        rows = self.rows[self.iteration.block(block)]
        past = rows.past()
        first, second = (past[i] - rows.average(past[i]) for i in (t, s))
        return self._shaped(rows.product_moment(first, second), square=True)

    def _shaped(self, value: Array, square: bool = False) -> Array:
        value = _host(value)[:, 0]
        value = np.broadcast_to(value, (self.iteration.points or 1, *value.shape[1:]))
        if self.iteration.columns is None and value.shape[-1] == 1:
            value = value[..., 0, 0] if square else value[..., 0]
        return value[0] if self.iteration.points is None else value


def simulate(
    iteration: Iteration,
    *,
    dimension: int,
    seed: int,
    system: str = "gfom",
    xp: Any = np,
    dtype: Any = None,
) -> Run:
    """Run an iteration on the instance of (system, seed, dimension).

    All points advance in lockstep on one matrix, their iterates side by side in one product; in the
    rectangular case point p sees the first round(alpha_p·dimension) rows of it. On a CPU the
    numbers of a point do not depend on the other points, to the last bit. Where the memory is
    subtracted its coefficients are those measured on the instance: averages over rows of the total
    derivatives. `xp` and `dtype` choose the array namespace and precision.
    """
    dtype = xp.float64 if dtype is None else dtype
    q, points = iteration.columns or 1, iteration.points or 1
    rectangular = len(iteration.blocks) == 2

    def stream(name: str) -> Stream:
        return Stream(system, seed, dimension, name)

    counts, weights = {}, {}
    for name, block in iteration.blocks.items():
        size = np.broadcast_to(np.asarray(block.size, dtype=float).ravel(), (points,))
        counts[name] = np.floor(size * dimension + 0.5).astype(int)
        if counts[name].min() < 1:
            raise ValueError(f"block {name} has no rows at dimension {dimension}; raise alpha")
        there = np.arange(counts[name].max())[None, None, :, None]
        there = there < counts[name][:, None, None, None]
        share = there / counts[name][:, None, None, None]
        weights[name] = xp.asarray(share, dtype=dtype)
    if rectangular:
        tall = lockstep.whole_tiles(int(counts["rows"].max()))
        matrix = design(stream=stream("matrix"), rows=tall, dimension=dimension, xp=xp, dtype=dtype)
    else:
        matrix = goe(stream=stream("matrix"), dimension=dimension, xp=xp, dtype=dtype)

    mean: dict[str, dict[int, Array]] = {}
    rows = {
        name: Rows(
            block=block,
            side={
                n: _side(stream(f"{name} {n}"), law, int(counts[name].max()), xp, dtype)
                for n, law in block.side.items()
            },
            weights=weights[name],
            mean=mean,
            columns=q,
            xp=xp,
            memory=False,
            derivatives=iteration.subtract_memory,
            counts=counts[name] if array_api_compat.is_numpy_namespace(xp) else None,
        )
        for name, block in iteration.blocks.items()
    }
    for position, update in enumerate(iteration.updates):
        source, target = rows[update.reads], rows[update.into]
        source.evaluate(position, update)
        value = source.value[position]
        for name, average in update.averages.items():
            here = source.average(average(update.time, source.past(), value))
            mean.setdefault(name, {})[update.time] = here
        coefficients = {}
        if iteration.subtract_memory:
            size = xp.asarray(counts[update.reads] / dimension, dtype=dtype)
            size = xp.reshape(size, (points, 1, 1, 1, 1))
            slopes = source.slope[position]
            coefficients = {s: size * source.average_slope(d) for s, d in slopes.items()}
        seen = counts["rows"] if rectangular else counts["sites"]
        product = _product(matrix, value, rectangular and update.reads == "rows", seen, q, xp)
        target.add(position, update, product, coefficients, -1.0)
    return Run(iteration, rows, counts.get("rows", np.full(points, dimension)) / dimension)


def _product(
    matrix: Array, value: Array, transposed: bool, seen: np.ndarray, q: int, xp: Any
) -> Array:
    """X·value or X^T·value in one reading of the matrix, (points, 1, rows, q), contiguous.

    `seen` (points,): rows of the matrix that a point has; `value` is cut to them before X^T.
    """
    points, size = len(seen), value.shape[-2]
    value = xp.permute_dims(xp.broadcast_to(value, (points, 1, size, q))[:, 0], (1, 0, 2))
    flat, rows = xp.reshape(value, (size, points * q)), np.repeat(seen, q)
    if transposed:
        padded = xp.zeros((matrix.shape[0], points * q), dtype=flat.dtype)
        there = xp.arange(size)[:, None] < xp.asarray(rows)
        padded[:size, :] = xp.where(there, flat, xp.zeros_like(flat))
        product = one_way.backward(matrix, padded, rows, xp=xp)
    else:
        product = one_way.forward(matrix, flat, rows, xp=xp)[: int(seen.max()), :]
    answer = xp.empty((points, 1, product.shape[0], q), dtype=product.dtype)
    answer[:, 0] = xp.permute_dims(xp.reshape(product, (-1, points, q)), (1, 0, 2))
    return answer


def _side(stream: Stream, law: Normal | Atoms, rows: int, xp: Any, dtype: Any) -> Array:
    """Side information of the rows of an instance: (points or 1, 1, rows, columns)."""
    if isinstance(law, Normal):
        return stream.normals(0, rows, law.columns, xp=xp, dtype=dtype)[None, None]
    uniform = stream.uniforms(0, rows, 1, xp=xp, dtype=xp.float64)[None, None]
    below: Any = 0.0
    chosen = xp.zeros_like(uniform)
    for value, share in zip(law.values, law.probabilities, strict=True):
        above = below + xp.asarray(share, dtype=xp.float64)
        here = (uniform >= below) & (uniform < above)
        chosen = xp.where(here, float(value), chosen)
        below = above
    chosen = xp.where(uniform >= below, float(law.values[-1]), chosen)
    return xp.astype(chosen, dtype)


def _host(array: Any) -> np.ndarray:
    return np.asarray(array_api_compat.to_device(array, "cpu"))

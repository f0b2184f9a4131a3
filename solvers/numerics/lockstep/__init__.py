"""Lockstep products: one matrix X, and many columns that each see a prefix of its rows.

Points that share an instance advance together, so that X is read once an iteration for all of them:

    u = X·w for every column w,        then        X^T f(u),

a block of rows at a time, while the block is in the cache. A column with fewer rows drops out of
the later blocks, so a nested grid of alphas wastes nothing.

**On a CPU** the products are compiled (`thin`), a tile of rows at a time.

**Elsewhere** (a GPU) a few large library products do the same (`device`).

Factors may be held in half or TF32 (`held`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics.lockstep import device
from solvers.numerics.lockstep.held import PLAIN, Held
from solvers.numerics.lockstep.thin import TILE, dots, padded, sums, up

CPU_BLOCK = 40 * TILE
"""Rows that are answered together: few calls, and a part of the third-level cache."""

GPU_BLOCK = 8192
"""At least, and four times as many at most, on a device: a block is read twice in about the time
that it takes to start its answers, some dozens of small kernels, if it has 2^28 entries. Longer
blocks would answer the columns of a nested grid of alphas for more rows than they see, by half a
block, and hold more temporary arrays: 100 MB for a dozen of 32,768 rows and 64 points."""

_GPU_ENTRIES = 2**28


def device_block(dimension: Any) -> Any:
    """Rows that a device answers together, of a matrix with so many columns (or of several)."""
    return device.up(np.clip(_GPU_ENTRIES // dimension, GPU_BLOCK, 4 * GPU_BLOCK))


def whole_tiles(rows: int) -> int:
    """`rows`, rounded up to a multiple of `TILE`."""
    return TILE * -(-rows // TILE)


def blocks(
    rows: np.ndarray, height: int, dimension: int, *, xp: Any
) -> Iterator[tuple[slice, int]]:
    """Blocks of rows that some column sees, and how many columns see any row of each.

    `rows` as in `products`, for a matrix (height, dimension). The last ends where a tile does.
    """
    most = int(rows.max(initial=0))
    end = min(whole_tiles(most), height)
    block = CPU_BLOCK
    if not array_api_compat.is_numpy_namespace(xp):
        block = int(device_block(dimension))
    for start in range(0, most, block):
        yield slice(start, min(start + block, end)), int(np.count_nonzero(rows > start))


def products(
    matrix: Any,
    columns: Any,
    rows: np.ndarray,
    *,
    xp: Any,
    held: Held = PLAIN,
    accurate: bool = False,
) -> Iterator[tuple[slice, np.ndarray, Any]]:
    """Blocks of matrix·columns, in one reading of the matrix.

    `matrix` (rows, dimension), `columns` (dimension, n), `rows` (n,) on the host:
    how many rows each column sees. `held`: how the matrix is held, and what its columns are rounded
    to, unless the products are to be `accurate`. Yields the rows of a block, which columns see any
    of them (host positions, most rows first), and their products (rows of the block, those
    columns).
    """
    order = np.argsort(-rows, kind="stable")
    numpy = array_api_compat.is_numpy_namespace(xp)
    if numpy:
        sorted_columns = padded(columns.T[order])
    else:
        sorted_columns = device.padded(columns.T[xp.asarray(order), :], xp)
    parts, undo = held.lower(sorted_columns, xp, accurate=accurate)
    for block, count in blocks(rows, *matrix.shape, xp=xp):
        part = matrix[block]
        if numpy:
            some = parts[0][: up(count)]
            product = np.empty((len(part), len(some)), dtype=part.dtype)
            dots(part, some, product)
        else:
            few = tuple(some[: device.up(count), :] for some in parts)
            product = device.dots(part, few, held, xp)
        if undo is not None:
            product *= undo[: product.shape[1]]
        yield block, order[:count], product[:, :count]


def read(
    matrix: Any,
    columns: Any,
    rows: np.ndarray,
    respond: Callable[[slice, np.ndarray, Any], Any],
    *,
    xp: Any,
    held: Held = PLAIN,
) -> Any:
    """X^T f(X·columns), shape (dimension, n), in one reading of the matrix.

    Arguments as in `products`; `respond(rows, which, product)` returns f for the columns `which` of
    a block, in the shape of the product, with zeros in the rows that a column does not see.
    """
    count, dimension = columns.shape[1], matrix.shape[1]
    numpy = array_api_compat.is_numpy_namespace(xp)
    total = xp.zeros((up(count) if numpy else device.up(count), dimension), dtype=columns.dtype)
    order = np.argsort(-rows, kind="stable")
    for block, which, product in products(matrix, columns, rows, xp=xp, held=held):
        answer = respond(block, which, product).T
        (factors,), undo = held.lower(padded(answer) if numpy else device.padded(answer, xp), xp)
        part = total[: factors.shape[0], :]
        if not numpy:
            device.sums(matrix[block], factors, part, undo, held, xp)
        elif undo is None:
            sums(matrix[block], factors, part)
        else:
            term = np.zeros_like(part)
            sums(matrix[block], factors, term)
            part += undo[:, None] * term
    gathered = xp.empty((dimension, count), dtype=columns.dtype)
    gathered[:, xp.asarray(order)] = total[:count].T
    return gathered


def column_sums(array: Any, xp: Any) -> np.ndarray:
    """Sums over the rows in double precision, on the host, in an order no other column can change.

    NumPy adds a lone column, or one in Fortran order, pairwise, and rows of several one by one.
    """
    return all_column_sums([array], xp)[0]


def all_column_sums(arrays: Iterable[Any], xp: Any) -> np.ndarray:
    """`column_sums` of several arrays of as many columns, in one transfer: (arrays, columns)."""
    return np.asarray(array_api_compat.to_device(_sums(arrays, xp), "cpu"))


class Tally:
    """`column_sums` of blocks of rows, added up; a device is not waited for between the blocks."""

    def __init__(self, kinds: int, points: int, xp: Any) -> None:
        self._total, self._xp = np.zeros((kinds, points)), xp
        self._parts: list[tuple[np.ndarray, Any]] = []

    def add(self, which: np.ndarray, arrays: Iterable[Any]) -> None:
        """A block: one array of each kind, with a column for each of the points `which`."""
        self._parts.append((which, _sums(arrays, self._xp)))

    def total(self) -> np.ndarray:
        """The sums so far, on the host, shape (kinds, points)."""
        for which, sums_ in self._parts:
            self._total[:, which] += np.asarray(array_api_compat.to_device(sums_, "cpu"))
        self._parts.clear()
        return self._total


def _sums(arrays: Iterable[Any], xp: Any) -> Any:
    """`all_column_sums`, where the arrays are."""
    answers = []
    for array in arrays:
        count = array.shape[1]
        padded = xp.zeros((array.shape[0], count + 1), dtype=xp.float64)
        padded[:, :count] = array
        answers.append(xp.sum(padded, axis=0)[:count])
    return xp.stack(answers)

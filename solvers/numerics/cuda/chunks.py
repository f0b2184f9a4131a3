"""Columns in chunks of rows: threads for them, and their sums in an order nothing else changes.

Kernels of this kind have threads along the columns of an array, which lie next to each other, and a
thread takes a few rows of one. What a column gets then depends on its rows alone, to the last bit,
and a lone column keeps many threads busy.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics.cuda import text

CHUNK, FOLD = 16, 32
"""Rows of a thread: few, so that a lone column has 512 threads in a block of rows; more would save
some of the scratch. Chunks that are added at a time."""

_THREADS, _WARP = 128, 32


def applies(xp: Any) -> bool:
    """Whether this is a device for which the kernels are made."""
    return bool(array_api_compat.is_cupy_namespace(xp))


def shape(columns: int, parts: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid and block: threads x over columns, y over parts of the rows.

    Blocks lie the other way: a grid has room for 2^16 blocks in y, and there may be more parts.
    """
    across = min(_WARP, 1 << (columns - 1).bit_length())
    down = _THREADS // across
    return (-(-parts // down), -(-columns // across)), (across, down)


@cache
def kernel(code: str, name: str, xp: Any) -> Any:
    """A kernel of a CUDA text, in which products and sums are kept apart."""
    return xp.RawModule(code=code, options=("--fmad=false",)).get_function(name)


def instance(texts: tuple[str, ...], name: str, real: str, response: str, arguments: str) -> str:
    """Texts, the last of which defines KERNEL, and a kernel NAME_REAL of response(arguments).

    Among its arguments are own[0], own[1], ..., numbers of a column.
    """
    count, called = arguments.count("own["), f"{response}({arguments})"
    number = {"float32": "float", "float64": "double"}[real]
    line = f"KERNEL({name}_{real}, {number}, {count}, {called})\n"
    return "".join(text(part) for part in texts) + line


def fold(partial: Any, xp: Any) -> Any:
    """Sums over the first axis of (chunks, sums, columns): `FOLD` at a time, in their order."""
    columns = partial.shape[1] * partial.shape[2]
    while len(partial) > 1:
        parts = -(-len(partial) // FOLD)
        folded = xp.empty((parts, *partial.shape[1:]), dtype=xp.float64)
        sizes = (np.int64(size) for size in (len(partial), columns, FOLD))
        kernel(text("fold"), "fold", xp)(*shape(columns, parts), (partial, folded, *sizes))
        partial = folded
    return partial[0]


def to_host(array: Any) -> np.ndarray:
    """A NumPy copy; the host waits for it."""
    return np.asarray(array_api_compat.to_device(array, "cpu"))

"""One reading of a design on a device: responses in one kernel between two products.

What `numerics/one_pass.py` does on a CPU, a block of rows at a time:

    product = R·round(ŵ/p),    ω = undo·product - margin - V g,    g, -∂g = response(y, ω),
    X^T g += undo·R^T round(g/q),

with powers of two p of a column and q of a block of a column, where the design is held in a format
(`lockstep/held.py`), and without them where it is not. Every channel, single and double precision.
`lockstep.read` with responses in array operations is its definition.

A column's g and sums do not depend on the columns beside it, to the last bit, as long as its
products do not: a thread takes `CHUNK` rows of a column, and sums of chunks are added `FOLD` at a
time, in their order.

**Launches** of a block of rows, both products among them, and what is read or written between the
products, in arrays of (rows, columns) numbers of single precision, counted in the code for sign
labels in single precision (in half):

                              array operations    here
    launches                  29 (43)             3 (5)
    arrays                    58 (66)             5 (6.5)
    copies to the device      4                   0

Beside the products there is one launch for the responses and, in half, one that rounds the factors
and one that adds up what was multiplied. Sums of chunks, 24 bytes for `CHUNK` numbers of a column,
are a tenth of an array more.

**An iteration** of message passing has besides, with `weights.py`, and as many blocks as there may
be (in brackets: one that is recorded):

                              array operations       here
    transfers to the host     a block + 1 (+ 1, 2)   2 (+ 1)
    copies to the device      4 a block + 8 (+ 1)    4 (+ 1)
    other launches            some 45 (+ 20)         15 (+ 5)

The host waits for the sums over the samples, which say which points are frozen, and for those over
the weights, which say which are done. The copies are indices, and numbers of the points.

**Layout.** g is written over the products, (rows, columns), and is taken transposed by the second
product, whose library has a word for that: nothing is transposed in memory.

An ESTIMATE, not a measurement, of a block of 8192 rows for dimension 40,000 in half precision, with
memory at 4 TB/s, products at 600 TFLOP/s and 3 μs a launch. The two products read 1.3 GB, 0.33 ms,
which is their time for 64 columns; for 512 they take 1.1 ms. An array has 2.1 MB for 64 columns and
17 MB for 512, and X^T g of a block, read or written 6 times (here 4) to be added up, 10 and 82 MB:

                              array operations    here
    64 columns                0.17 ms             0.02 ms
    512 columns               0.52 ms             0.12 ms

where the array operations take as long as 43 launches at least, some 0.3 ms if the interpreter asks
for one every 8 μs.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np

from solvers.numerics import lockstep
from solvers.numerics.cuda import chunks, text
from solvers.numerics.cuda.chunks import CHUNK
from solvers.numerics.cuda.fused import NAMES
from solvers.numerics.lockstep import device
from solvers.numerics.lockstep.held import PLAIN, Held

_ROUNDED = 4
"""Rows of a thread that rounds."""

_RESPONSES = ("tails", "channels", "door", "sizes", "one_pass")


def read(
    channel: Any,
    design: Any,
    labels: Any,
    output: Any,
    *,
    points: np.ndarray,
    samples: np.ndarray,
    mean: Any,
    variance: np.ndarray,
    margin: np.ndarray | None = None,
    whole: bool = False,
    held: Held = PLAIN,
    xp: Any,
    **parameters: np.ndarray,
) -> tuple[Any, np.ndarray]:
    """X^T g, shape (dimension, len(points)), and sums over the samples, shape (3, len(points)).

    Arguments and answers are those of `numerics/one_pass.read`; `design`, `labels`, `output` and
    `mean` are on the device, whatever has a number a point is on the host, and so are the sums.
    `parameters` are those of the channel. `labels` and `output` have contiguous rows. A `whole`
    `mean` has a column for every point, like these, and not for `points` alone.
    """
    count, order = len(points), np.argsort(-samples, kind="stable")
    name, keys = response(channel)
    real = output.dtype
    code = source(name, len(keys), real.name)
    margin = np.zeros(count) if margin is None else margin
    columns = (margin, variance, *(parameters[key] for key in keys))
    given = xp.asarray(np.stack([np.asarray(column)[order] for column in columns]), dtype=real)
    index = np.stack([order, points[order], samples[order], np.argsort(order)])
    index = xp.asarray(index.astype(np.int64))
    blocks = list(lockstep.blocks(samples, *design.shape, xp=xp))

    lowered, sizes = transposed(mean, index[1 if whole else 0], count, xp)
    lowered, undo = (lowered, None) if held.plain else lower(lowered, sizes, held, xp, by_rows=True)
    wide, parts = len(lowered), [-(-(b.stop - b.start) // CHUNK) for b, _ in blocks]
    total = xp.zeros((wide, design.shape[1]), dtype=real)
    partial = xp.zeros((max(1, sum(parts)), 3, wide), dtype=xp.float64)
    largest = xp.zeros((len(blocks), wide), dtype=xp.int32)
    first = 0
    for place, (block, seeing) in enumerate(blocks):
        few, part = device.up(seeing), design[block]
        product = device.dots(part, (lowered[:few, :],), held, xp)
        _respond(
            chunks.kernel(code, f"respond_{name}_{real.name}", xp),
            *(product, undo, labels[block], output[block], index, given),
            *(partial[first : first + parts[place]], None if held.plain else largest[place]),
            *(block.start, seeing),
        )
        first += parts[place]
        if held.plain:
            device.multiply(product.T, part, total[:few, :], add=True, held=held, xp=xp)
        else:
            factors, scales = lower(product, largest[place], held, xp)
            term = xp.empty((few, total.shape[1]), dtype=real)
            device.multiply(factors.T, part, term, add=False, held=held, xp=xp)
            _add_scaled(total[:few, :], term, scales, xp)

    moments = np.empty((3, count))
    moments[:, order] = chunks.to_host(chunks.fold(partial, xp))[:, :count]
    return total[index[3], :].T, moments


@cache
def response(channel: Any) -> tuple[str, tuple[str, ...]]:
    """Name of a channel's `denoise` in CUDA, and what it takes beside label, omega and variance."""
    label, omega, variance, *keys, xp = inspect.signature(channel.denoise).parameters
    if (label, omega, variance, xp) != ("label", "omega", "variance", "xp"):
        raise TypeError(f"denoise of {channel.__name__} takes {label}, {omega}, {variance}, {xp}")
    return NAMES[channel.denoise], tuple(keys)


@cache
def source(name: str, parameters: int, real: str) -> str:
    """The text of the kernel `respond_NAME_REAL` for a channel with so many parameters."""
    own = ", ".join(f"own[{i}]" for i in range(parameters + 1))
    arguments = f"label, omega, {own}, g, slope"
    return chunks.instance(_RESPONSES, f"respond_{name}", real, name, arguments)


@cache
def _lowered() -> str:
    return text("sizes") + text("lowered")


def _other(name: str, xp: Any) -> Any:
    return chunks.kernel(_lowered(), name, xp)


def _respond(kernel, product, undo, labels, output, index, given, partial, largest, start, count):
    """g over the products of a block of rows, and over the outputs; sums of its chunks."""
    rows, wide = product.shape
    for array in (labels, output):
        if array.strides[1] != array.itemsize and array.shape[1] > 1:
            raise ValueError(f"rows of strides {array.strides} are not contiguous")
    pitches = (array.strides[0] // array.itemsize for array in (labels, output))
    sizes = (rows, start, count, wide, CHUNK, *pitches, given.shape[1], partial.shape[2])
    null = np.uintp(0)
    kernel(
        *chunks.shape(wide, len(partial)),
        (
            *(product, null if undo is None else undo, labels, output, index[1], index[2], given),
            *(partial, null if largest is None else largest),
            *(np.int64(size) for size in sizes),
        ),
    )


def lower(x: Any, largest: Any, held: Held, xp: Any, *, by_rows: bool = False) -> tuple[Any, Any]:
    """`held.lower` of the columns of x (or rows), whose largest numbers have these bits."""
    rows, columns = x.shape
    factors = xp.empty((rows, columns), dtype=xp.float16) if held.word == "half" else x
    undo = xp.empty(largest.shape, dtype=xp.float32)
    chunk = 1 if by_rows else _ROUNDED
    sizes = (np.int64(size) for size in (rows, columns, chunk, by_rows))
    _other(f"lower_{held.word}", xp)(
        *chunks.shape(columns, -(-rows // chunk)),
        (x, factors, largest, undo, np.float32(held.scale), *sizes),
    )
    return factors, undo


def transposed(x: Any, place: Any, count: int, xp: Any) -> tuple[Any, Any]:
    """`device.padded` of `count` columns `place` of x as rows, and bits of their largest."""
    rows, wide = x.shape[0], device.up(count)
    out = xp.empty((wide, rows), dtype=x.dtype)
    largest = xp.zeros((wide,), dtype=xp.int32)
    steps = (step // x.itemsize for step in x.strides)
    sizes = (np.int64(size) for size in (rows, count, wide, CHUNK, *steps))
    _other(f"transposed_{x.dtype.name}", xp)(
        *chunks.shape(wide, -(-rows // CHUNK)), (x, out, place, largest, *sizes)
    )
    return out, largest


def _add_scaled(total: Any, term: Any, undo: Any, xp: Any) -> None:
    """total[c] += undo[c] term[c]."""
    rows, columns = total.shape
    sizes = np.int64(rows), np.int64(columns)
    grid, block = chunks.shape(columns, rows)
    _other("add_scaled", xp)(grid[::-1], block, (total, term, undo, *sizes))

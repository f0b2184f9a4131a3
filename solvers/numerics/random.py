"""Random instances as a function: any row of any instance, without drawing what comes before it.

`Stream(system, seed, dimension, name)` is an endless matrix of independent random numbers. Row r
holds the same numbers whatever range of rows is asked for, and a wider request has the narrower one
as its left part. So the design at alpha = 3 begins with the design at alpha = 1, and a worker draws
only the rows it needs.

**Generator.** Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw,
"Parallel random numbers: as easy as 1, 2, 3", SC11 (2011), section 3.3; the known-answer vectors of
their Random123 library are a test. A call maps (key, counter) to four 32-bit words:

    key      64-bit BLAKE2b hash of (system, seed, dimension, name)
    counter  (column block, distribution, row mod 2^32, row div 2^32)

The columns come in tiles of 4·LANES: call j of a tile gives its word i to column i·LANES + j of the
tile. Stores are then contiguous, and numbers are made in SIMD registers.

**Distributions.** One word x per number, u = (x + 1/2) / 2^32 in (0, 1):

    uniforms  u
    signs     +1 if u < 1/2, otherwise -1
    normals   Box-Muller: √(-2 log u) cos 2πu' and √(-2 log u) sin 2πu', (u, u') from the words
              (0, 1) and (2, 3)

The three differ in the counter: they are independent even under one name. A normal has modulus at
most √(66 log 2) = 6.764, beyond which a true Gaussian has mass 1.3e-11: no test of fewer than 1e10
numbers can see the cut. float32 and float64 start from the same words and differ by rounding:
normals by less than 1.5e-6. float16 is float32 rounded to nearest even, so that its uniforms may be
0 or 1.

**Three implementations.** NumPy gets a compiled kernel (`philox`), CuPy a CUDA kernel of the same
operations in the same order (`cuda/philox`), every other array namespace the same arithmetic in
array-API operations. The first two agree to the last bit, the third to rounding, as tests state.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import is_cupy_namespace, is_numpy_namespace

from solvers.numerics.cuda import philox as cuda_philox
from solvers.numerics.philox import LANES, NORMALS, SIGNS, TABLES, UNIFORMS, fill, words

_PORTABLE_BYTES = 2**28
_HALF_NUMBERS = 2**20
"""float32 numbers that are made before they are rounded to float16: they stay in the cache."""


@dataclass(frozen=True)
class Stream:
    """An endless random matrix, determined by (system, seed, dimension, name) alone.

    `name` tells apart the things that an instance is made of: "design", "teacher", "noise", "init".
    Every method returns an array of shape (stop - start, columns) of the namespace `xp`.
    """

    system: str
    seed: int
    dimension: int
    name: str

    @cached_property
    def key(self) -> int:
        """The 64-bit Philox key."""
        label = json.dumps([self.system, int(self.seed), int(self.dimension), self.name])
        return int.from_bytes(hashlib.blake2b(label.encode(), digest_size=8).digest(), "little")

    def normals(
        self, start: int, stop: int, columns: int, *, xp: Any = np, dtype: Any = np.float64
    ) -> Any:
        """Independent N(0, 1)."""
        return self._draw(NORMALS, start, stop, columns, xp, dtype)

    def signs(
        self, start: int, stop: int, columns: int, *, xp: Any = np, dtype: Any = np.float64
    ) -> Any:
        """Independent +1 or -1 with equal probability."""
        return self._draw(SIGNS, start, stop, columns, xp, dtype)

    def uniforms(
        self, start: int, stop: int, columns: int, *, xp: Any = np, dtype: Any = np.float64
    ) -> Any:
        """Independent and uniform in the open interval (0, 1)."""
        return self._draw(UNIFORMS, start, stop, columns, xp, dtype)

    def _draw(self, kind: int, start: int, stop: int, columns: int, xp: Any, dtype: Any) -> Any:
        start, stop, columns, real = int(start), int(stop), int(columns), np.dtype(dtype)
        if not 0 <= start <= stop < 2**63 or columns < 0:
            raise ValueError(f"rows {start} to {stop} of {columns} columns cannot be drawn")
        if real.name not in ("float16", "float32", "float64"):
            raise ValueError(f"random numbers are float16, float32 or float64, not {real}")
        if is_numpy_namespace(xp):
            out = np.empty((stop - start, columns), dtype=real)
            _fill(out, start, kind, self.key)
            return out
        if is_cupy_namespace(xp):
            out = xp.empty((stop - start, columns), dtype=real)
            cuda_philox.fill(out, start, kind, self.key, xp=xp)
            return out
        rows = max(1, _PORTABLE_BYTES // (64 * max(columns, 1)))
        parts = [
            _portable(kind, self.key, at, min(at + rows, stop), columns, xp, real)
            for at in range(start, max(stop, start + 1), rows)
        ]
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)


def _fill(out: np.ndarray, start: int, kind: int, key: int) -> None:
    """Fill an array of NumPy; float16 by way of float32, some rows at a time."""
    low, high = key & 0xFFFFFFFF, key >> 32
    if out.dtype != np.float16:
        fill(out, start, kind, low, high, TABLES[out.itemsize])
        return
    rows, columns = out.shape
    single = np.empty((max(1, _HALF_NUMBERS // max(columns, 1)), columns), dtype=np.float32)
    for at in range(0, rows, len(single)):
        part = single[: rows - at]
        fill(part, start + at, kind, low, high, TABLES[4])
        out[at : at + len(part)] = part


def _portable(
    kind: int, key: int, start: int, stop: int, columns: int, xp: Any, dtype: np.dtype
) -> Any:
    """The kernels of `philox` in array-API operations: rows [start, stop) of one distribution."""
    rows, tiles = stop - start, -(-columns // (4 * LANES))
    real = xp.float64 if dtype.itemsize == 8 else xp.float32
    row = xp.reshape(xp.arange(start, stop, dtype=xp.uint64), (rows, 1))
    block = xp.reshape(xp.arange(tiles * LANES, dtype=xp.uint64), (1, tiles * LANES))
    zero = xp.zeros((rows, tiles * LANES), dtype=xp.uint64)
    word = words(
        block + zero,
        zero + kind,
        (row & 0xFFFFFFFF) + zero,
        (row >> 32) + zero,
        key & 0xFFFFFFFF,
        key >> 32,
    )
    if kind == NORMALS:
        first = _box_muller(word[0], word[1], xp, real)
        second = _box_muller(word[2], word[3], xp, real)
        number = [*first, *second]
    elif kind == SIGNS:
        number = [xp.astype(1 - 2 * xp.astype(x >> 31, xp.int8), real) for x in word]
    else:
        top = 1.0 if dtype.itemsize == 8 else 1 - 2.0**-24
        number = [
            xp.clip(xp.astype((xp.astype(x, xp.float64) + 0.5) * 2.0**-32, real), max=top)
            for x in word
        ]
    tiled = xp.stack([xp.reshape(x, (rows, tiles, LANES)) for x in number], axis=2)
    numbers = xp.reshape(tiled, (rows, tiles * 4 * LANES))[:, :columns]
    return xp.astype(numbers, xp.float16) if dtype.itemsize == 2 else numbers


def _box_muller(x: Any, y: Any, xp: Any, real: Any) -> tuple[Any, Any]:
    """Two normals from two words; exact in float64, so that float32 loses nothing near u = 1."""
    u = (xp.astype(x, xp.float64) + 0.5) * 2.0**-32
    radius = xp.sqrt(-2.0 * xp.log(u))
    angle = (xp.astype(y, xp.float64) + 0.5) * (2.0 * math.pi * 2.0**-32)
    return xp.astype(radius * xp.cos(angle), real), xp.astype(radius * xp.sin(angle), real)

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
normals by less than 1.5e-6.

**Two implementations.** NumPy gets a compiled kernel (`philox`), every other array namespace the
same arithmetic in array-API operations. They agree to rounding, which a test states.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from array_api_compat import is_numpy_namespace

from solvers.numerics.philox import LANES, NORMALS, SIGNS, TABLES, UNIFORMS, fill, words

_PORTABLE_BYTES = 2**28


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
        if real not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ValueError(f"random numbers are float32 or float64, not {real}")
        if is_numpy_namespace(xp):
            out = np.empty((stop - start, columns), dtype=real)
            low, high = self.key & 0xFFFFFFFF, self.key >> 32
            fill(out, start, kind, low, high, TABLES[real.itemsize])
            return out
        rows = max(1, _PORTABLE_BYTES // (64 * max(columns, 1)))
        parts = [
            _portable(kind, self.key, at, min(at + rows, stop), columns, xp, real)
            for at in range(start, max(stop, start + 1), rows)
        ]
        return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)


def _portable(
    kind: int, key: int, start: int, stop: int, columns: int, xp: Any, dtype: np.dtype
) -> Any:
    """The kernels of `philox` in array-API operations: rows [start, stop) of one distribution."""
    rows, tiles = stop - start, -(-columns // (4 * LANES))
    real = xp.float32 if dtype.itemsize == 4 else xp.float64
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
        top = 1 - 2.0**-24 if dtype.itemsize == 4 else 1.0
        number = [
            xp.clip(xp.astype((xp.astype(x, xp.float64) + 0.5) * 2.0**-32, real), max=top)
            for x in word
        ]
    tiled = xp.stack([xp.reshape(x, (rows, tiles, LANES)) for x in number], axis=2)
    return xp.reshape(tiled, (rows, tiles * 4 * LANES))[:, :columns]


def _box_muller(x: Any, y: Any, xp: Any, real: Any) -> tuple[Any, Any]:
    """Two normals from two words; exact in float64, so that float32 loses nothing near u = 1."""
    u = (xp.astype(x, xp.float64) + 0.5) * 2.0**-32
    radius = xp.sqrt(-2.0 * xp.log(u))
    angle = (xp.astype(y, xp.float64) + 0.5) * (2.0 * math.pi * 2.0**-32)
    return xp.astype(radius * xp.cos(angle), real), xp.astype(radius * xp.sin(angle), real)

"""Random numbers of `solvers/numerics/random.py` made on a device, straight into an array.

`philox.cu` does what the compiled kernel of `solvers/numerics/philox.py` does, operation by
operation, in float32 and float64; float16 is the float32 number, rounded to nearest even. It is
compiled without fused multiply-add: roundings are then those of IEEE 754 on both sides, and every
number has the same bits on a device and on a CPU. Tests run the text on a CPU; `tests/test_gpu.py`
asks a device, which nobody has done so far.

**Cost.** A thread makes the four numbers of a Philox call, row after row; nothing is written but
the numbers. The eight calls of a tile store eight neighbours at once, 32 bytes in float32: whole
sectors of a device's memory (half sectors in float16, which its cache joins). In the machine code
for compute capability 9.0 the loop over rows has, for each call, 19 products of 32-bit integers to
64 bits and in all 72 instructions for signs, 74 for uniforms, 261 for float32 normals (some 120 of
them floating-point arithmetic, two divisions and two roots among it; multiply-add would save a
tenth) and 512 for float64 normals (186 in double precision), in 20 to 46 registers, none spilled.

An ESTIMATE from these counts, not a measurement, for 132 multiprocessors at 1.7 GHz that issue 128
instructions a clock: float32 normals are bound by the rate of instructions, 65 a number, at 4e11 a
second, 80,000 x 40,000 in 8 ms. The integer products alone, at a quarter of that rate, would allow
three times as many. Signs and uniforms, at 19 instructions a number, come to the rate at which
memory takes them. float64 normals are half as fast where double precision is, and some 50 times
slower on a device for graphics.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from solvers.numerics.cuda import text
from solvers.numerics.philox import LANES, NORMALS, SIGNS, UNIFORMS

_NAMES = {SIGNS: "signs", UNIFORMS: "uniforms", NORMALS: "normals"}
_THREADS, _WARP = 256, 32
_BLOCKS = 2**16 - 1
"""Enough to fill any device many times over, and as many as a grid can have in y: a thread makes
the calls of several rows where there are more."""


@cache
def _kernel(kind: int, real: str, xp: Any) -> Any:
    module = xp.RawModule(code=text("philox"), options=("--fmad=false",))
    return module.get_function(f"{_NAMES[kind]}_{real}")


def shape(rows: int, columns: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Grid and block, x over the calls of a row that have a column, y over rows."""
    tiles, rest = divmod(columns, 4 * LANES)
    calls = tiles * LANES + min(rest, LANES)
    across = min(_WARP, 1 << (calls - 1).bit_length())
    down = _THREADS // across
    wide = -(-calls // across)
    high = min(-(-rows // down), max(1, _BLOCKS // wide))
    return (wide, high), (across, down)


def fill(out: Any, start: int, kind: int, key: int, *, xp: Any) -> None:
    """Fill out, shape (rows, columns) float16, float32 or float64, with the rows from `start` on.

    `out` is an array of CuPy whose rows are contiguous; they may lie apart. `xp` is CuPy, and the
    work is put on its current stream.
    """
    rows, columns = out.shape
    if rows == 0 or columns == 0:
        return
    pitch, step = (stride // out.dtype.itemsize for stride in out.strides)
    if step != 1 and columns > 1:
        raise ValueError(f"rows of strides {out.strides} are not contiguous")
    grid, block = shape(rows, columns)
    sizes = (np.int64(size) for size in (rows, columns, pitch, start))
    words = (np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32))
    _kernel(kind, out.dtype.name, xp)(grid, block, (out, *sizes, *words))

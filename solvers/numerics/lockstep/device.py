"""Thin products on a device: large products of its library, in the format of the factors.

On CuPy every product is one call of cublasGemmEx with single-precision sums (double, if the factors
are): half factors are never summed in half, and single ones never rounded to TF32 unless asked,
whatever CuPy's own environment says. Any other array namespace multiplies with `@`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from array_api_compat import is_cupy_namespace

from solvers.numerics.lockstep.held import Held

LANES = 8
"""Tensor cores want 16 bytes of half numbers at a time: columns, and rows of a matrix, come in
eights."""

# Of the header cublas_api.h; a transposed operand is CUBLAS_OP_T.
_OP = {False: 0, True: 1}
_TYPES = {"float16": 2, "float32": 0, "float64": 1}
_COMPUTE_32F, _COMPUTE_64F, _COMPUTE_32F_FAST_TF32 = 68, 70, 77
_DEFAULT_ALGORITHM = -1


def up(count: Any) -> Any:
    """`count`, rounded up to a multiple of `LANES`."""
    return LANES * -(-count // LANES)


def padded(rows: Any, xp: Any) -> Any:
    """A contiguous copy with zero rows up to a multiple of `LANES`."""
    answer = xp.zeros((up(rows.shape[0]), rows.shape[1]), dtype=rows.dtype)
    answer[: rows.shape[0], :] = rows
    return answer


def dots(matrix: Any, parts: tuple[Any, ...], held: Held, xp: Any) -> Any:
    """Σ over the parts of matrix·part^T, shape (rows, columns); parts (columns, dimension)."""
    real = parts[0].dtype if held.plain else xp.float32
    product = xp.empty((matrix.shape[0], parts[0].shape[0]), dtype=real)
    for i, part in enumerate(parts):
        multiply(matrix, part.T, product, add=i > 0, held=held, xp=xp)
    return product


def sums(matrix: Any, factors: Any, total: Any, undo: Any | None, held: Held, xp: Any) -> None:
    """total[c] += undo[c] Σ_r factors[c, r] matrix[r], in place; `factors` (columns, rows)."""
    if undo is None:
        multiply(factors, matrix, total, add=True, held=held, xp=xp)
        return
    term = xp.empty(total.shape, dtype=total.dtype)
    multiply(factors, matrix, term, add=False, held=held, xp=xp)
    term *= undo[:, None]
    total += term


def multiply(left: Any, right: Any, out: Any, *, add: bool, held: Held, xp: Any) -> None:
    """out = left·right, or out += left·right."""
    if is_cupy_namespace(xp):
        gemm(left, right, out, add=add, tf32=held.word == "tf32", blas=_cublas())
        return
    term = xp.astype(left, out.dtype, copy=False) @ xp.astype(right, out.dtype, copy=False)
    out[...] = out + term if add else term


@dataclass(frozen=True)
class Blas:
    """The library: cublasGemmEx, the handle of this thread, and the address of an array."""

    gemm_ex: Callable[..., Any]
    handle: Callable[[], int]
    address: Callable[[Any], int]


@cache
def _cublas() -> Blas:
    from cupy import cuda

    return Blas(cuda.cublas.gemmEx, cuda.device.get_cublas_handle, lambda array: array.data.ptr)


def gemm(left: Any, right: Any, out: Any, *, add: bool, tf32: bool, blas: Blas) -> None:
    """out = left·right, or out += left·right: (rows, inner)·(inner, columns), by cublasGemmEx.

    The library stores matrices by columns; `out` is stored by rows. What it reads where a matrix is
    stored by rows, with `leading` numbers from one row to the next, is the transpose, with that
    leading dimension. So it is asked for out^T = right^T left^T: its m, n, k are columns, rows and
    inner, its first operand is `right` and its second `left`, as they are (OP_N) if stored by rows,
    transposed (OP_T) if stored by columns. Slices need no copy as long as one axis is contiguous.

    Factors are both half, single or double; `out` and the sums are single for half factors. With
    `tf32` the library may drop the digits of single factors that TF32 lacks; they are to be
    rounded before.
    """
    rows, inner = left.shape
    columns = right.shape[1]
    left, left_transposed, left_leading = _stored(left)
    right, right_transposed, right_leading = _stored(right)
    target, out_transposed, out_leading = _stored(out)
    wide = left.dtype == np.float64
    if (
        out_transposed
        or target is not out
        or left.dtype != right.dtype
        or out.dtype != (np.float64 if wide else np.float32)
    ):
        raise ValueError(
            f"no product of {left.dtype} and {right.dtype} into {out.dtype}, strides {out.strides}"
        )
    compute = _COMPUTE_64F if wide else _COMPUTE_32F_FAST_TF32 if tf32 else _COMPUTE_32F
    one, keep = np.ones((), dtype=out.dtype), np.full((), float(add), dtype=out.dtype)
    factor, answer = _TYPES[left.dtype.name], _TYPES[out.dtype.name]
    blas.gemm_ex(
        *(blas.handle(), _OP[right_transposed], _OP[left_transposed], columns, rows, inner),
        *(one.ctypes.data, blas.address(right), factor, right_leading),
        *(blas.address(left), factor, left_leading),
        *(keep.ctypes.data, blas.address(out), answer, out_leading),
        *(compute, _DEFAULT_ALGORITHM),
    )


def _stored(array: Any) -> tuple[Any, bool, int]:
    """The array, or a copy by rows; whether it is stored by columns; its leading dimension."""
    down, across = (step // array.itemsize for step in array.strides)
    rows, columns = array.shape
    if (columns == 1 or across == 1) and (rows == 1 or down >= columns):
        return array, False, down if rows > 1 else columns
    if (rows == 1 or down == 1) and (columns == 1 or across >= rows):
        return array, True, across if columns > 1 else rows
    return array.copy(), False, columns

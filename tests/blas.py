"""cublasGemmEx as its documentation states it, on the addresses of NumPy arrays."""

from __future__ import annotations

import ctypes

import numpy as np

from solvers.numerics.lockstep.device import Blas

TYPES = {2: np.float16, 0: np.float32, 1: np.float64}
COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 = 68, 70, 77
HANDLE = 4711


def _operand(address, type_, leading, rows, columns):
    """The column-major matrix A[i, j] = memory[i + j·leading] of this many rows and columns."""
    assert leading >= max(1, rows)
    real = np.dtype(TYPES[type_])
    count = leading * (columns - 1) + rows
    memory = (ctypes.c_char * (count * real.itemsize)).from_address(address)
    flat = np.frombuffer(memory, dtype=real)
    steps = (real.itemsize, leading * real.itemsize)
    return np.lib.stride_tricks.as_strided(flat, (rows, columns), steps)


class Library:
    """C = alpha·op(A)·op(B) + beta·C, by columns; `calls` has the compute type of every call."""

    def __init__(self):
        self.calls = []

    def blas(self) -> Blas:
        return Blas(self.gemm_ex, lambda: HANDLE, lambda array: array.ctypes.data)

    def gemm_ex(
        self, handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, b, type_b, ldb, beta, c, type_c,
        ldc, compute, algorithm,
    ):  # fmt: skip
        assert (handle, algorithm) == (HANDLE, -1)
        allowed = {
            COMPUTE_32F: [(0, 0), (2, 0)],
            COMPUTE_32F_FAST_TF32: [(0, 0)],
            COMPUTE_64F: [(1, 1)],
        }
        assert type_a == type_b
        assert (type_a, type_c) in allowed[compute]
        self.calls.append(compute)
        left = _operand(a, type_a, lda, *((k, m) if op_a else (m, k)))
        right = _operand(b, type_b, ldb, *((n, k) if op_b else (k, n)))
        left, right = left.T if op_a else left, right.T if op_b else right
        real = TYPES[type_c]
        one, keep = (
            np.frombuffer((ctypes.c_char * np.dtype(real).itemsize).from_address(x), real)[0]
            for x in (alpha, beta)
        )
        if compute == COMPUTE_32F_FAST_TF32:  # the library may cut the digits that TF32 lacks
            left, right = _cut(left), _cut(right)
        out = _operand(c, type_c, ldc, m, n)
        product = one * (left.astype(real) @ right.astype(real))
        out[...] = product if keep == 0 else product + keep * out


def _cut(x):
    bits = np.ascontiguousarray(x).view(np.int32) & -(1 << 13)
    return bits.view(np.float32)

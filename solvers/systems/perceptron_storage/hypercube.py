"""Solutions of the binary perceptron counted by a walk over the hypercube (see `enumeration`)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from solvers.numerics.compiled import jit

RESTART = 256
"""High halves walked before z is computed afresh, so that rounding cannot build up."""

_KINDS = {"step": 0, "rectangle": 1, "ushape": 2}
_STEP, _RECTANGLE = 0, 1


def count_solutions(
    rows: np.ndarray, *, kappa: float, constraint: str, low_bits: int
) -> np.ndarray:
    """Solutions of the first m rows, for m = 0 ... len(rows); `low_bits` spins are in the table."""
    samples, dimension = rows.shape
    even = constraint != "step"
    free = dimension - even
    if samples == 0 or (constraint == "ushape" and kappa < 0):
        return np.full(samples + 1, 2**dimension, np.int64)
    low, high = min(free, low_bits), max(free - low_bits, 0)
    table = rows[:, :low] @ _configurations(low)
    table = np.ascontiguousarray(table[:, np.argsort(table[0], kind="stable")])
    columns = np.ascontiguousarray(rows[:, low:free].T)
    fixed = rows[:, free].copy() if even else np.zeros(samples)

    def walk(start: int, stop: int) -> np.ndarray:
        count = np.zeros(samples + 1, np.int64)
        _walk(table, columns, fixed, kappa, _KINDS[constraint], start, stop, count)
        return count

    total, threads = 2**high, numba.get_num_threads()
    parts = 1 if threads == 1 or total <= RESTART else min(total // RESTART, 8 * threads)
    edges = [total * part // parts for part in range(parts + 1)]
    if parts == 1:
        count = walk(0, total)
    else:
        with ThreadPoolExecutor(threads) as pool:
            count = np.sum(list(pool.map(walk, edges[:-1], edges[1:])), axis=0)
    return (1 + even) * count


def _configurations(bits: int) -> np.ndarray:
    """All ±1 vectors, shape (bits, 2^bits)."""
    code = np.arange(2**bits)
    return 1.0 - 2.0 * ((code >> np.arange(bits)[:, None]) & 1)


@jit
def _high_sum(columns, fixed, code):
    """z of the high half, every row, summed afresh."""
    base = fixed.copy()
    for i in range(len(columns)):
        sign = -1.0 if (code >> i) & 1 else 1.0
        for m in range(len(base)):
            base[m] += sign * columns[i, m]
    return base


@numba.njit(inline="always")
def _holds(value, kappa, kind):
    if kind == _STEP:
        return value > kappa
    return abs(value) < kappa if kind == _RECTANGLE else abs(value) > kappa


@jit
def _scan(z, base, kappa, kind, alive, kept, start, stop):
    """Append those of start ... stop - 1 that satisfy a row to alive[:kept]; return the length."""
    for index in range(start, stop):
        alive[kept] = index
        kept += _holds(z[index] + base, kappa, kind)
    return kept


@jit
def _thin(z, base, kappa, kind, alive, length):
    """Keep those of alive[:length] that satisfy one row; return the length."""
    kept = 0
    for k in range(length):
        index = alive[k]
        alive[kept] = index
        kept += _holds(z[index] + base, kappa, kind)
    return kept


@jit
def _position(first, value, after):
    """Entries of the sorted `first` below `value`, or up to it if `after`."""
    low, high = 0, len(first)
    while low < high:
        middle = (low + high) // 2
        if first[middle] < value or (after and first[middle] == value):
            low = middle + 1
        else:
            high = middle
    return low


@jit
def _first_row(first, base, kappa, kind):
    """Two ranges (a, b, c, d) of the sorted first row that satisfy it: a ... b - 1, c ... d - 1."""
    size = len(first)
    above = _position(first, kappa - base, True)
    if kind == _STEP:
        return above, size, size, size
    if kind == _RECTANGLE:
        inner = _position(first, -kappa - base, True)
        return inner, max(inner, _position(first, kappa - base, False)), size, size
    return 0, _position(first, -kappa - base, False), above, size


@jit
def _walk(table, columns, fixed, kappa, kind, start, stop, count):
    """Add to count[m] the survivors of the first m rows, for the high halves start ... stop - 1."""
    samples, size = table.shape
    # One more than needed: the branch-free loops write before they know whether they keep.
    alive = np.empty(size + 1, np.int32)
    base = fixed.copy()
    for step in range(start, stop):
        code = step ^ (step >> 1)
        if (step - start) % RESTART == 0:
            base = _high_sum(columns, fixed, code)
        else:
            flipped, bit = step & -step, 0
            while flipped >> (bit + 1):
                bit += 1
            sign = -2.0 if code & flipped else 2.0
            for m in range(samples):
                base[m] += sign * columns[bit, m]
        count[0] += size
        a, b, c, d = _first_row(table[0], base[0], kappa, kind)
        length = b - a + d - c
        count[1] += length
        if samples == 1 or length == 0:
            continue
        length = _scan(table[1], base[1], kappa, kind, alive, 0, a, b)
        length = _scan(table[1], base[1], kappa, kind, alive, length, c, d)
        count[2] += length
        m = 2
        while m < samples and length:
            length = _thin(table[m], base[m], kappa, kind, alive, length)
            m += 1
            count[m] += length

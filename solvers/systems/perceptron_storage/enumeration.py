"""Binary perceptron: every weight vector tried, every solution counted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np

from solvers.axes import Choice, Integer
from solvers.contract import Cost, Status
from solvers.numerics.compiled import jit
from solvers.systems.perceptron_storage.model import system
from solvers.systems.perceptron_storage.patterns import patterns, samples_of

MAX_DIMENSION = 28
LOW_BITS = 11
"""Spins of the table: its first rows fill a part of the second-level cache."""
RESTART = 256
"""High halves walked before z is computed afresh, so that rounding cannot build up."""

_KINDS = {"step": 0, "rectangle": 1, "ushape": 2}
_STEP, _RECTANGLE = 0, 1


def _rows_passed(kappa: Any, constraint: str) -> Any:
    """Mean number of rows that a configuration meets, 1/P(violated): prices the walk."""
    below = 0.5 * (1 + np.tanh(0.8 * np.asarray(kappa, float)))
    if constraint == "step":
        return 1 / np.maximum(below, 0.02)
    violated = 2 - 2 * below if constraint == "rectangle" else 2 * below - 1
    return 1 / np.maximum(violated, 0.02)


@system.simulation(
    version=1,
    gives=("satisfiable", "solutions", "entropy", "samples"),
    size="dimension",
    shares=("dimension", "seed"),
    axes={
        "weights": Choice(
            "binary", default="binary", description="weights allowed: ±1", symbol="w"
        ),
        "dimension": Integer(
            "number of weights, all 2^dimension configurations of which are tried",
            low=1,
            high=MAX_DIMENSION,
            symbol="d",
        ),
    },
    cost=Cost(
        # A walk serves every alpha of the batch; a point is charged an eighth of it.
        flops=lambda *, kappa, constraint, dimension, **_: (
            4e4
            + 0.125 * 0.8 * _rows_passed(kappa, constraint) * 2.0 ** np.asarray(dimension, float)
        ),
        memory=lambda **_: 64.0,
        shared_memory=lambda *, alpha, dimension, **_: (
            8.0 * (2**LOW_BITS + 4 * dimension) * (alpha * dimension + 1)
        ),
    ),
)
def enumeration(
    *,
    alpha: np.ndarray,
    kappa: np.ndarray,
    constraint: str,
    weights: str,
    dimension: int,
    seed: int,
) -> dict[str, Any]:
    """Exact number of binary solutions of one instance, by a walk over all 2^dimension weights.

    Counts w in {-1, +1}^dimension with, for mu = 1 ... samples = round(alpha·dimension) and
    z_mu = x_mu·w, x_mu ~ N(0, 1/dimension): y z > kappa (step), |z| < kappa (rectangle),
    |z| > kappa (ushape). For the step the label y is absorbed into x.

    **Walk.** The spins are split in a low half of at most 11 and a high half. The table
    A[mu, l] = sum over the low half holds all low configurations l, in increasing order of A[0].
    The high half is walked in Gray code: one flip updates b_mu = sum over the high half by one
    column. For each b, the first row leaves an interval of l, found by bisection, and each further
    row thins out the list of survivors. A configuration is dropped at its first violated row, so
    a step of the walk costs much less than a column: 1/P(violated) numbers, 2 at kappa = 0.

    **Sharing.** The survivors after m rows are the solutions of the first m patterns: one walk
    answers every alpha. Rectangle and ushape are even in w, so half the hypercube is enough.
    The high half is divided over numba.get_num_threads() threads; counts are integers, so the
    answer does not depend on their number.

    **Rounding.** Double precision, z afresh every 256 flips: errors below 1e-14, while the smallest
    |z - kappa| over 2^28 configurations is about 1e-9. A wrong decision has probability < 1e-5
    even in the largest instance.

    Returns `satisfiable` (solutions > 0), `solutions`, `entropy` = log(solutions)/dimension (NaN
    when there is none), `samples` as realised, and steps = 2^dimension.
    """
    samples = samples_of(alpha=alpha, dimension=dimension)
    rows = patterns(dimension=dimension, seed=seed, samples=int(samples.max(initial=0)))
    solutions = np.zeros(len(samples), np.int64)
    for value in np.unique(kappa):
        here = kappa == value
        count = _count(rows[: samples[here].max()], float(value), constraint)
        solutions[here] = count[samples[here]]
    with np.errstate(divide="ignore"):
        entropy = np.where(solutions > 0, np.log(solutions) / dimension, np.nan)
    return {
        "satisfiable": solutions > 0,
        "solutions": solutions,
        "entropy": entropy,
        "samples": samples,
        "status": np.full(len(samples), Status.CONVERGED),
        "steps": np.full(len(samples), 2**dimension),
        "residual": np.zeros(len(samples)),
    }


def _count(rows: np.ndarray, kappa: float, constraint: str) -> np.ndarray:
    """Solutions of the first m rows, for m = 0 ... len(rows)."""
    samples, dimension = rows.shape
    even = constraint != "step"
    free = dimension - even
    if samples == 0 or (constraint == "ushape" and kappa < 0):
        return np.full(samples + 1, 2**dimension, np.int64)
    low, high = min(free, LOW_BITS), max(free - LOW_BITS, 0)
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

"""Binary perceptron: every weight vector tried, every solution counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import Choice, Integer
from solvers.contract import Cost, Status
from solvers.systems.perceptron_storage.model import system
from solvers.systems.perceptron_storage.patterns import patterns, samples_of

MAX_DIMENSION = 28
LOW_BITS = 11
"""Spins of the table: its first rows fill a part of the second-level cache."""


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
    from solvers.systems.perceptron_storage.hypercube import count_solutions  # compiled: heavy

    samples = samples_of(alpha=alpha, dimension=dimension)
    rows = patterns(dimension=dimension, seed=seed, samples=int(samples.max(initial=0)))
    solutions = np.zeros(len(samples), np.int64)
    for value in np.unique(kappa):
        here = kappa == value
        count = count_solutions(
            rows[: samples[here].max()],
            kappa=float(value),
            constraint=constraint,
            low_bits=LOW_BITS,
        )
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

"""The search of `reinforced_bp`: all points of a batch in lockstep on one set of patterns."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import to_device

from solvers.numerics import lockstep
from solvers.systems.perceptron_storage.outputs import Outputs
from solvers.systems.perceptron_storage.patterns import patterns

SLAB = 256
"""Rows tested together in double precision."""

CHECK = 10
"""Iterations between two tests of the binarised weights."""
SMALLEST_VARIANCE = 1e-6


def search(
    *,
    samples: np.ndarray,
    kappa: np.ndarray,
    dimension: int,
    seed: int,
    reinforcement: np.ndarray,
    max_steps: np.ndarray,
    xp: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Least share of violated patterns of every point, 0 for a solution, and iterations done."""
    points, tall = len(samples), lockstep.whole_tiles(max(1, int(samples.max(initial=0))))
    rows = patterns(dimension=dimension, seed=seed, samples=tall, xp=xp, dtype=np.float32)
    outputs = Outputs.zero(rows=tall, samples=samples, kappa=kappa, xp=xp)
    field = xp.zeros((dimension, points), dtype=xp.float32)
    unsatisfied, steps = np.full(points, np.inf), np.zeros(points, np.int64)
    active: np.ndarray = np.arange(points)
    step = 0
    while len(active):
        step += 1
        memory = 1.0 - (1.0 - reinforcement[active]) ** step
        field = _advance(rows, outputs, field, active, memory, xp)
        due = (step % CHECK == 0) | (step == max_steps[active])
        if due.any():
            violated = _violated(rows, field, samples[active], kappa[active], xp)
            least = np.minimum(unsatisfied[active], violated / np.maximum(samples[active], 1))
            unsatisfied[active] = np.where(due, least, unsatisfied[active])
            steps[active] = step
            go = np.flatnonzero(~due | ((unsatisfied[active] > 0) & (step < max_steps[active])))
            if len(go) < len(active):
                active, field = active[go], xp.take(field, xp.asarray(go), axis=1)
    return unsatisfied, steps


def _advance(
    rows: Any, outputs: Outputs, field: Any, active: np.ndarray, memory: np.ndarray, xp: Any
) -> Any:
    """One iteration of the active points: their new fields."""
    dimension = field.shape[0]
    m = xp.tanh(field)
    V = np.maximum(lockstep.column_sums(1.0 - m * m, xp) / dimension, SMALLEST_VARIANCE)
    push, slopes = outputs.read(rows, m, active, V.astype(np.float32))
    A, memory = (xp.asarray(column, dtype=xp.float32) for column in (slopes / dimension, memory))
    return push + A * m + memory * field


def _violated(rows: Any, field: Any, samples: np.ndarray, kappa: np.ndarray, xp: Any) -> np.ndarray:
    """Patterns that the weights sign(m) violate, for each point; a count of zero is certified."""
    w = xp.where(field >= 0, 1.0, -1.0)
    counts = np.zeros(len(samples), np.int64)
    for block, which, product in lockstep.products(rows, xp.astype(w, xp.float32), samples, xp=xp):
        margin = xp.asarray(kappa[which].astype(np.float32))
        counts[which] += _bad(product, margin, block, samples[which], xp)
    for place in np.flatnonzero(counts == 0):
        own = samples[place : place + 1]
        weights = xp.astype(w[:, int(place)][:, None], xp.float64)
        for start in range(0, int(own[0]), SLAB):
            block = slice(start, min(start + SLAB, int(own[0])))
            slab = xp.astype(rows[block, :], xp.float64)
            counts[place] += _bad(slab @ weights, float(kappa[place]), block, own, xp)[0]
    return counts


def _bad(product: Any, margin: Any, rows: slice, samples: np.ndarray, xp: Any) -> np.ndarray:
    """How many of the products of a block, in rows that a point sees, are at most the margin."""
    seen = xp.arange(rows.start, rows.stop)[:, None] < xp.asarray(samples)
    bad = xp.astype((product <= margin) & seen, xp.int64)
    return np.asarray(to_device(xp.sum(bad, axis=0), "cpu"))

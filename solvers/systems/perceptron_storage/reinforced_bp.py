"""Binary perceptron at large dimension: solutions by reinforced belief propagation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from array_api_compat import to_device

from solvers.axes import Choice, Integer, Real
from solvers.contract import Cost, Status
from solvers.systems.perceptron_storage.model import system
from solvers.systems.perceptron_storage.patterns import patterns, samples_of

BLOCK = 8
"""Points advanced together. Always this many, idle ones included, and always SLAB rows at a time:
products of one shape round in one way, so a point does not notice its neighbours."""
SLAB = 256
CHECK = 10
"""Iterations between two tests of the binarised weights."""
SMALLEST_VARIANCE = 1e-6

_ERFCX = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)


def _seconds_per_point(*, alpha: Any, dimension: Any, max_steps: Any, **_: Any) -> Any:
    d = np.asarray(dimension, float)
    steps = np.where(alpha < 0.7, np.minimum(max_steps, 400), max_steps)
    return steps * (alpha * d * (0.5e-9 * d + 60e-9) + 80e-6)


@system.simulation(
    version=1,
    gives=("satisfiable", "unsatisfied_fraction", "samples"),
    size="dimension",
    shares=("dimension", "seed"),
    devices=("cpu", "gpu"),
    axes={
        "constraint": Choice(
            "step", default="step", description="what y z must satisfy: y z > kappa", symbol="C"
        ),
        "weights": Choice(
            "binary", default="binary", description="weights allowed: ±1", symbol="w"
        ),
        "reinforcement": Real(
            "rate at which the memory of earlier fields grows; smaller is slower, reaches further",
            low=0,
            high=1,
            open="both",
            default=0.003,
            symbol="r",
        ),
        "max_steps": Integer(
            "iterations before the search is given up", low=1, default=1000, symbol=r"t_{\max}"
        ),
    },
    cost=Cost(
        flops=lambda **point: 1e9 * _seconds_per_point(**point),
        memory=lambda *, alpha, dimension, **_: 24.0 * (alpha + 1) * dimension + 8.0 * SLAB,
        shared_memory=lambda *, alpha, dimension, **_: (
            4.0 * (alpha * dimension + 2 * SLAB) * dimension + 64.0 * BLOCK * (dimension + SLAB)
        ),
    ),
)
def reinforced_bp(
    *,
    alpha: np.ndarray,
    kappa: np.ndarray,
    constraint: str,
    weights: str,
    dimension: int,
    seed: int,
    reinforcement: np.ndarray,
    max_steps: np.ndarray,
    xp: Any,
) -> dict[str, Any]:
    """Search for w in {-1, +1}^dimension with x_mu·w > kappa for every pattern.

    Belief propagation for rows x_mu ~ N(0, 1/dimension) (labels absorbed) and for single-site means
    m, in its form for dense patterns (TAP/AMP), with a memory of the fields that grows until the
    means are polarised (reinforcement):

        V     = 1 - |m|^2/dimension
        ω_mu  = x_mu·m - V g_mu                                      (g of the step before)
        g_mu  = φ(u)/(√V H(u)),  u = (kappa - ω_mu)/√V               (= d log H(u)/dω)
        A     = (1/dimension) sum_mu g_mu (g_mu - u/√V)             (= -mean derivative of g)
        h     <- X^T g + A m + ρ_t h,   ρ_t = 1 - (1 - reinforcement)^t
        m     = tanh(h),  from m = h = 0

    φ and H are density and upper tail of N(0, 1). Every 10 iterations the weights sign(m) are
    tested on all the patterns, and a point stops at the first solution.

    Source: Braunstein and Zecchina, Phys. Rev. Lett. 96, 030201 (2006), who reinforce belief
    propagation for this problem by setting a field with probability ρ_t; here the field is carried
    over with weight ρ_t, as in Baldassi et al., PNAS 113, E7655 (2016).

    **What the answer means.** `satisfiable` is True when a solution was FOUND, tested in
    double precision on the patterns (which are rounded to single): a certificate. When none was
    found the status is MAX_STEPS and `satisfiable` is False, but nothing is proved: the algorithm
    is incomplete. Its success ends near alpha = 0.7 at kappa = 0 and dimensions of a few thousand,
    well below the capacity 0.833. `unsatisfied_fraction` is the least fraction of violated patterns
    among the weights tested (also the `residual`), and `steps` the iterations done.

    Arithmetic is single precision. The hard instances are chaotic: another machine, whose products
    round differently, may find a solution where this one does not; averages over seeds agree.
    """
    samples = samples_of(alpha=alpha, dimension=dimension)
    points = len(samples)
    rows = patterns(
        dimension=dimension, seed=seed, samples=int(samples.max(initial=0)), xp=xp, dtype=np.float32
    )
    slabs = _slabs(rows, xp)
    unsatisfied, steps = np.full(points, np.inf), np.zeros(points, np.int64)
    search = _Search.start(np.argsort(-samples, kind="stable"), len(slabs), dimension, xp)
    step = 0
    while len(search.index):
        step += 1
        here = search.index
        memory = 1.0 - (1.0 - reinforcement[here]) ** step
        search = _advance(slabs, search, samples, kappa, memory, xp)
        due = (step % CHECK == 0) | (step == max_steps[here])
        if due.any():
            violated = _violated(slabs, search, samples, kappa, xp)
            least = np.minimum(unsatisfied[here], violated / np.maximum(samples[here], 1))
            unsatisfied[here] = np.where(due, least, unsatisfied[here])
            steps[here] = step
            search = search.keep(~due | ((unsatisfied[here] > 0) & (step < max_steps[here])), xp)
    found = unsatisfied == 0
    return {
        "satisfiable": found,
        "unsatisfied_fraction": unsatisfied,
        "samples": samples,
        "status": np.where(found, Status.CONVERGED, Status.MAX_STEPS),
        "steps": steps,
        "residual": unsatisfied,
    }


@dataclass(frozen=True)
class _Search:
    """Points still searching: `index` into the batch, fields h and last outputs g, in blocks.

    h: (dimension, BLOCK) and g: (slabs, SLAB, BLOCK) for each block; the last has idle columns.
    """

    index: np.ndarray
    h: list[Any]
    g: list[Any]

    @classmethod
    def start(cls, index: np.ndarray, slabs: int, dimension: int, xp: Any) -> _Search:
        blocks = -(-len(index) // BLOCK)
        return cls(
            index,
            [xp.zeros((dimension, BLOCK), dtype=xp.float32) for _ in range(blocks)],
            [xp.zeros((slabs, SLAB, BLOCK), dtype=xp.float32) for _ in range(blocks)],
        )

    def keep(self, chosen: np.ndarray, xp: Any) -> _Search:
        """The search of some of the points, packed into as few blocks as they need."""
        if chosen.all():
            return self
        if not chosen.any():
            return _Search(self.index[chosen], [], [])
        columns = np.flatnonzero(chosen)
        padded = xp.asarray(np.resize(columns, -(-len(columns) // BLOCK) * BLOCK))

        def packed(parts: list[Any]) -> list[Any]:
            whole = xp.take(xp.concat(parts, axis=-1), padded, axis=-1)
            starts = range(0, whole.shape[-1], BLOCK)
            return [xp.asarray(whole[..., i : i + BLOCK], copy=True) for i in starts]

        return _Search(self.index[chosen], packed(self.h), packed(self.g))

    def column(self, values: np.ndarray, block: int, xp: Any, real: Any = np.float32) -> Any:
        """The entries of one block as a (1, BLOCK) row of the device; idle columns hold 0."""
        row = np.zeros((1, BLOCK), real)
        part = values[block * BLOCK : (block + 1) * BLOCK]
        row[0, : len(part)] = part
        return xp.asarray(row)

    def reach(self, samples: np.ndarray, block: int) -> int:
        """Slabs that some point of the block asks for; the others would add exact zeros."""
        own = samples[self.index[block * BLOCK : (block + 1) * BLOCK]]
        return -(-int(own.max()) // SLAB)


def _slabs(rows: Any, xp: Any) -> list[Any]:
    """The rows in pieces of SLAB, the last one filled up with zeros."""
    samples, dimension = rows.shape
    pieces = [rows[i : i + SLAB, :] for i in range(0, samples, SLAB)]
    if samples % SLAB:
        empty = xp.zeros((SLAB - samples % SLAB, dimension), dtype=rows.dtype)
        pieces[-1] = xp.concat([pieces[-1], empty], axis=0)
    return pieces


def _advance(
    slabs: list[Any],
    search: _Search,
    samples: np.ndarray,
    kappa: np.ndarray,
    memory: np.ndarray,
    xp: Any,
) -> _Search:
    """One iteration of every point; the patterns are read once per block."""
    fields, outputs = [], []
    order = xp.reshape(xp.arange(SLAB, dtype=xp.float32), (SLAB, 1))
    for block, (h, g) in enumerate(zip(search.h, search.g, strict=True)):
        own = search.column(samples[search.index], block, xp)
        margin = search.column(kappa[search.index], block, xp)
        m = xp.tanh(h)
        dimension = m.shape[0]
        V = xp.sum(1.0 - m * m, axis=0, keepdims=True) / dimension
        V = xp.where(V > SMALLEST_VARIANCE, V, SMALLEST_VARIANCE)
        root = xp.sqrt(V)
        push, curvature = xp.zeros_like(h), xp.zeros_like(V)
        new = xp.zeros_like(g)
        for i, slab in enumerate(slabs[: search.reach(samples, block)]):
            asked = xp.astype(order + i * SLAB < own, xp.float32)
            u = (margin - (slab @ m - V * g[i, :, :])) / root
            hazard = asked * _hazard(u, xp)
            output = hazard / root
            new[i, :, :] = output
            push = push + slab.T @ output
            curvature = curvature + xp.sum(hazard * (hazard - u), axis=0, keepdims=True)
        A = curvature / (V * dimension)
        fields.append(push + A * m + search.column(memory, block, xp) * h)
        outputs.append(new)
    return _Search(search.index, fields, outputs)


def _hazard(x: Any, xp: Any) -> Any:
    """φ(x)/H(x) with a relative error below 1e-5, in elementary operations.

    erfcx(z) = t exp(P(t)), t = 1/(1 + z/2) for z >= 0, is the Chebyshev fit of Press et al.,
    Numerical Recipes, section 6.2 (erfcc; relative error < 1.2e-7).
    """
    z = xp.abs(x) * np.float32(np.sqrt(0.5))
    t = 1.0 / (1.0 + 0.5 * z)
    series = xp.full_like(t, _ERFCX[-1])
    for coefficient in reversed(_ERFCX[:-1]):
        series = series * t + coefficient
    tail = 0.5 * t * xp.exp(series)
    density = xp.exp(-z * z)
    above = 1.0 / tail
    below = density / (1.0 - tail * density)
    return xp.where(x > 0, above, below) * np.float32(1 / np.sqrt(2 * np.pi))


def _violated(
    slabs: list[Any], search: _Search, samples: np.ndarray, kappa: np.ndarray, xp: Any
) -> np.ndarray:
    """Patterns that the weights sign(m) violate, for each point; a count of zero is certified."""
    counts = [
        _count(slabs, xp.where(h >= 0, 1.0, -1.0), search, block, samples, kappa, xp, np.float32)
        for block, h in enumerate(search.h)
    ]
    for block, count in enumerate(counts):
        if np.any(count == 0):
            w = xp.where(search.h[block] >= 0, 1.0, -1.0)
            sure = _count(slabs, w, search, block, samples, kappa, xp, np.float64)
            counts[block] = np.where(count == 0, sure, count)
    return np.concatenate(counts)[: len(search.index)]


def _count(
    slabs: list[Any],
    w: Any,
    search: _Search,
    block: int,
    samples: np.ndarray,
    kappa: np.ndarray,
    xp: Any,
    real: Any,
) -> np.ndarray:
    """Violated patterns of one block, with products in the precision `real`."""
    own = search.column(samples[search.index], block, xp)
    margin = search.column(kappa[search.index], block, xp, real)
    order = xp.reshape(xp.arange(SLAB, dtype=xp.float32), (SLAB, 1))
    w, total = xp.astype(w, real), xp.zeros((BLOCK,), dtype=xp.int64)
    for i, slab in enumerate(slabs[: search.reach(samples, block)]):
        z = xp.astype(slab, real, copy=False) @ w
        bad = (z <= margin) & (order + i * SLAB < own)
        total = total + xp.sum(xp.astype(bad, xp.int64), axis=0)
    return np.asarray(to_device(total, "cpu"))

"""Binary perceptron at large dimension: solutions by reinforced belief propagation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import to_device

from solvers.axes import Choice, Integer, Real
from solvers.contract import Cost, Status
from solvers.numerics import lockstep
from solvers.systems.perceptron_storage.model import system
from solvers.systems.perceptron_storage.patterns import patterns, samples_of

if TYPE_CHECKING:
    from solvers.systems.perceptron_storage.outputs import Outputs

SLAB = 256
"""Rows tested together in double precision."""

CHECK = 10
"""Iterations between two tests of the binarised weights."""
SMALLEST_VARIANCE = 1e-6


def _seconds_per_point(*, alpha: Any, dimension: Any, max_steps: Any, **_: Any) -> Any:
    """Of a point among some eight; measured at dimensions 100 to 4000.

    Three times what a core took that multiplies single-precision matrices at 110 Gflop/s.
    """
    d = np.asarray(dimension, float)
    steps = np.where(alpha < 0.7, np.minimum(max_steps, 400), max_steps)
    return steps * (alpha * d * (0.3e-9 * d + 30e-9) + 30e-6)


@system.simulation(
    version=2,
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
        memory=lambda *, alpha, dimension, **_: 24.0 * (alpha + 1) * dimension,
        shared_memory=lambda *, alpha, dimension, **_: (
            4.0 * (alpha * dimension + 2 * SLAB) * dimension + 1e6
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

    All points advance in lockstep: an iteration reads the patterns once, and a point drops out
    after its own patterns, and for good when it ends. Arithmetic is single precision. The hard
    instances are chaotic: another machine, whose products round differently, may find a solution
    where this one does not; averages over seeds agree.
    """
    from solvers.systems.perceptron_storage.outputs import Outputs  # compiled: heavy

    samples = samples_of(alpha=alpha, dimension=dimension)
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
    found = unsatisfied == 0
    return {
        "satisfiable": found,
        "unsatisfied_fraction": unsatisfied,
        "samples": samples,
        "status": np.where(found, Status.CONVERGED, Status.MAX_STEPS),
        "steps": steps,
        "residual": unsatisfied,
    }


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

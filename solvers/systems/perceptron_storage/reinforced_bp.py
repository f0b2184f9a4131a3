"""Binary perceptron at large dimension: solutions by reinforced belief propagation."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import Choice, Integer, Real
from solvers.contract import Cost, Status
from solvers.systems.perceptron_storage.model import system
from solvers.systems.perceptron_storage.patterns import samples_of


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
            4.0 * (alpha * dimension + 512) * dimension + 1e6
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
    from solvers.systems.perceptron_storage.search import search  # compiled: heavy

    samples = samples_of(alpha=alpha, dimension=dimension)
    unsatisfied, steps = search(
        samples=samples,
        kappa=kappa,
        dimension=dimension,
        seed=seed,
        reinforcement=reinforcement,
        max_steps=max_steps,
        xp=xp,
    )
    found = unsatisfied == 0
    return {
        "satisfiable": found,
        "unsatisfied_fraction": unsatisfied,
        "samples": samples,
        "status": np.where(found, Status.CONVERGED, Status.MAX_STEPS),
        "steps": steps,
        "residual": unsatisfied,
    }

"""Entropy of solutions below capacity and ground-state energy above it."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.contract import Cost, Status
from solvers.numerics.elementwise import find_root
from solvers.numerics.gaussian import Array
from solvers.systems.perceptron_storage.binary_energy import frozen_energy
from solvers.systems.perceptron_storage.capacity import FIRST_MOMENT_BELOW, capacity
from solvers.systems.perceptron_storage.energy import (
    Energy,
    spherical_energy,
    symmetric_binary_energy,
)
from solvers.systems.perceptron_storage.first_moment import (
    log_probability,
    zero_overlap_stability,
)
from solvers.systems.perceptron_storage.model import system
from solvers.systems.perceptron_storage.saddle import (
    BINARY_GRID,
    SPHERICAL_GRID,
    Saddle,
    binary_curve,
    solve_curve,
    spherical_curve,
)

LOG2 = np.log(2.0)
_LARGEST_RESIDUAL = 1e-7


@system.theory(
    version=1,
    gives=(
        "entropy",
        "overlap",
        "ground_state_energy",
        "rademacher_complexity",
        "validity",
        "energy_validity",
    ),
    cost=Cost(
        flops=lambda *, weights, constraint, **_: (
            # With a few kappa and many alpha; a kappa of its own costs five to ten times as much.
            2e7 if weights == "binary" and constraint == "step" else 3e6
        ),
        memory=lambda **_: 4e5,
        shared_memory=lambda **_: 4e7,
    ),
)
def replica(
    *, alpha: Array, kappa: Array, constraint: str, weights: str, nodes: Array
) -> dict[str, Any]:
    r"""Replica-symmetric entropy and overlap of the solutions, and the least number of violations.

    **Entropy and overlap.** Binary weights: s = (1/dimension) log(number of solutions), so log 2 at
    alpha = 0. Spherical: logarithm of the share of the sphere, 0 at alpha = 0 and -> -inf at
    capacity, where q -> 1. The saddle-point equations are those of `saddle` (Gardner 1988; Krauth
    and Mézard 1989). Rectangle and ushape: for binary weights q = 0 and s = log 2 + alpha log P
    (`first_moment`); for spherical weights q = 0 and s = alpha log P while that is the least saddle
    point, and the one with q > 0 beyond. `validity`:

        exact               step, spherical, kappa >= 0; rectangle and ushape, binary, below
                            capacity, as in `capacity`
        replica_symmetric   the saddle point is stable (de Almeida and Thouless); no proof
        upper_bound         it is not, or alpha is above capacity. There, for binary weights, s < 0
                            continues the formula: no solutions exist, log of their number is -inf
        not_available       no saddle point (NaN): spherical weights above the capacity of
                            `capacity`; binary step beyond 2/pi of it, 4/pi at kappa = 0.

    **Energy.** E_GS, violated constraints per weight, at its minimum over w; 0 below capacity, then
    as derived in `energy` and `binary_energy`. `energy_validity`:

        exact               0 below a capacity that is exact
        replica_symmetric   0 below a replica-symmetric capacity
        frozen              one-step broken solution of binary weights, stable at its transition
        lower_bound         spherical weights above capacity and everywhere where the capacity is an
                            upper bound (rigorous, Gordon); binary rectangle and ushape where q = 0
                            is unstable (rigorous, Markov); binary step likewise (by analogy)
        not_available       binary step with kappa > 5 or alpha > 1e7, above capacity (NaN).

    **Rademacher complexity** of the class w -> sign(x·w), for random labels,
    R = E max_w (1/n) sum_mu y_mu sign(x_mu·w) = 1 - 2 E_GS/alpha; step and kappa = 0 only, else NaN
    (A. Abbara, B. Aubin, F. Krzakala and L. Zdeborová, MSML 2020, arXiv:1912.02729). It is an upper
    bound where E_GS is a lower one. For spherical weights the replica-symmetric R decays as
    alpha^(-1/3) when alpha -> inf; replica symmetry breaking makes the true decay faster.

    Points without solution of any kind: rectangle with kappa <= 0, where E_GS = alpha. `residual`
    is the relative error of the saddle-point equation, or of the condition that fixes E_GS.
    """
    limit = capacity(kappa=kappa, constraint=constraint, weights=weights, nodes=nodes)
    alpha_c = np.where(np.isnan(limit["alpha_c"]), np.inf, limit["alpha_c"])
    above = alpha > alpha_c
    saddle = _saddle(alpha, kappa, constraint, weights, nodes)
    energy = _energy(alpha, kappa, constraint, weights, nodes, above)

    certain = np.where(limit["validity"] == "not_available", "exact", limit["validity"])
    convex = constraint == "step" and weights == "spherical"
    stable = np.where(saddle.stability < 1, "replica_symmetric", "upper_bound")
    if constraint != "step" and weights == "binary":
        proved = (certain == "exact") & ~above
        validity = np.where(proved, "exact", "upper_bound")
    else:
        validity = np.where(above, "upper_bound", stable)
        if convex:
            validity = np.where(kappa >= 0, "exact", validity)
    if constraint == "ushape":
        validity = np.where(kappa <= 0, "exact", validity)
    validity = np.where(np.isnan(saddle.entropy), "not_available", validity)

    zero = np.where(certain == "upper_bound", "lower_bound", certain)
    with np.errstate(invalid="ignore"):
        frozen = (weights == "binary") & (energy.stability < 1)
    broken = np.where(frozen, "frozen", "lower_bound")
    energy_validity = np.where(above, broken, zero)
    energy_validity = np.where(np.isnan(energy.energy), "not_available", energy_validity)
    if constraint == "rectangle":
        energy_validity = np.where(kappa <= 0, "exact", energy_validity)

    sign_perceptron = (kappa == 0) & (constraint == "step")
    residual = np.nan_to_num(np.fmax(saddle.residual, energy.residual))
    return {
        "entropy": saddle.entropy,
        "overlap": saddle.q,
        "ground_state_energy": energy.energy,
        "rademacher_complexity": np.where(
            sign_perceptron, 1.0 - 2.0 * energy.energy / alpha, np.nan
        ),
        "validity": validity,
        "energy_validity": energy_validity,
        "status": np.where(residual < _LARGEST_RESIDUAL, Status.CONVERGED, Status.MAX_STEPS),
        "steps": saddle.steps + energy.steps,
        "residual": residual,
    }


def _saddle(alpha: Array, kappa: Array, constraint: str, weights: str, nodes: Array) -> Saddle:
    """Saddle points, solved curve by curve: the points of one kappa share the table."""
    log_p = log_probability(kappa, constraint)
    zeros = np.zeros(len(alpha))
    origin = LOG2 if weights == "binary" else 0.0
    if constraint != "step" and weights == "binary":
        stability = zero_overlap_stability(alpha, kappa, constraint)
        entropy = np.where(np.isfinite(log_p), origin + alpha * log_p, np.nan)
        q = np.where(np.isfinite(log_p), 0.0, np.nan)
        return Saddle(entropy, q, stability, zeros.astype(np.int64), zeros)

    saddle = Saddle(
        entropy=origin + alpha * np.where(np.isfinite(log_p), log_p, np.nan),
        q=np.where(np.isfinite(log_p), 0.0, np.nan),
        stability=zeros.copy(),
        steps=zeros.astype(np.int64),
        residual=zeros.copy(),
    )
    # Symmetric constraints with kappa <= 0 hold always or never: nothing to solve.
    asked = (constraint == "step") | (kappa > 0)
    for value, count in np.unique(np.stack([kappa, nodes])[:, asked], axis=1).T:
        here = np.flatnonzero(asked & (kappa == value) & (nodes == count))

        def curve(x: Array, value: float = value, count: int = int(count)) -> Any:
            margin = np.full_like(x, value)
            if weights == "binary":
                return binary_curve(x, margin, nodes=count)
            return spherical_curve(x, margin, constraint=constraint, nodes=count)

        part = solve_curve(
            curve,
            alpha[here],
            grid=BINARY_GRID if weights == "binary" else SPHERICAL_GRID,
            origin=origin,
            log_p=float(log_p[here[0]]),
            symmetric=constraint != "step",
        )
        for name in ("entropy", "q", "stability", "steps", "residual"):
            getattr(saddle, name)[here] = getattr(part, name)
    return saddle


def _energy(
    alpha: Array, kappa: Array, constraint: str, weights: str, nodes: Array, above: Array
) -> Energy:
    """Ground-state energies: zero below capacity, else by the method of weights and constraint."""
    points = len(alpha)
    energy = Energy(
        energy=np.zeros(points),
        stability=np.zeros(points),
        steps=np.zeros(points, dtype=np.int64),
        residual=np.zeros(points),
    )
    impossible = (constraint == "rectangle") & (kappa <= 0)
    energy.energy[impossible] = alpha[impossible]
    asked = above & ~impossible
    for value, count in np.unique(np.stack([kappa, nodes])[:, asked], axis=1).T:
        here = np.flatnonzero(asked & (kappa == value) & (nodes == count))
        at, margin, n = alpha[here], kappa[here], int(count)
        if weights == "spherical":
            part = spherical_energy(at, margin, constraint, nodes=n)
        elif constraint != "step" or value < FIRST_MOMENT_BELOW:
            part = symmetric_binary_energy(at, margin, constraint)
        else:
            part = frozen_energy(at, float(value), log_field_c=_field(value, n), nodes=n)
        for name in ("energy", "stability", "steps", "residual"):
            getattr(energy, name)[here] = getattr(part, name)
    return energy


def _field(kappa: float, nodes: int) -> float:
    """log q̂ at the capacity of the binary step."""
    margin = np.array([kappa])
    root = find_root(
        lambda x: binary_curve(x, margin, nodes=nodes).entropy,
        (BINARY_GRID[:1], BINARY_GRID[-1:]),
        tolerances={"xatol": 1e-14},
    )
    return float(root.x[0])

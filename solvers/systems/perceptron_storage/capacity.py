"""Storage capacity for dimension to infinity."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from solvers.contract import Cost, Status
from solvers.numerics.elementwise import find_root
from solvers.numerics.gaussian import CUTOFF, Array, density, excess_moments, graded_rule
from solvers.systems.perceptron_storage.first_moment import (
    first_moment_capacity,
    zero_overlap_stability,
)
from solvers.systems.perceptron_storage.model import system
from solvers.systems.perceptron_storage.saddle import BINARY_GRID, binary_curve, blocks

FIRST_MOMENT_BELOW = -9.0
"""kappa below which overlaps change the capacity of the binary step by less than 1e-34."""


@system.theory(
    version=1,
    gives=("alpha_c", "validity"),
    cost=Cost(
        flops=lambda *, weights, constraint, **_: (
            2.5e6 if weights == "binary" and constraint == "step" else 1e4
        ),
        memory=lambda **_: 1e4,
        shared_memory=lambda **_: 3e7,
    ),
)
def capacity(*, kappa: Array, constraint: str, weights: str, nodes: Array) -> dict[str, Any]:
    r"""Largest alpha at which random patterns are satisfiable, and what is known about it.

    **Spherical weights** (Gardner 1988, for the step). The overlap of two solutions goes to 1:

        1/alpha_c = ∫Dt dist(t, allowed)²
          step        ∫_{-kappa}^∞ Dt (t + kappa)² = (1 + kappa²) H(-kappa) + kappa φ(kappa)
          rectangle   2 ∫_kappa^∞ Dt (t - kappa)²
          ushape      2 ∫_0^kappa Dt (kappa - t)².

    Step, kappa >= 0: `exact`, a convex problem (Cover 1965 at kappa = 0; Shcherbina and Tirozzi,
    Commun. Math. Phys. 234, 383 (2003)). Otherwise `upper_bound`: replica symmetry is broken, but
    Gordon's comparison of min_w |Xw - z|, z allowed, with min_z |g - z| - |h| needs no convexity:
    the formula is a rigorous upper bound (Stojnic, arXiv:1306.3980 for the step, kappa < 0).

    **Binary weights, step** (Krauth and Mézard 1989): the alpha where the replica-symmetric entropy
    (see `replica`) vanishes, 0.8330786... at kappa = 0. In the parameter q̂ of `saddle` entropy and
    alpha are explicit, so that it is one root in one unknown. `replica_symmetric`: believed exact,
    and proved at kappa = 0 up to conditions on an explicit function: lower bound Ding and Sun
    (STOC 2019, arXiv:1809.07742), upper bound Huang (FOCS 2024, arXiv:2404.18902). The saddle point
    is stable for all kappa (checked at each: else `upper_bound`). For kappa < -9 corrections from
    overlaps are below 1e-34 and the first-moment formula is used.

    **Binary weights, rectangle and ushape**: first moment, -log 2/log P. Rectangle: `exact` (Aubin,
    Perkins and Zdeborová 2019; Abbe, Li and Sly, FOCS 2021, arXiv:2102.13069; Perkins and Xu, STOC
    2021, arXiv:2011.05186). Ushape: `exact` while the second moment is dominated by zero overlap at
    alpha_c, which locally is alpha_c Δ² < 1, Δ = kappa φ/H, so up to kappa* = 0.817...; above it
    `upper_bound` (Aubin et al. 2019).

    Rectangle with kappa <= 0 allows nothing: alpha_c = 0. Ushape with kappa <= 0 allows everything:
    alpha_c NaN, `not_available`, status NO_SOLUTION. `residual` is |entropy| of the binary step.
    """
    points = len(kappa)
    steps, residual = np.zeros(points, dtype=np.int64), np.zeros(points)
    if weights == "spherical":
        with np.errstate(divide="ignore", over="ignore"):
            alpha_c = 1.0 / _mean_square_distance(kappa, constraint)
        validity = np.where((constraint == "step") & (kappa >= 0), "exact", "upper_bound")
    elif constraint == "step":
        alpha_c, stable, steps, residual = _entropy_vanishes(kappa, nodes)
        validity = np.where(stable, "replica_symmetric", "upper_bound")
    else:
        alpha_c = first_moment_capacity(kappa, constraint)
        with np.errstate(invalid="ignore"):
            stable = zero_overlap_stability(alpha_c, kappa, constraint) < 1
        validity = np.where(stable | (constraint == "rectangle"), "exact", "upper_bound")
    if constraint == "rectangle":
        alpha_c = np.where(kappa > 0, alpha_c, 0.0)
        validity = np.where(kappa > 0, validity, "exact")
    everything = (constraint == "ushape") & (kappa <= 0)
    status = np.where(np.isfinite(alpha_c), Status.CONVERGED, Status.NOT_FINITE)
    return {
        "alpha_c": np.where(everything, np.nan, alpha_c),
        "validity": np.where(everything, "not_available", validity),
        "status": np.where(everything, Status.NO_SOLUTION, status),
        "steps": steps,
        "residual": residual,
    }


def _mean_square_distance(kappa: Array, constraint: str) -> Array:
    """∫Dt dist(t, allowed)² of the three constraints."""
    if constraint == "step":
        return excess_moments(-kappa)[1]
    if constraint == "rectangle":
        return 2.0 * excess_moments(np.maximum(kappa, 0.0))[1]
    width = np.clip(kappa, 0.0, CUTOFF)
    s, w = graded_rule(width, 1.0)
    near = (w * density(s) * (kappa[:, None] - s) ** 2).sum(axis=-1)
    return 2.0 * np.where(kappa > 0, near, 0.0)


def _entropy_vanishes(kappa: Array, nodes: Array) -> tuple[Array, Array, Array, Array]:
    """Binary step: alpha where the entropy crosses zero; stability, steps, |entropy| there."""
    points = len(kappa)
    # Where the first moment is exact to rounding, overlaps being below 1e-17.
    alpha_c = first_moment_capacity(kappa, "step")
    stable = np.ones(points, dtype=bool)
    steps, residual = np.zeros(points, dtype=np.int64), np.zeros(points)
    grid = BINARY_GRID[::6]
    for count in np.unique(nodes):
        here = np.flatnonzero((nodes == count) & (kappa >= FIRST_MOMENT_BELOW))
        if len(here) == 0:
            continue

        curve = partial(blocks, partial(binary_curve, nodes=int(count)))

        def entropy(log_field: Array, margin: Array, curve: Any = curve) -> Array:
            return curve(log_field, margin).entropy

        table = np.stack([entropy(np.full(len(here), x), kappa[here]) for x in grid], axis=1)
        at = np.argmax(table <= 0, axis=1)
        root = find_root(
            entropy, (grid[at - 1], grid[at]), args=(kappa[here],), tolerances={"xatol": 1e-14}
        )
        found = curve(root.x, kappa[here])
        alpha_c[here], stable[here] = found.alpha, found.stability < 1
        steps[here], residual[here] = root.nit, np.abs(found.entropy)
    return alpha_c, stable, steps, residual

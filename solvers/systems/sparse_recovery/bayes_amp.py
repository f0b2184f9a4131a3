"""Bayes message passing on random instances, and whether it recovers the weights."""

from __future__ import annotations

import numpy as np

from solvers.systems import glm_bayes
from solvers.systems.sparse_recovery.declaration import SIMULATION_AXES, bayes_cost, system

_GIVES = (
    "overlap",
    "self_overlap",
    "mse",
    "free_entropy",
    "overlap_trajectory",
    "mse_trajectory",
    "samples",
)


@system.simulation(
    version=2,
    gives=(*_GIVES, "success"),
    size="dimension",
    shares=("dimension", "seed", "iterations"),
    varies=("initialization",),
    devices=("cpu", "gpu"),
    axes=SIMULATION_AXES["bayes_amp"],
    cost=bayes_cost("gamp"),
)
def bayes_amp(
    *,
    alpha,
    sparsity,
    noise,
    initialization,
    dimension,
    seed,
    design,
    iterations,
    damping,
    tolerance,
    max_steps,
    precision,
    success_mse,
    xp,
):
    """Generalised approximate message passing with the prior known (`glm_bayes` gamp).

    Prior gauss_bernoulli, channel linear. All points of a batch, of every alpha, sparsity,
    noise and start, advance in lockstep on one instance; supports are nested in sparsity, designs
    in alpha. `success`: mse <= success_mse · sparsity. Observables, stopping and statuses are those
    of gamp.
    """
    answer = glm_bayes.gamp(
        alpha=alpha,
        prior="gauss_bernoulli",
        channel="linear",
        sparsity=sparsity,
        kappa=np.zeros(len(alpha)),
        noise=noise,
        initialization=initialization,
        dimension=dimension,
        seed=seed,
        design=design,
        iterations=iterations,
        damping=damping,
        tolerance=tolerance,
        max_steps=max_steps,
        precision=precision,
        xp=xp,
    )
    names = (*_GIVES, "message", "status", "steps", "residual")
    given = {name: answer[name] for name in names if name in answer}
    return {**given, "success": answer["mse"] <= success_mse * sparsity}

"""Bayes-optimal recovery: the state evolution of `glm_bayes` for sparse weights, linear labels."""

from __future__ import annotations

import numpy as np

from solvers.systems import glm_bayes
from solvers.systems.sparse_recovery.declaration import bayes_cost, system

_GIVES = ("overlap", "mse", "free_entropy", "phase", "overlap_trajectory", "mse_trajectory")


@system.theory(
    version=1,
    gives=_GIVES,
    shares=("iterations",),
    cost=bayes_cost("state_evolution"),
)
def state_evolution(*, alpha, sparsity, noise, initialization, iterations, tolerance, max_steps):
    """The mean-square error of Bayes message passing, and its phase, in the plane of the axes.

    `glm_bayes` with prior gauss_bernoulli and channel linear: the fixed point of s = alpha/(mse +
    noise), mse(s) that of the prior, from either start; `uninformed` is what `bayes_amp` reaches,
    the start of larger free entropy is Bayes-optimal. Without noise exact recovery, mse = 0 and
    free entropy +inf, is a fixed point for alpha > sparsity, the only one for alpha > alpha_amp.
    `phase`: impossible below alpha_it, hard up to alpha_amp, easy beyond or without a transition.
    """
    answer = glm_bayes.state_evolution(
        alpha=alpha,
        prior="gauss_bernoulli",
        channel="linear",
        sparsity=sparsity,
        kappa=np.zeros(len(alpha)),
        noise=noise,
        initialization=initialization,
        iterations=iterations,
        tolerance=tolerance,
        max_steps=max_steps,
    )
    return {name: answer[name] for name in (*_GIVES, "status", "steps", "residual")}

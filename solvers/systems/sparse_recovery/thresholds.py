"""Thresholds of exact recovery without noise: Bayes, Bayes message passing, l1."""

from __future__ import annotations

import numpy as np

from solvers.contract import Status
from solvers.systems import glm_bayes
from solvers.systems.sparse_recovery.declaration import bayes_cost, system
from solvers.systems.sparse_recovery.donoho_tanner import weak_threshold


@system.theory(
    version=1,
    gives=("alpha_it", "alpha_amp", "alpha_l1"),
    cost=bayes_cost("thresholds"),
)
def thresholds(*, sparsity):
    """Samples per weight beyond which the weights are found exactly, as functions of sparsity.

    `alpha_it` = sparsity: as many equations as unknowns, for a learner with the prior and unlimited
    time (Wu and Verdú, IEEE Trans. Inf. Theory 56, 3721 (2010)). `alpha_amp`: for Bayes message
    passing, the fold of its state evolution (`glm_bayes`; Krzakala, Mézard, Sausset, Sun and
    Zdeborová, Phys. Rev. X 2, 021005 (2012), arXiv:1109.4424). `alpha_l1`: for l1 minimisation,
    which knows nothing of the law of the non-zero weights (`donoho_tanner`). All three are 1 at
    sparsity 1, where there is no fold: recovery begins as least squares does.

    alpha_l1 is accurate to rounding for every sparsity in (0, 1]; alpha_amp is within the limits of
    `glm_bayes`. `residual` and `steps` are the larger ones of the two searches.
    """
    points = len(sparsity)
    bayes = glm_bayes.thresholds(
        prior="gauss_bernoulli",
        channel="linear",
        sparsity=sparsity,
        kappa=np.zeros(points),
        noise=np.zeros(points),
    )
    weak, _, steps, residual = weak_threshold(sparsity)
    dense = sparsity == 1
    return {
        "alpha_it": np.where(dense, bayes["alpha_full"], bayes["alpha_it"]),
        "alpha_amp": np.where(dense, bayes["alpha_full"], bayes["alpha_amp"]),
        "alpha_l1": weak,
        "status": np.where(dense, Status.CONVERGED, bayes["status"]),
        "steps": np.maximum(steps, bayes["steps"]),
        "residual": np.maximum(residual, bayes["residual"]),
    }

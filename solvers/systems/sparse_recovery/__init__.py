r"""Compressed sensing: sparse weights from fewer linear measurements than weights.

**Model.** y = X w + √noise·ξ with samples = alpha·dimension rows, X_ij ~ N(0, 1/dimension), ξ ~
N(0, 1), and w_i = 0 with probability 1 - sparsity, otherwise N(0, 1). All errors are per weight:
mse = |ŵ - w|²/dimension, sparsity (= E w²) if nothing is known.

**Learners.** *Bayes*: knows the prior; its state evolution, thresholds and message passing are
those of `glm_bayes` with prior gauss_bernoulli and channel linear (`state_evolution`, `bayes_amp`).
*l1*: knows nothing of the weights, and minimises |y - X w|²/2 + λ |w|_1, or |w|_1 under X w = y
(`l1`, `optimal_regularization`, `l1_amp`). `thresholds` has the three lines of the noiseless plane:
alpha_it = sparsity, alpha_amp of Bayes message passing, alpha_l1 of Donoho and Tanner.

**Symbols.** ρ sparsity; τ² the variance of the noise on a weight that message passing sees, θ its
threshold, c = θ/τ; s share of active weights; H(x) = P(N(0, 1) > x), φ its density. The literature
with columns of norm 1 has δ = alpha, our ρ is its ε = ρδ, and its weights, τ and λ are √alpha times
ours.
"""

from solvers.systems.sparse_recovery.bayes_amp import bayes_amp
from solvers.systems.sparse_recovery.declaration import system
from solvers.systems.sparse_recovery.l1 import l1
from solvers.systems.sparse_recovery.l1_amp import l1_amp
from solvers.systems.sparse_recovery.optimal_regularization import optimal_regularization
from solvers.systems.sparse_recovery.state_evolution import state_evolution
from solvers.systems.sparse_recovery.thresholds import thresholds

__all__ = [
    "bayes_amp",
    "l1",
    "l1_amp",
    "optimal_regularization",
    "state_evolution",
    "system",
    "thresholds",
]

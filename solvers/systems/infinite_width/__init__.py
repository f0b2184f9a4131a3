"""Wide neural networks, width to infinity: Gaussian processes, tangent kernels, criticality.

**Model.** A fully connected network of depth L, all layers wide, n_0 inputs:

    z_i^(1) = b_i + Σ_j W_ij x_j,    z_i^(l+1) = b_i + Σ_j W_ij σ(z_j^(l)),    output z^(L),

with b ~ N(0, C_b) and W ~ N(0, C_W/fan-in). Layer 1 is the first preactivation. Gradient descent
moves a bias with λ_b and a weight with λ_W/fan-in times the step size, so that the tangent kernel
is Θ = Σ_μ λ_μ ∂z/∂θ_μ ∂z/∂θ_μ; neural-tangent literature has λ_b = C_b and λ_W = C_W (its
parametrisation), this system takes both as axes.

**Theory.** Preactivations of a layer become independent Gaussian processes of covariance K^(l),
and Θ^(l) becomes deterministic: `recursion` has the equations, `averages` the integrals,
`criticality` the choice of (C_b, C_W) at which deep kernels neither explode nor vanish, and
`trained` the law of the network after gradient descent.

**Activations** are those of `activations`; erf is erf(z), as in Williams (1998), without the
factor 1/√2 of the two-layer systems.

**Sources.** Neal (1996); Lee, Bahri et al. and Matthews et al., ICLR 2018; Jacot, Gabriel and
Hongler, NeurIPS 2018; Roberts, Yaida and Hanin, The Principles of Deep Learning Theory (2022),
arXiv:2106.10165, chapters 4, 5, 8 to 10, whose notation this is.
"""

from solvers.systems.infinite_width import theory
from solvers.systems.infinite_width.model import system

__all__ = ["system", "theory"]

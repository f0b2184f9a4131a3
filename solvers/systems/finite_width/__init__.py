"""Wide neural networks at finite width: everything of first order in 1/width.

**Model.** That of `infinite_width`: z^(1) = b + W x, z^(l+1) = b + W σ(z^(l)), output z^(L), with
b ~ N(0, C_b) and W ~ N(0, C_W/fan-in), but n units in every hidden layer. Layer 1 is the first
preactivation. A step of gradient descent moves a bias with λ_b and a weight with λ_W/fan-in times
the step size, and the tangent kernel, its differentials dNTK and ddNTK have λ_b and λ_W inside.

**Theory.** `recursion` carries from layer to layer, beside the kernels K and Θ, the four-point
vertex V, the corrections G1 and H1 of the means, the fluctuations A, B, D, F of the tangent kernel,
the dNTK P, Q and the ddNTK R, S, T, U, for one input or many (method `vertices`, whose docstring
defines them). `trained` is the first correction of the mean and variance of trained outputs, and
its dependence on the step size; `effective_coupling` the size of all this, which is depth/width at
criticality; `scale_invariant` the exact law of V for linear and relu; `learning_rates` the rates
with which layers are equivalent. The page docs/theory/finite_width.md derives them; the code refers
to its equations.

**Simulation.** `ensemble` draws finite networks and measures the same tensors, `trained_ensemble`
trains them.

**Source.** Roberts, Yaida and Hanin, The Principles of Deep Learning Theory (2022),
arXiv:2106.10165, whose notation this is.
"""

from solvers.systems.finite_width import depth_theory, simulation, theory, trained_theory
from solvers.systems.finite_width.model import system

__all__ = ["depth_theory", "simulation", "system", "theory", "trained_theory"]

"""One-pass stochastic gradient descent of a two-layer network on labels of another one.

**Model.** Samples x ~ N(0, 1_d) are used once. Student and teacher are

    f(x) = (1/p) Σ_i a_i σ(w_i·x/√d),    y = (1/k) Σ_r σ*(w*_r·x/√d) + √Δ z,

with p = width, k = teacher_width, d = dimension, Δ = noise and z ~ N(0, 1). σ = activation and
σ* = teacher_activation are erf(u/√2), max(u, 0) or u². Each step takes the gradient of (f - y)²/2
for one new sample, with γ = step_size; a_i = 1 where the second layer is fixed:

    w_i <- w_i + (γ/p) a_i (y - f) σ'(w_i·x/√d) x/√d,
    a_i <- a_i + (γ/(p d)) (y - f) σ(w_i·x/√d).

**Order parameters.** Q = W Wᵀ/d (student_overlap), M = W W*ᵀ/d (teacher_overlap) and
P = W* W*ᵀ/d (target_overlap, constant). The excess risk 1/2 E (f - E[y|x])², without the Δ/2 of the
noise, is a function of these alone. Time is t = step · γ/(p d).

**Theory.** For d -> ∞ the overlaps follow dM/dt = Ψ_M, dQ/dt = Ψ_Q + (γ/p) Ψ_noise (`drift` derives
them, `squared_error` the last term), with deviations of order √(γ/(p d)) at finite d. γ -> 0 leaves
the gradient flow, p -> ∞ the mean field, and the terms of order 1/d may be kept. `observing` says
what is read off the overlaps: the excess risk and the time at which a plateau is left.

**Simulation.** `descent` walks run after run, `lockstep` takes a step of all runs at once (GPU).

**Sources.** Saad and Solla, Phys. Rev. Lett. 74, 4337 and Phys. Rev. E 52, 4225 (1995); Goldt,
Advani, Saxe, Krzakala and Zdeborová, NeurIPS 2019, arXiv:1906.08632; Veiga, Stephan, Loureiro,
Krzakala and Zdeborová, NeurIPS 2022, arXiv:2202.00293. They differ in the unit of time and in the
place of the factors 1/p and 1/√d: with f a plain sum of units (Saad and Solla, Goldt et al.) and
k = p, risk and noise are p² times and the step size 1/p² times ours.
"""

from solvers.systems.sgd_two_layer import simulation, theory
from solvers.systems.sgd_two_layer.model import system

__all__ = ["simulation", "system", "theory"]

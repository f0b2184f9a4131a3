"""Phase retrieval on the sphere by one-pass SGD of a wide student: how a random start is left.

**Model.** Samples x ~ N(0, 1_d) are used once. One teacher unit, p = width student units,

    y = (w*·x)² + √Δ ξ,    f(x) = (1/p) Σ_i (w_i·x)²,    w*, w_i in S^{d-1},

with d = dimension, Δ = noise, ξ ~ N(0, 1). Each step takes the gradient of (f - y)²/2 for one new
sample, that is -(2/p)(y - f)(w_i·x) x, and projects back to the sphere; with γ = step_size

    w_i <- (w_i + 2η (y - f)(w_i·x) x)/|...|,    η = γ/(p d),

so that the update carries the gradient with γ/d, and a step takes the time η: t = step·γ/(p d).
**This scaling is derived**: it makes m_i = w_i·w* grow as e^{Λt/2} at the start with

    Λ = 8 [1 - (γ/p)(1 + 1/p + 4/p² + Δ/2)],

the rate of the published exit times (`formula`; `moments` derives the drift). Preactivations are
w·x with |w| = 1: a step of γ/d here is a step of γ for w·x/√d with |w|² = d.

**Order parameters.** m_i = w_i·w* and q_ij = w_i·w_j, q_ii = 1. The excess risk, without Δ/2, is

    R = E(f - f*)²/2 = 1 + Σ_ij q_ij²/p² - 2 Σ_i m_i²/p,

from E λ_a² λ_b² = 1 + 2 C_ab²: about 1 + 1/p at a random start, and 0 where every w_i = ±w*. Exit
means R = (1 - T) R(0) with T = exit_fraction.

**Methods.** `exit_time`: closed form, annealed or quenched. `ode`: mean update, d -> ∞, from a
random start of size 1/√d. `sde`: with the fluctuations of SGD. `sgd`: weights and samples. On the
sphere nothing can blow up: a step that is too large keeps the student at the start for ever.

**Does width help, does noise matter.** For small steps width helps little: the annealed time falls
by log 2/8 from one unit to infinitely many, whatever d, while log(T d)/8 grows; at a fixed γ/p the
terms 1/p + 4/p² of Λ, the noise of the steps, add to the gain. The fluctuations of SGD matter
little: they bring the exit forward by log(1 + ω)/Λ, ω of order γ (`formula`), so that ODE, SDE and
SGD exit at nearly the same time, and the start decides. Label noise delays it, through Λ, without
bound as Λ falls to 0.

**Sources.** Arnaboldi, Krzakala, Loureiro and Stephan, "Escaping mediocrity: how two-layer networks
learn hard generalized linear models with SGD", arXiv:2305.18502 (2023), for the model, the formulae
and the stochastic equation; Ben Arous, Gheissari and Jagannath, J. Mach. Learn. Res. 22 (2021), for
the growth from a random start. Derived here: drift and covariance in closed form to all orders in
γ/p, and the effect of the diffusion on the exit time.
"""

from solvers.systems.escape_mediocrity import formula, simulation, theory
from solvers.systems.escape_mediocrity.model import system

__all__ = ["formula", "simulation", "system", "theory"]

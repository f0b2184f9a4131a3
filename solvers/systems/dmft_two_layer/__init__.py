"""Full-batch gradient descent of a two-layer network on samples = alpha · dimension inputs.

**Model.** Inputs x ~ N(0, 1/d), n = alpha·d of them, used in every step. Student and teacher are

    f(x) = (1/p) Σ_i a_i σ(w_i·x),    y = (1/k) Σ_r σ(w*_r·x) + √Δ ξ,

with p = width, k = teacher_width, d = dimension, Δ = noise, ξ ~ N(0, 1), w*_r ~ N(0, 1_d),
w_i ~ N(0, initial_scale² 1_d) and σ(u) = u, erf(u/√2), tanh u or max(u, 0). With η = step_size,
λ = weight_decay, β = momentum and z = X W, a step of both layers is

    w_i <- (1 - ηλ) w_i + β (last displacement) - (η/p) Xᵀ[(f - y) a_i σ'(z_i)],
    a_i <- (1 - ηλ) a_i + β (last displacement) - (η/(p n)) Σ_μ (f - y) σ(z_i)       (if trained),

gradient descent of Σ_μ (f - y)²/2 + (λ/2)|W|²; the second layer, which starts from ones, takes the
gradient of the same loss as a mean over samples, so that it moves by O(1) as well.

**Losses.** training_loss = (1/2n) Σ_μ (f - y)² with the noisy labels, test_loss = 1/2 E[(f - f*)²]
without the noise, f* the teacher's output. M = W W*ᵀ/d is teacher_overlap, Q = W Wᵀ/d
student_overlap. All are recorded before the first step (step 0) and after every step; time is
step_size · step. The linear model is stable for η < 2/(1 + √alpha)².

**Theory.** For d -> ∞ the process of one coordinate of the weights and of one sample's
preactivations close on each other through covariances and responses: dynamical mean-field theory.
docs/theory/dmft.md derives it, with the equations that the code refers to. `weights` carries the
weights' side, `linear_fields` and `paths` (with `jumps` for relu) the fields' side.

**Simulation.** `descent` takes all points of an instance, and several instances, through a step at
once.

**Sources.** Lovig, For the love of message passing - converting AMP to DMFT (2025), whose formulas
need the corrections listed in docs/theory/dmft.md; Celentano, Cheng and Montanari,
arXiv:2112.07572; Montanari and Urbani, arXiv:2502.21269.
"""

from solvers.systems.dmft_two_layer import simulation, theory
from solvers.systems.dmft_two_layer.model import system

__all__ = ["simulation", "system", "theory"]

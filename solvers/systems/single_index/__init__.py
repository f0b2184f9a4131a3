"""Single-index models learned by one-pass SGD: how long a direction in d dimensions takes to find.

**Model.** Samples x ~ N(0, 1_d) are used once; |w*| = 1, Δ = noise, ξ ~ N(0, 1):

    y = f(w*·x) + √Δ ξ.

**One matched unit** f(w·x), |w| = 1 (`flow`, `chain`, `sgd`, `fitted_flow`, `fitted_chain`). A step
goes along the spherical gradient of (f(w·x) - y)²/2 and is projected back,

    w <- (w + η g (x - λ w))/|...|,   g = (y - f(λ)) f'(λ),   λ = w·x,   η = γ_d/d.

The overlap m = w·w* starts at |m| ~ 1/√d and, with the Hermite coefficients c_j of f, follows

    dm/dt = (1 - m²) Σ_j j c_j² m^{j-1} - (γ_d/2) m Ψ(m),      t = γ_d · step/d

(`links`, `flow`). The information exponent k is the first j >= 1 with c_j ≠ 0. The drift must win
over the γ term down to m ~ 1/√d: for k <= 2 a constant γ_d = step_size will do, for k >= 3

    step_scaling = matched:    γ_d = step_size · d^{-(k-2)/2}.

Then weak recovery takes (Ben Arous, Gheissari and Jagannath) a number of steps of the order of

    n_k(d) = d (k = 1),   d log d (k = 2),   d^{k-1} (k >= 3),

which is the unit of the recorded times.

**Two-unit staircase** (`staircase`, `staircase_sgd`): y = z_1 + z_1 h_L(z_2), learned by a student
of the same form; L is the leap, and the second direction takes n_L(d) steps.

**Two time scales** (`two_time_scales`, `two_time_scales_sgd`): p units with a trained second layer
that moves `epsilon` times as fast as the first; Hermite components are learned one after another.

**Sources.** Ben Arous, Gheissari and Jagannath, J. Mach. Learn. Res. 22 (2021), arXiv:2003.10409;
Berthier, Montanari and Zhou, arXiv:2303.00055; Abbe, Boix-Adserà and Misiakiewicz, COLT 2022,
arXiv:2202.08658 and COLT 2023, arXiv:2302.11055. All drifts are derived in the modules.
"""

from solvers.systems.single_index import flow, scaling, simulation, staircase, two_layers
from solvers.systems.single_index.model import system

__all__ = ["flow", "scaling", "simulation", "staircase", "system", "two_layers"]

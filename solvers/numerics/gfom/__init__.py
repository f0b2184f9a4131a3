r"""First-order iterations on a random matrix: their exact large-dimension law, and simulation.

**Symmetric** (`symmetric`). W is GOE: W_ij ~ N(0, 1/n) off the diagonal, N(0, 2/n) on it, and

    z_t = W f_t(z_<t) + f̌_t(z_<t),      t = 1, 2, ...

where z_t has n rows and q columns and f_t, f̌_t act row by row. As n -> ∞ the rows are independent
copies of one process, docs/theory/gfom.md (2)-(5):

    z_t = r_t + f̌_t + Σ_{s<t} f_s b_ts^T,      (r_1, r_2, ...) Gaussian of mean 0,
    Σ_ts = E f_t f_s^T,                        b_ts = E d f_t / d r_s,

the derivative being the total one, through all the iterates between r_s and f_t.

**Rectangular** (`rectangular`). X has alpha·d rows and d columns, entries N(0, 1/d), and

    z_t = X g_t(v_≤t) + ǧ_t(z_<t),      v_{t+1} = X^T f_t(z_≤t) + f̌_t(v_≤t),      t = 0, 1, ...

with the law (6)-(9) of the same page.

**Memory subtracted** (`subtract_memory=True`): the iteration is W f_t - Σ_{s<t} f_s b_ts^T + f̌_t,
which is approximate message passing; then z_t = r_t + f̌_t and the law is its state evolution.

    from solvers.numerics import gfom

    power = gfom.symmetric(
        lambda t, past: past.side["u"] if t == 1 else past.xp.tanh(past[t - 1]),
        steps=3,
        side={"u": gfom.Normal()},
    )
    law = gfom.solve(power, gfom.Quadrature())
    law.response(3, 2).value, law.covariance(2, 3).value, law.expect(lambda past: abs(past[3]))
    gfom.simulate(power, dimension=2000, seed=0).covariance(2, 3)

Source: M. Lovig, "For the love of message passing" (2025), Theorems 1.4 and 2.1 and section 2.1;
G. Reeves, "Dimension-free bounds for generalized first-order methods" (2025). The total derivative
and the scalings of the rectangular law are derived in docs/theory/gfom.md.
"""

from solvers.numerics.gfom.iteration import (
    Atoms,
    Block,
    Iteration,
    Normal,
    Past,
    Update,
    rectangular,
    symmetric,
)
from solvers.numerics.gfom.law import Estimate, Law, solve
from solvers.numerics.gfom.rules import Linear, Paths, Quadrature, TooManyDimensionsError
from solvers.numerics.gfom.simulation import Run, simulate

__all__ = [
    "Atoms",
    "Block",
    "Estimate",
    "Iteration",
    "Law",
    "Linear",
    "Normal",
    "Past",
    "Paths",
    "Quadrature",
    "Run",
    "TooManyDimensionsError",
    "Update",
    "rectangular",
    "simulate",
    "solve",
    "symmetric",
]

r"""First-order iterations on random matrices: the exact law of what they do, and simulation.

**Model.** Iterations z_t = W f_t(z_<t) + f̌_t(z_<t) with W from the Gaussian orthogonal ensemble
(W_ij ~ N(0, 1/n), W_ii ~ N(0, 2/n)), and their rectangular form with X, alpha·d rows, d columns,
entries N(0, 1/d) (`solvers.numerics.gfom`, docs/theory/gfom.md). The dimension is n, or d.

    identity               z_t = W z_{t-1}                                     z_0 = u ~ N(0, 1)
    identity_rectangular   z_t = X^T X z_{t-1}                                 z_0 = u
    tanh                   z_t = W tanh(gain z_{t-1})                          z_0 = u
    amp                    z_t = W tanh(gain z_{t-1}) - b_t tanh(gain z_{t-2}) z_0 = u
    gradient_descent       z_t = z_{t-1} - step_size ∇L(z_{t-1})               z_0 = 0
    momentum               the same + momentum (z_{t-1} - z_{t-2})             z_0 = 0
    ista                   z_t = η(z_{t-1} + step_size X^T (y - X z_{t-1}))    z_0 = 0

For the regressions y = X w + √noise ξ, L(z) = |y - X z|²/2 + (regularization/2)|z|², the teacher
has w ~ N(0, 1); for ista w is non-zero with probability `sparsity`, then N(0, 1), η(x) is the soft
threshold sign(x) max(|x| - step_size·regularization, 0), and the minimised loss is
|y - X z|²/2 + regularization·|z|_1. Every case is one file in `iterations`.

**Observables**, over the rows of z and the steps 0 ... `steps`. `moment` is the mean product of z_t
with the *reference*, which is the start u, or the teacher w. For identity it is the t-th moment of
the semicircle, by E u·W^t u = E Tr W^t: a Catalan number for even t, zero for odd t; for
identity_rectangular the t-th moment of the Marchenko-Pastur law of X^T X. `risk` is the mean
squared distance of z_t from the reference. `response`[t, s] is b_ts, the mean derivative of the
function that is multiplied by the matrix to make z_t, with respect to the Gaussian part of z_s; in
the rectangular cases that function makes X g(z), so b_ts is the response of z_t itself, and for
t = s it is one (or the share of active weights). `gaussian_covariance` belongs to these parts.

**Source.** M. Lovig, "For the love of message passing" (2025), after Reeves (2025); the derivation,
with what had to be corrected, is docs/theory/gfom.md.
"""

from solvers.systems.gfom import simulation, theory
from solvers.systems.gfom.model import system

__all__ = ["simulation", "system", "theory"]

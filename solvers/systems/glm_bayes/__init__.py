r"""Bayes-optimal learning in a generalised linear model with a matched prior and channel.

**Model.** A teacher w with independent entries from `prior` (second moment rho) labels
alpha·dimension inputs x with independent entries of mean 0 and variance 1/dimension (`design`), so
that z = x·w ~ N(0, rho), through y ~ P(y | z), ξ ~ N(0, 1):

    gaussian         w ~ N(0, 1), rho = 1
    rademacher       w = ±1, rho = 1
    gauss_bernoulli  w = 0 with probability 1 - sparsity, else N(0, 1); rho = sparsity

    linear  y = z + √noise·ξ                    sign  y = sign(z + √noise·ξ)
    abs     y = |z| + √noise·ξ                  door  y = sign(|z| - kappa + √noise·ξ)
    relu    y = max(z, 0) + √noise·ξ

The learner knows x, y, the prior and the channel. All limits are dimension to infinity at fixed
alpha.

**Methods.** `state_evolution` follows message passing iteration by iteration and gives its fixed
points, the replica-symmetric free entropy and the phase; `thresholds` gives where recovery becomes
possible (`alpha_it`), where message passing finds it (`alpha_amp`), where anything at all is found
about w (`alpha_weak`) and where it is found exactly (`alpha_full`); `gamp` runs generalised
approximate message passing on random instances. State evolution is exact for gamp, and the largest
of the free entropies of its fixed points is exact for the posterior (Barbier et al., PNAS 116, 5451
(2019), arXiv:1708.03395).

**Symbols.** overlap q = E w⟨w⟩ = E⟨w⟩^2, mse rho - q per weight, snr s (q̂ in the papers), noise Δ.
Free entropy is per weight, (1/dimension) E log Z, with normalised prior and channel: a determined
binary vector with ±1 labels gives -log 2, linear labels carry -(alpha/2) log(2πΔ) and more, and a
vector determined by real labels without noise gives +inf. For relu without noise the density of a
label is that of Lebesgue measure plus an atom at 0. `classification_error` is the error of the
likelier sign of a fresh noisy label (labels ±1 only), `label_mse` is E(y - ⟨y⟩)^2 of a fresh noisy
label, without a factor 1/2.

**Starts.** `uninformed`: overlap 0 exactly. For channels that do not tell z from -z (abs, door)
that is a fixed point, and stable up to alpha_weak; beyond, the fixed point is the one that an
infinitesimal overlap grows to. `informed`: the fixed point approached from exact recovery; the
recorded iteration and gamp start from w seen once through a Gaussian channel of snr 100 (overlap
1 - 2e-23 for binary, 0.990 for Gaussian weights). Without noise exact recovery is itself a fixed
point: stable at every alpha > 0 for binary weights, beyond a finite alpha for real labels, such as
the sparsity for linear ones, and never for signs of real weights.

**Phases.** With a first-order transition, `impossible` below alpha_it, `hard` up to alpha_amp,
`easy` beyond; without one, `easy`, or `impossible` where zero overlap is optimal.
"""

from solvers.systems.glm_bayes.declaration import system
from solvers.systems.glm_bayes.gamp import gamp
from solvers.systems.glm_bayes.state_evolution import state_evolution
from solvers.systems.glm_bayes.thresholds import thresholds

__all__ = ["gamp", "state_evolution", "system", "thresholds"]

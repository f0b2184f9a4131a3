r"""Bayes-optimal learning in a generalised linear model with a matched prior and channel.

**Model.** A teacher w with independent entries from `prior` (second moment 1) labels
alpha·dimension inputs x with independent N(0, 1/dimension) entries, so that z = x·w ~ N(0, 1),
through y ~ P(y | z):

    sign    y = sign(z + √noise·ξ), ξ ~ N(0, 1)

The learner knows x, y, the prior and the channel. All limits are dimension to infinity at fixed
alpha.

**Methods.** `state_evolution` follows message passing iteration by iteration and gives its fixed
point and the replica-symmetric free entropy; `thresholds` gives where the two branches have equal
free entropy (`alpha_it`: recovery becomes possible) and where the uninformed one ends (`alpha_amp`:
message passing succeeds); `gamp` runs generalised approximate message passing on random instances.
State evolution is exact for gamp, and the larger of the two free entropies is exact for the
posterior (Barbier et al., PNAS 116, 5451 (2019), arXiv:1708.03395).

**Symbols.** overlap q = E w⟨w⟩ = E⟨w⟩^2, mse 1 - q, snr s (q̂ in the papers), noise Δ. Free entropy
is per weight, (1/dimension) E log Z, with normalised prior and channel: a determined binary vector
gives -log 2. `classification_error` is the error of the sign of a fresh noisy label, `label_mse` is
E(y - ⟨y⟩)^2 without a factor 1/2.

**Starts.** `uninformed`: overlap 0 exactly. `informed`: the fixed point approached from overlap 1;
the recorded iteration and gamp start from w seen once through a Gaussian channel of snr 100
(overlap 1 - 2e-23 for binary, 0.990 for Gaussian weights). For binary weights without noise overlap
1 is a stable fixed point at every alpha > 0, and the informed branch is exact recovery, free
entropy -log 2. For Gaussian weights both starts lead to the one fixed point there is.
"""

from solvers.systems.glm_bayes.declaration import system
from solvers.systems.glm_bayes.gamp import gamp
from solvers.systems.glm_bayes.state_evolution import state_evolution
from solvers.systems.glm_bayes.thresholds import thresholds

__all__ = ["gamp", "state_evolution", "system", "thresholds"]

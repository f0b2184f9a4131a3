r"""Convex empirical-risk minimisation of a generalised linear model.

**Model.** A teacher w* with |w*|² = dimension labels alpha·dimension inputs x with independent
entries of variance 1/dimension, so that z = x·w* ~ N(0, 1):

    sign     y = sign(z + √noise·ξ), ξ ~ N(0, 1)
    linear   y = z + √noise·ξ

The student minimises over w

    Σ_μ ℓ(y_μ, x_μ·w) + (regularization/2) |w|²,

a SUM over samples, with natural logarithms and without further factors:

    square      ℓ = (y - z)²/2
    logistic    ℓ = log(1 + e^{-y z})
    hinge       ℓ = max(0, 1 - y z)
    max_margin  min |w|²/2 subject to y_μ x_μ·w >= 1, the limit of hinge at regularization 0+ where
                the data are separable (nowhere else does it exist)

**Methods.** `replica` predicts the minimiser for dimension to infinity (proved by Gordon's
comparison for these convex problems); `optimal_regularization` the regularization with the least
error on fresh samples; `separability` the samples per weight up to which the labels are linearly
separable, beyond which the maximum-likelihood estimate exists; `erm` minimises on random instances,
to a certificate.

**Symbols.** overlap m = w·w*/dimension, self_overlap q = |w|²/dimension, mse E|w - w*|²/dimension =
1 - 2m + q, σ² = q - m², susceptibility V. `classification_error` is P(sign(x·w) ≠ y) for a fresh
label with its noise, arccos(m/√(q (1 + noise)))/π; it is NaN for the linear teacher.
`training_loss` is the mean of ℓ over the training samples without the penalty, `objective` the
minimum of the whole sum over dimension. Compare with `glm_bayes` at prior=gaussian: no estimate is
better.
"""

from solvers.systems.glm_erm.declaration import system
from solvers.systems.glm_erm.erm import erm
from solvers.systems.glm_erm.optimal_regularization import optimal_regularization
from solvers.systems.glm_erm.replica import replica
from solvers.systems.glm_erm.separability import separability

__all__ = ["erm", "optimal_regularization", "replica", "separability", "system"]

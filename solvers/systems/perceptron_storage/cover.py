"""Spherical perceptron, kappa = 0: the exact probability that an instance is satisfiable."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

from solvers.axes import Choice, Real
from solvers.contract import Cost, Status
from solvers.systems.perceptron_storage.model import system


@system.exact(
    version=1,
    gives=("probability_separable", "samples"),
    size="dimension",
    axes={
        "kappa": Real(
            "margin; the count is for 0 alone", low=0, high=0, default=0.0, symbol=r"\kappa"
        ),
        "constraint": Choice(
            "step", default="step", description="what a pattern asks: y z > kappa", symbol="C"
        ),
        "weights": Choice(
            "spherical",
            default="spherical",
            description="weights allowed: |w|^2 = dimension",
            symbol="w",
        ),
    },
    cost=Cost(flops=lambda **_: 2e3, memory=lambda **_: 200.0),
)
def cover(
    *, alpha: np.ndarray, kappa: np.ndarray, constraint: str, weights: str, dimension: np.ndarray
) -> dict[str, Any]:
    r"""Probability that n = round(alpha·dimension) random patterns are linearly separable.

    n vectors in general position in d = dimension dimensions have 2 sum_{k<d} binom(n-1, k)
    separable labellings among 2^n (T. M. Cover, IEEE Trans. Electron. Comput. EC-14, 326 (1965),
    theorem 1), so for random labels, whatever the law of the patterns,

        P = 2^{1-n} sum_{k=0}^{d-1} binom(n-1, k) = P(Binomial(n-1, 1/2) <= d-1),

    which is 1 for n <= d and exactly 1/2 at n = 2d. Evaluated as a regularised incomplete beta
    function, I_{1/2}(n-d, d), accurate in relative terms in the lower tail; 1 - P = I_{1/2}(d, n-d)
    is the smaller quantity above 1/2 and is used there. A probability below 1e-308 is 0.

    Patterns are separable through the origin: no threshold. Needs kappa = 0.
    """
    samples = np.floor(alpha * dimension + 0.5).astype(np.int64)
    surplus = np.maximum(samples - dimension, 1).astype(float)
    d = dimension.astype(float)
    lower, upper = scipy.special.betainc(surplus, d, 0.5), scipy.special.betainc(d, surplus, 0.5)
    probability = np.where(lower < 0.5, lower, 1.0 - upper)
    # At n = 2d both are 1/2 up to rounding; the symmetry of the binomial makes it exact.
    probability = np.where(samples == 2 * dimension, 0.5, probability)
    return {
        "probability_separable": np.where(samples <= dimension, 1.0, probability),
        "samples": samples,
        "status": np.full(len(alpha), Status.CONVERGED),
        "steps": np.zeros(len(alpha), dtype=np.int64),
        "residual": np.zeros(len(alpha)),
    }

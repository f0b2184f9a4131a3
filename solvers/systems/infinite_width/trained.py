r"""Mean and covariance of the network after gradient descent on the square loss, width infinite.

The loss is the sum over training inputs 1/2 Σ (z - y)², the step of parameter μ is λ_μ times the
gradient (that is what λ_b and λ_W are in Θ). With Θ~ the tangent kernel among training inputs, and
Θ_δ· , K_δ· that of a test input δ with them, outputs move linearly,

    z_δ(t) = z_δ - X_δ(t) (z~ - y),    X(t) = Θ_δ· Θ~^-1 (1 - e^{-Θ~ t})           gradient flow,
                                       X(t) = Θ_δ· Θ~^-1 (1 - (1 - η Θ~)^s)        s steps of η,

from Gaussian z with covariance K, so that

    mean  m_δ = X_δ y,      covariance  K_δδ' - X_δ K_·δ' - K_δ· X_δ'^T + X_δ K~ X_δ'^T.

In the eigenbasis of Θ~, (1 - e^{-θt})/θ = t for θ = 0: modes that the kernel does not see are not
learned. At infinite time those below 1e-12 of the largest eigenvalue are left out.

Source: Jacot, Gabriel and Hongler, NeurIPS 2018; Lee et al., NeurIPS 2019, eqs. 9-11; Roberts,
Yaida and Hanin (2022), chapter 10.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
_UNSEEN = 1e-12
_LARGEST = 1e100


@dataclass(frozen=True)
class Trained:
    """Law of the test outputs at the asked times, and at infinite time as the last one."""

    mean: Array
    """(times + 1, tests, outputs)"""
    covariance: Array
    """(times + 1, tests, tests), of every output"""
    largest_rate: float
    """largest eigenvalue of Θ~"""
    unseen: int
    """eigenvalues of Θ~ that count as zero"""


def trained(
    kernel: Array, tangent: Array, targets: Array, times: Array, *, step_size: float = 0.0
) -> Trained:
    """Law at `times` of gradient flow, or with a `step_size` > 0 after whole numbers of steps.

    Training inputs come first.

    `kernel`, `tangent`: (train + tests, train + tests); `targets`: (train, outputs).
    """
    count = len(targets)
    rates, modes = np.linalg.eigh(tangent[:count, :count])
    rates = np.maximum(rates, 0.0)
    seen = rates > _UNSEEN * rates[-1]
    times = np.round(times) if step_size > 0.0 else times
    filters = [_filter(rates, float(time), step_size) for time in times]
    filters.append(np.where(seen, 1.0 / np.where(seen, rates, 1.0), 0.0))
    across = tangent[count:, :count] @ modes
    mean, covariance = [], []
    for learned in filters:
        x = (across * learned) @ modes.T
        mean.append(x @ targets)
        cross = x @ kernel[:count, count:]
        covariance.append(
            kernel[count:, count:] - cross - cross.T + x @ kernel[:count, :count] @ x.T
        )
    return Trained(np.array(mean), np.array(covariance), float(rates[-1]), int(np.sum(~seen)))


def _filter(rates: Array, time: float, step_size: float) -> Array:
    """(1 - e^{-θt})/θ, or (1 - (1 - ηθ)^s)/θ with s steps; growing factors stop at 1e100."""
    safe = np.where(rates > 0, rates, 1.0)
    if step_size == 0.0:
        return np.where(rates > 0, -np.expm1(-rates * time) / safe, time)
    factor = step_size * rates
    with np.errstate(divide="ignore"):
        slow = np.log1p(-np.minimum(factor, 1.0))
        fast = np.log(np.maximum(factor - 1.0, 1e-300))
    if time == 0:
        return np.zeros_like(rates)
    # (1 - ηθ)^s is e^{s log(1 - ηθ)}, or that of the modulus with a sign where ηθ > 1.
    power = np.exp(np.minimum(time * fast, math.log(_LARGEST)))
    growing = 1.0 - (power if time % 2 == 0 else -power)
    learned = np.where(factor > 1.0, growing, -np.expm1(time * slow))
    return np.where(rates > 0, learned / safe, time * step_size)

"""When are the labels of a noisy teacher linearly separable, and when does the MLE exist?"""

from __future__ import annotations

import numpy as np
import scipy

from solvers.contract import Cost, Status
from solvers.numerics.gaussian import density, excess_moments
from solvers.systems.glm_erm.averages import ladder_rule
from solvers.systems.glm_erm.declaration import system

_CHUNK = 64
_STEPS = 50
LINKS = {"logistic": ("expit", 0.378), "probit": ("ndtr", 0.636)}
"""Probability of a positive label, a function of SciPy, and a lower bound of the minimiser over the
signal."""


@system.theory(
    version=1,
    gives=("dimension_per_sample", "alpha_separable"),
    cost=Cost(flops=lambda **_: 5e5, memory=lambda **_: 100.0, shared_memory=lambda **_: 1e8),
)
def separability(*, signal, link):
    """Threshold of Candès and Sur (2020), theorem 1, for a model without intercept.

    P(y = 1 | z) = F(signal·z) with z = x·w* ~ N(0, 1), F logistic or normal (probit). Probit is the
    sign teacher with noise = 1/signal². With v = y z, whose density is 2 φ(v) F(signal·v), and an
    independent Z ~ N(0, 1), the data are separable with probability tending to one if
    dimension/samples exceeds

        h = min_t E (Z - t v)_+²  =  min_t E M_2(t v),        M_k(x) = E (Z - x)_+^k,

    and with probability tending to zero below; then the maximum-likelihood estimate (and every
    unregularised margin loss) has a finite minimiser. This is the limit q -> infinity of
    `max_margin`: σ² = alpha E (-u)_+² with t = m/σ, by Gordon's inequality.

    The derivative of E M_2(t v)/2, minus E v M_1(t v), increases with t and is concave in t, so
    that Newton's method climbs from below (`LINKS`) without passing the root. The integrals have
    positive terms and resolve the scale 1/signal: h has full relative accuracy also where it is
    small (signal large: h ~ 1.01526786/signal logistic, 0.55132890/signal probit). Without signal h
    = 1/2 (Cover 1965). `residual` is the last relative Newton step in t; `steps` counts them.
    """
    pieces = [
        _threshold(signal[start : start + _CHUNK], link)
        for start in range(0, max(len(signal), 1), _CHUNK)
    ]
    h, steps, residual = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return {
        "dimension_per_sample": h,
        "alpha_separable": 1.0 / h,
        "status": np.where(residual <= 1e-8, Status.CONVERGED, Status.MAX_STEPS),
        "steps": steps,
        "residual": residual,
    }


def alpha_separable(noise: np.ndarray) -> np.ndarray:
    """Samples per weight up to which a sign teacher's labels are separable; inf without noise."""
    answer = np.full(np.shape(noise), np.inf)
    noisy = np.flatnonzero(noise > 0)
    for start in range(0, len(noisy), _CHUNK):
        part = noisy[start : start + _CHUNK]
        answer[part] = 1.0 / _threshold(1.0 / np.sqrt(noise[part]), "probit")[0]
    return answer


def _threshold(signal: np.ndarray, link: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """h, Newton steps and the last relative step."""
    name, start = LINKS[link]
    function = getattr(scipy.special, name)
    scale = 1.0 / np.maximum(signal, 1.0)
    v, w = ladder_rule([(0.0, scale)], len(signal))
    w = w * 2.0 * density(v) * function(signal[:, None] * v)
    t, change = start * signal, np.where(signal > 0, np.inf, 0.0)
    steps = np.zeros(len(signal), dtype=int)
    moving = np.flatnonzero(signal > 0)
    for _ in range(_STEPS):
        if not len(moving):
            break
        x, weight = v[moving], w[moving]
        argument = t[moving, None] * x
        slope = np.sum(weight * x * excess_moments(argument)[0], axis=1)
        step = slope / np.sum(weight * x * x * scipy.special.ndtr(-argument), axis=1)
        t[moving] += step
        steps[moving] += 1
        change[moving] = np.abs(step) / t[moving]
        # Quadratic: after a step this small the next one is rounding. h is stationary in t.
        moving = moving[change[moving] > 1e-9]
    h = np.sum(w * excess_moments(t[:, None] * v)[1], axis=1)
    return np.where(signal > 0, h, 0.5), steps, change

r"""Ground-state energy above capacity: the least number of violated constraints per weight.

**Spherical weights** (Gardner and Derrida 1988 for the step, replica-symmetric, zero temperature).
With x = lim β(1-q), one pattern at distance d from its allowed set costs min(1, d²/(2x)) and

    E = max over x of alpha E[min(1, d(t)²/(2x))] - 1/(2x),    t ~ N(0, 1),

whose maximum is at alpha E[d² 1(d < s)] = 1, s = √(2x), with E = alpha P(d > s). The same number
follows from Gordon's inequality as in `capacity`, giving up the worst patterns: it is a rigorous
lower bound for every constraint. Replica symmetry is broken above capacity, so it is not exact.

**Binary weights, step**: `binary_energy`.

**Binary weights, rectangle and ushape**. The frozen solution of `binary_energy` with zero overlap,
φ(β) = log 2 + alpha log(P + e^{-β}(1-P)): the first moment of the number of weights that violate a
fraction ε of the constraints is one, log 2 = alpha KL(ε | 1-P), and E = alpha ε. A rigorous lower
bound (Markov).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from solvers.numerics.elementwise import find_root
from solvers.numerics.gaussian import Array, graded_rule, log_tail
from solvers.systems.perceptron_storage.first_moment import log_probability, second_moment_shift


@dataclass(frozen=True)
class Energy:
    """Ground-state energies; `stability` below 1 is stable, NaN where it is not asked."""

    energy: Array
    stability: Array
    steps: Array
    residual: Array


def spherical_energy(alpha: Array, kappa: Array, constraint: str, *, nodes: int) -> Energy:
    """Spherical weights above the replica-symmetric capacity, any constraint."""
    sides = 1.0 if constraint == "step" else 2.0
    edge = -kappa if constraint == "rectangle" else kappa
    deepest = kappa if constraint == "ushape" else np.full_like(kappa, np.inf)
    # Distances beyond which φ(edge - d) < e^{-40} of its largest value do not count.
    reach = np.minimum(deepest, edge + np.sqrt(np.minimum(edge, 0.0) ** 2 + 80.0))

    def given_up(log_s: Array, alpha: Array, edge: Array, reach: Array) -> Array:
        """log(alpha E[d² 1(d < s)]), where d has the density sides·φ(edge - d)."""
        top = np.minimum(np.exp(log_s), reach)
        rising = edge > 0
        scale = np.where(rising, 1.0 / (1.0 + np.abs(edge - top)), 1.0 / (1.0 + np.abs(edge)))
        d, w = graded_rule(top, scale, nodes=nodes)
        d = np.where(rising[:, None], top[:, None] - d, d)
        # φ(edge - d) relative to its largest value in the range, which may underflow.
        nearest = np.where(rising, edge - top, edge)
        exponent = 0.5 * (nearest[:, None] ** 2 - (edge[:, None] - d) ** 2)
        log_mean = np.log((w * d**2 * np.exp(exponent)).sum(axis=-1)) - 0.5 * nearest**2
        return np.log(sides * alpha / np.sqrt(2.0 * np.pi)) + log_mean

    root = find_root(
        given_up,
        (np.full_like(alpha, -60.0), np.log(reach)),
        args=(alpha, edge, reach),
        tolerances={"xatol": 1e-14},
    )
    s = np.exp(root.x)
    if constraint == "ushape":
        beyond = scipy.special.erf((kappa - s) / np.sqrt(2.0))
    else:
        beyond = sides * np.exp(log_tail(s - edge))
    return Energy(
        energy=alpha * beyond,
        stability=np.full_like(alpha, np.nan),
        steps=root.nit.astype(np.int64),
        residual=np.abs(given_up(root.x, alpha, edge, reach)),
    )


def symmetric_binary_energy(alpha: Array, kappa: Array, constraint: str) -> Energy:
    """Binary weights above the first-moment capacity, rectangle or ushape."""
    log_p = log_probability(kappa, constraint)
    p = np.exp(log_p)
    other = -np.expm1(log_p)

    def entropy(log_beta: Array, alpha: Array, p: Array, other: Array) -> Array:
        beta = np.exp(log_beta)
        violated = other * np.exp(-beta)
        z = p + violated
        return np.log(2.0) + alpha * (np.log(z) + beta * violated / z)

    args = (alpha, p, other)
    root = find_root(
        entropy,
        (np.full_like(alpha, -30.0), np.full_like(alpha, 6.5)),
        args=args,
        tolerances={"xatol": 1e-14},
    )
    x = np.exp(-np.exp(root.x))
    z = p + other * x
    shift = second_moment_shift(kappa, constraint) * (1.0 - x) / z
    return Energy(
        energy=alpha * other * x / z,
        stability=alpha * shift**2,
        steps=root.nit.astype(np.int64),
        residual=np.abs(entropy(root.x, *args)),
    )

"""Two time scales: a wide student whose second layer moves epsilon times as fast as its first.

**Model.** Target and student share their Hermite coefficients, all one up to degree K:

    y = φ(w*·x) + √Δ ξ,   f = (1/p) Σ_i a_i φ(w_i·x),   φ = Σ_{j=0}^K h_j,   |w_i| = |w*| = 1.

With e = y - f, g_i = e φ'(λ_i), a step (loss p e²/2, projected, dt = γ/d) is

    w_i <- (w_i + (γ/d) a_i g_i (x - λ_i w_i))/|...|,     a_i <- a_i + ε (γ/d) e φ(λ_i).

**Gradient flow** (γ -> 0, d -> ∞). With s_i = w_i·w* and q_il = w_i·w_l, because the Hermite
averages are E h_j(u) h_k(v) = δ_jk C_uv^j,

    da_i/dt = ε [Σ_j s_i^j - (1/p) Σ_l a_l Σ_j q_il^j]
    dw_i/dt = a_i (v_i - (v_i·w_i) w_i),
    v_i = Σ_j j s_i^{j-1} w* - (1/p) Σ_l a_l Σ_j j q_il^{j-1} w_l

which closes on (a, s, q): `finite_width`. Random directions in high dimension have q_il = s_i s_l
for i ≠ l, and a wide student does not feel i = l, which leaves (a, s): `mean_field`,

    r_j = 1 - C_j,   C_j = (1/p) Σ_l a_l s_l^j,
    da_i/dt = ε Σ_j r_j s_i^j,     ds_i/dt = a_i (1 - s_i²) Σ_j j r_j s_i^{j-1},

and the risk Σ_j r_j²/2. C_j is the `component` of degree j. Start: s = 0, q = 1 (identity), and
a_i = (2i - 1)/p - 1, the mid-quantiles of the uniform law on (-1, 1).

**Incremental learning.** For ε -> ∞ the second layer follows the first adiabatically and the
components are learned one after another: degree 0 at t ~ 1/ε, degree j at t ~ ε^{-1/(2j)} up to
logarithms, with plateaus of the risk in between (the scenario of Berthier, Montanari and Zhou,
arXiv:2303.00055, in which the second layer is the fast one). Measured here, ε = 10 ... 10^4: powers
-1 for degree 0, -0.25 ... -0.38 and still falling for degree 1, -0.25 ... -0.27 for degree 2;
degree 3 is not yet far enough behind degree 2 to have its own. For ε << 1, a slow second layer,
units align with w* or -w* first, at nearly fixed a_i, so that odd degrees come first and even ones
wait until the a_i have lost their symmetry.
"""

from __future__ import annotations

import numpy as np

from solvers.numerics.compiled import jit
from solvers.systems.single_index.descent import dot, factors, shift_dot, square

BOUND = 1e8
"""A run whose prediction error or second layer passes this has diverged."""


def second_layer(width: int) -> np.ndarray:
    """a_i at the start."""
    return (2.0 * np.arange(1, width + 1) - 1.0) / width - 1.0


def power_sums(x: np.ndarray, degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Σ_{j=0}^K x^j and its derivative Σ_j j x^{j-1}."""
    total, derived = np.ones_like(x), np.zeros_like(x)
    for _ in range(degree):  # Horner's rule
        derived = derived * x + total
        total = total * x + 1.0
    return total, derived


def slopes_mean_field(y: np.ndarray, epsilon: np.ndarray, width: int, degree: int) -> np.ndarray:
    """d(a, s)/dt of states (points, 2p)."""
    a, s = y[:, :width], y[:, width:]
    power, da, ds = np.ones_like(s), np.zeros_like(a), np.zeros_like(s)
    before = np.zeros_like(s)
    for j in range(degree + 1):
        rest = 1.0 - np.sum(a * power, axis=1, keepdims=True) / width
        da += rest * power
        ds += j * rest * before
        before, power = power, power * s
    return np.concatenate([epsilon[:, None] * da, a * (1.0 - s * s) * ds], axis=1)


def slopes_finite_width(y: np.ndarray, epsilon: np.ndarray, width: int, degree: int) -> np.ndarray:
    """d(a, s, q)/dt of states (points, 2p + p²)."""
    a, s = y[:, :width], y[:, width : 2 * width]
    q = y[:, 2 * width :].reshape(-1, width, width)
    value, derived = power_sums(s, degree)
    values, deriveds = power_sums(q, degree)
    da = value - np.sum(values * a[:, None, :], axis=2) / width
    pull = deriveds * a[:, None, :] / width
    to_teacher = derived - np.sum(pull * s[:, None, :], axis=2)
    # v_i·w_l, row by row, so that a point's rounding does not depend on its batch
    to_units = derived[:, :, None] * s[:, None, :] - np.sum(
        pull[:, :, :, None] * q[:, None, :, :], axis=2
    )
    own = np.diagonal(to_units, axis1=1, axis2=2)
    ds = a * (to_teacher - own * s)
    half = a[:, :, None] * (to_units - own[:, :, None] * q)
    dq = half + half.transpose(0, 2, 1)
    return np.concatenate([epsilon[:, None] * da, ds, dq.reshape(len(y), width * width)], axis=1)


@jit
def _hermite(x, degree):
    """Σ_{j<=K} h_j(x) and its derivative Σ_j √j h_{j-1}(x)."""
    before, now = 0.0, 1.0
    total, derived = 1.0, 0.0
    for j in range(1, degree + 1):
        derived += np.sqrt(j) * now
        before, now = now, (x * now - np.sqrt(j - 1.0) * before) / np.sqrt(j)
        total += now
    return total, derived


@jit
def descend(weights, a, block, first, degree, step, epsilon, noise, records, following, out):
    """Steps of a block, the first of them number `first`; w* is the first basis vector.

    `out` (records, p, 1 + 1 + p) gets a, s and q. Returns the next record, and the steps done when
    the prediction error or the second layer was beyond BOUND (-1: never); nothing is done after it.
    """
    p, d = weights.shape
    keep, update = np.ones(p), np.zeros(p)
    lam, slope = np.empty(p), np.empty(p)
    values, own = np.empty(p), np.empty(p)
    old = block[0, :d]
    for n in range(len(block)):
        new = block[n, :d]
        long = square(new)
        error = _hermite(np.float64(new[0]), degree)[0] + noise * block[n, d]
        for i in range(p):
            lam[i], own[i] = shift_dot(weights[i], keep[i], update[i], old, new)
            values[i], slope[i] = _hermite(lam[i], degree)
            error -= a[i] * values[i] / p
        if not abs(error) < BOUND:
            return following, first + n
        old = new
        for i in range(p):
            b = step * a[i] * error * slope[i]
            keep[i], update[i] = factors(b, lam[i], own[i], long)
            a[i] += epsilon * step * error * values[i]
            if not abs(a[i]) < BOUND:
                return following, first + n + 1
        while following < len(records) and records[following] == first + n + 1:
            for i in range(p):
                shift_dot(weights[i], keep[i], update[i], old, old)
                keep[i], update[i] = 1.0, 0.0
            for i in range(p):
                out[following, i, 0], out[following, i, 1] = a[i], weights[i, 0]
                for m in range(p):
                    out[following, i, 2 + m] = dot(weights[i], weights[m])
            following += 1
    for i in range(p):
        shift_dot(weights[i], keep[i], update[i], old, old)
    return following, -1

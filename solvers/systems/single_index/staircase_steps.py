"""A staircase: a second direction that shows only once the first is found.

**Model.** y = F(v_1·x, v_2·x) + √Δ ξ with orthonormal v_1, v_2 and

    F(z_1, z_2) = z_1 + z_1 h_L(z_2),      h_L = He_L/√L!,

learned by F(w_1·x, w_2·x), |w_i| = 1, with projected one-pass SGD on half the squared error. The
Hermite components of the target are z_1 (degree 1) and z_1 h_L(z_2), which adds L to what is
there: leap L (Abbe, Boix-Adserà and Misiakiewicz 2023). At the start the correlation with the
product is m_11 m_22^L: while m_11 is of order one, found in ~ d steps, the second direction grows
as dm_22/dt ~ L m_22^{L-1} - (γ/2)(...) m_22, in n_L(d) = d, d log d, d^2 steps, with γ_d as for an
information exponent L. Without the term z_1 the product alone would have exponent L + 1.

The γ term works against the second direction: once m_11 = 1 it is (γ_d/2) S m_22 with S = E g_2²,
and for L = 3, without noise, S = 288. With the matched γ_d the flow therefore gets away only from
m_22 √d > 48 γ, of which a random start is 0.67 in the median: at γ = 0.03 it never arrives, at 0.01
from every second start. SGD does arrive there, by its diffusion, but late and over a broad law: in
50 dimensions with γ = 0.03 after 6 to 190 n_3(d), 30 in the median of 24 runs. A shorter run ends
with max_steps.

**Equations.** With e = y - F(λ), g_i = e ∂_i F(λ), λ_i = w_i·x, the overlaps m_ij = w_i·v_j and
q = w_1·w_2 follow, for d -> ∞ and t = γ_d step/d,

    dm_ij/dt = E g_i (z_j - m_ij λ_i) - (γ_d/2) m_ij E g_i²
    dq/dt = E g_1(λ_2 - qλ_1) + E g_2(λ_1 - qλ_2) + γ_d [E g_1 g_2 - (q/2)(E g_1² + E g_2²)].

The averages are over four Gaussian fields of polynomials of degree at most 4L + 2: a tensor
Gauss-Hermite rule with 2L + 2 nodes in each of four independent directions has no error.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from solvers.numerics.compiled import jit
from solvers.systems.single_index.descent import factors, shift_dot, square


@jit
def target(z1, z2, leap):
    """F and its two slopes."""
    if leap == 1:
        h, slope = z2, 1.0
    elif leap == 2:
        h, slope = (z2 * z2 - 1.0) / math.sqrt(2.0), math.sqrt(2.0) * z2
    else:
        h, slope = (z2 * z2 - 3.0) * z2 / math.sqrt(6.0), 3.0 * (z2 * z2 - 1.0) / math.sqrt(6.0)
    return z1 + z1 * h, 1.0 + h, z1 * slope


@cache
def rule(leap: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the one-dimensional rule."""
    x, w = np.polynomial.hermite_e.hermegauss(2 * leap + 2)
    return x, w / w.sum()


@jit
def slopes(state, leap, step, noise, x, w, out):
    """d(m_11, m_12, m_21, m_22, q)/dt; `x`, `w` are the one-dimensional rule, `noise` is Δ."""
    a, b, c, d, q = state
    # λ_1 = a z_1 + b z_2 + r u,  λ_2 = c z_1 + d z_2 + s u + t v
    r = math.sqrt(max(1.0 - a * a - b * b, 0.0))
    s = (q - a * c - b * d) / r if r > 1e-9 else 0.0
    t = math.sqrt(max(1.0 - c * c - d * d - s * s, 0.0))
    e11 = e12 = e21 = e22 = cross1 = cross2 = own1 = own2 = g11 = g22 = g12 = 0.0
    n = len(x)
    for i in range(n):
        for j in range(n):
            truth = target(x[i], x[j], leap)[0]
            for k in range(n):
                lam1 = a * x[i] + b * x[j] + r * x[k]
                part = c * x[i] + d * x[j] + s * x[k]
                weight = w[i] * w[j] * w[k]
                for m in range(n):
                    lam2 = part + t * x[m]
                    f, f1, f2 = target(lam1, lam2, leap)
                    p = weight * w[m]
                    error = truth - f
                    g1, g2 = p * error * f1, p * error * f2
                    e11 += g1 * x[i]
                    e12 += g1 * x[j]
                    e21 += g2 * x[i]
                    e22 += g2 * x[j]
                    own1 += g1 * lam1
                    own2 += g2 * lam2
                    cross1 += g1 * lam2
                    cross2 += g2 * lam1
                    spread = p * (error * error + noise)
                    g11 += spread * f1 * f1
                    g22 += spread * f2 * f2
                    g12 += spread * f1 * f2
    out[0] = e11 - a * own1 - 0.5 * step * a * g11
    out[1] = e12 - b * own1 - 0.5 * step * b * g11
    out[2] = e21 - c * own2 - 0.5 * step * c * g22
    out[3] = e22 - d * own2 - 0.5 * step * d * g22
    out[4] = cross1 - q * own1 + cross2 - q * own2 + step * (g12 - 0.5 * q * (g11 + g22))


@jit
def descend(weights, block, first, leap, step, noise, level, records, state, out):
    """Steps of a block; v_1, v_2 are the first basis vectors, `step` is γ/d.

    `state` holds the next record and the steps of both recoveries (-1: none). `out` (records, 2)
    gets m_11 and m_22.
    """
    d = weights.shape[1]
    keep, update = np.ones(2), np.zeros(2)
    m = np.array([weights[0, 0], weights[1, 1]])
    lam, g, own = np.empty(2), np.empty(2), np.empty(2)
    old = block[0, :d]
    for n in range(len(block)):
        new = block[n, :d]
        long = square(new)
        for i in range(2):
            lam[i], own[i] = shift_dot(weights[i], keep[i], update[i], old, new)
        old = new
        truth = target(np.float64(new[0]), np.float64(new[1]), leap)[0] + noise * block[n, d]
        f, g[0], g[1] = target(lam[0], lam[1], leap)
        for i in range(2):
            b = step * (truth - f) * g[i]
            keep[i], update[i] = factors(b, lam[i], own[i], long)
            m[i] = keep[i] * weights[i, i] + update[i] * new[i]
            if state[1 + i] < 0 and abs(m[i]) >= level:
                state[1 + i] = first + n + 1
        while state[0] < len(records) and records[state[0]] == first + n + 1:
            out[state[0]] = m
            state[0] += 1
    for i in range(2):
        shift_dot(weights[i], keep[i], update[i], old, old)

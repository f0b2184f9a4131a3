"""The largest margin of a set of patterns by a dual active-set method, with its certificates.

Primal:  minimise |w|^2/2 subject to x_mu·w >= 1 for every row x_mu of X (samples, dimension).
Dual:    maximise sum λ - |X^T λ|^2/2 over λ >= 0; at the optimum w = X^T λ and |w|^2 = sum λ.

For every λ >= 0 and every w:

    min_mu x_mu·w / |w|  <=  sum_mu λ_mu x_mu·w / (|w| sum λ)  <=  |X^T λ| / sum λ,

so a w certifies that the margin is at least the left side, and a λ that it is at most the right
side. If the rows are not separable, Farkas' lemma gives a λ whose right side is zero.

The method of Goldfarb and Idnani (Mathematical Programming 27 (1983) 1-33) starts from w = 0 and
adds the most violated row, keeping w the exact solution of the rows in the active set and dropping
a row when its multiplier would turn negative. The dual objective grows at each addition, so it ends
after finitely many: at the optimum, or with a row n that is a combination of the active ones,
n = sum r_j x_j with all r_j <= 0. Then (1, -r) is Farkas' certificate. For Gaussian rows this needs
as many active rows as dimensions, and is recognised by that count, not by a small number.

The active rows are kept as a QR factorisation updated by reflections and rotations: O(dimension^2)
a step besides one product with X.
"""

from __future__ import annotations

import numpy as np

from solvers.numerics.compiled import jit

OPTIMAL, INSEPARABLE, EXHAUSTED = range(3)


@jit
def _append(basis, R, d, k):
    """Reflect the free rows of the basis so that the new normal has one component in them."""
    dimension = len(d)
    square = 0.0
    for i in range(k, dimension):
        square += d[i] * d[i]
    pivot = -np.sqrt(square) if d[k] > 0 else np.sqrt(square)
    for i in range(k):
        R[i, k] = d[i]
    R[k, k] = pivot
    d[k] -= pivot
    # d is now the mirror's normal, of square length 2·pivot·(pivot - d_k)
    scale = -1.0 / (pivot * d[k])
    shadow = d[k:] @ basis[k:]
    for i in range(k, dimension):
        factor = scale * d[i]
        for j in range(dimension):
            basis[i, j] -= factor * shadow[j]


@jit
def _remove(basis, R, k, at):
    """Delete column `at` of the k columns of R and make it triangular again."""
    for j in range(at, k - 1):
        for i in range(j + 2):
            R[i, j] = R[i, j + 1]
    for j in range(at, k - 1):
        length = np.hypot(R[j, j], R[j + 1, j])
        c, s = R[j, j] / length, R[j + 1, j] / length
        for i in range(j, k - 1):
            a, b = R[j, i], R[j + 1, i]
            R[j, i], R[j + 1, i] = c * a + s * b, c * b - s * a
        for i in range(basis.shape[1]):
            a, b = basis[j, i], basis[j + 1, i]
            basis[j, i], basis[j + 1, i] = c * a + s * b, c * b - s * a


@jit
def _back_substitute(R, d, k):
    """r with R r = d, by rows of R, which are contiguous."""
    r = np.empty(k)
    for i in range(k - 1, -1, -1):
        rest = d[i]
        for j in range(i + 1, k):
            rest -= R[i, j] * r[j]
        r[i] = rest / R[i, i]
    return r


@jit
def dual_active_set(X, tolerance, max_steps):
    """Best separating direction and multipliers: (outcome, w, λ, steps).

    OPTIMAL: min x·w >= 1 - tolerance. INSEPARABLE: λ is Farkas' certificate and w the direction of
    largest margin met on the way. EXHAUSTED: max_steps active-set changes were not enough.
    """
    samples, dimension = X.shape
    basis, R = np.eye(dimension), np.zeros((dimension, dimension))
    active = np.empty(dimension, np.int64)
    u = np.zeros(dimension + 1)
    w, best = np.zeros(dimension), np.zeros(dimension)
    best_margin, multipliers = -np.inf, np.zeros(samples)
    k = steps = 0
    outcome = EXHAUSTED
    while outcome == EXHAUSTED:
        z = X @ w
        p = np.argmin(z)
        margin = z[p] / np.sqrt(w @ w) if k else -np.inf
        if margin > best_margin:
            best_margin = margin
            best[:] = w
        if z[p] >= 1.0 - tolerance:
            outcome = OPTIMAL
        if outcome == OPTIMAL or steps >= max_steps:
            break
        slack, u[k] = z[p] - 1.0, 0.0
        while steps < max_steps:
            steps += 1
            d = basis @ X[p]
            r = _back_substitute(R, d, k)
            partial, drop = np.inf, -1
            for j in range(k):
                if r[j] > 0 and u[j] < partial * r[j]:
                    partial, drop = u[j] / r[j], j
            along = d[k:] @ d[k:]
            full = -slack / along if along > 0 else np.inf
            t = min(partial, full)
            if t == np.inf:
                multipliers[p] = 1.0
                for j in range(k):
                    multipliers[active[j]] = -r[j]
                outcome = INSEPARABLE
                break
            w += t * (d[k:] @ basis[k:])
            slack += t * along
            for j in range(k):
                u[j] -= t * r[j]
            u[k] += t
            if full <= partial:
                _append(basis, R, d, k)
                active[k] = p
                k += 1
                break
            _remove(basis, R, k, drop)
            k -= 1
            for j in range(drop, k):
                active[j] = active[j + 1]
            for j in range(drop, k + 1):
                u[j] = u[j + 1]
    if outcome != INSEPARABLE:
        for j in range(k):
            multipliers[active[j]] = max(u[j], 0.0)
    return outcome, best, multipliers, steps

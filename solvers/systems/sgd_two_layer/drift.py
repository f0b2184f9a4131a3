"""The mean one-step update of the overlaps of a two-layer erf network, compiled.

One step of stochastic gradient descent with the sample (x, y), x ~ N(0, 1_d), is

    w_i <- w_i + (γ/p) e σ'(λ_i) x/√d,     e = y - f = Σ_a c_a σ(λ_a) + √Δ z,

with the fields λ_a = w_a·x/√d of students (a = 1 ... p, c = -1/p) and teachers (a = p+1 ... p+k,
c = +1/k), jointly Gaussian with covariance C = [[Q, M], [Mᵀ, P]]. Then, exactly,

    d·ΔM_ir = (γ/p) e σ'(λ_i) λ*_r
    d·ΔQ_ij = (γ/p) e [σ'(λ_i) λ_j + σ'(λ_j) λ_i] + (γ/p)² e² σ'(λ_i) σ'(λ_j) |x|²/d.

Averaging, with |x|²/d -> 1, and dividing by the time of a step, dt = γ/(p d):

    dM_ir/dt = G_i,p+r
    dQ_ij/dt = G_ij + G_ji + (γ/p) N_ij
    G_ia = E[e σ'(λ_i) λ_a] = Σ_b c_b I3(i, a, b)
    N_ij = E[e² σ'(λ_i) σ'(λ_j)] = Σ_ab c_a c_b I4(i, j, a, b) + Δ E[σ'(λ_i) σ'(λ_j)]

in which gradient flow drops N. The integrals are those of `solvers.numerics.erf_integrals`; this is
the process of Veiga, Stephan, Loureiro, Krzakala and Zdeborová, arXiv:2202.00293
(2022), and for k = p, c = ±1 the equations of Saad and Solla (1995).

For a pair (i, j) the four-field sum is one rank-2 update of C and n(n+1)/2 arcsines with n = p + k:
a drift costs about p² n²/4 arcsines, a few nanoseconds each, and p n² for G.

The state of a point is packed as M row by row, then the upper triangle of Q row by row, so that Q
stays symmetric.
"""

from __future__ import annotations

import math
from functools import cache

import numba
import numpy as np

from solvers.numerics.erf_integrals import arcsin

_RATIO = 2.0 / math.pi
_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@cache
def _triangle(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the upper triangle, row by row."""
    return np.triu_indices(width)


def pack(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """States (points, p k + p(p+1)/2) from Q (points, p, p) and M (points, p, k)."""
    rows, columns = _triangle(student.shape[-1])
    return np.concatenate([teacher.reshape(len(teacher), -1), student[:, rows, columns]], axis=1)


def unpack(states: np.ndarray, *, width: int, teacher_width: int) -> tuple[np.ndarray, np.ndarray]:
    """Q (..., p, p) and M (..., p, k) from states (..., components)."""
    cut = width * teacher_width
    teacher = states[..., :cut].reshape(*states.shape[:-1], width, teacher_width)
    student = np.empty((*states.shape[:-1], width, width))
    rows, columns = _triangle(width)
    student[..., rows, columns] = student[..., columns, rows] = states[..., cut:]
    return student, teacher


@_jit
def _covariance(c, state, target, p, k):
    """Fill the covariance of all fields from a packed state and P."""
    at = p * k
    for i in range(p):
        for r in range(k):
            c[i, p + r] = c[p + r, i] = state[i * k + r]
        for j in range(i, p):
            c[i, j] = c[j, i] = state[at]
            at += 1
    for r in range(k):
        for s in range(k):
            c[p + r, p + s] = target[r, s]


@_jit
def _gradient(g, c, weights, p):
    """G_ia for students i and all fields a."""
    n = len(c)
    for i in range(p):
        tilt = 1.0 / (1.0 + c[i, i])
        row = g[i]
        row[:] = 0.0
        along = 0.0
        for b in range(n):
            factor = weights[b] * _RATIO / math.sqrt((1 + c[i, i]) * (1 + c[b, b]) - c[i, b] ** 2)
            along += factor * c[i, b]
            for a in range(n):
                row[a] += factor * c[b, a]
        for a in range(n):
            row[a] -= along * tilt * c[i, a]


@_jit
def _squared_error(i, j, c, weights, products, noise, tilted, angles, one, two, scale):
    """N_ij = E[e² σ'(λ_i) σ'(λ_j)] by the tilted covariance C~ of the pair."""
    n = len(c)
    a, b, cross = 1.0 + c[i, i], 1.0 + c[j, j], c[i, j]
    determinant = a * b - cross * cross
    u, v = c[i], c[j]
    for s in range(n):
        one[s] = (b * u[s] - cross * v[s]) / determinant
        two[s] = (a * v[s] - cross * u[s]) / determinant
        scale[s] = 1.0 / math.sqrt(1.0 + c[s, s] - one[s] * u[s] - two[s] * v[s])
    at = 0
    for s in range(n):
        row = c[s]
        part = tilted[at : at + n - s]
        for r in range(len(part)):
            q = s + r
            part[r] = (row[q] - one[s] * u[q] - two[s] * v[q]) * scale[s] * scale[q]
        at += n - s
    arcsin(tilted, angles)
    total = 0.0
    for s in range(len(angles)):
        total += products[s] * angles[s]
    return _RATIO / math.sqrt(determinant) * (_RATIO * total + noise)


@_jit
def drift(states, target, ratio, noise, p, k, out):
    """Write the slopes of packed states (points, components) to `out`.

    `target` (points, k, k) is P, `ratio` (points,) the weight of the second-order term, γ/p or, for
    gradient flow, 0; `noise` (points,) is Δ.
    """
    n = p + k
    weights = np.empty(n)
    weights[:p], weights[p:] = -1.0 / p, 1.0 / k
    products = np.empty(n * (n + 1) // 2)
    at = 0
    for a in range(n):
        for b in range(a, n):
            products[at] = weights[a] * weights[b] * (1.0 if a == b else 2.0)
            at += 1
    c, g = np.empty((n, n)), np.empty((p, n))
    tilted, angles = np.empty(len(products)), np.empty(len(products))
    one, two, scale = np.empty(n), np.empty(n), np.empty(n)
    for point in range(len(states)):
        _covariance(c, states[point], target[point], p, k)
        _gradient(g, c, weights, p)
        slope = out[point]
        for i in range(p):
            for r in range(k):
                slope[i * k + r] = g[i, p + r]
        at = p * k
        for i in range(p):
            for j in range(i, p):
                slope[at] = g[i, j] + g[j, i]
                if ratio[point] != 0.0:
                    slope[at] += ratio[point] * _squared_error(
                        i, j, c, weights, products, noise[point], tilted, angles, one, two, scale
                    )
                at += 1

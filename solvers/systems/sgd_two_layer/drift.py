"""The mean one-step update of the overlaps of a two-layer network, compiled.

One step of stochastic gradient descent with the sample (x, y), x ~ N(0, 1_d), is

    w_i <- w_i + (γ/p) a_i e σ'(λ_i) x/√d,     e = y - f = Σ_b c_b σ_b(λ_b) + √Δ z,
    a_i <- a_i + (γ/(p d)) e σ(λ_i)            (trained second layer; otherwise a_i = 1),

with the fields λ_b = w_b·x/√d of students (b = 1 ... p, c = -a_b/p) and teachers (b = p+1 ... p+k,
c = +1/k), jointly Gaussian with covariance C = [[Q, M], [Mᵀ, P]]. Then, exactly,

    d·ΔM_ir = (γ/p) a_i e σ'(λ_i) λ*_r
    d·ΔQ_ij = (γ/p) e [a_i σ'(λ_i) λ_j + a_j σ'(λ_j) λ_i]
              + (γ/p)² a_i a_j e² σ'(λ_i) σ'(λ_j) |x|²/d.

Averaging, with |x|²/d -> 1, and dividing by the time of a step, dt = γ/(p d):

    dM_ir/dt = G_i,p+r,        da_i/dt = E[e σ(λ_i)] = Σ_b c_b F_ib
    dQ_ij/dt = G_ij + G_ji + (γ/p) a_i a_j N_ij
    G_im = a_i E[e σ'(λ_i) λ_m] = a_i Σ_b c_b (C_im E[σ'' σ_b] + C_bm E[σ' σ'_b])     (Stein)
    N_ij = E[e² σ'(λ_i) σ'(λ_j)]

in which gradient flow drops N. `solvers.numerics.unit_averages` has the two-field averages and
`squared_error` has N. This is the process of Veiga, Stephan, Loureiro, Krzakala and
Zdeborová, arXiv:2202.00293 (2022); for erf, k = p, c = ±1 the equations of Saad and Solla (1995).

**Finite dimension.** |x|² = |x_⊥|² + λᵀC⁻¹λ, so that by Stein's lemma E[h |x|²/d] is E[h] (1 - n/d)
+ (n E[h] + E[λ·∇h])/d = E[h] + (1/d) ∂/∂s E[h(sλ)] at s = 1: N gains (1/d) dN(s²C)/ds, whatever the
rank of C. With it the mean update is exact at every d.

**Mean field** keeps of Q only the diagonal beyond the teachers' subspace, Q = M P⁺ Mᵀ + diag(q);
only the diagonal of N is then needed.

The state of a point is packed as M row by row, then the upper triangle of Q row by row, so that Q
stays symmetric, then a if it is trained.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from solvers.numerics.compiled import jit
from solvers.numerics.unit_averages import CODES, bend, product, slopes
from solvers.systems.sgd_two_layer.squared_error import squared_error

_STRETCH = 2e-3
"""Step of the central difference in s, of fourth order: its error is some 1e-10 N/d."""


@cache
def _triangle(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the upper triangle, row by row."""
    return np.triu_indices(width)


def pack(student: np.ndarray, teacher: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """States (points, p k + p(p+1)/2 [+ p]) from Q (points, p, p), M (points, p, k) [and a]."""
    rows, columns = _triangle(student.shape[-1])
    parts = [teacher.reshape(len(teacher), -1), student[:, rows, columns]]
    return np.concatenate(parts if second is None else [*parts, second], axis=1)


def unpack(states: np.ndarray, *, width: int, teacher_width: int) -> tuple[np.ndarray, np.ndarray]:
    """Q (..., p, p) and M (..., p, k) from states (..., components)."""
    cut = width * teacher_width
    teacher = states[..., :cut].reshape(*states.shape[:-1], width, teacher_width)
    student = np.empty((*states.shape[:-1], width, width))
    rows, columns = _triangle(width)
    end = cut + len(rows)
    student[..., rows, columns] = student[..., columns, rows] = states[..., cut:end]
    return student, teacher


@jit
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


@jit
def _gradient(g, c, acts, weights, second, p):
    """G_im for students i and all fields m."""
    n = len(c)
    for i in range(p):
        row = g[i]
        row[:] = 0.0
        along = 0.0
        for b in range(n):
            f, h = acts[i], acts[b]
            factor = second[i] * weights[b] * slopes(f, h, c[i, i], c[b, b], c[i, b])
            along += second[i] * weights[b] * bend(f, h, c[i, i], c[b, b], c[i, b])
            for m in range(n):
                row[m] += factor * c[b, m]
        for m in range(n):
            row[m] += along * c[i, m]


@jit
def _drift(
    states,
    target,
    ratio,
    noise,
    p,
    k,
    out,
    student,
    teacher,
    trained,
    inverse,
    diagonal,
):
    n = p + k
    cut, end = p * k, p * k + p * (p + 1) // 2
    weights, second = np.empty(n), np.ones(p)
    acts = np.full(n, student)
    acts[p:] = teacher
    c, g, squared = np.empty((n, n)), np.empty((p, n)), np.empty((p, p))
    near, scaled = np.empty((p, p)), np.empty((n, n))
    for point in range(len(states)):
        state, slope = states[point], out[point]
        if trained:
            second[:] = state[end:]
        weights[:p], weights[p:] = -second / p, 1.0 / k
        _covariance(c, state, target[point], p, k)
        _gradient(g, c, acts, weights, second, p)
        for i in range(p):
            for r in range(k):
                slope[i * k + r] = g[i, p + r]
        if ratio[point] != 0.0:
            squared_error(c, acts, weights, noise[point], p, diagonal, squared)
            if inverse[point] != 0.0:
                for order in range(4):
                    stretch = (-2.0, -1.0, 1.0, 2.0)[order] * _STRETCH
                    scaled[:] = c * (1.0 + stretch) ** 2
                    squared_error(scaled, acts, weights, noise[point], p, diagonal, near)
                    squared += (
                        inverse[point] / (12.0 * _STRETCH) * (1.0, -8.0, 8.0, -1.0)[order] * near
                    )
        at = cut
        for i in range(p):
            for j in range(i, p):
                slope[at] = g[i, j] + g[j, i]
                if ratio[point] != 0.0 and (i == j or not diagonal):
                    slope[at] += ratio[point] * second[i] * second[j] * squared[i, j]
                at += 1
        if trained:
            for i in range(p):
                total = 0.0
                for b in range(n):
                    total += weights[b] * product(acts[i], acts[b], c[i, i], c[b, b], c[i, b])
                slope[end + i] = total


def drift(
    states: np.ndarray,
    target: np.ndarray,
    ratio: np.ndarray,
    noise: np.ndarray,
    p: int,
    k: int,
    out: np.ndarray,
    *,
    student: str = "erf",
    teacher: str = "erf",
    trained: bool = False,
    inverse: np.ndarray | None = None,
    diagonal: bool = False,
) -> None:
    """Write the slopes of packed states (points, components) to `out`.

    `target` (points, k, k) is P, `ratio` (points,) the weight of the second-order term, γ/p or, for
    gradient flow, 0; `noise` (points,) is Δ. `student`, `teacher`: activations. `inverse` (points,)
    is 1/d for the terms of a finite dimension. With `diagonal` only the diagonal of N is added.
    """
    inverse = np.zeros(len(states)) if inverse is None else inverse
    units = CODES[student], CODES[teacher]
    _drift(states, target, ratio, noise, p, k, out, *units, trained, inverse, diagonal)

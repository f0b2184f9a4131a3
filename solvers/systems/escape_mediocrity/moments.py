"""Mean and covariance of one step of spherical SGD with quadratic units, in closed form, compiled.

With η = γ/(p d), the fields λ_a = w_a·x of students (a < p) and teacher (a = *), jointly Gaussian
with covariance C = [[Q, m], [mᵀ, 1]], and the error

    e = y - f = e_0 + √Δ ξ,   e_0 = λᵀ D λ,   D = diag(-1/p, ..., -1/p, 1),

a step adds g_i = 2 η e λ_i x to w_i and divides by |w_i + g_i|. Expanding the root, to order η,

    |w_i + g_i|² = 1 + 2 η·2 e λ_i² + η² 4 e² λ_i² |x|²,       η |x|² = (γ/p) |x|²/d -> γ/p:

    δm_i  = η [ e (2 λ_i λ* - 2 m_i λ_i²) - (γ/p) e² 2 m_i λ_i² ]
    δq_ij = η [ (e + (γ/p) e²) (4 λ_i λ_j - 2 q_ij λ_i² - 2 q_ij λ_j²) ].

The second-order term of the step is of the SAME order η as the first, in the mean and in the
fluctuations, because |x|² is of order d. What is left out is smaller by 1/d.

**Moments.** e_0 is a quadratic form, so that averages with e_0^k come from a tilted Gaussian,

    E[exp(s λᵀDλ) h(λ)] = det(1 - 2sDC)^(-1/2) E_{C_s}[h],   C_s = Σ_n (2s)^n C_n,  C_n = C (DC)^n,
    det(1 - 2sDC)^(-1/2) = exp(Σ_n (2s)^n t_n/(2n)) = Σ_n (2s)^n g_n,   t_n = tr (DC)^n,

by comparing powers of s. On the sphere t_1 = E e_0 = 0, and the risk is R = E e_0²/2 = t_2. Hence

    E[e_0 λ_a λ_b]  = 2 (C_1)_ab,        E[e_0² λ_a λ_b] = 2 R C_ab + 8 (C_2)_ab,

and with S = C_1, U = C_2 the drift in the time t = step·η is

    dm_i/dt  = 4 S_i* - 4 m_i S_ii - (2γ/p) m_i (2R + Δ + 8 U_ii)
    dq_ij/dt = 8 S_ij - 4 q_ij (S_ii + S_jj) + (32γ/p) [U_ij - q_ij (U_ii + U_jj)/2].

The label noise Δ slows the growth of m, and changes nothing in the drift of q. For the covariance,

    E[e_0^k λ_a λ_b λ_c λ_d]
      = k! 2^k Σ_{j,l} g_{k-j-l} [(C_j)_ab (C_l)_cd + (C_j)_ac (C_l)_bd + (C_j)_ad (C_l)_bc],

k up to 4, and powers of √Δ ξ by the binomial. The increments of one step have the covariance η² K,
K = `covariance`; a unit of time holds 1/η steps, so the diffusion per unit of time is η K.

A state is packed as m (p), then q_ij for i < j, row by row: p (p + 1)/2 components.
"""

from __future__ import annotations

import numpy as np

from solvers.numerics.compiled import jit

ORDER = 4


def components(width: int) -> int:
    """Length of a packed state."""
    return width * (width + 1) // 2


def pack(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """States (..., components) from Q (..., p, p) and m (..., p)."""
    rows, columns = np.triu_indices(teacher.shape[-1], 1)
    return np.concatenate([teacher, student[..., rows, columns]], axis=-1)


def unpack(states: np.ndarray, *, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Q (..., p, p) with a diagonal of ones and m (..., p)."""
    student = np.empty((*states.shape[:-1], width, width))
    student[..., np.arange(width), np.arange(width)] = 1.0
    rows, columns = np.triu_indices(width, 1)
    student[..., rows, columns] = student[..., columns, rows] = states[..., width:]
    return student, states[..., :width].copy()


def risk_of(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """R = E(f - f*)²/2 = 1 + Σ q_ij²/p² - 2 Σ m_i²/p, written so that it vanishes without rounding.

    1 - 2 Σ m_i²/p + Σ_ij m_i² m_j²/p² is a square; the rest is Σ_ij (q_ij² - m_i² m_j²)/p².
    """
    own, cross = student, teacher[..., :, None] * teacher[..., None, :]
    gap = np.mean((1.0 - teacher) * (1.0 + teacher), axis=-1)
    return gap**2 + np.mean((own - cross) * (own + cross), axis=(-2, -1))


@jit
def risk(state, p):
    """`risk_of` for one packed state."""
    gap, rest, at = 0.0, 0.0, p
    for i in range(p):
        square = state[i] * state[i]
        gap += (1.0 - square) / p
        rest += (1.0 - square) * (1.0 + square)
        for j in range(i + 1, p):
            cross = state[i] * state[j]
            rest += 2.0 * (state[at] - cross) * (state[at] + cross)
            at += 1
    return gap * gap + rest / (p * p)


@jit
def fill_covariance_of_fields(c, state, p):
    """C of students and teacher, shape (p + 1, p + 1), from a packed state."""
    at = p
    for i in range(p):
        c[i, i] = 1.0
        c[i, p] = c[p, i] = state[i]
        for j in range(i + 1, p):
            c[i, j] = c[j, i] = state[at]
            at += 1
    c[p, p] = 1.0


@jit
def _next_power(old, first, out, p):
    """out = old D first."""
    for a in range(p + 1):
        for b in range(a, p + 1):
            total = 0.0
            for k in range(p):
                total -= old[a, k] * first[k, b]
            out[a, b] = out[b, a] = total / p + old[a, p] * first[p, b]


@jit
def _trace(c, p):
    """tr(D c)."""
    total = 0.0
    for k in range(p):
        total -= c[k, k]
    return total / p + c[p, p]


@jit
def mean_step(state, ratio, noise, p, powers, out):
    """Write the drift of one packed state to `out`; `powers` (>= 3, n, n) receives C, C_1, C_2."""
    fill_covariance_of_fields(powers[0], state, p)
    _next_power(powers[0], powers[0], powers[1], p)
    _next_power(powers[1], powers[0], powers[2], p)
    s, u = powers[1], powers[2]
    square = 2.0 * risk(state, p) + noise
    at = p
    for i in range(p):
        out[i] = 4.0 * (s[i, p] - state[i] * s[i, i])
        out[i] -= 2.0 * ratio * state[i] * (square + 8.0 * u[i, i])
        for j in range(i + 1, p):
            q = state[at]
            out[at] = 8.0 * s[i, j] - 4.0 * q * (s[i, i] + s[j, j])
            out[at] += 32.0 * ratio * (u[i, j] - 0.5 * q * (u[i, i] + u[j, j]))
            at += 1


@jit
def drift(states, ratio, noise, p, out):
    """Drifts (points, components) of packed states; `ratio` = γ/p and `noise` = Δ are columns."""
    powers = np.empty((3, p + 1, p + 1))
    for point in range(len(states)):
        mean_step(states[point], ratio[point], noise[point], p, powers, out[point])


@jit
def _kernels(powers, noise, p, kernels):
    """kernels[k] (ORDER+1, ORDER+1): weights of C_j C_l in E[e^(k+2) λλλλ], with label noise."""
    g = np.zeros(ORDER + 1)
    g[0] = 1.0
    for n in range(1, ORDER + 1):
        for k in range(1, n + 1):
            g[n] += 0.5 * _trace(powers[k - 1], p) * g[n - k] / n
    for j in range(ORDER + 1):
        for m in range(ORDER + 1):
            # E[e_0^k ...] for k = n + j + m, k = 0 ... 4, and zero where n would be negative.
            bare = 1.0 if j + m == 0 else 0.0
            linear = 2.0 * g[1 - j - m] if j + m <= 1 else 0.0
            square = 8.0 * g[2 - j - m] if j + m <= 2 else 0.0
            cube = 48.0 * g[3 - j - m] if j + m <= 3 else 0.0
            fourth = 384.0 * g[4 - j - m] if j + m <= 4 else 0.0
            kernels[0, j, m] = square + noise * bare
            kernels[1, j, m] = cube + 3.0 * noise * linear
            kernels[2, j, m] = fourth + 6.0 * noise * square + 3.0 * noise * noise * bare


@jit
def _mix(powers, kernels, mixed, n):
    """mixed[k, j] = Σ_m kernels[k, m, j] C_m."""
    for k in range(3):
        for j in range(ORDER + 1):
            for a in range(n):
                for b in range(n):
                    total = 0.0
                    for m in range(ORDER + 1 - j):
                        total += kernels[k, m, j] * powers[m, a, b]
                    mixed[k, j, a, b] = total


@jit
def _increments(state, p, pairs, first, second):
    """Components as sums of three terms, (first e + second (γ/p) e²) λ_a λ_b, (a, b) in `pairs`."""
    at = p
    for i in range(p):
        first[i, 0], first[i, 1], first[i, 2] = 2.0, -2.0 * state[i], 0.0
        second[i, 0], second[i, 1], second[i, 2] = 0.0, -2.0 * state[i], 0.0
        for t in range(3):
            pairs[i, t, 0], pairs[i, t, 1] = i, i
        pairs[i, 0, 1] = p
        for j in range(i + 1, p):
            first[at, 0], first[at, 1], first[at, 2] = 4.0, -2.0 * state[at], -2.0 * state[at]
            for t in range(3):
                second[at, t] = first[at, t]
            pairs[at, 0, 0], pairs[at, 0, 1] = i, j
            pairs[at, 1, 0], pairs[at, 1, 1] = i, i
            pairs[at, 2, 0], pairs[at, 2, 1] = j, j
            at += 1


@jit
def _fourth_moment(one, two, three, a, b, c, d, mixed, powers):
    """E[(one e² + two e³ + three e⁴) λ_a λ_b λ_c λ_d]."""
    total = 0.0
    for j in range(ORDER + 1):
        ab = one * mixed[0, j, a, b] + two * mixed[1, j, a, b] + three * mixed[2, j, a, b]
        ac = one * mixed[0, j, a, c] + two * mixed[1, j, a, c] + three * mixed[2, j, a, c]
        ad = one * mixed[0, j, a, d] + two * mixed[1, j, a, d] + three * mixed[2, j, a, d]
        total += ab * powers[j, c, d] + ac * powers[j, b, d] + ad * powers[j, b, c]
    return total


@jit
def covariance(state, mean, ratio, noise, p, powers, out):
    """Write K (components, components) of one state to `out`: the covariance of a step over η².

    `mean` is the drift of the state, `powers` (ORDER + 1, n, n) what `mean_step` left there.
    """
    n, size = p + 1, len(state)
    for k in range(3, ORDER + 1):
        _next_power(powers[k - 1], powers[0], powers[k], p)
    kernels, mixed = np.empty((3, ORDER + 1, ORDER + 1)), np.empty((3, ORDER + 1, n, n))
    _kernels(powers, noise, p, kernels)
    _mix(powers, kernels, mixed, n)
    pairs = np.empty((size, 3, 2), np.int64)
    first, second = np.empty((size, 3)), np.empty((size, 3))
    _increments(state, p, pairs, first, second)
    for alpha in range(size):
        for beta in range(alpha + 1):
            total = -mean[alpha] * mean[beta]
            for x in range(3):
                for y in range(3):
                    one = first[alpha, x] * first[beta, y]
                    two = first[alpha, x] * second[beta, y] + second[alpha, x] * first[beta, y]
                    three = second[alpha, x] * second[beta, y]
                    if one == 0.0 and two == 0.0 and three == 0.0:
                        continue
                    total += _fourth_moment(
                        one,
                        ratio * two,
                        ratio * ratio * three,
                        pairs[alpha, x, 0],
                        pairs[alpha, x, 1],
                        pairs[beta, y, 0],
                        pairs[beta, y, 1],
                        mixed,
                        powers,
                    )
            out[alpha, beta] = out[beta, alpha] = total

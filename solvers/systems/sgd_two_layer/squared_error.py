r"""N_ij = E[e² σ'(λ_i) σ'(λ_j)] for erf, quadratic and relu students, whatever the teacher.

With e = Σ_b c_b σ_b(λ_b) + √Δ z, the noise adds Δ E[σ'(λ_i) σ'(λ_j)]. For the rest:

**erf.** σ'(λ_i) σ'(λ_j) = (2/π) exp(-(λ_i² + λ_j²)/2) tilts the Gaussian to the covariance
C~ = C - cov(·, (i,j)) (1 + C_(ij))⁻¹ cov((i,j), ·), factor (2/π) det(1 + C_(ij))^(-1/2), and
E~[e²] = Σ_ab c_a c_b F_ab(C~): the I4 of Saad and Solla (1995).

**quadratic.** N_ij = 4 E[λ_i λ_j e²], and Stein's lemma twice gives

    N_ij/4 = C_ij Σ_ab c_a c_b F_ab
             + 2 Σ_ab c_a c_b (C_ia C_ja E[σ''_a σ_b] + C_ia C_jb E[σ'_a σ'_b]).

**relu.** N_ij = E[θ(λ_i) θ(λ_j) e²] has four fields with kinks and no closed form. Let the field ι
in θ(λ_i) be a copy whose covariances with all fields, λ_i too, are t times those of λ_i. At t = 0
it is independent; by Price's theorem, with δ(ι) setting ι = 0,

    N_jj(t=0) = E[e²]/2,      dN_jj/dt = 2 p_j Σ_b C_jb c_b E[σ'_b e | ι = 0]
    N_ij(t=0) = N_jj/2,       dN_ij/dt = p_i {C_ij E[δ(λ_j) e² | ι=0]
                                              + 2 Σ_b C_ib c_b E[θ(λ_j) σ'_b e | ι=0]}

with p_i = 1/√(2π C_ii) and covariances C_mn - t² C_im C_in/C_ii given ι = 0. All averages on the
right are closed (`unit_averages`: product, mixed, signed): N is one integral over t = cos ψ. The
integrand is analytic in ψ, but for layers of width √(1-ρ²) at ψ = 0 where units are nearly
parallel. Gauss-Legendre nodes in s, ψ = (π/2) s³, resolve both: relative errors are 1e-9, and 1e-6
at most for units that differ by a part in 1e3 to 1e6.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.numerics.compiled import jit
from solvers.numerics.erf_integrals import arcsin
from solvers.numerics.unit_averages import (
    ERF,
    QUADRATIC,
    RELU,
    bend,
    mixed,
    product,
    signed,
    slopes,
)

_RATIO = 2.0 / math.pi
_NODES = 24
_PARALLEL = 1e-14


def _rule() -> tuple[np.ndarray, np.ndarray]:
    """1 - t² at the nodes t = cos ψ, and the weights of an integral over t from 0 to 1."""
    s, weight = np.polynomial.legendre.leggauss(_NODES)
    s = 0.5 * (s + 1.0)
    angle = 0.5 * math.pi * s**3
    return np.sin(angle) ** 2, 0.5 * weight * 1.5 * math.pi * s * s * np.sin(angle)


_FRESH, _W = _rule()


@jit
def squared_error(c, acts, weights, noise, p, diagonal, out):
    """Write N_ij (p, p), or with `diagonal` N_ii alone, for the covariance `c` of all fields."""
    if acts[0] == ERF and acts[-1] == ERF:
        _erf_units(c, weights, noise, p, diagonal, out)
        return
    if acts[0] == ERF:
        _erf_student(c, acts, weights, p, diagonal, out)
    elif acts[0] == QUADRATIC:
        _quadratic_student(c, acts, weights, p, diagonal, out)
    elif acts[-1] == RELU:
        _relu_units(c, weights, p, diagonal, out)
    else:
        _relu_student(c, acts, weights, p, diagonal, out)
    for i in range(p):
        for j in range(i, p):
            if i == j or not diagonal:
                out[i, j] += noise * slopes(acts[i], acts[j], c[i, i], c[j, j], c[i, j])
                out[j, i] = out[i, j]


@jit
def _mean_square(c, acts, weights):
    """E[(Σ_b c_b σ_b)²]."""
    total = 0.0
    for a in range(len(c)):
        own = product(acts[a], acts[a], c[a, a], c[a, a], c[a, a])
        total += weights[a] * weights[a] * own
        for b in range(a):
            both = product(acts[a], acts[b], c[a, a], c[b, b], c[a, b])
            total += 2.0 * weights[a] * weights[b] * both
    return total


@jit
def _erf_units(c, weights, noise, p, diagonal, out):
    """All units erf: one rank-2 update of C and n(n+1)/2 arcsines for a pair (i, j)."""
    n = len(c)
    products = np.empty(n * (n + 1) // 2)
    at = 0
    for a in range(n):
        for b in range(a, n):
            products[at] = weights[a] * weights[b] * (1.0 if a == b else 2.0)
            at += 1
    tilted, angles = np.empty(len(products)), np.empty(len(products))
    one, two, scale = np.empty(n), np.empty(n), np.empty(n)
    for i in range(p):
        for j in range(i, i + 1 if diagonal else p):
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
            out[i, j] = _RATIO / math.sqrt(determinant) * (_RATIO * total + noise)
            out[j, i] = out[i, j]


@jit
def _erf_student(c, acts, weights, p, diagonal, out):
    n = len(c)
    tilted = np.empty((n, n))
    for i in range(p):
        for j in range(i, i + 1 if diagonal else p):
            a, b, cross = 1.0 + c[i, i], 1.0 + c[j, j], c[i, j]
            determinant = a * b - cross * cross
            for s in range(n):
                one = (b * c[i, s] - cross * c[j, s]) / determinant
                two = (a * c[j, s] - cross * c[i, s]) / determinant
                for r in range(n):
                    tilted[s, r] = c[s, r] - one * c[i, r] - two * c[j, r]
            out[i, j] = _RATIO / math.sqrt(determinant) * _mean_square(tilted, acts, weights)


@jit
def _quadratic_student(c, acts, weights, p, diagonal, out):
    n = len(c)
    curved, crossed = np.zeros(n), np.zeros((n, n))
    for a in range(n):
        for b in range(n):
            pair = weights[a] * weights[b]
            curved[a] += pair * bend(acts[a], acts[b], c[a, a], c[b, b], c[a, b])
            crossed[a, b] = pair * slopes(acts[a], acts[b], c[a, a], c[b, b], c[a, b])
    square = _mean_square(c, acts, weights)
    moved = np.empty(n)
    for i in range(p):
        moved[:] = 0.0
        for a in range(n):
            for b in range(n):
                moved[b] += c[i, a] * crossed[a, b]
        for j in range(i, i + 1 if diagonal else p):
            total = c[i, j] * square
            for a in range(n):
                total += 2.0 * c[j, a] * (c[i, a] * curved[a] + moved[a])
            out[i, j] = 4.0 * total


@jit
def _relu_student(c, acts, weights, p, diagonal, out):
    n = len(c)
    given, further, drive = np.empty((n, n)), np.empty((n, n)), np.empty(n)
    half = 0.5 * _mean_square(c, acts, weights)
    for i in range(p):
        out[i, i] = half
        for j in range(i):
            out[j, i] = 0.5 * out[j, j]
        if c[i, i] <= 0.0:
            continue
        density = 1.0 / math.sqrt(2.0 * math.pi * c[i, i])
        for node in range(len(_FRESH)):
            fresh, step = _FRESH[node], _W[node] * density
            for a in range(n):
                for b in range(n):
                    along = c[i, a] * c[i, b] / c[i, i]
                    apart = 0.0 if a == i or b == i else c[a, b] - along
                    given[a, b] = apart + fresh * along
                given[a, a] = max(given[a, a], 1e-16 * c[a, a])
                drive[a] = c[i, a] * weights[a]
            own = 0.0
            for b in range(n):
                for a in range(n):
                    found = mixed(acts[b], acts[a], given[b, b], given[a, a], given[b, a])
                    own += drive[b] * weights[a] * found
            out[i, i] += 2.0 * step * own
            for j in range(0 if diagonal else i):
                for a in range(n):
                    for b in range(n):
                        less = given[j, a] * given[j, b] / given[j, j]
                        further[a, b] = given[a, b] - less
                    further[a, a] = max(further[a, a], 0.0)
                at_zero = _mean_square(further, acts, weights) * c[i, j]
                pair = own + at_zero / math.sqrt(2.0 * math.pi * given[j, j])
                for b in range(n):
                    for a in range(n):
                        found = signed(
                            acts[b],
                            acts[a],
                            given[j, j],
                            given[b, b],
                            given[a, a],
                            given[j, b],
                            given[j, a],
                            given[b, a],
                        )
                        pair += drive[b] * weights[a] * found
                out[j, i] += step * pair


@jit
def _relu_units(c, weights, p, diagonal, out):
    """`_relu_student` for a teacher of relu units, its arcsines gathered and shared.

    For a pair (i, j) and a node, with x = λ_j, all that is needed are A_vu = arcsin ρ(v, u | x) and
    B_vu = arcsin ρ(x, u | v), of sine (C_xu C_vv - C_xv C_vu)/√(C_xx (C_vv - C_xv²/C_xx) D_vu)
    with D_vu = C_vv C_uu - C_vu².
    """
    n = len(c)
    root = math.sqrt(2.0 / math.pi)
    given, spread, drive = np.empty((n, n)), np.empty((n, n)), np.empty(n)
    rest, sines, angles = np.empty(n), np.empty(n * (n + 1) // 2), np.empty(n * (n + 1) // 2)
    other_sines, other = np.empty(n * n), np.empty(n * n)
    acts = np.ones(n, dtype=np.int64)
    half = 0.5 * _mean_square(c, acts, weights)
    for i in range(p):
        out[i, i] = half
        for j in range(i):
            out[j, i] = 0.5 * out[j, j]
        if c[i, i] <= 0.0:
            continue
        density = 1.0 / math.sqrt(2.0 * math.pi * c[i, i])
        for node in range(len(_FRESH)):
            fresh, step = _FRESH[node], _W[node] * density
            for a in range(n):
                for b in range(n):
                    along = c[i, a] * c[i, b] / c[i, i]
                    apart = 0.0 if a == i or b == i else c[a, b] - along
                    given[a, b] = apart + fresh * along
                given[a, a] = max(given[a, a], 1e-16 * c[a, a], 1e-300)
                drive[a] = c[i, a] * weights[a]
            own = 0.0
            for b in range(n):
                inverse = 1.0 / math.sqrt(given[b, b])
                for a in range(n):
                    own += drive[b] * weights[a] * (math.sqrt(given[a, a]) + given[b, a] * inverse)
                    square = given[a, a] * given[b, b]
                    apart = square - given[a, b] ** 2
                    spread[b, a] = math.sqrt(apart) if apart > _PARALLEL * square else 0.0
            own /= 2.0 * math.sqrt(2.0 * math.pi)
            out[i, i] += 2.0 * step * own
            for j in range(0 if diagonal else i):
                x, xx = given[j], given[j, j]
                for v in range(n):
                    rest[v] = given[v, v] - x[v] * x[v] / xx
                    if rest[v] <= _PARALLEL * given[v, v]:
                        rest[v] = 0.0
                at = 0
                for v in range(n):
                    left = 1.0 / math.sqrt(rest[v]) if rest[v] > 0.0 else 0.0
                    for u in range(v, n):
                        right = 1.0 / math.sqrt(rest[u]) if rest[u] > 0.0 else 0.0
                        sine = (given[v, u] - x[v] * x[u] / xx) * left * right
                        if u == v and rest[v] > 0.0:
                            sine = 1.0  # arcsin magnifies the rounding of a sine near 1
                        sines[at] = min(1.0, max(-1.0, sine))
                        at += 1
                    for u in range(n):
                        bottom = math.sqrt(xx * rest[v]) * spread[v, u]
                        top = x[u] * given[v, v] - x[v] * given[v, u]
                        sine = top / bottom if bottom > 0.0 else 0.0
                        if u == j and bottom > 0.0:
                            sine = 1.0
                        other_sines[v * n + u] = min(1.0, max(-1.0, sine))
                arcsin(sines, angles)
                arcsin(other_sines, other)
                scale, at_zero, total = 1.0 / math.sqrt(xx), 0.0, 0.0
                at = 0
                for v in range(n):
                    one = math.sqrt(given[v, v])
                    for u in range(v, n):
                        two = math.sqrt(given[u, u])
                        both = math.sqrt(rest[v] * rest[u])
                        square = both * (
                            math.sqrt(1.0 - sines[at] ** 2)
                            + sines[at] * (0.5 * math.pi + angles[at])
                        )
                        at_zero += (1.0 if u == v else 2.0) * weights[v] * weights[u] * square
                        forth = drive[v] * weights[u]
                        back = drive[u] * weights[v] if u > v else 0.0
                        there, here = other[v * n + u], other[u * n + v]
                        if rest[v] == 0.0 and rest[u] == 0.0:
                            total += (
                                0.5
                                * math.pi
                                * (
                                    forth * math.copysign(two, x[v])
                                    + back * math.copysign(one, x[u])
                                )
                            )
                        else:
                            total += forth * (
                                x[u] * scale * angles[at] + given[v, u] / one * there + two * here
                            )
                            total += back * (
                                x[v] * scale * angles[at] + given[v, u] / two * here + one * there
                            )
                        total += 0.5 * math.pi * scale * (forth * x[u] + back * x[v])
                        at += 1
                pair = own + 0.5 * root / math.pi * total
                pair += c[i, j] * at_zero / (2.0 * math.pi) * scale / math.sqrt(2.0 * math.pi)
                out[j, i] += step * pair

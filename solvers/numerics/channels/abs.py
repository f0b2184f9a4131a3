r"""Absolute values, y = |z| + √noise·ξ with ξ ~ N(0, 1): phase retrieval with real numbers.

The noise is added to the label, which may then be negative. With V = variance, T = V + noise, and
the odds r of the two signs of z from `numerics/two_signs.py` at s = y √(V/(T noise)),
e = |omega| √(noise/(T V)), u = y |omega|/T, so that t = (1 - r)/(1 + r) is the mean of the sign:

    log Z = -(y - |omega|)²/(2T) - log(2πT)/2 + log Φ(s + e) + log(1 + r),
    g = (±y t - omega)/T, + for omega > 0,        -∂_omega g = (1 - a t')/T,
    a = y/√T,    t' = √T ∂t/∂|omega| = a (1 - t²) + 2 √(noise/V) h(s + e)/(1 + r),    h = φ/Φ.

At noise = 0, y >= 0, t = tanh u and t' = a sech² u.

**State evolution.** The channel is even: overlap q = 0 says nothing. Let R = q + T, c² = q/R, D =
1 - c² = T/R, τ² = V/noise. Since N(omega; 0, q) Z is a Gaussian times W = e^u Φ(s + e) +
e^{-u} Φ(s - e), averages over y = √T a and omega = √(qT/R) b are, with u = s e,

    E f = √D ∫Da ∫Db W f,        s = τ a,    e = (c/τ) b,
    T E g² = 1 - √D S = √D S' - c²/D,    S = ∫∫ a² W (1 - t²),    S' = ∫∫ a² W t²,
    T² E(∂g)² = 1 - 2√D S + √D ∫∫ a² W t'²,
    E log Z = -log(2π e T)/2 + √D ∫∫ (W₊ log(e^{-u} W) + W₋ log(e^u W)),    W± = e^{±u} Φ(s ± e).

At noise = 0 these are averages over the product p = ab alone, which has density K_0(|p|)/π, or
|p| K_1(|p|)/π and p² K_2(|p|)/π with weights a² and a⁴ (`_clean`). T E g² = 1 - √D S then has full
relative accuracy at both ends as c²/(1 + √D) + √D (1 - S), with a positive integrand for 1 - S:
E g² -> 2q/rho² for q -> 0, which is weak recovery at alpha = 1/2 (Mondelli and Montanari, Found.
Comput. Math. 19, 703 (2019)), and E g² -> 1/V for q -> rho.

With noise, two Gaussians of width τ in s and c/τ in e are integrated against functions of (s, e)
alone: a table and a matrix product (`_Kernel`). For V >= noise the table holds the differences to
noise = 0, for V < noise the whole, and for c² < 1/2, where t = ±1 for e beyond the table, what is
missing of S' is a normal integral.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from scipy.special import k0, k1, kn, ndtr

from solvers.numerics.cuda.fused import fused
from solvers.numerics.gaussian import density, graded_rule
from solvers.numerics.two_signs import LARGEST, curvature, two_signs, without_noise

PARAMETERS: tuple[str, ...] = ("noise",)
LABELS = "real"
EVEN = True

_X = 0.15 * np.arange(-22, 27)
_P = np.exp(_X - np.exp(-_X))
"""p from 1e-13 to 48: the trapezoidal rule in x is exact to rounding (Takahasi and Mori 1974)."""
_BESSEL = (0.3 / math.pi * _P * (1.0 + np.exp(-_X)))[:, None] * np.stack(
    [k0(_P), _P * k1(_P), _P**2 * kn(2, _P)], axis=1
)

_EDGE = 8.6
"""Φ(-8.6) = 4e-18: beyond this s the signs are told by u alone, beyond this e they are known."""
_NARROW = 1e-5
"""Narrower Gaussians see the kernels' leading order only, up to a relative 1e-10."""
_CHUNK = 256


def _uncertainty(u: np.ndarray) -> np.ndarray:
    """cosh u log(1 + e^{-2u}) + u e^{-u}, for u >= 0."""
    decay = np.exp(-u)
    return 0.5 * (decay + 1.0 / decay) * np.log1p(decay**2) + u * decay


def _clean(c: np.ndarray) -> tuple[np.ndarray, ...]:
    """At noise = 0: 1 - S, ∫∫ a⁴ sech³ u (which is ∫∫ a² W t'²), and the last average of log Z."""
    u = c[:, None] * _P
    decay = np.exp(-u)
    sech = 2.0 * decay / (1.0 + decay**2)
    missing = (np.tanh(u) ** 2 / (1.0 + sech)) @ _BESSEL[:, 1]
    return missing, sech**3 @ _BESSEL[:, 2], _uncertainty(u) @ _BESSEL[:, 0]


@dataclass(frozen=True)
class _Kernel:
    """The integrands of S, S', ∫∫ a² W τ²t'² and log Z on a grid in (s >= 0, e >= 0), ±s added.

    `clear`: less those of noise = 0, which leaves |s| < _EDGE: for τ >= 1. Otherwise the whole, for
    e < _EDGE and all that τ < 1 allows of s.
    """

    s: np.ndarray
    s_weight: np.ndarray
    e: np.ndarray
    e_weight: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, *, clear: bool) -> _Kernel:
        """Ten Gauss-Legendre nodes in each panel; panels double from the narrowest Gaussian on."""
        s, s_weight = graded_rule(_EDGE if clear else 18.0, 0.3 if clear else _NARROW, nodes=10)
        e, e_weight = graded_rule(_EDGE, _NARROW, nodes=10)
        x, y = s[0][:, None], e[0][None, :]
        table = _integrands(x, y) + _integrands(-x, y)
        if clear:
            u = x * y
            sech = 1.0 / np.cosh(u)
            table -= 2.0 * np.stack(
                [sech, np.sinh(u) ** 2 * sech, x**2 * sech**3, _uncertainty(u)], axis=1
            )
        return cls(s[0], s_weight[0], e[0], e_weight[0], table)

    def averages(self, tau: np.ndarray, width: np.ndarray) -> tuple[np.ndarray, ...]:
        """The four ∫∫ for Gaussians of width `tau` in s and `width` = c/tau in e."""
        tau, narrow = np.maximum(tau, _NARROW)[:, None], np.maximum(width, _NARROW)[:, None]
        second = 2.0 * density(self.e / narrow) / narrow * self.e_weight
        a = self.s / tau
        first = density(a) / tau * self.s_weight
        weight = np.stack([a**2 * first] * 3 + [first], axis=-1)
        inner = np.empty_like(weight)
        flat = self.table.reshape(-1, len(self.e)).T
        for start in range(0, len(tau), _CHUNK):
            part = slice(start, start + _CHUNK)
            inner[part] = (second[part] @ flat).reshape(-1, *self.table.shape[:2])
        value = np.sum(weight * inner, axis=1)
        value[:, 1] *= np.minimum(width / _NARROW, 1.0) ** 2
        return tuple(value.T)


@cache
def _kernel(clear: bool) -> _Kernel:
    return _Kernel.of(clear=clear)


def _integrands(s: np.ndarray, e: np.ndarray) -> np.ndarray:
    """W (1 - t²), W t², W (τ t')² and the integrand of log Z, stacked along axis 1."""
    u = s * e
    sides = two_signs(s=s, e=e, tilt=u, xp=np)
    negative = s + e < 0
    # W₊ = e^u Φ(s + e); where s + e < 0, e^u e^{-(s+e)²/2} = e^{-(s²+e²)/2}.
    first = np.exp(np.where(negative, -0.5 * (s * s + e * e), u)) * sides.tail
    total = 1.0 + sides.ratio
    blurred = 4.0 * sides.ratio / total**2
    change = s * blurred + 2.0 * sides.hazard / total
    log = np.log(sides.tail) - np.where(negative, 0.5 * (s + e) ** 2, 0.0) + np.log1p(sides.ratio)
    return np.stack(
        [
            first * total * blurred,
            first * sides.difference**2 / total,
            first * total * change**2,
            first * (log + sides.ratio * (log + 2.0 * u)),
        ],
        axis=1,
    )


def _outside(k: np.ndarray, rest: np.ndarray, width: np.ndarray) -> np.ndarray:
    """√D times the part e > _EDGE of S', where t = 1 and W = e^u: a normal integral over b√D."""
    with np.errstate(divide="ignore", over="ignore"):
        end = np.minimum(_EDGE / width * np.sqrt(rest), 40.0)
    return 2.0 * ((1.0 + k) * ndtr(-end) + k * end * density(end))


def _reduced(
    overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """T E g², V T E(∂g)² and the average √D ∫∫ of log Z, for T > 0."""
    total = deficit + noise
    scale = overlap + total
    c2, rest = overlap / scale, total / scale
    c, root = np.sqrt(c2), np.sqrt(rest)
    share, part = deficit / total, noise / total
    with np.errstate(divide="ignore", over="ignore"):
        tau = np.sqrt(deficit) / np.sqrt(noise)
        width = c / np.maximum(tau, 1e-150)
    first, second, third = (np.empty_like(c) for _ in range(3))

    near = tau >= 1.0
    missing, fourth, logs = _clean(c[near])
    value = c2[near] / (1.0 + root[near]) + root[near] * missing
    less = root[near] * (1.0 - missing)
    bend = share[near] * (1.0 - 2.0 * less + root[near] * fourth)
    noisy = np.flatnonzero(noise[near] > 0)
    if len(noisy):
        at = np.flatnonzero(near)[noisy]
        blur, told, change, more = _kernel(clear=True).averages(tau[at], width[at])
        value[noisy] += root[at] * np.where(c2[at] < 0.5, told, -blur)
        bend[noisy] += root[at] * (part[at] * change - 2.0 * share[at] * blur)
        logs[noisy] += more
    first[near], second[near], third[near] = value, bend, root[near] * logs

    far = np.flatnonzero(~near)
    if len(far):
        blur, told, change, logs = _kernel(clear=False).averages(tau[far], width[far])
        blur, told, change, logs = (root[far] * x for x in (blur, told, change, logs))
        # Taken for c² < 1/2 only; above, 1 - √D S loses nothing.
        k = np.minimum(c2[far], 0.5) / np.maximum(rest[far], 0.5)
        known = told + _outside(k, rest[far], width[far]) - k
        first[far] = np.where(c2[far] < 0.5, known, 1.0 - blur)
        second[far] = share[far] * (1.0 - 2.0 * blur) + part[far] * change
        third[far] = logs
    return first, second, third


def snr(
    *, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E g^2 and d log(E g^2)/d log(deficit) = -V E(∂g)²/E g².

    Relative accuracy 1e-10 with noise, 1e-13 without, for every overlap, deficit and noise >= 0. At
    overlap 0: 0 and -inf. At deficit = noise = 0: inf and -1.
    """
    overlap, deficit, noise = np.broadcast_arrays(overlap, deficit, noise)
    some = deficit + noise > 0
    first, second, _ = _reduced(overlap, np.where(some, deficit, 1e-300), noise)
    with np.errstate(divide="ignore", over="ignore"):
        return first / (deficit + noise), -second / first


def free_entropy(*, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """E log Z; +inf at deficit = noise = 0, where the density of the label diverges."""
    overlap, deficit, noise = np.broadcast_arrays(overlap, deficit, noise)
    some = deficit + noise > 0
    _, _, logs = _reduced(overlap, np.where(some, deficit, 1e-300), noise)
    with np.errstate(divide="ignore"):
        return logs - 0.5 * (np.log(deficit + noise) + math.log(2 * math.pi) + 1.0)


_NODES, _NODE_WEIGHTS = (x[0] for x in graded_rule(1.0, 1.0, nodes=14))


def _gap(theta: np.ndarray) -> np.ndarray:
    """sin θ - θ cos θ = θ² ∫_0^1 x sin(θx) dx, without cancellation, for 0 <= θ <= π/2."""
    return theta**2 * (np.sin(theta[..., None] * _NODES) @ (_NODES * _NODE_WEIGHTS))


def errors(
    *, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """No classification error; label_mse = noise + rho - E⟨|z|⟩².

    E⟨|z|⟩² = E|z z'| for two answers of correlation cos θ = q/rho, and E|z z'| = rho (cos θ +
    (2/π)(sin θ - θ cos θ)).
    """
    overlap, deficit, noise = np.broadcast_arrays(overlap, deficit, noise)
    rho = overlap + deficit
    theta = 2.0 * np.arcsin(np.sqrt(0.5 * deficit / rho))
    square = deficit - rho * (2.0 / math.pi) * _gap(theta)
    return np.full_like(square, np.nan), square + noise


def measured_errors(
    *,
    self_overlap: np.ndarray,
    overlap: np.ndarray,
    second_moment: np.ndarray,
    variance: np.ndarray,
    noise: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """E(y - ⟨y⟩)² of an estimate on a fresh Gaussian input, exactly.

    ⟨y⟩ = E_ξ|x·ŵ + √variance·ξ|. With Q, m and r = |w|²/d, S = Q + variance, and the formula of
    `errors` for |z|·⟨y⟩ (covariance m) and ⟨y⟩² (covariance Q),

        noise + r - 2|m| + Q + (2/π)(S K(θ₂) - 2√(rS) K(θ₁)),    K(θ) = sin θ - θ cos θ,
        cos θ₁ = |m|/√(rS),    cos θ₂ = Q/S.

    The sign of m does not matter: labels are even. r - 2|m| + Q carries the rounding of its terms.
    """
    total, size = self_overlap + variance, np.abs(overlap)
    cross = np.sqrt(np.maximum(second_moment * total - size**2, 0.0))
    first = _gap(np.arctan2(cross, size))
    second = _gap(np.arctan2(np.sqrt(variance * (self_overlap + total)), self_overlap))
    excess = total * second - 2.0 * np.sqrt(second_moment * total) * first
    distance = second_moment - 2.0 * size + self_overlap
    square = np.maximum(distance + 2.0 / math.pi * excess, 0.0) + noise
    return np.full_like(square, np.nan), square


def _sides(label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> tuple[Any, ...]:
    """y/√T, |omega|/√T, √(noise/V), s + e and the odds of the two signs."""
    root = xp.sqrt(variance + noise)
    a, b = label / root, xp.abs(omega) / root
    if bool(xp.all(noise == 0)):
        sides = without_noise(tilt=a * b, xp=xp)
        return a, b, 0.0, xp.where(label < 0, -LARGEST, 0.0 * a), sides
    spread, blur = xp.sqrt(variance), xp.sqrt(noise)
    s = xp.clip(a * (spread / xp.maximum(blur, spread / LARGEST)), min=-LARGEST, max=LARGEST)
    s = xp.where((noise > 0) | (label < 0), s, LARGEST)
    e = xp.clip(b * (blur / spread), max=LARGEST)
    return a, b, blur / spread, s + e, two_signs(s=s, e=e, tilt=a * b, xp=xp)


@fused("abs_channel")
def denoise(*, label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> tuple[Any, Any]:
    """g = (±y t - omega)/T and -∂g = (1 - a t')/T, of either sign."""
    total = variance + noise
    a, b, inverse, _, sides = _sides(label, omega, variance, noise, xp)
    both = 1.0 + sides.ratio
    size = (a * sides.difference / both - b) / xp.sqrt(total)
    slope = a * (4.0 * sides.ratio / both**2) + 2.0 * inverse * sides.hazard / both
    bend = curvature(numerator=1.0 - a * slope, total=total, xp=xp)
    return xp.where(omega < 0, -size, size), bend


def log_normalisation(*, label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> Any:
    """log Z; about -1e29 for a negative label without noise."""
    a, b, _, plus, sides = _sides(label, omega, variance, noise, xp)
    tail = xp.log(sides.tail) - 0.5 * xp.clip(plus, max=0.0) ** 2
    gauss = -0.5 * ((a - b) ** 2 + xp.log(2 * math.pi * (variance + noise)))
    return gauss + tail + xp.log1p(sides.ratio)


def sample(*, preactivation: Any, stream: Any, start: int, noise: Any, xp: Any, dtype: Any) -> Any:
    """Labels; every point adds its own strength of the same noise."""
    rows = preactivation.shape[0]
    shift = stream.normals(start, start + rows, 1, xp=xp, dtype=dtype)
    return xp.abs(preactivation) + xp.sqrt(noise) * shift

"""Rectified labels with Gaussian noise, y = max(z, 0) + √noise·ξ with ξ ~ N(0, 1).

At noise = 0 the label is an atom at 0 where z < 0, and z itself where z > 0: log Z is the logarithm
of a probability at y = 0, of a Lebesgue density at y > 0.

With V = deficit, T = V + noise, n = noise/T, v = V/T, H(x) = P(Z > x), Φ = 1 - H, and

    a = omega/√V,    x = y/√noise,    b = √n a + √v x,    δ = √n x - √v a = (y - omega)/√T

(a rotation: a² + x² = b² + δ²), the two signs of z give Z = [φ(x) H(a) + √n φ(δ) Φ(b)]/√noise. With
Mills' ratio M = H/φ, whose inverse is the hazard h, φ(δ) Φ(b) = φ(x) φ(a) M(-b). With π the
probability of z > 0, which has odds √n M(-b)/M(a),

    √T g         = π δ - √v (1 - π) h(a),
    -T ∂_omega g = π - π(1 - π)(δ + √v h(a))² + (1 - π) h(a) [v (h(a) - a) - (n^{3/2}/√v) x].

**Noiseless.** Half of the labels are linear and half are signs: E g² and E log Z are the means of
those of `linear` and `sign`.

**With noise** both are averages over two variables: `averages`.

**Errors.** With the arc-cosine kernel (Cho and Saul, NIPS 22 (2009)), for z, z' of variances A, B
and covariance C = √(AB) cos θ, E max(z, 0) max(z', 0) = C/2 + √(AB)/(2π) J(θ), J = sin θ - θ cos θ.
So label_mse = noise + V/2 - rho J(θ)/(2π) with cos θ = q/rho.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.numerics.channels import linear, sign
from solvers.numerics.channels.relu.averages import NOISE_ENTROPY, averages
from solvers.numerics.cuda.fused import fused
from solvers.numerics.special import special

PARAMETERS: tuple[str, ...] = ("noise",)
LABELS = "real"
EVEN = False

_NOISELESS = 1e-30
"""Noise over T below which only the entropy of the noise is left of it, to rounding."""

_SQRT2PI = math.sqrt(2 * math.pi)


def _columns(*values: Any) -> list[np.ndarray]:
    return [np.array(value, dtype=float) for value in np.broadcast_arrays(*values)]


def snr(
    *, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E g^2 and d log(E g^2)/d log(deficit) = -V E(∂g)²/E g²."""
    overlap, deficit, noise = _columns(overlap, deficit, noise)
    total = deficit + noise
    exact = noise <= _NOISELESS * total
    first, second = np.empty_like(total), np.empty_like(total)
    part = {"overlap": overlap[~exact], "deficit": deficit[~exact], "noise": noise[~exact]}
    if len(part["noise"]):
        first[~exact], second[~exact] = averages(**part, which=(0, 1))
    # T E g² and V² E(∂g)² of the sign channel; they vanish with the deficit.
    v = deficit[exact]
    signs, bend = sign.snr(overlap=overlap[exact], deficit=v, noise=np.zeros_like(v))
    signs = np.multiply(signs, v, out=np.zeros_like(v), where=v > 0)
    first[exact], second[exact] = 0.5 + 0.5 * signs, 0.5 - 0.5 * bend * signs
    with np.errstate(divide="ignore", over="ignore"):
        return first / total, -second / first


def free_entropy(*, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """E log Z; without noise with respect to Lebesgue measure and an atom at 0."""
    overlap, deficit, noise = _columns(overlap, deficit, noise)
    exact = noise <= _NOISELESS * (deficit + noise)
    given = {"overlap": overlap, "deficit": deficit, "noise": np.where(exact, 0.0, noise)}
    answer = np.empty_like(deficit)
    part = {name: value[~exact] for name, value in given.items()}
    if len(part["noise"]):
        answer[~exact] = averages(**part, which=(2,))[0] - 0.5 * np.log(part["noise"])
    part = {name: value[exact] for name, value in given.items()}
    answer[exact] = 0.5 * (linear.free_entropy(**part) + sign.free_entropy(**part))
    # The atom is as wide as the noise: half of the labels carry the entropy of the noise.
    faint = exact & (noise > 0)
    answer[faint] -= 0.5 * (NOISE_ENTROPY + 0.5 * np.log(noise[faint]))
    return answer


_SERIES = [(-1) ** (k + 1) * 2 * k / math.factorial(2 * k + 1) for k in range(1, 9)]


def _kernel(theta: np.ndarray) -> np.ndarray:
    """J(θ) = sin θ - θ cos θ, by its series θ³/3 - θ⁵/30 + ... below 1/2."""
    series = theta**3 * np.polynomial.polynomial.polyval(theta**2, _SERIES)
    return np.where(theta < 0.5, series, np.sin(theta) - theta * np.cos(theta))


def errors(
    *, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """There is no classification error; label_mse = noise + V/2 - rho J(θ)/(2π)."""
    rho = overlap + deficit
    theta = 2.0 * np.arcsin(np.sqrt(0.5 * np.minimum(deficit / rho, 1.0)))
    label = noise + 0.5 * deficit - rho * _kernel(theta) / (2 * math.pi)
    return np.full_like(label, np.nan), label


def measured_errors(
    *,
    self_overlap: np.ndarray,
    overlap: np.ndarray,
    second_moment: np.ndarray,
    variance: np.ndarray,
    noise: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """E(y - ⟨y⟩)^2 of an estimate, ⟨y⟩ = E max(x·ŵ + √variance·ξ, 0), over a fresh Gaussian input.

    With S = self_overlap + variance it is noise + |w - ŵ|²/(2d) + [S J(θ_1) - 2√(S r) J(θ_2)]/(2π),
    cos θ_1 = self_overlap/S, cos θ_2 = overlap/√(S r) and r = second_moment. |w - ŵ|²/d is a
    difference of the numbers given: near recovery its error is their rounding.
    """
    total = self_overlap + variance
    scale = np.sqrt(total * second_moment)
    cosines = (
        np.divide(top, bottom, out=np.zeros_like(bottom), where=bottom > 0)
        for top, bottom in ((self_overlap + 0.0 * scale, total + 0.0 * scale), (overlap, scale))
    )
    own, cross = (_kernel(np.arccos(np.clip(cosine, -1.0, 1.0))) for cosine in cosines)
    distance = second_moment - 2.0 * overlap + self_overlap
    square = 0.5 * distance + (total * own - 2.0 * scale * cross) / (2 * math.pi)
    label = noise + np.maximum(square, 0.0)
    return np.full_like(label, np.nan), label


def _tail(u: Any, xp: Any) -> tuple[Any, Any]:
    """Hazard h(u) = φ(u)/H(u), and log H(u) + log √(2π) + max(u, 0)²/2, from one erfcx."""
    size = xp.minimum(xp.abs(u), 1e15)  # in single precision 1/erfcx would divide by zero beyond
    scaled = special(xp).erfcx(size * math.sqrt(0.5))
    bell = xp.exp(-0.5 * size * size)
    left = 1.0 - 0.5 * bell * scaled  # H(u) for u < 0
    hazard = xp.where(u < 0, bell / (_SQRT2PI * left), math.sqrt(2 / math.pi) / scaled)
    return hazard, xp.log(xp.where(u < 0, _SQRT2PI * left, math.sqrt(math.pi / 2) * scaled))


def _places(label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> tuple[Any, ...]:
    """a, b, x, δ and T; without noise, where the label says the sign of z, x is just finite."""
    total = variance + noise
    some = xp.where(noise > 0, noise, total)
    a, x = omega / xp.sqrt(variance), label / xp.sqrt(some)
    b = a * xp.sqrt(some / total) + xp.sqrt(variance / total) * x
    return a, b, x, (label - omega) / xp.sqrt(total), total


def _log_odds(places: Any, below: Any, above: Any, label: Any, noise: Any, xp: Any) -> Any:
    """Log-odds of z > 0, log(√n M(-b)/M(a)).

    Mills' ratios that grow bring squares with them, of which only the difference b² - a² = x² - δ²
    is taken: each may be 1e12 in a label of which there is no doubt.
    """
    a, b, x, delta, total = places
    low, high = xp.minimum(a, 0.0), xp.maximum(b, 0.0)
    squares = xp.where((a < 0) & (b > 0), (x - delta) * (x + delta), (high - low) * (high + low))
    share = xp.where(noise > 0, noise / total, 1.0)
    odds = above - below + 0.5 * xp.log(share) + 0.5 * squares
    sure = xp.full_like(odds, 1e30)
    return xp.where(noise > 0, odds, xp.where(label > 0, sure, -sure))


@fused("relu_channel")
def denoise(*, label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> tuple[Any, Any]:
    """g and -∂g. The curvature may be negative: log Z is not concave in omega once there is noise.

    h(a)(h(a) - a) is lost in rounding for large a and taken as 1 - 1/a² there.
    """
    places = _places(label, omega, variance, noise, xp)
    a, b, _, delta, total = places
    hazard, below = _tail(a, xp)
    odds = _log_odds(places, below, _tail(-b, xp)[1], label, noise, xp)
    decay = xp.exp(-xp.abs(odds))
    up = xp.where(odds > 0, 1.0, decay) / (1.0 + decay)
    down = xp.where(odds > 0, decay, 1.0) / (1.0 + decay)
    v = variance / total
    root = xp.sqrt(v)
    far = xp.maximum(a, 1.0)
    bend = xp.where(a > 50.0, 1.0 - 1.0 / (far * far), hazard * (hazard - a))
    drift = hazard * (noise / total) * (label / xp.sqrt(total)) / root
    curvature = up - up * down * (delta + root * hazard) ** 2 + down * (v * bend - drift)
    return (up * delta - down * root * hazard) / xp.sqrt(total), curvature / total


def log_normalisation(*, label: Any, omega: Any, variance: Any, noise: Any, xp: Any) -> Any:
    """log Z; without noise the probability of y = 0 or the density at y > 0."""
    places = _places(label, omega, variance, noise, xp)
    a, b, x, delta, total = places
    below, above = _tail(a, xp)[1], _tail(-b, xp)[1]
    odds = _log_odds(places, below, above, label, noise, xp)
    negative = below - 0.5 * xp.maximum(a, 0.0) ** 2 - math.log(_SQRT2PI)
    positive = -0.5 * delta * delta - 0.5 * xp.log(2 * math.pi * total)
    some = xp.where(noise > 0, noise, 1.0)
    labels = -0.5 * x * x - 0.5 * xp.log(2 * math.pi * some)
    signs = above - 0.5 * xp.minimum(b, 0.0) ** 2 - math.log(_SQRT2PI)
    negative = negative + xp.where(noise > 0, labels, 0.0)
    positive = positive + xp.where(noise > 0, signs, 0.0)
    return xp.where(odds > 0, positive, negative) + xp.log1p(xp.exp(-xp.abs(odds)))


def sample(*, preactivation: Any, stream: Any, start: int, noise: Any, xp: Any, dtype: Any) -> Any:
    """Labels; every point adds its own strength of the same noise."""
    return linear.sample(
        preactivation=xp.maximum(preactivation, xp.zeros_like(preactivation)),
        stream=stream,
        start=start,
        noise=noise,
        xp=xp,
        dtype=dtype,
    )

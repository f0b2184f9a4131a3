r"""Symmetric door, y = sign(|z| - kappa + √noise·ξ) with ξ ~ N(0, 1) and kappa >= 0.

With V = variance and T = V + noise, the label +1 says that a noisy |z| (channel `abs`) lies above
kappa. In units of √T, a = kappa/√T, b = |omega|/√T, k = a - b and K = a + b; with the signs of z
weighed as in `numerics/two_signs.py` at s = a √(V/noise), e = b √(noise/V), u = s e = a b, and
r = e^{-2u} Φ(s - e)/Φ(s + e),

    √T ∂Z(+1)/∂|omega| = φ(k) Φ(s + e) - φ(K) Φ(s - e) = φ(k) Φ(s + e) (1 - r).

Without noise s = ∞, e = 0, Z(+1) = H(k) + H(K) and r = e^{-2ab}. Inside the door, |omega| < kappa,
+1 is the improbable label, outside -1 is; σ = +1 inside, -1 outside. `laws.py` gives its
probability φ(k) C, with C = Φ(s + e) (M(|k|) + σ r M(K)) + Q, M = H/φ, in closed form but for
Owen's T function in Q, which vanishes without noise. With δ = 2 √(noise/V) φ(s + e) and ∂ =
√T ∂/∂|omega|,

    ∂ log Z = σ Φ(s + e) (1 - r)/C,
    -∂² log Z = (Φ(s + e)/C)² (1 - |k| M(|k|) + r² (1 - K M(K)) - 2r - σ r (|k| M(K) + K M(|k|)))
                - σ δ/C - (|k| + σ r K) Φ(s + e) Q/C².

**State evolution.** The channel is even. Let R = overlap + T = rho + noise and c² = overlap/R.
N(omega; 0, overlap) φ(k) is again Gaussian, so that with k = a T/R + c v, for f even in omega,

    E f = 2√(T/R) φ(kappa/√R) ∫_{v < ac} Dv (C f(improbable) + (1 - φ(k) C)/φ(k) f(probable)),
    E g² = 2/√(T R) φ(kappa/√R) ∫_{v < ac} Dv Φ(s + e)² (1 - r)²/(C (1 - φ(k) C)).

The integrand varies on scale 1 up to and including overlap = rho, where E g² ~ 1/√V, and with
b = c (a c - v) and 1 - r ~ b it is exact for overlap to 0, where E g² -> overlap (2 kappa
φ(kappa))²/(P(+1) P(-1)) at rho = 1, noise = 0.

**Errors.** `classification_error` = E min(Z(+1), Z(-1)) and `label_mse` = E(y - ⟨y⟩)² =
4 E Z(+1) Z(-1), both for a fresh label, noise included.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from solvers.numerics.channels.door.laws import LEAST, Laws, laws, laws_at, logarithms
from solvers.numerics.channels.door.measured import decision, measured_errors
from solvers.numerics.cuda.fused import fused
from solvers.numerics.gaussian import density, graded_rule
from solvers.numerics.two_signs import LARGEST, curvature

PARAMETERS: tuple[str, ...] = ("kappa", "noise")
LABELS = "sign"
EVEN = True

__all__ = [
    "denoise",
    "errors",
    "free_entropy",
    "log_normalisation",
    "measured_errors",
    "sample",
    "snr",
]

_CUT = 9.6
_LEGENDRE = tuple(x[0] for x in graded_rule(1.0, 1.0, nodes=14))
_CLOSED = 1e-100
"""kappa at which limits for kappa to 0 are taken: without noise such a door has no label -1."""
_EXACT = 1e-280
"""deficit at which limits for deficit = noise = 0 are taken."""
_QUARTERS = np.linspace(0.0, 1.0, 5)
_CHUNK = 256


def _columns(*values: Any) -> list[np.ndarray]:
    return list(np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in values)))


def _chunks(points: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, points, _CHUNK))


def _on_rule(
    *,
    overlap: np.ndarray,
    deficit: np.ndarray,
    kappa: np.ndarray,
    noise: np.ndarray,
    kink: np.ndarray | None = None,
) -> tuple[Laws, np.ndarray]:
    """Laws at the nodes of ∫ Dv over v < a c, and weights, both (points, n), for deficit > 0.

    Panels of Gauss-Legendre nodes in d, v = min(a c, 9.6) - d. Near the end b = 0, Z(+1) ~ cosh ab
    has zeros at a distance ~ 1/(a c), and for V < noise the sign of z is settled within b ~ √V:
    the first panels are as short. `kink`: a value of k that is to be the end of a panel.
    """
    total = deficit + noise
    scale = overlap + total
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        tau = np.clip(np.sqrt(deficit) / np.sqrt(noise), 1e-150, LARGEST)
        c, a = np.sqrt(overlap / scale), kappa / np.sqrt(total)
        a = np.where(noise > 0, np.maximum(a, LEAST), a)
        end = a * c
        top = np.minimum(end, _CUT)
        settled = tau * (8.6 + a * np.minimum(tau, 1e3)) / c - (end - top)
    length, first = top + _CUT, 1.0 / np.maximum(end, 1.0)
    first = np.where((settled > 0) & (settled < first), settled, first)
    edges = np.empty((len(c), 8 if kink is None else 9))
    edges[:, 0], edges[:, 1], edges[:, 2] = 0.0, first / 3.0, first
    edges[:, 3:8] = (first + 2.0)[:, None] + (length - first - 2.0)[:, None] * _QUARTERS
    centre = a * (total / scale)
    if kink is not None:
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            edges[:, 8] = np.clip(np.nan_to_num(top - (kink - centre) / c), 0.0, length)
        edges.sort(axis=1)

    nodes, weights = _LEGENDRE
    size = np.diff(edges, axis=1)[..., None]
    d = (edges[:, :-1, None] + size * nodes).reshape(len(c), -1)
    v = top[:, None] - d
    weight = (size * weights).reshape(len(c), -1) * density(v)
    k, b = centre[:, None] + c[:, None] * v, c[:, None] * ((end - top)[:, None] + d)
    a, tau, sharp = a[:, None], tau[:, None], noise[:, None] == 0
    with np.errstate(under="ignore"):
        found = laws(
            k=k,
            a=a,
            b=b,
            s=np.where(sharp, LARGEST, np.minimum(a * tau, LARGEST)),
            e=np.where(sharp, 0.0, np.minimum(b / tau, LARGEST)),
            blur=np.where(sharp, 0.0, 1.0 / tau),
            sharp=bool(np.all(sharp)),
            xp=np,
        )
    return found, weight


def _prefactor(overlap: np.ndarray, total: np.ndarray, kappa: np.ndarray) -> np.ndarray:
    """2 √(T/R) φ(kappa/√R)."""
    scale = overlap + total
    return 2.0 * np.sqrt(total / scale) * density(kappa / np.sqrt(scale))


def snr(
    *, overlap: np.ndarray, deficit: np.ndarray, kappa: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E g^2 and d log(E g^2)/d log(deficit) = -V E(∂g)²/E g².

    Relative accuracy 1e-10 of the first, 2e-9 of the second, except at kappa = 0 and weak noise,
    where the label -1 is rare and the second loses 1e-16 rho/noise. At overlap 0: 0 and -inf; at
    deficit = noise = 0: inf and the limit; at kappa = noise = 0, where there is one label only, 0
    and the limit.
    """
    overlap, deficit, kappa, noise = _columns(overlap, deficit, kappa, noise)
    closed = (kappa <= 0) & (noise <= 0)
    exact = deficit + noise <= 0
    near = np.where(exact, _EXACT, deficit)
    door = np.where(closed, _CLOSED, kappa)
    value, elasticity = np.empty_like(near), np.empty_like(near)
    for part in _chunks(len(near)):
        q, v, width, blur = overlap[part], near[part], door[part], noise[part]
        at, weight = _on_rule(overlap=q, deficit=v, kappa=width, noise=blur)
        first = np.sum(weight * at.slope**2 / (at.scaled * at.probable), axis=1)
        bends = at.scaled * at.bend**2 + at.gauss * at.probable * at.probable_bend**2
        second = np.sum(weight * bends, axis=1)
        total = v + blur
        with np.errstate(divide="ignore", over="ignore"):
            value[part] = _prefactor(q, total, width) * first / total
            elasticity[part] = -v / total * (second / first)
    value = np.where(exact & (overlap > 0), np.inf, value)
    return np.where(closed, 0.0, value), elasticity


def free_entropy(
    *, overlap: np.ndarray, deficit: np.ndarray, kappa: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """E log Z = E Z(+1) log Z(+1) + Z(-1) log Z(-1), between -log 2 and 0."""
    overlap, deficit, kappa, noise = _columns(overlap, deficit, kappa, noise)
    near = np.where(deficit + noise > 0, deficit, _EXACT)
    value = np.empty_like(near)
    for part in _chunks(len(near)):
        q, v, width, blur = overlap[part], near[part], kappa[part], noise[part]
        at, weight = _on_rule(overlap=q, deficit=v, kappa=width, noise=blur)
        improbable, probable = logarithms(at, xp=np)
        # Over φ(k): (1 - φC) log(1 - φC)/φ, which is -C where φ is nothing.
        some = at.gauss > 1e-200
        rare = np.where(at.scaled > 0, improbable, 0.0)
        probable = np.where(at.probable > 0, probable, 0.0)
        other = at.probable * probable / np.where(some, at.gauss, 1.0)
        terms = at.scaled * rare + np.where(some, other, -at.scaled)
        value[part] = _prefactor(q, v + blur, width) * np.sum(weight * terms, axis=1)
    return np.where(deficit + noise > 0, value, 0.0)


def errors(
    *, overlap: np.ndarray, deficit: np.ndarray, kappa: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """E min(Z(+1), Z(-1)) and 4 E Z(+1) Z(-1); small ones have full relative accuracy."""
    overlap, deficit, kappa, noise = _columns(overlap, deficit, kappa, noise)
    near = np.where(deficit + noise > 0, deficit, _EXACT)
    classification, label = np.empty_like(near), np.empty_like(near)
    for part in _chunks(len(near)):
        q, v, width, blur = overlap[part], near[part], kappa[part], noise[part]
        kink = decision(kappa=width, variance=v, noise=blur)
        at, weight = _on_rule(overlap=q, deficit=v, kappa=width, noise=blur, kink=kink)
        with np.errstate(over="ignore"):
            smaller = np.where(
                at.probable < 0.5, at.probable / np.maximum(at.gauss, 1e-200), at.scaled
            )
        factor = _prefactor(q, v + blur, width)
        classification[part] = factor * np.sum(weight * smaller, axis=1)
        label[part] = 4.0 * factor * np.sum(weight * at.scaled * at.probable, axis=1)
    known = deficit + noise <= 0
    return np.where(known, 0.0, classification), np.where(known, 0.0, label)


@fused("door_channel")
def denoise(
    *, label: Any, omega: Any, variance: Any, kappa: Any, noise: Any, xp: Any
) -> tuple[Any, Any]:
    """g and -∂g, of either sign, from the derivatives of the improbable or the probable label."""
    total = variance + noise
    at = laws_at(size=xp.abs(omega), kappa=kappa, variance=variance, noise=noise, xp=xp)
    improbable = label * at.side > 0
    chance = xp.where(improbable, at.scaled, at.probable)
    weight = xp.where(improbable, 1.0, -at.gauss)
    size = at.side * weight * at.slope / xp.where(chance > 0, chance, 1.0) / xp.sqrt(total)
    bend = xp.where(improbable, at.bend, at.gauss * at.probable_bend)
    return xp.where(omega < 0, -size, size), curvature(numerator=bend, total=total, xp=xp)


def log_normalisation(
    *, label: Any, omega: Any, variance: Any, kappa: Any, noise: Any, xp: Any
) -> Any:
    """log Z; small ones, of probable labels, have full relative accuracy as well."""
    at = laws_at(size=xp.abs(omega), kappa=kappa, variance=variance, noise=noise, xp=xp)
    improbable, probable = logarithms(at, xp=xp)
    return xp.where(label * at.side > 0, improbable, probable)


def sample(
    *,
    preactivation: Any,
    stream: Any,
    start: int,
    kappa: Any,
    noise: Any,
    xp: Any,
    dtype: Any,
) -> Any:
    """Labels ±1; every point has its own door and its own strength of the same noise."""
    rows = preactivation.shape[0]
    shift = stream.normals(start, start + rows, 1, xp=xp, dtype=dtype)
    noisy = xp.abs(preactivation) - kappa + xp.sqrt(noise) * shift
    return xp.astype(xp.where(noisy < 0, -1.0, 1.0), dtype)

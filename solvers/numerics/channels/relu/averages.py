"""Averages over (omega, y) of the rectified channel with noise, in the notation of the package.

With s² = q/V, averages over omega are ∫Dt at a = st; ζ dx = Z dy is the law of x given a:

    ζ                 = φ(x) φ(a) [M(a) + √n M(-b)],
    E₁ = T E g²       = ∫Dt ∫dx ζ [π δ - √v (1 - π) h(a)]²,
    E₂ = V² E(∂g)²/v  = ∫Dt ∫dx ζ (√v [T g² - π(δ² - 1)] - (1 - π) h(a) [n δ + √v a])²,
    E₃                = ∫Dt ∫dx ζ log ζ,            E log Z = E₃ - log(noise)/2.

**Over x.** ζ has zeros where the odds of z > 0 are -1, which but for Φ(b) is at x = (√(a² +
2 log(H(a)/√n) ± 2πi) - √n a)/√v = r ± id. In x = r + d·sinh u they are at distance π/2 or so from
the real line, so one Gauss-Legendre rule in u, over |x| < 9, serves all (a, n), also where noise/V
is 1e-30 and the atom of noiseless labels, its logarithmically distant edge and the continuum all
have scales of their own. Beyond x = 9 the channel is linear, in closed form.

**Over omega.** The inner integrals tend to those of a linear channel at a = ∞ and of pure noise at
a = -∞. What is left after subtracting Φ(a) times the difference of the two, the gap, decays as
e^{-a²/2}: the trapezoidal rule in a gets it however sharp the kink of the rectifier is (s large),
with the same nodes for all s > 0.35; below, Gauss and Hermite's rule takes over.

**Tables.** On those fixed nodes a, a gap is a function of τ = log(noise/V) alone, analytic for
|Im τ| < π: Chebyshev series on panels of length 2, made when first asked for (some 15 ms each), and
for small s a double series in a and τ. A point then costs 3 µs instead of 300.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

_SQRT2PI = math.sqrt(2 * math.pi)
NOISE_ENTROPY = 0.5 * math.log(2 * math.pi * math.e)
"""Entropy of a standard normal."""

_STEP = 0.25
_OUTER = _STEP * np.arange(-31, 32)
_SMALL = 0.35
"""s below which the Gaussian is too narrow for these nodes: their error is e^{-2π²s²/step²}."""

_HERMITE, _HERMITE_WEIGHTS = np.polynomial.hermite_e.hermegauss(18)
_HERMITE_WEIGHTS = _HERMITE_WEIGHTS / _SQRT2PI
_REACH = _SMALL * _HERMITE[-1]
_NEAR_ORDER = 48
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_END = 9.0

_LAST = 70.0
"""|log(noise/V)| beyond which all gaps are what they are there, to rounding."""

_ORDER = 16
_CHUNK = 2048


def averages(
    *, overlap: np.ndarray, deficit: np.ndarray, noise: np.ndarray, which: tuple[int, ...]
) -> np.ndarray:
    """Those of E₁, E₂, E₃ that `which` names (0, 1, 2), shape (len(which), points); noise > 0."""
    rows = list(which)
    total = deficit + noise
    n, v = noise / total, deficit / total
    with np.errstate(divide="ignore"):
        log_ratio = np.clip(np.log(noise) - np.log(deficit), -_LAST, _LAST)
        s = np.minimum(np.sqrt(overlap) / np.sqrt(deficit), 1e150)
    answer = _ends(n, v)[rows]
    panels = np.rint(0.5 * log_ratio).astype(int)
    for average, where in ((_near, s < _SMALL), (_far, s >= _SMALL)):
        for panel in np.unique(panels[where]):
            members = np.flatnonzero(where & (panels == panel))
            for start in range(0, len(members), _CHUNK):
                at = members[start : start + _CHUNK]
                answer[:, at] += average(int(panel), s[at], log_ratio[at], rows)
    return answer


def _ends(n: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Average of the two ends: half of the labels linear, half noise."""
    return np.stack([0.5 + 0.0 * n, 0.5 * v, 0.25 * np.log(n) - NOISE_ENTROPY])


def _near(panel: int, s: np.ndarray, log_ratio: np.ndarray, rows: list[int]) -> np.ndarray:
    """∫Dt of the gaps at small s: Gauss-Hermite nodes, on which they are double series."""
    a = s[:, None] * _HERMITE
    polynomials = np.polynomial.chebyshev.chebvander(a / _REACH, _NEAR_ORDER - 1)
    average = np.sum(_HERMITE_WEIGHTS[:, None] * polynomials, axis=1)
    basis = np.polynomial.chebyshev.chebvander(log_ratio - 2.0 * panel, _ORDER - 1)
    table = _near_table(panel)
    return np.stack([np.sum((basis @ table[row]) * average, axis=-1) for row in rows])


def _far(panel: int, s: np.ndarray, log_ratio: np.ndarray, rows: list[int]) -> np.ndarray:
    """∫Dt of the gaps, each a Chebyshev series in τ at the nodes of the trapezoidal rule."""
    weights = _STEP / s[:, None] * np.exp(-0.5 * (_OUTER / s[:, None]) ** 2) / _SQRT2PI
    basis = np.polynomial.chebyshev.chebvander(log_ratio - 2.0 * panel, _ORDER - 1)
    table = _table(panel)
    return np.stack([np.sum((basis @ table[row]) * weights, axis=-1) for row in rows])


@cache
def _table(panel: int) -> np.ndarray:
    """Chebyshev coefficients in τ of the gaps on 2·panel ± 1, shape (3, order, nodes)."""
    return _transform(_ORDER) @ _sampled(panel, _OUTER)


@cache
def _near_table(panel: int) -> np.ndarray:
    """Chebyshev coefficients in τ and in a/_REACH, shape (3, order, near order)."""
    values = _sampled(panel, _REACH * _chebyshev_nodes(_NEAR_ORDER))
    return _transform(_ORDER) @ values @ _transform(_NEAR_ORDER).T


def _sampled(panel: int, a: np.ndarray) -> np.ndarray:
    """Gaps at the Chebyshev nodes in τ of a panel, shape (3, order, len(a))."""
    nodes = 2.0 * panel + _chebyshev_nodes(_ORDER)
    return np.concatenate([_gaps(a[None], np.array([[tau]])) for tau in nodes], axis=1)


def _chebyshev_nodes(order: int) -> np.ndarray:
    return np.cos(math.pi * (np.arange(order) + 0.5) / order)


def _transform(order: int) -> np.ndarray:
    """Matrix that takes the values at the Chebyshev nodes to the coefficients."""
    matrix = np.cos(math.pi / order * np.outer(np.arange(order), np.arange(order) + 0.5))
    return matrix * np.where(np.arange(order) == 0, 1.0, 2.0)[:, None] / order


def _gaps(a: np.ndarray, log_ratio: np.ndarray) -> np.ndarray:
    """Inner integrals less their ends, (3, points, outer), at noise/V = e^log_ratio (points, 1)."""
    v = 1.0 / (1.0 + np.exp(log_ratio))
    n = 1.0 / (1.0 + np.exp(-log_ratio))
    weight, x = _rule(a, n, v)
    up, mass = ndtr(a), ndtr(np.sqrt(v) * a - np.sqrt(n) * _END)
    edge = np.sqrt(n) * _END - np.sqrt(v) * a
    moment = mass + edge * np.exp(-0.5 * edge * edge) / _SQRT2PI
    log_n = -np.logaddexp(0.0, -log_ratio)

    tilt, root, kink = a[..., None], np.sqrt(n)[..., None], np.sqrt(v)[..., None]
    delta = root * x - kink * tilt
    below, above = _mills(tilt), root * _mills(-root * tilt - kink * x)
    either = below + above
    both = np.exp(-0.5 * (x * x + tilt * tilt)) / (2 * math.pi)
    weight *= both / either
    square = (above * delta - kink) ** 2
    bend = kink * (square / either - above * (delta * delta - 1.0)) - root**2 * delta - kink * tilt
    entropy = either**2 * np.log(both * either)
    first, second, third = (
        np.sum(weight * term, axis=-1) for term in (square, bend * bend, entropy)
    )
    third += mass * (0.5 * log_n - math.log(_SQRT2PI)) - 0.5 * moment
    return np.stack(
        [
            first + moment - up,
            second + v * (mass - up),
            third + NOISE_ENTROPY - 0.5 * log_n * up,
        ]
    )


def _mills(u: np.ndarray) -> np.ndarray:
    """M(u) = H(u)/φ(u)."""
    return math.sqrt(math.pi / 2) * erfcx(u * math.sqrt(0.5))


def _rule(a: np.ndarray, n: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of ∫dx and x, shape (points, outer, inner)."""
    zero = np.sqrt(a * a + 2.0 * log_ndtr(-a) - np.log(n) + 2j * math.pi)
    zero = (zero - np.sqrt(n) * a) / np.sqrt(v)
    centre, width = np.clip(zero.real, -_END, _END), np.minimum(zero.imag, _END)
    low, high = np.arcsinh((-_END - centre) / width), np.arcsinh((_END - centre) / width)
    half = 0.5 * (high - low)[..., None]
    u = low[..., None] + half * (1.0 + _NODES)
    weight = half * _WEIGHTS * width[..., None] * np.cosh(u)
    return weight, centre[..., None] + width[..., None] * np.sinh(u)

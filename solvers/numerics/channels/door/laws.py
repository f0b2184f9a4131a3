r"""Probabilities of the two labels of a door, and their derivatives, to full relative accuracy.

Units, signs and symbols are those of the package docstring: k = a - b, K = a + b, M(x) = H(x)/φ(x).

The label +1 has two orthant probabilities of correlated Gaussians. In the functions of Owen (Ann.
Math. Stat. 27, 1075 (1956)), T(h, x) = (1/2π) ∫_0^x e^{-h²(1+t²)/2}/(1 + t²) dt, two of the four
terms cancel in their sum, and for k >= 0

    Z(+1) = ½H(k) + T(k, (s + e)/k) + ½H(K) + T(K, (s - e)/K);

for k < 0 the same with |k| and the second pair subtracted is Z(-1). Divided by φ(k), which leaves
nothing to underflow, each pair is M Φ(s ± e) plus the `_dependence` of the two Gaussians, which
vanishes without noise.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from solvers.numerics.gaussian import graded_rule
from solvers.numerics.special import special
from solvers.numerics.two_signs import LARGEST, two_signs, without_noise

_SQRT2PI = math.sqrt(2 * math.pi)
_NODES, _NODE_WEIGHTS = (x[0].tolist() for x in graded_rule(1.0, 1.0, nodes=20))
LEAST = 1e-30
"""The least kappa/√T of a door with noise: its limit is reached, and its square can be lost."""
_FAR = 12.0
"""From here 1 - x M(x) is taken from the continued fraction of M, to its ninth level."""
_THIN = 0.1
"""Doors with a·max(1, b) below this are integrated by a Taylor series."""


class Laws(NamedTuple):
    """Both labels: the improbable one has probability φ(k) C, the probable one 1 - φ(k) C.

    `side`: 1 inside the door, k >= 0, where the improbable label is +1; -1 outside, where it is -1.
    `scaled`: C; `gauss`: φ(k), `log_gauss`: its logarithm; `probable`: 1 - φ(k) C. `slope`: √T
    ∂Z(+1)/∂|omega| over φ(k).
    `bend`: -T ∂² log Z of the improbable label; `probable_bend`: of the probable one, over φ(k).
    """

    side: Any
    scaled: Any
    gauss: Any
    log_gauss: Any
    probable: Any
    slope: Any
    bend: Any
    probable_bend: Any


def laws_at(*, size: Any, kappa: Any, variance: Any, noise: Any, xp: Any) -> Laws:
    """Both labels at |omega| = `size`, for variance > 0."""
    root = xp.sqrt(variance + noise)
    spread, shift = xp.sqrt(variance), xp.sqrt(noise)
    a, b = kappa / root, size / root
    sharp = bool(xp.all(noise == 0))
    s = e = 0.0 * b
    if not sharp:
        # The ratio of k and s + e is their limit at kappa = omega = 0.
        a = xp.where(noise > 0, xp.clip(a, min=LEAST), a)
        s = xp.clip(a * (spread / xp.maximum(shift, spread / LARGEST)), max=LARGEST)
        s = xp.where(noise > 0, s, LARGEST)
        e = xp.clip(b * (shift / spread), max=LARGEST)
    k = xp.where(size > 0, (kappa - size) / root, a)
    return laws(k=k, a=a, b=b, s=s, e=e, blur=shift / spread, sharp=sharp, xp=xp)


def laws(*, k: Any, a: Any, b: Any, s: Any, e: Any, blur: Any, sharp: bool, xp: Any) -> Laws:
    """Both labels at a = kappa/√T, b = |omega|/√T.

    k = a - b is given apart, as it is exact where a and b are large; blur = √(noise/V). Where there
    is no noise s is LARGEST and e zero; `sharp` says that this is everywhere, which saves time and
    changes nothing.
    """
    inside, size, far = k >= 0, xp.abs(k), a + b
    side = xp.where(inside, 1.0 + 0.0 * k, -1.0)
    decay = xp.exp(-2.0 * a * b)
    tilt = a * b
    sides = without_noise(tilt=tilt, xp=xp) if sharp else two_signs(s=s, e=e, tilt=tilt, xp=xp)
    plus, r = sides.tail, sides.ratio
    first, second = _mills(size, xp), _mills(far, xp)
    scaled = plus * (first + side * r * second)
    dependence = 0.0 * scaled
    if not sharp:
        dependence = _dependence(size, s + e, first, xp)
        dependence = dependence + side * decay * _dependence(far, s - e, second, xp)
        scaled = scaled + dependence
    log_gauss = -0.5 * k * k - math.log(_SQRT2PI)
    gauss = xp.exp(log_gauss)

    # The mass behind a thin and sharp door is a small difference: it has a series.
    thin = a * xp.clip(b, min=1.0) < _THIN
    if not sharp:
        thin = thin & (s - e > 9.0)
    series = bool(xp.any(thin))
    probable = 1.0 - gauss * scaled
    if series:
        x, y = xp.where(thin, a, 0.5 * _THIN), xp.where(thin, b, 1.0)
        mass, curve = _thin(x, y)
        # φ(b)/φ(k) = e^{a²/2 - ab}.
        scaled = xp.where(thin & ~inside, mass * xp.exp(0.5 * x * x - x * y), scaled)
        probable = xp.where(thin & ~inside, 1.0 - gauss * scaled, probable)
        probable = xp.where(thin & inside, mass * xp.exp(-0.5 * y * y) / _SQRT2PI, probable)

    # A closed door, a = 0, has no label -1: zero over zero is zero.
    over = 1.0 / xp.where(scaled > 0, scaled, 1.0)
    rest = 1.0 / xp.where(probable > 0, probable, 1.0)
    slope = plus * sides.difference
    delta = 2.0 * blur * sides.hazard * plus
    ratio = plus * over
    bend = _defect(size, first, xp) + r * r * _defect(far, second, xp)
    bend = ratio**2 * (bend - r * (2.0 + side * (size * second + far * first)))
    bend = bend - over * (side * delta + ratio * (size + side * r * far) * dependence)
    if series:
        bend = xp.where(thin & ~inside, curve, bend)
    # k + r K = 2a - (1 - r) K: the second where r is near 1.
    change = xp.where(sides.difference < 0.5, 2.0 * a - sides.difference * far, k + r * far)
    change = plus * change + delta
    probable_bend = rest * (rest * gauss * slope**2 + side * change)
    return Laws(side, scaled, gauss, log_gauss, probable, slope, bend, probable_bend)


def logarithms(at: Laws, *, xp: Any) -> tuple[Any, Any]:
    """log Z of the improbable and of the probable label; -inf for a label that a door has not."""
    rare = at.gauss * at.scaled
    small = rare < 0.5
    probable = xp.where(
        small,
        xp.log1p(-xp.where(small, rare, 0.0)),
        xp.log(xp.where(small | (at.probable <= 0), 1.0, at.probable)),
    )
    probable = xp.where(at.probable > 0, probable, -math.inf)
    scaled = xp.log(xp.where(at.scaled > 0, at.scaled, 1.0))
    return xp.where(at.scaled > 0, at.log_gauss + scaled, -math.inf), probable


def _mills(x: Any, xp: Any) -> Any:
    """M(x) = H(x)/φ(x) for x >= 0."""
    return math.sqrt(math.pi / 2) * special(xp).erfcx(x * math.sqrt(0.5))


def _defect(x: Any, mills: Any, xp: Any) -> Any:
    """1 - x M(x) for x >= 0: M = 1/(x + F) with F = 1/(x + 2/(x + 3/(x + ...))), 1 - x M = F M."""
    far = xp.clip(x, min=_FAR)
    tail = far
    for level in range(9, 1, -1):
        tail = far + level / tail
    return xp.where(x > _FAR, mills / tail, 1.0 - x * mills)


def _dependence(k: Any, x: Any, mills: Any, xp: Any) -> Any:
    """(½H(k) + T(k, x/k))/φ(k) - M(k) Φ(x) for k >= 0; odd in x, and 0 at infinity.

    T(k, x/k) + T(x, k/x) = (H(k) Φ(x) + Φ(k) H(x))/2 for x > 0. So with h and l the larger and the
    smaller of k and |x|, and G = ∫_0^{l/h} e^{-h²t²/2}/(1 + t²) dt by Gauss-Legendre in ht, it is

        G/√2π - M(k) (½ - H(|x|))    for |x| <= k,
        e^{(k²-x²)/2} (½M(|x|) - G/√2π)    for |x| > k.
    """
    size = xp.abs(x)
    high = xp.maximum(k, size)
    high = xp.where(high > 0, high, 1.0)
    end = xp.clip(xp.minimum(k, size), max=9.0)
    ratio, half = (end / high) ** 2, -0.5 * end * end
    total = 0.0 * end
    for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        total = total + weight * xp.exp(node**2 * half) / (1.0 + node**2 * ratio)
    total = total * (end / (high * _SQRT2PI))
    other = _mills(size, xp)
    low = total - mills * (0.5 - xp.exp(-0.5 * size * size) * other / _SQRT2PI)
    exponent = 0.5 * xp.clip((k - size) * (k + size), max=0.0)
    value = xp.where(size <= k, low, xp.exp(exponent) * (0.5 * other - total))
    # Beyond, it is 1e-17 M(k) at most and would be rounding, which far tails multiply by k².
    value = xp.where(size > 8.5, 0.0, value)
    return xp.where(x < 0, -value, value)


def _thin(a: Any, b: Any) -> tuple[Any, Any]:
    """∫_{-a}^a φ(b + x) dx/φ(b) and -∂² of its logarithm in b.

    It is 2 a P with P = Σ_k a^{2k} He_{2k}(b)/(2k + 1)!, and He_n' = n He_{n-1}.
    """
    step, square = a * b, a * a
    term = [1.0 + 0.0 * step, step]  # a^n He_n, which exists for large b
    for n in range(1, 8):
        term.append(step * term[n] - n * square * term[n - 1])
    value, first, second = term[0], 0.0 * step, 0.0 * step
    for n in (2, 4, 6, 8):
        share = 1.0 / math.factorial(n + 1)
        value = value + share * term[n]
        first = first + share * n * a * term[n - 1]
        second = second + share * n * (n - 1) * square * term[n - 2]
    return 2.0 * a * value, 1.0 - second / value + (first / value) ** 2

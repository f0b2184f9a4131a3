r"""The average over the two signs that a noisy absolute value leaves open.

Where z ~ N(omega, V) with omega >= 0 is seen through y = |z| + √noise·ξ, T = V + noise, the law of
the label is a sum over the sign of z,

    Z(y) = N(y; omega, T) Φ(s + e) + N(y; -omega, T) Φ(s - e),
    s = y √(V/(T noise)),    e = omega √(noise/(T V)),    s e = y omega/T = u,

for ∫_0^∞ dz N(z; omega, V) N(y; z, noise) = N(y; omega, T) Φ(m/√v) with v = V noise/T and
m = (y V + omega noise)/T. Since e^u φ(s + e) = e^{-u} φ(s - e), the score of W = e^u Φ(s + e) +
e^{-u} Φ(s - e) has no Gaussian factor left: T ∂ log W/∂omega = y (1 - r)/(1 + r) with the odds r
below, which is y tanh u at noise = 0. The score of a door |z| + √noise·ξ > kappa is made of the
same terms at y = kappa.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from solvers.numerics.special import special

LARGEST = 1e15
"""Arguments are cut here: their squares exist in single precision."""

_NEAR = 0.05
"""Below this e·max(1, |s|), Φ(s + e) - Φ(s - e) is taken from its Taylor series."""


class TwoSigns(NamedTuple):
    """What both channels need: all relative accuracies are those of rounding.

    `tail`: Φ(s + e), or e^{(s+e)²/2} Φ(s + e) where s + e < 0, which cannot underflow. `ratio`:
    r = e^{-2u} Φ(s - e)/Φ(s + e), the odds against the sign of omega. `difference`: 1 - r, also for
    e to 0. `hazard`: φ(s + e)/Φ(s + e).
    """

    tail: Any
    ratio: Any
    difference: Any
    hazard: Any


def without_noise(*, tilt: Any, xp: Any) -> TwoSigns:
    """The limit s to infinity, e to 0, to the last bit what `two_signs` gives at s = LARGEST.

    Where `tilt` is negative, for a label that is not possible, both signs are as likely.
    """
    u = xp.clip(tilt, min=0.0)
    return TwoSigns(1.0 + 0.0 * u, xp.exp(-2.0 * u), -xp.expm1(-2.0 * u), 0.0 * u)


def curvature(*, numerator: Any, total: Any, xp: Any) -> Any:
    """-∂g = numerator/total, cut where it does not exist in the precision of the arrays.

    Between its two modes the curvature of an even channel is -y²/V², beyond single precision for
    V < 1e-19; once weights are recovered no label is met there.
    """
    least = -0.1 * float(xp.finfo(numerator.dtype).max)
    unit = xp.clip(total + xp.zeros_like(numerator), max=1.0)
    return xp.maximum(numerator, least * unit) / total


def two_signs(*, s: Any, e: Any, tilt: Any, xp: Any) -> TwoSigns:
    """The odds of the two signs, for e >= 0 and tilt = u = s e.

    `tilt` is given apart because in the noiseless limit s is infinite (`LARGEST`), e zero and u
    finite. With m(x) = e^{x²/2} Φ(-x) = erfcx(x/√2)/2 and e^u φ(s + e) = e^{-u} φ(s - e),

        r = e^{-2u} Φ(s - e)/Φ(s + e)              s >= e
          = e^{-(s+e)²/2} m(e - s)/Φ(s + e)        -e <= s < e
          = m(e - s)/m(-s - e)                     s < -e:

    no exponent is positive. For small e, 1 - r = (1 - e^{-2u}) + e^{-2u} (Φ(s + e) - Φ(s -
    e))/Φ(s + e) with Φ(s + e) - Φ(s - e) = 2 φ(s) Σ_k He_{2k}(s) e^{2k+1}/(2k + 1)!.
    """
    erfcx = special(xp).erfcx
    plus, minus = s + e, s - e
    scaled = 0.5 * erfcx(xp.abs(plus) * math.sqrt(0.5))
    other = 0.5 * erfcx(xp.abs(minus) * math.sqrt(0.5))
    gauss = xp.exp(-0.5 * plus * plus)
    tail = xp.where(plus < 0, scaled, 1.0 - gauss * scaled)
    opposite = xp.where(minus < 0, other, 1.0 - xp.exp(-0.5 * minus * minus) * other)
    exponent = xp.where(minus < 0, -0.5 * xp.clip(plus, min=0.0) ** 2, -2.0 * tilt)
    ratio = xp.exp(exponent) * opposite / tail
    hazard = xp.where(plus < 0, 1.0, gauss) / (math.sqrt(2 * math.pi) * tail)

    close = (e * xp.clip(xp.abs(s), min=1.0) < _NEAR) & (xp.abs(s) < 30.0)
    s2, e2 = xp.where(close, s * s, 0.0), xp.where(close, e * e, 0.0)
    fourth, sixth = s2 * (s2 - 6.0) + 3.0, s2 * (s2 * (s2 - 15.0) + 45.0) - 15.0
    series = 1.0 + e2 / 6.0 * (s2 - 1.0 + e2 / 20.0 * (fourth + e2 / 42.0 * sixth))
    u = xp.where(close, tilt, 0.0)
    # φ(s)/Φ(s + e) from the hazard at s + e: their Gaussian factors differ by e^{u + e²/2}, with u
    # small unless e is zero.
    step = 2.0 * e * series * hazard * xp.exp(xp.clip(u, max=1.0) + 0.5 * e2)
    difference = xp.where(close, xp.exp(-2.0 * u) * step - xp.expm1(-2.0 * u), 1.0 - ratio)
    # Far from the cut of Φ only the tilt separates the signs.
    clear = minus > 9.0
    u = xp.where(clear, tilt, 0.0)
    return TwoSigns(tail, ratio, xp.where(clear, -xp.expm1(-2.0 * u), difference), hazard)

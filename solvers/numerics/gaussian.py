"""Gaussian averages: tails, hazards, and quadrature of functions with one sharp place.

Notation: Dt = phi(t) dt with phi(t) = exp(-t^2/2)/sqrt(2 pi); H(x) = P(Z > x) for Z ~ N(0, 1).

The channel integrals of this field are of the form E f((c - sqrt(q) t)/sqrt(1 - q)): as the overlap
q goes to 1, f varies on the width sqrt((1 - q)/q) around one centre while the Gaussian keeps its
width 1. A fixed Gauss-Hermite grid steps over that place; `bump_rule` resolves it at a cost that
grows only with the logarithm of the width.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

Array = npt.NDArray[Any]

CUTOFF = 10.0
"""Integrals are cut at |t| = CUTOFF (and as far beyond the centre), where H < 1e-23."""

_SQRT2 = math.sqrt(2.0)
_SQRT2PI = math.sqrt(2.0 * math.pi)


def density(x: npt.ArrayLike) -> Array:
    """Standard normal density phi(x)."""
    x = np.asarray(x, dtype=float)
    return np.exp(-0.5 * x * x) / _SQRT2PI


def log_tail(x: npt.ArrayLike) -> Array:
    """log H(x), accurate for every x: -x^2/2 - log(x sqrt(2 pi)) far right, -H(-x) far left."""
    return np.asarray(scipy.special.log_ndtr(-np.asarray(x, dtype=float)), dtype=float)


def hazard(x: npt.ArrayLike) -> Array:
    """phi(x)/H(x) = sqrt(2/pi)/erfcx(x/sqrt 2) = -d log H/dx, without overflow or cancellation.

    Goes like x + 1/x - 2/x^3 far right and like phi(x) far left (0 below x = -37.7). The variance
    of a Gaussian cut at x follows from it: -d^2 log H/dx^2 = hazard (hazard - x).
    """
    return np.asarray(
        _SQRT2 / math.sqrt(math.pi) / scipy.special.erfcx(np.asarray(x, dtype=float) / _SQRT2)
    )


_FRACTION_FROM = 1.5
_FRACTION_TERMS = 160


def excess_moments(x: npt.ArrayLike) -> tuple[Array, Array]:
    r"""M_k(x) = \int_x^\infty Dt (t - x)^k for k = 1 and 2, to full relative accuracy.

    Left of 1.5 in closed form, M_1 = phi - x H and M_2 = (1 + x^2) H - x phi. To the right these
    cancel (M_2 ~ 2 phi/x^3), so there the ratios r_k = M_k/M_{k-1}, by integration by parts
    M_{k+1} + x M_k = k M_{k-1}, are found by the continued fraction r_k = k/(x + r_{k+1}), with
    M_0 = H. All its terms are positive; it has converged to rounding from k = 160 for x >= 1.5.
    """
    x = np.asarray(x, dtype=float)
    tail, phi = np.exp(log_tail(x)), density(x)
    right = np.maximum(x, _FRACTION_FROM)
    # The fixed point of r = k/(x + r): nearly the ratio that is cut off.
    ratio = 0.5 * (np.sqrt(right * right + 4.0 * _FRACTION_TERMS) - right)
    second_ratio = ratio
    for k in range(_FRACTION_TERMS, 0, -1):
        second_ratio, ratio = ratio, k / (right + ratio)
    far = x > _FRACTION_FROM
    first = np.where(far, tail * ratio, phi - x * tail)
    return first, np.where(far, first * second_ratio, (1.0 + x * x) * tail - x * phi)


@cache
def _legendre(nodes: int) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights on [0, 1]."""
    t, w = np.polynomial.legendre.leggauss(nodes)
    return 0.5 * (t + 1.0), 0.5 * w


def _columns(*values: npt.ArrayLike) -> list[Array]:
    """All values as float arrays of one shape (points,)."""
    arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, dtype=float)) for v in values))
    if not all(np.all(np.isfinite(a)) for a in arrays):
        raise ValueError("a quadrature rule needs finite centres, widths and lengths")
    return list(arrays)


def graded_rule(
    length: npt.ArrayLike, width: npt.ArrayLike, *, nodes: int = 16, flat: int = 1
) -> tuple[Array, Array]:
    r"""Quadrature for \int_0^length f(s) ds, where f varies on the scale `width` near s = 0.

    Composite Gauss-Legendre: `flat` panels of size `width`, then each panel twice the one before,
    up to size 1. So f may vary on the scale of s itself, as functions of s/width do, but not on
    less. `length`, `width`: scalars or shape (points,), width > 0. Returns (s, w), each of shape
    (points, n); rows shorter than the longest end in weights 0.
    """
    length, width = _columns(length, width)
    if np.any(width <= 0):
        raise ValueError("a quadrature rule needs widths > 0")
    u, weight = _legendre(nodes)
    ends, size, panels = [np.zeros_like(width)], np.minimum(width, 1.0), 0
    while np.any(ends[-1] < length):
        ends.append(np.minimum(ends[-1] + size, length))
        panels += 1
        if panels >= flat:
            size = np.minimum(2.0 * size, 1.0)
    if panels == 0:
        return np.zeros((len(width), 0)), np.zeros((len(width), 0))
    edges = np.stack(ends, axis=-1)
    size = np.diff(edges, axis=-1)[..., None]
    s, w = edges[:, :-1, None] + size * u, size * weight
    return s.reshape(len(width), -1), w.reshape(len(width), -1)


def bump_distances(
    centre: npt.ArrayLike, width: npt.ArrayLike, *, nodes: int = 16, flat: tuple[int, int] = (1, 1)
) -> tuple[Array, Array]:
    """`bump_rule` with the distances t - centre in place of t: nothing is lost to rounding.

    `flat`: the number of panels of size `width` left and right of the centre, before they double.
    """
    centre, width = _columns(centre, width)
    beyond = CUTOFF + np.abs(centre)
    left, left_weight = graded_rule(
        np.where(centre > 0, beyond, CUTOFF), width, nodes=nodes, flat=flat[0]
    )
    right, right_weight = graded_rule(
        np.where(centre < 0, beyond, CUTOFF), width, nodes=nodes, flat=flat[1]
    )
    distance = np.concatenate([-left, right], axis=-1)
    weight = np.concatenate([left_weight, right_weight], axis=-1)
    return distance, weight * density(centre[:, None] + distance)


def bump_rule(
    centre: npt.ArrayLike, width: npt.ArrayLike, *, nodes: int = 16
) -> tuple[Array, Array]:
    r"""Quadrature for \int Dt f(t), where f varies on the scale `width` around `centre`.

    Elsewhere f may vary on scale 1, or on the scale of the distance to the centre if that is less.
    Composite Gauss-Legendre with `nodes` nodes a panel; panels double in size away from the centre,
    from `width` up to 1, to |t| = 10 or 10 beyond the centre. An f with a jump or a kink at the
    centre is integrated as accurately, because panels end there.

    `centre`, `width`: scalars or shape (points,), width > 0. Returns (t, w), each (points, n), the
    weights including phi: `(w * f(t)).sum(-1)`. With 16 nodes the relative error is about 1e-14,
    whatever the width; n is about 32 (10 + log2(1/width)). That holds for `bump_distances`; f(t)
    itself feels the rounding of t, 1e-16/width, which averages to some 1e-11 at width 1e-8.
    The rule of a point does not depend on the other points, except for weights 0.
    """
    distance, weight = bump_distances(centre, width, nodes=nodes)
    return np.atleast_1d(np.asarray(centre, dtype=float))[:, None] + distance, weight

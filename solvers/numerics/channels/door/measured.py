r"""Errors of an actual estimate behind a door, and where the Bayes-optimal label changes.

On a fresh input x·ŵ ~ N(0, Q), and given it x·w ~ N(x·ŵ m/Q, r - m²/Q): the label has the law of
the channel at that mean and variance, the answer that at x·ŵ and the posterior variance. The
remaining integral over |x·ŵ| has three sharp places at most: where the answer changes, where the
label does, and |x·ŵ| = 0, where noise makes the sign of z matter. Panels of Gauss-Legendre nodes
double in size away from each.
"""

from __future__ import annotations

import numpy as np

from solvers.numerics.channels.door.laws import LEAST, laws, laws_at
from solvers.numerics.gaussian import density, graded_rule
from solvers.numerics.two_signs import LARGEST

_CUT = 9.6
_LEGENDRE = tuple(x[0] for x in graded_rule(1.0, 1.0, nodes=8))
_OCTAVES = 2.0 ** np.arange(-1, 31)
_SHARPEST = 1e-9
"""Widths below this fraction of the scale of x·ŵ are taken for it: an error of that order."""
_CHUNK = 32


def decision(*, kappa: np.ndarray, variance: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """k = (kappa - |omega|)/√T at which both labels have probability 1/2, -inf if +1 always wins.

    Z(+1) increases with |omega|. It is at least 1/2 at k = 0 and less at k = 1, so that halving
    0 <= k <= min(a, 1) finds it; averages with a kink there depend on it in second order only.
    """
    root = np.sqrt(variance + noise)
    sharp = noise == 0
    a = np.where(sharp, kappa / root, np.maximum(kappa / root, LEAST))
    with np.errstate(divide="ignore", over="ignore"):
        tau = np.clip(np.sqrt(variance) / np.sqrt(noise), 1e-150, LARGEST)

    def above(k: np.ndarray) -> np.ndarray:
        b = a - k
        at = laws(
            k=k,
            a=a,
            b=b,
            s=np.where(sharp, LARGEST, np.minimum(a * tau, LARGEST)),
            e=np.where(sharp, 0.0, np.minimum(b / tau, LARGEST)),
            blur=np.where(sharp, 0.0, 1.0 / tau),
            sharp=bool(np.all(sharp)),
            xp=np,
        )
        return at.gauss * at.scaled >= 0.5

    low, high = np.zeros_like(a), np.minimum(a, 1.0)
    always = above(high)
    for _ in range(40):
        middle = 0.5 * (low + high)
        up = above(middle)
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    return np.where(always, -np.inf, low)


def measured_errors(
    *,
    self_overlap: np.ndarray,
    overlap: np.ndarray,
    second_moment: np.ndarray,
    variance: np.ndarray,
    kappa: np.ndarray,
    noise: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Classification error and label mean-square error of an estimate on a fresh Gaussian input.

    With Z of the answer at (x·ŵ, variance) and Z' of the label, E Z'(the less probable by Z) and
    4 E(Z(-1)² Z'(+1) + Z(+1)² Z'(-1)). The sign of `overlap` does not matter: labels are even.
    """
    columns = np.broadcast_arrays(
        *(
            np.asarray(x, dtype=float)
            for x in (self_overlap, overlap, second_moment, variance, kappa, noise)
        )
    )
    answers = [
        _errors(*(column[start : start + _CHUNK] for column in columns))
        for start in range(0, max(len(columns[0]), 1), _CHUNK)
    ]
    classification, label = (np.concatenate(parts) for parts in zip(*answers, strict=True))
    return classification, label


def _errors(
    self_overlap: np.ndarray,
    overlap: np.ndarray,
    second_moment: np.ndarray,
    variance: np.ndarray,
    kappa: np.ndarray,
    noise: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    scale = np.sqrt(self_overlap)
    gain = np.divide(np.abs(overlap), scale, out=np.zeros_like(scale), where=scale > 0)
    least = _SHARPEST**2 * (self_overlap + second_moment)
    rest = np.maximum(second_moment - gain**2, least)
    spread = np.maximum(variance, least)

    # In units of x·ŵ = scale·t: the answer's step, the label's step, and the origin.
    size, slope = np.maximum(scale, 1e-150), np.maximum(gain, 1e-150)
    step = kappa - decision(kappa=kappa, variance=spread, noise=noise) * np.sqrt(spread + noise)
    blur = np.sqrt(spread), np.sqrt(rest)
    places = [
        (step / size, np.sqrt(spread + noise) / size),
        (kappa / slope, np.sqrt(rest + noise) / slope),
        (np.zeros_like(scale), np.minimum(blur[0] / size, blur[1] / slope)),
    ]
    edges = [np.zeros_like(scale)[:, None], np.full_like(scale, _CUT)[:, None]]
    for centre, width in places:
        at = np.clip(centre, 0.0, 2.0 * _CUT)[:, None]
        away = np.clip(width, _SHARPEST, 1.0)[:, None] * _OCTAVES
        edges += [at, at - away, at + away]
    ends = np.sort(np.clip(np.concatenate(edges, axis=1), 0.0, _CUT), axis=1)

    nodes, weights = _LEGENDRE
    length = np.diff(ends, axis=1)[..., None]
    t = (ends[:, :-1, None] + length * nodes).reshape(len(scale), -1)
    weight = 2.0 * (length * weights).reshape(len(scale), -1) * density(t)
    with np.errstate(under="ignore"):
        answer = _probabilities(scale[:, None] * t, spread, kappa, noise)
        truth = _probabilities(gain[:, None] * t, rest, kappa, noise)
    wrong = np.where(answer[0] > answer[1], truth[1], truth[0])
    square = 4.0 * (answer[1] ** 2 * truth[0] + answer[0] ** 2 * truth[1])
    return np.sum(weight * wrong, axis=1), np.sum(weight * square, axis=1)


def _probabilities(
    size: np.ndarray, variance: np.ndarray, kappa: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Z(+1) and Z(-1) at |omega| = `size`, shape (points, nodes)."""
    columns = {"kappa": kappa, "variance": variance, "noise": noise}
    at = laws_at(size=size, xp=np, **{name: x[:, None] for name, x in columns.items()})
    rare = at.gauss * at.scaled
    inside = at.side > 0
    return np.where(inside, rare, at.probable), np.where(inside, at.probable, rare)

"""One compiled reading of a design on a CPU: products, responses, transposes, tile by tile.

For a tile of rows, still in the second-level cache,

    ω = X·ŵ - margin - V g,      g, -∂g = response(y, ω),      X^T g += ...

so that the design is read from memory once an iteration of message passing, and nothing of the size
of the labels is written but g. Channels with a response that is compiled (`_KINDS`) take this way
in single precision; the others, other precisions and other devices take `lockstep.read`, which does
the same in arrays.
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics.channels import linear, sign
from solvers.numerics.compiled import jit
from solvers.numerics.lockstep.thin import TILE, dots, padded, sums, up

_SIGN, _LINEAR = range(2)
_KINDS = {sign: _SIGN, linear: _LINEAR}


def applies(channel: Any, array: Any, xp: Any) -> bool:
    """Whether there is a compiled reading for this channel, on this device, in this precision."""
    return channel in _KINDS and array_api_compat.is_numpy_namespace(xp) and array.dtype == "f4"


def read(
    channel: Any,
    design: np.ndarray,
    labels: np.ndarray,
    output: np.ndarray,
    *,
    points: np.ndarray,
    samples: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    noise: np.ndarray,
    margin: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """X^T g, shape (dimension, len(points)), and sums over the samples, shape (3, len(points)).

    `design` (whole tiles of rows, dimension); `labels`, `output` (rows, all points), where
    `output`, g of the iteration before, is overwritten for `points`; `mean` (dimension,
    len(points)); `samples`, `variance`, `noise` and `margin`, zero if not given, (len(points),).
    The sums are those of -∂g, |∂g| and (∂g)², in double precision.
    """
    order = np.argsort(-samples, kind="stable")
    total = np.zeros((up(len(points)), design.shape[1]), dtype=np.float32)
    moments = np.zeros((3, len(points)))
    margin = np.zeros(len(points)) if margin is None else margin
    _read(
        *(_KINDS[channel], design, labels, output, points[order], samples[order]),
        padded(mean.T[order]),
        *(column[order].astype(np.float32) for column in (variance, noise, margin)),
        *(total, moments),
    )
    gathered, sums_ = np.empty_like(mean), np.empty_like(moments)
    gathered[:, order], sums_[:, order] = total[: len(points)].T, moments
    return gathered, sums_


@jit
def _read(
    kind, design, labels, output, points, samples, columns, variance, noise, margin, total, moments
):  # fmt: skip
    """The tiles; everything of the columns stands in their order, most samples first."""
    count, size = len(points), TILE * len(columns)
    room = np.empty((7, size), np.float32)
    product, factors, label, omega = room[0], room[1], room[2], room[3]
    share, g, curvature = room[4], room[5], room[6]
    for first in range(0, samples[0], TILE):
        while samples[count - 1] <= first:
            count -= 1
        wide = up(count)
        tile = design[first : first + TILE]
        u = product[: TILE * wide].reshape(TILE, wide)
        dots(tile, columns[:wide], u)
        at = 0
        for r in range(TILE):
            for c in range(count):
                label[at] = labels[first + r, points[c]]
                omega[at] = u[r, c] - margin[c] - variance[c] * output[first + r, points[c]]
                share[at] = variance[c] + noise[c]
                at += 1
        if kind == _SIGN:
            sign.respond(label[:at], omega[:at], share[:at], g, curvature)
        else:
            linear.respond(label[:at], omega[:at], share[:at], g, curvature)
        f = factors[: TILE * wide].reshape(wide, TILE)
        f[count:] = 0
        at = 0
        for r in range(TILE):
            for c in range(count):
                seen = first + r < samples[c]
                answer = g[at] if seen else np.float32(0)
                slope = np.float64(curvature[at]) if seen else 0.0
                output[first + r, points[c]] = f[c, r] = answer
                moments[0, c] += slope
                moments[1, c] += abs(slope)
                moments[2, c] += slope * slope
                at += 1
        sums(tile, f, total[:wide])

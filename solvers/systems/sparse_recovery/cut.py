r"""The threshold of one iteration of `l1_amp`, read off the sorted sizes of what it cuts.

|u|_(1) >= |u|_(2) >= ... are the sizes of the d entries, n the samples, s = k/d the share kept.

**Calibrated.** θ (n/d - s(θ)) = λ. With k entries kept, θ lies between |u|_(k+1) and |u|_(k); the
left side grows with θ in between and jumps up where an entry is lost. |u|_(k+1) (n - k)/d decreases
with k (as long as it is positive), so the k to keep is the number of k = 0, 1, ... with

    |u|_(k+1) (n - k)/d > λ,        θ = min(λ d/(n - k), |u|_(k)).

In the second case the equation is met in the middle of a jump, and s = n/d - λ/θ, a share between
(k - 1)/d and k/d, is the derivative of the cut that makes the fixed point of message passing the
minimiser all the same.

**Paced.** s is given, g min(1, n/d): k = round(g min(n, d)), θ = |u|_(k+1), or 0 if all are kept.

The larger of the two thresholds is taken, with its share; at λ = 0 always the paced one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.systems.glm_bayes.instance import to_host


def cut(
    *, size: Any, samples: np.ndarray, regularization: np.ndarray, pace: np.ndarray, xp: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Thresholds θ and shares s for the columns of `size` = |u|, shape (d, points).

    `samples` n, `regularization` λ and `pace` g are columns on the host.
    """
    dimension, points = size.shape
    order = xp.sort(size, axis=0)[::-1, :]
    column = xp.arange(points)

    def entry(index: np.ndarray) -> np.ndarray:
        inside = xp.asarray(np.clip(index, 0, dimension - 1))
        return to_host(order[inside, column]).astype(float)

    left = np.maximum(samples[None, :] - np.arange(dimension)[:, None], 0)
    room = xp.asarray(left / dimension, dtype=size.dtype)
    asked = xp.asarray(regularization, dtype=size.dtype)
    kept = to_host(xp.sum(xp.astype(order * room > asked, xp.int64), axis=0))
    above = np.where(kept > 0, entry(kept - 1), np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        even = np.where(kept < samples, regularization * dimension / (samples - kept), np.inf)
        calibrated = np.minimum(even, above)
        between = samples / dimension - regularization / calibrated
    share = np.where(even <= above, kept / dimension, between)

    given = np.floor(pace * np.minimum(samples, dimension) + 0.5).astype(np.int64)
    paced = np.where(given < dimension, entry(given), 0.0)
    larger = (regularization == 0) | (paced > calibrated)
    return np.where(larger, paced, calibrated), np.where(larger, given / dimension, share)

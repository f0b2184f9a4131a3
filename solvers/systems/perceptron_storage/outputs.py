"""Outputs of the patterns in belief propagation: one pass over a block of products.

For a point with margin κ and variance V, a pattern whose product with the means is z gives

    ω = z - V g,    u = (κ - ω)/√V,    g <- h(u)/√V,    slope h(u)(h(u) - u),

h = φ/H, and a point sees its first `samples` patterns. On a CPU the pass is compiled, elsewhere it
is the channel of sign labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numba
import numpy as np

from solvers.numerics import lockstep
from solvers.numerics.channels import sign
from solvers.numerics.hazard import hazard

_LANES = 8
"""Partial sums of slopes, in an order that the number of rows in a block does not change."""


@dataclass(frozen=True)
class Outputs:
    """Last outputs g of all points of a batch, zero where a point has no pattern.

    `values` (points, rows) on a CPU, where a point's outputs are contiguous, (rows, points)
    elsewhere; `samples` and `kappa` (points,) on the host.
    """

    values: Any
    samples: np.ndarray
    kappa: np.ndarray
    xp: Any

    @classmethod
    def zero(cls, *, rows: int, samples: np.ndarray, kappa: np.ndarray, xp: Any) -> Outputs:
        """Nothing said yet."""
        compiled = array_api_compat.is_numpy_namespace(xp)
        shape = (len(samples), rows) if compiled else (rows, len(samples))
        return cls(xp.zeros(shape, dtype=xp.float32), samples, kappa.astype(np.float32), xp)

    def read(
        self, matrix: Any, mean: Any, points: np.ndarray, variance: np.ndarray
    ) -> tuple[Any, np.ndarray]:
        """X^T g and the sums of slopes of some points, in one reading of the patterns.

        `mean` (dimension, len(points)), `variance` (len(points),) float32. Keeps the new g.
        """
        slopes = np.zeros(len(points))
        respond = self._compiled if array_api_compat.is_numpy_namespace(self.xp) else self._portable
        gathered = lockstep.read(
            matrix,
            mean,
            self.samples[points],
            lambda rows, which, product: respond(rows, which, product, points, variance, slopes),
            xp=self.xp,
        )
        return gathered, slopes

    def _compiled(
        self,
        rows: slice,
        which: np.ndarray,
        product: np.ndarray,
        points: np.ndarray,
        variance: np.ndarray,
        slopes: np.ndarray,
    ) -> np.ndarray:
        answer = np.zeros((len(which), len(product)), np.float32)
        _respond(
            product,
            rows.start,
            which,
            points,
            self.samples,
            self.kappa,
            variance,
            self.values,
            answer,
            slopes,
        )
        return answer.T

    def _portable(
        self,
        rows: slice,
        which: np.ndarray,
        product: Any,
        points: np.ndarray,
        variance: np.ndarray,
        slopes: np.ndarray,
    ) -> Any:
        xp, here = self.xp, points[which]
        columns = xp.asarray(here)
        wide = xp.asarray(variance[which])
        g, curvature = sign.denoise(
            label=1.0,
            omega=product - wide * self.values[rows, columns] - xp.asarray(self.kappa[here]),
            variance=wide,
            noise=0.0,
            xp=xp,
        )
        seen = xp.arange(rows.start, rows.stop)[:, None] < xp.asarray(self.samples[here])
        g = xp.where(seen, g, 0.0)
        self.values[rows, columns] = g
        slopes[which] += lockstep.column_sums(xp.where(seen, curvature * wide, 0.0), xp)
        return g


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _respond(product, start, which, points, samples, kappa, variance, values, answer, slopes):
    rows = len(product)
    field, slope = np.empty(rows, np.float32), np.zeros(rows, np.float32)
    for c in range(len(which)):
        point = points[which[c]]
        margin, V = kappa[point], variance[which[c]]
        scale = np.float32(1) / np.sqrt(V)
        own = min(samples[point] - start, rows)
        for r in range(own):
            field[r] = product[r, c]
        new, g = answer[c], values[point, start:]
        for r in range(own):
            h, slope[r] = hazard((margin - (field[r] - V * g[r])) * scale)
            new[r] = h * scale
        for r in range(own):
            g[r] = new[r]
        slope[own:] = np.float32(0)
        sums = np.zeros(_LANES)
        for r in range(0, rows, _LANES):
            for lane in range(_LANES):
                sums[lane] += slope[r + lane]
        slopes[which[c]] += sums.sum()

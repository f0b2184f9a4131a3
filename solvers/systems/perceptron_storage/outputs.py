"""Outputs of the patterns in belief propagation: one reading of them.

For a point with margin κ and variance V, a pattern whose product with the means is z gives

    ω = z - V g,    u = (κ - ω)/√V,    g <- h(u)/√V,    slope h(u)(h(u) - u)/V,

h = φ/H, and a point sees its first `samples` patterns: the channel of sign labels, where all labels
are 1 and ω is what exceeds the margin. On a CPU the reading is compiled (`numerics/one_pass`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.numerics import lockstep, one_pass
from solvers.numerics.channels import sign


@dataclass(frozen=True)
class Outputs:
    """Last outputs g of all points of a batch, (rows, points), zero where a point has no pattern.

    `samples` and `kappa` (points,) on the host.
    """

    values: Any
    labels: Any
    samples: np.ndarray
    kappa: np.ndarray
    xp: Any

    @classmethod
    def zero(cls, *, rows: int, samples: np.ndarray, kappa: np.ndarray, xp: Any) -> Outputs:
        """Nothing said yet."""
        shape = rows, len(samples)
        zeros, ones = xp.zeros(shape, dtype=xp.float32), xp.ones(shape, dtype=xp.float32)
        return cls(zeros, ones, samples, kappa.astype(np.float32), xp)

    def read(
        self, matrix: Any, mean: Any, points: np.ndarray, variance: np.ndarray
    ) -> tuple[Any, np.ndarray]:
        """X^T g and the sums of slopes of some points, in one reading of the patterns.

        `mean` (dimension, len(points)), `variance` (len(points),) float32. Keeps the new g.
        """
        if one_pass.applies(sign, mean, self.xp):
            gathered, moments = one_pass.read(
                *(sign, matrix, self.labels, self.values),
                points=points,
                samples=self.samples[points],
                mean=mean,
                variance=variance,
                noise=np.zeros(len(points)),
                margin=self.kappa[points],
            )
            return gathered, moments[0]
        slopes = np.zeros(len(points))

        def respond(rows: slice, which: np.ndarray, product: Any) -> Any:
            return self._respond(rows, which, product, points, variance, slopes)

        gathered = lockstep.read(matrix, mean, self.samples[points], respond, xp=self.xp)
        return gathered, slopes

    def _respond(
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
        g, slope = sign.denoise(
            label=self.labels[rows, columns],
            omega=product - xp.asarray(self.kappa[here]) - wide * self.values[rows, columns],
            variance=wide,
            noise=0.0,
            xp=xp,
        )
        seen = xp.arange(rows.start, rows.stop)[:, None] < xp.asarray(self.samples[here])
        g = xp.where(seen, g, 0.0)
        self.values[rows, columns] = g
        slopes[which] += lockstep.column_sums(xp.where(seen, slope, 0.0), xp)
        return g

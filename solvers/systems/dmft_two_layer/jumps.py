"""The response of relu units, whose slope jumps where a field crosses zero.

F_t is then a discontinuous function of the Gaussian fields, and the mean of its derivative is not
that of the derivative along paths, which lacks the delta functions. With θ_ui = 1[z_ui > 0], and
δz the tangent of a path at fixed θ,

    δ E[F_t] = E[δF_t at fixed θ] + Σ_{u<=t, i} E[δ(z_ui) δz_ui (F_t | θ_ui = 1 - F_t | θ_ui = 0)]

(equation 17 of docs/theory/dmft.md): the two branches start from z_ui = 0 and go their own ways,
with thresholds of their own. Paths with |z_ui| below `BANDWIDTH` standard deviations take part,
their fields from u on moved by -z_ui so that they start at 0, with the weight K(z/h)/h of the
kernel K(x) = (15/32) (1 - x²) (3 - 7x²), whose moments up to the third are those of a delta
function: the bias is of order h⁴.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BANDWIDTH = 0.2
"""h in standard deviations of the field; the bias is below 0.01 per cent of a response."""


@dataclass
class Crossings:
    """Two branches of each path that is near a threshold at one step; n of them.

    `differences` (rows, 2 n) are F of the branches minus F of the path since that step, `shift`
    (width, n) what is taken from the fields, `weight` (n,) the kernel times the tangent δz.
    """

    step: int
    path: np.ndarray
    shift: np.ndarray
    weight: np.ndarray
    differences: np.ndarray


class Jumps:
    """All crossings so far, and the responses that they carry."""

    def __init__(self, *, width: int, steps: int, rate: float, labels: np.ndarray) -> None:
        self.width, self.steps, self.rate, self.labels = width, steps, rate, labels
        self.crossings: list[Crossings] = []

    def tangents(
        self,
        step: int,
        memory: np.ndarray,
        fields: np.ndarray,
        forces: np.ndarray,
        second: np.ndarray,
    ) -> np.ndarray:
        """Derivatives of F_t along the paths' directions through earlier crossings (width, paths).

        `fields` and `forces` of the step, (width, paths); `second` (width,). The branches advance.
        """
        found = np.zeros_like(fields)
        for crossing in self.crossings:
            since = crossing.step * self.width
            rows = (step - crossing.step) * self.width
            moved = memory[:, since:] @ crossing.differences[:rows]
            moved = moved.reshape(self.width, 2, -1)
            moved += (fields[:, crossing.path] - crossing.shift)[:, None]
            branches = self._forces(moved, moved > 0.0, crossing.path, second)
            difference = branches - forces[:, None, crossing.path]
            crossing.differences[rows : rows + self.width] = difference.reshape(self.width, -1)
            found += self._spread(crossing, branches)
        return found

    def cross(
        self,
        step: int,
        fields: np.ndarray,
        forces: np.ndarray,
        second: np.ndarray,
        carried: np.ndarray,
        signs: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """New crossings: their derivatives of F_t along `carried`, and the mean jump of each unit.

        `carried` + `signs` is the tangent δz of the fields; that of the sign itself is the
        instantaneous response, which is returned as a mean because it is known without `signs`.
        """
        reach = BANDWIDTH * np.sqrt(np.mean(fields**2, axis=1))
        unit, path = np.nonzero(np.abs(fields) < reach[:, None])
        each = np.arange(len(path))
        distance = fields[unit, path] / reach[unit]
        kernel = 15 / 32 * (1 - distance**2) * (3 - 7 * distance**2) / reach[unit]
        shift = np.zeros((self.width, len(path)))
        shift[unit, each] = fields[unit, path]
        start = (fields[:, path] - shift)[:, None].repeat(2, axis=1)
        active = start > 0.0
        active[unit, 1, each] = True
        branches = self._forces(start, active, path, second)
        rows = (self.steps + 1 - step) * self.width
        crossing = Crossings(
            step, path, shift, kernel * carried[unit, path], np.empty((rows, 2 * len(path)))
        )
        crossing.differences[: self.width] = (branches - forces[:, None, path]).reshape(
            self.width, -1
        )
        found = self._spread(crossing, branches)
        jump = kernel * (branches[unit, 1, each] - branches[unit, 0, each])
        mean = np.bincount(unit, jump, self.width) / fields.shape[1]
        crossing.weight += kernel * signs[unit, path]
        self.crossings.append(crossing)
        return found, mean

    def _forces(
        self, fields: np.ndarray, active: np.ndarray, path: np.ndarray, second: np.ndarray
    ) -> np.ndarray:
        """F of branches (width, 2, n)."""
        heights = np.where(active, fields, 0.0)
        errors = np.tensordot(second, heights, 1) / self.width - self.labels[path]
        return -self.rate * errors * second[:, None, None] * active

    def _spread(self, crossing: Crossings, branches: np.ndarray) -> np.ndarray:
        """The weighted difference of the branches, summed over the crossings of each path."""
        jumps = crossing.weight * (branches[:, 1] - branches[:, 0])
        count = len(self.labels)
        return np.stack([np.bincount(crossing.path, row, count) for row in jumps])

"""Instances of the model: inputs, teacher and labels, and products with the inputs of a point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.numerics.random import Stream


@dataclass(frozen=True)
class Rows:
    """The samples of one point: `inputs` (samples, dimension) and `labels` (samples,).

    The products are those of the matrix with the rows y_mu x_mu where the loss is a function of
    y x·w (`signed`), and with the rows x_mu otherwise; that matrix is never formed.
    """

    inputs: Any
    labels: Any
    signed: bool

    def forward(self, w: Any) -> Any:
        """z_mu = y_mu x_mu·w, or x_mu·w."""
        z = self.inputs @ w
        return self.labels * z if self.signed else z

    def backward(self, a: Any) -> Any:
        """sum_mu a_mu y_mu x_mu, or sum_mu a_mu x_mu."""
        return (self.labels * a if self.signed else a) @ self.inputs


@dataclass(frozen=True)
class Instance:
    """One design for all points of a batch; a point sees a prefix of its rows.

    `inputs` (rows, dimension), entries of variance 1/dimension; `teacher` (dimension,), entries
    N(0, 1); `preactivation` z = x·teacher and `disturbance` ξ ~ N(0, 1), both (rows,). Instances of
    different noise differ only in the strength with which ξ enters the labels.
    """

    inputs: Any
    teacher: Any
    preactivation: Any
    disturbance: Any

    @classmethod
    def draw(cls, *, dimension: int, seed: int, rows: int, design: str, xp: Any) -> Instance:
        """The first `rows` samples of the instance (dimension, seed)."""
        double = xp.float64

        def stream(name: str) -> Stream:
            return Stream("glm_erm", seed, dimension, name)

        entries = stream("design")
        draw = entries.signs if design == "rademacher" else entries.normals
        inputs = draw(0, rows, dimension, xp=xp, dtype=double)
        inputs *= dimension**-0.5
        teacher = stream("teacher").normals(0, dimension, 1, xp=xp, dtype=double)[:, 0]
        disturbance = stream("noise").normals(0, rows, 1, xp=xp, dtype=double)[:, 0]
        # Row by row in blocks of one size: how many rows there are must not change a label.
        block = 256
        parts = [inputs[start : start + block] for start in range(0, rows, block)]
        heights = [xp.sum(part * teacher, axis=1) for part in parts]
        preactivation = xp.concat(heights) if heights else disturbance
        return cls(inputs, teacher, preactivation, disturbance)

    def rows(self, *, samples: int, teacher: str, noise: float, signed: bool, xp: Any) -> Rows:
        """The samples of a point with their labels."""
        here = slice(0, samples)
        field = self.preactivation[here] + float(noise) ** 0.5 * self.disturbance[here]
        if teacher == "sign":
            field = xp.where(field < 0, -1.0, 1.0)
        return Rows(self.inputs[here], field, signed)


def samples_of(*, alpha: Any, dimension: int) -> np.ndarray:
    """round(alpha·dimension), halves upwards, as int64."""
    return np.floor(np.asarray(alpha, float) * dimension + 0.5).astype(np.int64)

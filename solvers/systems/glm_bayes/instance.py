"""Instances of the model: design, teacher and labels, and products with the design in lockstep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics.random import Stream


@dataclass(frozen=True)
class Instance:
    """One design for all points of a batch; each point sees a prefix of its rows and own labels.

    `design` (rows, dimension), entries N(0, 1/dimension); `teacher` (dimension, 1); `labels`
    (rows, points). Rows are padded to whole blocks by further rows of the same endless design.
    `samples` (points,) says how many rows a point has.
    """

    design: Any
    teacher: Any
    labels: Any
    samples: np.ndarray
    dimension: int
    block: int
    width: int

    @classmethod
    def draw(cls, *, model: Any, alpha: Any, dimension: int, seed: int, xp: Any, dtype: Any) -> Any:
        """The instance of (dimension, seed), with as many rows as the largest alpha needs."""
        samples = np.floor(alpha * dimension + 0.5).astype(np.int64)
        numpy = array_api_compat.is_numpy_namespace(xp)
        # On a CPU all products have one shape, whatever the batch, and a block of rows stays in
        # cache between X·w and X^T·g; a GPU wants few large ones.
        block, width = (256, 8) if numpy else (8192, max(8, -8 * (-len(alpha) // 8)))
        rows = max(block, -block * (-int(samples.max(initial=0)) // block))

        def stream(name: str) -> Stream:
            return Stream("glm_bayes", seed, dimension, name)

        scale = xp.asarray(dimension**-0.5, dtype=dtype)
        design = stream("design").normals(0, rows, dimension, xp=xp, dtype=dtype)
        design *= scale
        teacher = model.prior.sample(
            stream=stream("teacher"), dimension=dimension, xp=xp, dtype=dtype
        )
        parameters = on_device(model.channel_parameters, xp=xp, dtype=dtype)
        labels = [
            model.channel.sample(
                preactivation=design[start : start + block] @ teacher,
                stream=stream("noise"),
                start=start,
                xp=xp,
                dtype=dtype,
                **parameters,
            )
            for start in range(0, rows, block)
        ]
        return cls(design, teacher, xp.concat(labels, axis=0), samples, dimension, block, width)

    def row_blocks(self, points: np.ndarray) -> Iterator[tuple[slice, Any]]:
        """Slices of rows that any of `points` needs, with the block of the design."""
        last = int(self.samples[points].max(initial=0))
        for start in range(0, last, self.block):
            rows = slice(start, start + self.block)
            yield rows, self.design[rows]

    def groups(self, points: np.ndarray, start: int) -> Iterator[np.ndarray]:
        """Columns of `points` that reach row `start`, in groups of one width.

        The last column of a short group is repeated: products keep one shape, and a point's numbers
        do not depend on how many others there are.
        """
        some = points[self.samples[points] > start]
        for first in range(0, len(some), self.width):
            group = some[first : first + self.width]
            yield np.concatenate([group, np.repeat(group[-1:], self.width - len(group))])


def on_device(parameters: Any, *, xp: Any, dtype: Any) -> dict[str, Any]:
    """Columns of parameters as arrays of the namespace."""
    return {name: xp.asarray(column, dtype=dtype) for name, column in parameters.items()}


def to_host(array: Any) -> np.ndarray:
    """A NumPy copy of an array of any namespace."""
    return np.asarray(array_api_compat.to_device(array, "cpu"))

"""Instances of the model: design, teacher and labels, and products with the design in lockstep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics.random import Stream


@dataclass(frozen=True)
class Instance:
    """One design for all points of a batch; each point sees a prefix of its rows and own labels.

    `design` (rows, dimension), independent entries of mean 0 and variance 1/dimension; `teacher`
    (dimension, 1), or (dimension, points) where the prior has a parameter; `labels` (rows, points).
    Rows are padded to whole blocks by further rows of the same endless design. `samples` (points,)
    says how many rows a point has.
    """

    design: Any
    teacher: Any
    labels: Any
    samples: np.ndarray
    dimension: int
    block: int
    width: int

    @classmethod
    def draw(
        cls,
        *,
        model: Any,
        alpha: Any,
        dimension: int,
        seed: int,
        design: str,
        xp: Any,
        dtype: Any,
    ) -> Instance:
        """The instance of (dimension, seed), with as many rows as the largest alpha needs.

        `design`: gaussian entries N(0, 1/dimension), or rademacher entries ±1/√dimension. Labels
        are made from the design before it is scaled: with binary weights too, x·w = 0 is then met
        exactly, and the label does not hang on rounding.
        """
        samples = np.floor(alpha * dimension + 0.5).astype(np.int64)
        numpy = array_api_compat.is_numpy_namespace(xp)
        # On a CPU all products have one shape, whatever the batch, and a block of rows stays in
        # cache between X·w and X^T·g; a GPU wants few large ones.
        block, width = (256, 8) if numpy else (8192, max(8, -8 * (-len(alpha) // 8)))
        rows = max(block, -block * (-int(samples.max(initial=0)) // block))

        def stream(name: str) -> Stream:
            return Stream("glm_bayes", seed, dimension, name)

        draw = stream("design").normals if design == "gaussian" else stream("design").signs
        entries = draw(0, rows, dimension, xp=xp, dtype=dtype)
        scale = float(dimension**-0.5)
        teacher = model.prior.sample(
            stream=stream("teacher"),
            dimension=dimension,
            xp=xp,
            dtype=dtype,
            **on_device(model.prior_parameters, xp=xp, dtype=dtype),
        )
        parameters = on_device(model.channel_parameters, xp=xp, dtype=dtype)
        columns = _groups(np.arange(teacher.shape[1]), width)
        teachers = [teacher[:, xp.asarray(group)] for group in columns]
        labels = []
        for start in range(0, rows, block):
            part = entries[start : start + block]
            product = xp.concat([part @ column for column in teachers], axis=1)
            labels.append(
                model.channel.sample(
                    preactivation=product[:, : teacher.shape[1]] * scale,
                    stream=stream("noise"),
                    start=start,
                    xp=xp,
                    dtype=dtype,
                    **parameters,
                )
            )
        entries *= scale
        return cls(entries, teacher, xp.concat(labels, axis=0), samples, dimension, block, width)

    def groups(self, points: np.ndarray) -> list[np.ndarray]:
        """`points` in groups of the width of a product; the last is filled by repeating its last.

        Products have one shape: a point's numbers do not depend on how many others there are.
        """
        return _groups(points, self.width)

    def products(
        self, points: np.ndarray, estimate: Any, *, xp: Any
    ) -> Iterator[tuple[slice, int, Any]]:
        """Blocks of X·estimate in one reading of the design; `estimate` (dimension, len(points)).

        Yields rows, which of `groups(points)`, and the product (rows, width).
        """
        parts = [estimate[:, xp.asarray(g)] for g in _groups(np.arange(len(points)), self.width)]
        last = [int(self.samples[group].max()) for group in self.groups(points)]
        for start in range(0, max(last, default=0), self.block):
            rows = slice(start, start + self.block)
            for which, part in enumerate(parts):
                if last[which] > start:
                    yield rows, which, self.design[rows] @ part

    def read(
        self,
        points: np.ndarray,
        estimate: Any,
        respond: Callable[[slice, np.ndarray, Any], Any],
        *,
        xp: Any,
    ) -> Any:
        """X^T f(X·estimate) for some points, shape (dimension, len(points)), reading X once.

        `respond(rows, group, product)` returns f for a block of rows and a group of points, shape
        (rows, width), with zeros in rows that a point does not have (`only_asked`).
        """
        groups = self.groups(points)
        answers = [xp.zeros((self.dimension, self.width), dtype=estimate.dtype) for _ in groups]
        for rows, which, product in self.products(points, estimate, xp=xp):
            answers[which] += self.design[rows].T @ respond(rows, groups[which], product)
        return xp.concat(answers, axis=1)[:, : len(points)]

    def only_asked(self, rows: slice, group: np.ndarray, values: Any, *, xp: Any) -> Any:
        """`values` (rows, points of `group`) with zeros in the rows that a point does not have."""
        samples = self.samples[group]
        if samples.min() >= rows.stop:
            return values
        index = xp.arange(rows.start, rows.stop)[:, None]
        return xp.where(index < xp.asarray(samples)[None, :], values, 0.0)

    def widened(self, columns: Any, *, xp: Any) -> Any:
        """`columns` with the last one repeated up to the width of a product."""
        missing = self.width - columns.shape[1]
        return xp.concat([columns, *[columns[:, -1:]] * missing], axis=1) if missing else columns


def _groups(points: np.ndarray, width: int) -> list[np.ndarray]:
    """`points` in groups of one width; the last one is filled up by repeating its last."""
    starts = range(0, len(points), width)
    parts = [points[first : first + width] for first in starts]
    return [np.concatenate([part, np.repeat(part[-1:], width - len(part))]) for part in parts]


def distinct(group: np.ndarray) -> np.ndarray:
    """A group without the repetitions at its end."""
    return group[: len(np.unique(group))]


def on_device(parameters: Any, *, xp: Any, dtype: Any) -> dict[str, Any]:
    """Columns of parameters as arrays of the namespace."""
    return {name: xp.asarray(column, dtype=dtype) for name, column in parameters.items()}


def to_host(array: Any) -> np.ndarray:
    """A NumPy copy of an array of any namespace."""
    return np.asarray(array_api_compat.to_device(array, "cpu"))

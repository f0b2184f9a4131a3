"""Instances of the model: design, teacher and labels, and products with the design in lockstep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics import lockstep
from solvers.numerics.lockstep.device import up
from solvers.numerics.lockstep.held import PLAIN, Held
from solvers.numerics.random import Stream

_BLOCK = 2**24
"""Entries drawn at a time where they are then rounded or copied."""


@dataclass(frozen=True)
class Instance:
    """One design for all points of a batch; each point sees a prefix of its rows and own labels.

    `design` (rows, dimension), independent entries of mean 0 and variance 1/dimension, or, where
    `held` has a format, of variance 1, rounded, and 1/√dimension the scale of `held`; `teacher`
    (dimension, 1), or (dimension, points) where the prior has a parameter; `labels` (rows, points).
    Rows are padded to whole tiles by further rows of the same endless design. `samples` (points,)
    says how many rows a point has.
    """

    design: Any
    teacher: Any
    labels: Any
    samples: np.ndarray
    dimension: int
    held: Held = PLAIN

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
        held: Held = PLAIN,
    ) -> Instance:
        """The instance of (dimension, seed), with as many rows as the largest alpha needs.

        `design`: gaussian entries N(0, 1/dimension), or rademacher entries ±1/√dimension. Labels
        are made from the design before it is scaled: with binary weights too, x·w = 0 is then met
        exactly, and the label does not hang on rounding. A design that is `held` in a format is
        rounded first, and its labels are those of what it is then.
        """
        samples = np.floor(alpha * dimension + 0.5).astype(np.int64)
        rows = lockstep.whole_tiles(max(1, int(samples.max(initial=0))))

        def stream(name: str) -> Stream:
            return Stream("glm_bayes", seed, dimension, name)

        draw = stream("design").normals if design == "gaussian" else stream("design").signs
        entries = _entries(draw, rows, dimension, held, xp, dtype)
        scale = float(dimension**-0.5)
        teacher = model.prior.sample(
            stream=stream("teacher"),
            dimension=dimension,
            xp=xp,
            dtype=dtype,
            **on_device(model.prior_parameters, xp=xp, dtype=dtype),
        )
        parameters = on_device(model.channel_parameters, xp=xp, dtype=dtype)
        everything = np.full(teacher.shape[1], rows)
        labels = [
            model.channel.sample(
                preactivation=product * scale,
                stream=stream("noise"),
                start=part.start,
                xp=xp,
                dtype=dtype,
                **parameters,
            )
            for part, _, product in lockstep.products(
                entries, teacher, everything, xp=xp, held=held, accurate=True
            )
        ]
        if held.plain:
            entries *= scale
        else:
            held = replace(held, scale=scale)
        return cls(entries, teacher, xp.concat(labels, axis=0), samples, dimension, held)

    @property
    def eps(self) -> float:
        """Distance from 1 to the next number that a factor of a product can be."""
        return self.held.eps(self.labels.dtype)

    def products(
        self, points: np.ndarray, estimate: Any, *, xp: Any
    ) -> Iterator[tuple[slice, np.ndarray, Any]]:
        """Blocks of X·estimate, accurate, in one reading of the design.

        `estimate` (dimension, len(points)). Yields rows, the points that have any of them, and
        their products (rows, those points).
        """
        samples = self.samples[points]
        for rows, which, product in lockstep.products(
            self.design, estimate, samples, xp=xp, held=self.held, accurate=True
        ):
            yield rows, points[which], product

    def read(
        self,
        points: np.ndarray,
        estimate: Any,
        respond: Callable[[slice, np.ndarray, Any], Any],
        *,
        xp: Any,
    ) -> Any:
        """X^T f(X·estimate) for some points, shape (dimension, len(points)), reading X once.

        Both factors of both products are rounded to the format of the design.

        `respond(rows, group, product)` returns f for a block of rows and the points that have any
        of them, with zeros in the rows that a point does not have (`only_asked`).
        """
        return lockstep.read(
            self.design,
            estimate,
            self.samples[points],
            lambda rows, which, product: respond(rows, points[which], product),
            xp=xp,
            held=self.held,
        )

    def only_asked(self, rows: slice, group: np.ndarray, values: Any, *, xp: Any) -> Any:
        """`values` (rows, points of `group`) with zeros in the rows that a point does not have."""
        samples = self.samples[group]
        if samples.min() >= rows.stop:
            return values
        index = xp.arange(rows.start, rows.stop)[:, None]
        return xp.where(index < xp.asarray(samples)[None, :], values, 0.0)


def _entries(draw, rows, dimension, held, xp, dtype):
    """The first rows of an endless matrix, in their format; blocks of rows go where they stay."""
    numpy = array_api_compat.is_numpy_namespace(xp)
    if held.plain and numpy:
        return draw(0, rows, dimension, xp=xp, dtype=dtype)
    width = dimension if numpy else up(dimension)
    real = held.dtype(dtype, xp)
    entries = xp.empty((rows, width), dtype=real)[:, :dimension]
    block = max(1, _BLOCK // dimension)
    for start in range(0, rows, block):
        stop = min(start + block, rows)
        part = draw(start, stop, dimension, xp=xp, dtype=real)
        entries[start:stop, :] = held.hold(part, xp)
    return entries


def on_device(parameters: Any, *, xp: Any, dtype: Any) -> dict[str, Any]:
    """Columns of parameters as arrays of the namespace."""
    return {name: xp.asarray(column, dtype=dtype) for name, column in parameters.items()}


def to_host(array: Any) -> np.ndarray:
    """A NumPy copy of an array of any namespace."""
    return np.asarray(array_api_compat.to_device(array, "cpu"))

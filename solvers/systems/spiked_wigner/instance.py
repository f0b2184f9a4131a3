"""Instances: noise and spike as functions of (seed, dimension), and products for many signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from solvers.numerics import one_way, priors
from solvers.numerics.lockstep import column_sums
from solvers.numerics.random import Stream
from solvers.numerics.wigner import goe

Array = Any


@dataclass(frozen=True)
class Instance:
    """W (n, n) and x (n, 1), shared by all signals of a batch; `signal` (points,).

    On a CPU the products of a signal do not depend on the other signals, to the last bit.
    """

    noise: Array
    spike: Array
    signal: Array
    seed: int
    dimension: int
    xp: Any

    @classmethod
    def draw(
        cls, *, signal: np.ndarray, prior: str, dimension: int, seed: int, xp: Any, dtype: Any
    ) -> Instance:
        """The instance; W does not depend on the prior, nor x on the signal."""
        noise = goe(
            stream=Stream("spiked_wigner", seed, dimension, "noise"),
            dimension=dimension,
            xp=xp,
            dtype=dtype,
        )
        spike = priors.load(prior).sample(
            stream=Stream("spiked_wigner", seed, dimension, "spike"),
            dimension=dimension,
            xp=xp,
            dtype=dtype,
        )
        columns = xp.asarray(signal, dtype=dtype)
        return cls(noise, spike, columns, seed, dimension, xp)

    def product(self, vectors: Array) -> Array:
        """Y u for the points whose columns these are: all of them, (n, points)."""
        xp = self.xp
        along = xp.asarray(column_sums(self.spike * vectors, xp), dtype=vectors.dtype)
        rows = np.full(vectors.shape[1], self.dimension)
        image = one_way.forward(self.noise, vectors, rows, xp=xp)
        return image + self.spike * (self.signal / self.dimension * along)

    def take(self, points: np.ndarray) -> Instance:
        """The same instance with some of the signals."""
        chosen = self.signal[self.xp.asarray(points)]
        return Instance(self.noise, self.spike, chosen, self.seed, self.dimension, self.xp)

    def normals(self, name: str, dtype: Any) -> Array:
        """Further random numbers of the instance, (n, 1)."""
        stream = Stream("spiked_wigner", self.seed, self.dimension, name)
        return stream.normals(0, self.dimension, 1, xp=self.xp, dtype=dtype)


def to_host(array: Any) -> np.ndarray:
    """A NumPy copy, in double precision."""
    return np.asarray(array_api_compat.to_device(array, "cpu"), dtype=float)

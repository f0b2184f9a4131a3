"""The networks of an ensemble: a function of (system, seed, width, layer, network) alone.

The parameters of layer l of network m are rows m·units ... (m + 1)·units of the stream "layer l" of
the instance (seed, width): first the bias of the unit, then its weights, all N(0, 1), so that a
network is the same whatever C_b and C_W, however deep it is and however many networks are asked
for, and a layer with fewer inputs has the leading weights of one with more. Output layers, whose
number of units is not the width, have streams "output l, units".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from solvers.numerics.random import Stream

SYSTEM = "finite_width"
_CHUNK_BYTES = 2**25


def raw_layer(
    *,
    seed: int,
    width: int,
    layer: int,
    start: int,
    stop: int,
    fan_in: int,
    xp: Any,
    units: int = 0,
) -> tuple[Any, Any]:
    """Biases (networks, units, 1) and weights (networks, units, fan_in), all N(0, 1).

    `units` is the width, unless given.
    """
    name = f"output {layer}, {units}" if units else f"layer {layer}"
    units = units or width
    stream = Stream(SYSTEM, seed, width, name)
    numbers = stream.normals(start * units, stop * units, fan_in + 1, xp=xp)
    numbers = xp.reshape(numbers, (stop - start, units, fan_in + 1))
    return numbers[:, :, :1], numbers[:, :, 1:]


def chunks(networks: int, numbers: int) -> Iterator[tuple[int, int]]:
    """Ranges of networks, few enough that their `numbers` doubles each fit in the caches."""
    size = max(1, min(networks, _CHUNK_BYTES // (8 * max(numbers, 1))))
    for start in range(0, networks, size):
        yield start, min(start + size, networks)


def host(array: Any) -> np.ndarray:
    """The array as one of NumPy."""
    return array.get() if hasattr(array, "get") else np.asarray(array)

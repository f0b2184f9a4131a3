"""What a point of `gamp` costs: measured on one core, 16 points of one instance at a time.

Memory of dimension 40,000 and alpha 2: 3.2e9 entries, 12.8 GB in single precision, declared as 13.5
GB, and 5.2 MB a point: 13.8 GB with 64 points. `half` declares the same, which it needs on a CPU,
where its entries are numbers of single precision; a GPU holds them in 6.4 GB.
"""

from __future__ import annotations

import numpy as np

from solvers.contract import Cost
from solvers.numerics.lockstep import device_block

_USUAL = {
    "linear": (60, 20, 1e2),
    "sign": (35, 25, 5e2),
    "relu": (100, 250, 5e2),
    "abs": (160, 300, 1e3),
    "door": (80, 500, 1e6),
}
"""Of each channel: iterations on average over alpha from 0.2 to 2, nanoseconds a label and step,
nanoseconds for the errors of one estimate."""


def _work(*, alpha, dimension, iterations, channel, **_):
    """Nanoseconds of a point among many of one instance: labels, weights, design, and errors."""
    steps, label, error = _USUAL.get(str(channel), (100, 500, 1e4))
    samples = alpha * dimension
    iteration = samples * (label + 0.1 * dimension) + 80.0 * dimension
    return 1e6 + steps * iteration + error * np.minimum(np.asarray(iterations) + 2, steps)


def _wide(precision):
    return np.where(np.asarray(precision) == "double", 2.0, 1.0)


def _memory(*, alpha, dimension, iterations, precision, **_):
    """Labels and outputs (samples), a device's block of answers, messages and their sums (weights),
    and the record."""
    samples = alpha * dimension + 256
    block = np.minimum(samples, device_block(np.asarray(dimension)))
    weights = 16.0 * _wide(precision) + 80.0
    answers = _wide(precision) * (12.0 * samples + 48.0 * block)
    return answers + weights * dimension + 60.0 * (iterations + 100)


def _shared_memory(*, alpha, dimension, precision, **_):
    """The design, and what one group of points needs."""
    return 4.2 * _wide(precision) * (dimension + 40) * (alpha * dimension + 256) + 1e6


COST = Cost(flops=_work, memory=_memory, shared_memory=_shared_memory)

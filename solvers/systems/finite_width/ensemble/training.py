r"""Full-batch gradient descent of an ensemble of small networks, all of them in batched products.

Loss L = 1/2 Σ (z - y)² over training inputs and outputs; a step moves a bias by -η λ_b ∂L and a
weight by -η λ_W/fan-in ∂L, as in `infinite_width`, whose law these networks have when wide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.systems.finite_width.ensemble.networks import chunks, host, raw_layer
from solvers.systems.finite_width.ensemble.units import derivatives

Array = np.ndarray
BOUND = 1e6
"""A network has diverged once a training residual passes this many times the largest target plus
the largest residual at its start."""


@dataclass(frozen=True)
class Data:
    """Training inputs (train, n_0), targets (train, outputs) and test inputs (tests, n_0)."""

    train: Array
    targets: Array
    test: Array


@dataclass(frozen=True)
class Rates:
    """Variances of the parameters, and by what gradients are multiplied."""

    c_b: float
    c_w: float
    lambda_b: float
    lambda_w: float
    step_size: float


@dataclass
class Runs:
    """What is kept of the networks of one point; a diverged network has NaN."""

    outputs: Array
    """(networks, times, tests, outputs)"""
    loss: Array
    """(networks, times)"""


def train(
    points: list[Rates],
    data: Data,
    *,
    activation: str,
    depth: int,
    width: int,
    networks: int,
    seed: int,
    steps: Array,
    xp: Any,
) -> list[Runs]:
    """Train the same networks at every point, recording after `steps` (whole numbers, rising)."""
    shape = (networks, len(steps), len(data.test), data.targets.shape[1])
    runs = [Runs(np.full(shape, np.nan), np.full(shape[:2], np.nan)) for _ in points]
    columns = len(data.train) + len(data.test)
    for start, stop in chunks(networks, depth * width * (width + 3 * columns)):
        drawn = {"seed": seed, "width": width, "start": start, "stop": stop, "xp": xp}
        layers = [data.train.shape[1], *[width] * (depth - 1)]
        raw = [
            raw_layer(layer=k + 1, fan_in=fan, units=shape[3] * (k == depth - 1), **drawn)
            for k, fan in enumerate(layers)
        ]
        for rates, own in zip(points, runs, strict=True):
            _descend(raw, rates, data, own, slice(start, stop), activation, steps, xp)
    return runs


def _descend(raw, rates, data, own, where, activation, steps, xp) -> None:
    biases = [math.sqrt(rates.c_b) * bias for bias, _ in raw]
    weights = [math.sqrt(rates.c_w / normal.shape[2]) * normal for _, normal in raw]
    train, test = xp.asarray(data.train.T)[None], xp.asarray(data.test.T)[None]
    targets = xp.asarray(data.targets.T)[None]
    count, done, bound = len(weights), 0, None
    for record, asked in enumerate(steps.tolist()):
        while True:
            signals, slopes = [train], []
            for k in range(count):
                fields = biases[k] + weights[k] @ signals[k]
                if k < count - 1:
                    signal, slope = derivatives(activation, fields, 1, xp)
                    signals.append(signal)
                    slopes.append(slope)
            error = fields - targets
            if bound is None:
                largest = xp.max(xp.abs(error), axis=(1, 2), keepdims=True)
                bound = BOUND * (largest + xp.max(xp.abs(targets)))
            # A diverged network is frozen where it is: its residuals stay too large.
            error = xp.where(xp.abs(error) < bound, error, math.nan)
            lost = ~xp.all(xp.isfinite(error), axis=(1, 2))[:, None, None]
            delta = xp.where(lost, 0.0, error)
            if done == asked:
                break
            for k in range(count - 1, -1, -1):
                back = xp.matrix_transpose(weights[k]) @ delta if k else None
                fan = weights[k].shape[2]
                turn = delta @ xp.matrix_transpose(signals[k])
                weights[k] = weights[k] - (rates.step_size * rates.lambda_w / fan) * turn
                push = xp.sum(delta, axis=2, keepdims=True)
                biases[k] = biases[k] - (rates.step_size * rates.lambda_b) * push
                if back is not None:
                    delta = slopes[k - 1] * back
            done += 1
        loss = xp.where(lost[:, 0, 0], math.nan, 0.5 * xp.sum(error * error, axis=(1, 2)))
        own.loss[where, record] = host(loss)
        signal = test
        for k in range(count):
            fields = biases[k] + weights[k] @ signal
            if k < count - 1:
                (signal,) = derivatives(activation, fields, 0, xp)
        outputs = xp.where(lost, math.nan, fields)
        own.outputs[where, record] = host(xp.matrix_transpose(outputs))

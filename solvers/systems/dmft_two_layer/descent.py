"""Gradient descent itself: all points of an instance in lockstep, several instances at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.numerics.lockstep import whole_tiles
from solvers.numerics.random import Stream
from solvers.systems.dmft_two_layer.model import SYSTEM
from solvers.systems.dmft_two_layer.products import backward, forward, row_sums
from solvers.systems.dmft_two_layer.units import slope, value


@dataclass(frozen=True)
class Instances:
    """Designs (instances, rows, dimension) of variance 1/dimension, and what else a seed decides.

    `teacher` (instances, k, dimension) and `student` (instances, p, dimension) are N(0, 1), and so
    is `disturbance` (instances, rows, 1). Rows are whole tiles, of one endless design.
    """

    design: Any
    teacher: Any
    student: Any
    disturbance: Any

    @classmethod
    def draw(
        cls,
        seeds: np.ndarray,
        *,
        dimension: int,
        rows: int,
        width: int,
        teacher_width: int,
        dtype: Any,
        xp: Any,
    ) -> Instances:
        """The instances (dimension, seed) of `seeds`; fewer rows or units are prefixes of more."""

        def stacked(name: str, first: int, second: int) -> Any:
            streams = [Stream(SYSTEM, int(seed), dimension, name) for seed in seeds]
            return xp.stack([s.normals(0, first, second, xp=xp, dtype=dtype) for s in streams])

        rows = whole_tiles(rows)
        design = stacked("design", rows, dimension)
        design *= dimension**-0.5
        return cls(
            design=design,
            teacher=stacked("teacher", teacher_width, dimension),
            student=stacked("student", width, dimension),
            disturbance=stacked("noise", rows, 1),
        )


@dataclass(frozen=True)
class Columns:
    """Parameters of the points of each instance, arrays (instances, points), most samples first."""

    samples: np.ndarray
    step_size: np.ndarray
    noise: np.ndarray
    momentum: np.ndarray
    weight_decay: np.ndarray
    initial_scale: np.ndarray


@dataclass(frozen=True)
class Record:
    """What is measured, with (instances, points, steps + 1) first."""

    training_loss: np.ndarray
    teacher_overlap: np.ndarray
    student_overlap: np.ndarray
    second_layer_weights: np.ndarray
    target_overlap: np.ndarray
    """(instances, k, k)."""


def descend(
    instances: Instances,
    columns: Columns,
    *,
    activation: str,
    trained: bool,
    steps: int,
    xp: Any,
) -> Record:
    """Equation 1 of docs/theory/dmft.md, `steps` times.

    Weights of all points are the columns of two products with the design a step; a point of fewer
    samples has zeros in the rows beyond its own.
    """
    design, count = instances.design, columns.samples.shape[1]
    seeds, rows, dimension = design.shape
    p, k = instances.student.shape[1], instances.teacher.shape[1]
    real = design.dtype

    def column(array: np.ndarray) -> Any:
        return xp.asarray(array, dtype=real)

    within = xp.arange(rows)[None, :, None] < xp.asarray(columns.samples)[:, None, :]
    share = xp.astype(within, real) / column(columns.samples)[:, None, :]
    seen = np.repeat(columns.samples, p, axis=1)
    rate = column(columns.step_size) / p
    decay = 1.0 - column(columns.step_size * columns.weight_decay)
    momentum = column(columns.momentum)
    fields = forward(design, instances.teacher, np.full((seeds, k), rows), xp)
    outputs = xp.mean(value(activation, fields, xp), axis=2)
    labels = outputs[:, :, None] + column(np.sqrt(columns.noise))[:, None, :] * (
        instances.disturbance
    )
    weights = instances.student[:, None] * column(columns.initial_scale)[:, :, None, None]
    weights = xp.reshape(weights, (seeds, count * p, dimension))
    second = xp.ones((seeds, count, p), dtype=real)
    before, second_before = weights, second
    wide = [xp.repeat(array, p, axis=1)[:, :, None] for array in (decay, momentum)]
    record = Record(
        training_loss=np.empty((seeds, count, steps + 1)),
        teacher_overlap=np.empty((seeds, count, steps + 1, p, k)),
        student_overlap=np.empty((seeds, count, steps + 1, p, p)),
        second_layer_weights=np.empty((seeds, count, steps + 1, p)),
        target_overlap=_host(
            instances.teacher @ xp.matrix_transpose(instances.teacher) / dimension
        ),
    )
    for step in range(steps + 1):
        fields = xp.reshape(forward(design, weights, seen, xp), (seeds, rows, count, p))
        heights = value(activation, fields, xp)
        errors = xp.mean(heights * second[:, None], axis=3) - labels
        record.training_loss[:, :, step] = _host(0.5 * row_sums(share * errors * errors, xp))
        record.second_layer_weights[:, :, step] = _host(second)
        units = xp.reshape(weights, (seeds, count, p, dimension))
        own = units @ xp.matrix_transpose(units) / dimension
        record.student_overlap[:, :, step] = _host(own)
        cross = units @ xp.matrix_transpose(instances.teacher)[:, None] / dimension
        record.teacher_overlap[:, :, step] = _host(cross)
        if step == steps:
            break
        errors = xp.where(within, errors, xp.zeros_like(errors)) * rate[:, None]
        forces = errors[..., None] * second[:, None] * slope(activation, fields, xp)
        gradient = backward(design, xp.reshape(forces, (seeds, rows, count * p)), seen, xp)
        moved = wide[0] * weights + wide[1] * (weights - before) - gradient
        before, weights = weights, moved
        if trained:
            pushes = xp.reshape((share * errors)[..., None] * heights, (seeds, rows, count * p))
            push = xp.astype(xp.reshape(row_sums(pushes, xp), second.shape), real)
            kept = decay[..., None] * second + momentum[..., None] * (second - second_before)
            second_before, second = second, kept - push
    return record


def _host(array: Any) -> np.ndarray:
    return array.get() if hasattr(array, "get") else np.asarray(array)

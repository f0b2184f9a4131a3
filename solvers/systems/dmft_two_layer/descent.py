"""Gradient descent itself: all points of an instance in lockstep, several instances at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.numerics.random import Stream
from solvers.systems.dmft_two_layer.model import SYSTEM
from solvers.systems.dmft_two_layer.units import slope, value


@dataclass(frozen=True)
class Instances:
    """Designs (instances, rows, dimension) of variance 1/dimension, and what else a seed decides.

    `teacher` (instances, dimension, k) and `student` (instances, dimension, p) are N(0, 1), and so
    is `disturbance` (instances, rows, 1).
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

        design = stacked("design", rows, dimension)
        design *= dimension**-0.5
        return cls(
            design=design,
            teacher=xp.matrix_transpose(stacked("teacher", teacher_width, dimension)),
            student=xp.matrix_transpose(stacked("student", width, dimension)),
            disturbance=stacked("noise", rows, 1),
        )


@dataclass(frozen=True)
class Columns:
    """Parameters of the points of each instance, arrays (instances, points)."""

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

    Weights of all points are one matrix (instances, dimension, points · p), so that a step is two
    matrix products with the design; a point of fewer samples has zeros in the rows beyond its own.
    """
    design, count = instances.design, columns.samples.shape[1]
    seeds, rows, dimension = design.shape
    p, k = instances.student.shape[2], instances.teacher.shape[2]
    real = design.dtype

    def column(array: np.ndarray) -> Any:
        return xp.asarray(array, dtype=real)

    within = xp.arange(rows)[None, :, None] < xp.asarray(columns.samples)[:, None, :]
    mask = xp.astype(within, real)
    share = mask / column(columns.samples)[:, None, :]
    rate = column(columns.step_size) / p
    decay = 1.0 - column(columns.step_size * columns.weight_decay)
    momentum = column(columns.momentum)
    outputs = xp.mean(value(activation, design @ instances.teacher, xp), axis=2)
    labels = outputs[:, :, None] + column(np.sqrt(columns.noise))[:, None, :] * (
        instances.disturbance
    )
    weights = instances.student[:, :, None, :] * column(columns.initial_scale)[:, None, :, None]
    weights = xp.reshape(weights, (seeds, dimension, count * p))
    second = xp.ones((seeds, count, p), dtype=real)
    before, second_before = weights, second
    wide = [xp.repeat(array, p, axis=1)[:, None, :] for array in (decay, momentum)]
    record = Record(
        training_loss=np.empty((seeds, count, steps + 1)),
        teacher_overlap=np.empty((seeds, count, steps + 1, p, k)),
        student_overlap=np.empty((seeds, count, steps + 1, p, p)),
        second_layer_weights=np.empty((seeds, count, steps + 1, p)),
        target_overlap=_host(
            xp.matrix_transpose(instances.teacher) @ instances.teacher / dimension
        ),
    )
    for step in range(steps + 1):
        fields = xp.reshape(design @ weights, (seeds, rows, count, p))
        heights = value(activation, fields, xp)
        errors = xp.mean(heights * second[:, None], axis=3) - labels
        record.training_loss[:, :, step] = _host(0.5 * xp.sum(share * errors * errors, axis=1))
        record.second_layer_weights[:, :, step] = _host(second)
        units = xp.permute_dims(xp.reshape(weights, (seeds, dimension, count, p)), (0, 2, 3, 1))
        own = units @ xp.matrix_transpose(units) / dimension
        record.student_overlap[:, :, step] = _host(own)
        cross = units @ instances.teacher[:, None] / dimension
        record.teacher_overlap[:, :, step] = _host(cross)
        if step == steps:
            break
        forces = (mask * errors)[..., None] * second[:, None] * slope(activation, fields, xp)
        forces = forces * rate[:, None, :, None]
        gradient = xp.matrix_transpose(design) @ xp.reshape(forces, (seeds, rows, count * p))
        moved = wide[0] * weights + wide[1] * (weights - before) - gradient
        before, weights = weights, moved
        if trained:
            push = xp.sum((share * errors)[..., None] * heights, axis=1) * rate[..., None]
            kept = decay[..., None] * second + momentum[..., None] * (second - second_before)
            second_before, second = second, kept - push
    return record


def _host(array: Any) -> np.ndarray:
    return array.get() if hasattr(array, "get") else np.asarray(array)

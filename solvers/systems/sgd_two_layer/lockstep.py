"""The steps of `descent` for all runs of a batch at once, in array operations (NumPy or CuPy).

Weights of all runs are one array (runs, width, dimension), samples come in blocks (seeds, rows,
dimension + 1), and one step of every run is a handful of array operations: on a GPU hundreds of
seeds advance together in the time of one. Sums are taken in another order than in the compiled
kernel, so that the two agree to rounding, which a chaotic run may amplify.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.numerics.random import Stream
from solvers.numerics.special import special
from solvers.systems.sgd_two_layer.descent import Run, block_rows
from solvers.systems.sgd_two_layer.observing import BOUND
from solvers.systems.sgd_two_layer.starts import SYSTEM


def descend_together(
    runs: list[Run],
    seeds: np.ndarray,
    *,
    dimension: int,
    units: tuple[str, str],
    trained: bool,
    xp: Any,
) -> None:
    """Take all `runs` (of `seeds`) through their steps; records are written into the runs."""
    instances, instance = np.unique(seeds, return_inverse=True)
    streams = [Stream(SYSTEM, int(seed), dimension, "samples") for seed in instances]
    which = xp.asarray(instance)
    student = xp.asarray(np.stack([run.student for run in runs]))
    teacher = xp.asarray(np.stack([run.teacher for run in runs]))
    second = xp.asarray(np.stack([run.second for run in runs]))
    rate = xp.asarray(np.array([run.rate for run in runs]))
    deviation = xp.asarray(np.sqrt(np.array([run.noise for run in runs])))
    records = np.stack([run.records for run in runs])
    following = np.array([run.following for run in runs])
    gone = xp.full(len(runs), -1, dtype=xp.int64)
    width, root = student.shape[1], math.sqrt(dimension)
    rows = block_rows(dimension, len(instances))
    position, last = 0, int(records[:, -1].max())
    ends = xp.asarray(records[:, -1])
    while position < last:
        count = min(rows, last - position)
        block = xp.stack(
            [
                stream.normals(position, position + count, dimension + 1, xp=xp, dtype=xp.float32)
                for stream in streams
            ]
        )
        block = xp.astype(block, xp.float64)
        for s in range(count):
            sample = block[which, s]
            x = sample[:, :-1]
            outputs = _value(units[1], (teacher @ x[:, :, None])[..., 0] / root, xp)
            fields = (student @ x[:, :, None])[..., 0] / root
            values = _value(units[0], fields, xp)
            error = xp.mean(outputs, axis=1) + deviation * sample[:, -1]
            error = error - xp.sum(second * values, axis=1) / width
            lost = ~(xp.abs(error) < BOUND) & (gone < 0) & (position + s < ends)
            gone = xp.where(lost, position + s, gone)
            error = xp.where((gone < 0) & (position + s < ends), error, 0.0)
            push = (rate * error / root)[:, None] * second * _slope(units[0], fields, xp)
            push = xp.where(error[:, None] == 0.0, 0.0, push)
            student = student + push[:, :, None] * x[:, None, :]
            if trained:
                kick = (rate * error / dimension)[:, None] * values
                second = second + xp.where(error[:, None] == 0.0, 0.0, kick)
            due = (following < records.shape[1]) & (
                records[np.arange(len(runs)), np.minimum(following, records.shape[1] - 1)]
                == position + s + 1
            )
            if due.any():
                due &= _host(gone) < 0
                _record(runs, due, following, records, student, teacher, second, dimension, xp)
        position += count
    lost_at = _host(gone)
    for at, run in enumerate(runs):
        run.following, run.diverged = int(following[at]), int(lost_at[at])


def _record(runs, due, following, records, student, teacher, second, dimension, xp) -> None:
    """Write the overlaps of the runs that are due, as often as their records repeat a step."""
    chosen = np.flatnonzero(due)
    index = xp.asarray(chosen)
    own = _host(student[index] @ xp.matrix_transpose(student[index]) / dimension)
    cross = _host(student[index] @ xp.matrix_transpose(teacher[index]) / dimension)
    layer = _host(second[index])
    for row, at in enumerate(chosen):
        run, step = runs[at], records[at, following[at]]
        while following[at] < len(run.records) and run.records[following[at]] == step:
            run.student_overlap[following[at]] = own[row]
            run.teacher_overlap[following[at]] = cross[row]
            run.second_records[following[at]] = layer[row]
            following[at] += 1


def _host(array: Any) -> np.ndarray:
    return array.get() if hasattr(array, "get") else np.asarray(array)


def _value(unit: str, u: Any, xp: Any) -> Any:
    if unit == "erf":
        return special(xp).erf(u / math.sqrt(2.0))
    return xp.where(u > 0.0, u, 0.0) if unit == "relu" else u * u


def _slope(unit: str, u: Any, xp: Any) -> Any:
    if unit == "erf":
        return math.sqrt(2.0 / math.pi) * xp.exp(-0.5 * u * u)
    return xp.where(u > 0.0, 1.0, 0.0) if unit == "relu" else 2.0 * u

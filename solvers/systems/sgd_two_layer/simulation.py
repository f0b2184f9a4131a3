"""The simulation: gradient descent with weights and samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import FileContent
from solvers.contract import Cost, Status
from solvers.systems.sgd_two_layer.descent import Run, descend
from solvers.systems.sgd_two_layer.model import GIVES, measured, system
from solvers.systems.sgd_two_layer.starts import check_start, start_weights


def _sgd_flops(
    *, width: Any, teacher_width: Any, dimension: Any, step_size: Any, times: Any, **_: Any
) -> Any:
    """Drawing a sample costs about ten weights' worth; then every weight is used twice."""
    units = width + teacher_width
    one_step = 200 + 30 * units + 3 * dimension + 0.35 * units * dimension
    return one_step * np.floor(times[-1] * width * dimension / step_size + 0.5) + 1e5


@system.simulation(
    version=1,
    gives=GIVES,
    check=check_start,
    size="dimension",
    shares=("width", "teacher_width", "dimension"),
    cost=Cost(
        flops=_sgd_flops,
        memory=lambda *, width, teacher_width, dimension, times, **_: (
            8 * (width + teacher_width) * (2 * dimension + 2 * len(times) * width)
        ),
        shared_memory=lambda **_: 2**21,
    ),
)
def sgd(
    *,
    width: int,
    teacher_width: int,
    step_size: np.ndarray,
    noise: np.ndarray,
    initial: str | FileContent,
    times: tuple[float, ...],
    dimension: int,
    seed: np.ndarray,
) -> dict[str, np.ndarray]:
    """Stochastic gradient descent with weights and fresh samples in `dimension` dimensions.

    A run takes times[-1] · width · dimension/step_size steps of about
    (3 + 0.35 (width + teacher_width)) · dimension nanoseconds. Overlaps are recorded at the step
    nearest to each asked time, and `recorded_time` says when that was; `residual` is the largest
    distance to the asked time, step_size/(2 · width · dimension) at most. `steps` counts updates.

    Samples are drawn in single, weights are kept in double precision. A start from a file is
    realised by weights with exactly these overlaps, oriented at random by (seed, dimension).

    Status: converged (all steps were done), or diverged if an overlap was no longer finite; then
    the last finite record, or the start, is repeated with its time.
    """
    unit = step_size / (width * dimension)
    records = np.floor(np.asarray((0.0, *times)) / unit[:, None] + 0.5)
    runs = []
    for point, instance in enumerate(seed):
        student, teacher = start_weights(
            initial,
            width=width,
            teacher_width=teacher_width,
            dimension=dimension,
            seed=int(instance),
        )
        runs.append(
            Run.start(
                student,
                teacher,
                rate=float(step_size[point]) / width,
                noise=float(noise[point]),
                records=records[point].astype(np.int64),
            )
        )
    for instance in np.unique(seed):
        descend(
            [run for run, own in zip(runs, seed, strict=True) if own == instance],
            seed=int(instance),
            dimension=dimension,
        )
    own = np.stack([run.student_overlap for run in runs])
    cross = np.stack([run.teacher_overlap for run in runs])
    target = np.stack([run.teacher @ run.teacher.T / dimension for run in runs])
    finite = np.isfinite(own).all(axis=(2, 3)) & np.isfinite(cross).all(axis=(2, 3))
    last = np.logical_and.accumulate(finite, axis=1).sum(axis=1) - 1
    every = np.arange(len(runs))[:, None]
    rows = np.minimum(np.arange(1, len(times) + 1), last[:, None])
    return {
        **measured(own[every, rows], cross[every, rows], target),
        "recorded_time": records[every, rows] * unit[:, None],
        "status": np.where(last == len(times), Status.CONVERGED, Status.DIVERGED),
        "steps": records[:, -1].astype(np.int64),
        "residual": np.max(np.abs(records[:, 1:] * unit[:, None] - times), axis=1),
    }

"""The simulation: gradient descent with weights and samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import is_numpy_namespace

from solvers.axes import FileContent
from solvers.contract import Cost, Status
from solvers.systems.sgd_two_layer.descent import Run, descend
from solvers.systems.sgd_two_layer.lockstep import descend_together
from solvers.systems.sgd_two_layer.model import GIVES, measured, system, units
from solvers.systems.sgd_two_layer.starts import check_start, start_weights


def _sgd_flops(
    *, width: Any, teacher_width: Any, dimension: Any, step_size: Any, times: Any, **_: Any
) -> Any:
    """Drawing a sample costs about ten weights' worth; then every weight is used twice."""
    count = width + teacher_width
    one_step = 200 + 30 * count + 3 * dimension + 0.35 * count * dimension
    return one_step * np.floor(times[-1] * width * dimension / step_size + 0.5) + 1e5


@system.simulation(
    version=2,
    gives=GIVES,
    check=check_start,
    size="dimension",
    shares=("width", "teacher_width", "dimension"),
    devices=("cpu", "gpu"),
    cost=Cost(
        flops=_sgd_flops,
        memory=lambda *, width, teacher_width, dimension, times, **_: (
            8 * (width + teacher_width) * (3 * dimension + 2 * len(times) * width)
        ),
        shared_memory=lambda **_: 2**22,
    ),
)
def sgd(
    *,
    width: int,
    teacher_width: int,
    activation: str,
    teacher_activation: str,
    second_layer: str,
    step_size: np.ndarray,
    noise: np.ndarray,
    initial: str | FileContent,
    times: tuple[float, ...],
    dimension: int,
    seed: np.ndarray,
    xp: Any,
) -> dict[str, Any]:
    """Stochastic gradient descent with weights and fresh samples in `dimension` dimensions.

    A run takes times[-1] · width · dimension/step_size steps of about
    (3 + 0.35 (width + teacher_width)) · dimension nanoseconds on a CPU, where a compiled kernel
    walks run after run; on a GPU all runs of a batch, hundreds of seeds, take each step together.
    Overlaps are recorded at the step nearest to each asked time, and `recorded_time` says when that
    was; `residual` is the largest distance to the asked time, step_size/(2 · width · dimension) at
    most. `steps` counts updates.

    Samples are drawn in single, weights are kept in double precision. A start from a file is
    realised by weights with exactly these overlaps, oriented at random by (seed, dimension).

    Status: converged (all steps were done), or diverged if the prediction error of a sample passed
    1e8: `diverged_at` is the time, and the last record before it, or the start, is repeated.
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
    network: dict[str, Any] = {
        "dimension": dimension,
        "units": units(activation, teacher_activation),
        "trained": second_layer == "trained",
    }
    if is_numpy_namespace(xp):
        for instance in np.unique(seed):
            descend(
                [run for run, own in zip(runs, seed, strict=True) if own == instance],
                seed=int(instance),
                **network,
            )
    else:
        descend_together(runs, seed, xp=xp, **network)
    return _answer(runs, records, unit, np.asarray(times), network["units"])


def _answer(
    runs: list[Run],
    records: np.ndarray,
    unit: np.ndarray,
    times: np.ndarray,
    names: tuple[str, str],
) -> dict[str, Any]:
    """Observables of finished runs; records that a run did not reach repeat the one before."""
    own = np.stack([run.student_overlap for run in runs])
    cross = np.stack([run.teacher_overlap for run in runs])
    second = np.stack([run.second_records for run in runs])
    target = np.stack([run.teacher @ run.teacher.T / run.teacher.shape[1] for run in runs])
    diverged = np.array([run.diverged for run in runs])
    last = np.array([run.following for run in runs]) - 1
    every = np.arange(len(runs))[:, None]
    rows = np.minimum(np.arange(1, len(times) + 1), last[:, None])
    return {
        **measured(
            own[every, rows],
            cross[every, rows],
            target,
            second[every, rows],
            times=records[every, rows] * unit[:, None],
            diverged_at=np.where(diverged >= 0, diverged * unit, np.nan),
            units=names,
        ),
        "status": np.where(diverged >= 0, Status.DIVERGED, Status.CONVERGED),
        "steps": np.where(diverged >= 0, diverged, records[:, -1]).astype(np.int64),
        "residual": np.max(np.abs(records[:, 1:] * unit[:, None] - times), axis=1),
    }

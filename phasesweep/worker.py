"""What runs inside a worker: one task, which is a few batches of one method.

Only this module crosses to the workers. It imports the system there, and answers with arrays.
"""

from __future__ import annotations

import importlib
import signal
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.contract import Method, Status, load_system


def dask_setup(worker: Any) -> None:
    """Called by Dask when a worker starts: Ctrl-C is for the driver, which flushes and stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@dataclass
class Answer:
    """The rows of one batch. Failed points have empty observables and a message; others may."""

    observables: dict[str, np.ndarray]
    status: np.ndarray
    steps: np.ndarray
    residual: np.ndarray
    seconds: np.ndarray
    messages: dict[int, str]


def solve_task(
    system: str,
    method: str,
    version: int,
    batches: list[tuple[int, Mapping[str, Any]]],
    device: str,
) -> list[Answer]:
    """Solve batches, each given as (number of points, values)."""
    declared = load_system(system).methods[method]
    if declared.version != version:
        raise RuntimeError(
            f"this worker has version {declared.version} of {system} {method}, the run has "
            f"{version}; install the same phasesweep on both"
        )
    return [solve_batch(declared, count, values, device) for count, values in batches]


def solve_batch(method: Method, count: int, values: Mapping[str, Any], device: str) -> Answer:
    """Solve one batch; if it raises, solve its points one by one to find which ones do."""
    started = time.perf_counter()
    try:
        answer = method(count, values, array_namespace(device))
    except Exception as error:  # noqa: BLE001 - any failure of a solver becomes a row with its message
        if count == 1:
            return failed_answer(method, 1, _message(error), time.perf_counter() - started)
        singles = [solve_batch(method, 1, _single(method, values, i), device) for i in range(count)]
        return join_answers(method, singles)
    seconds = (time.perf_counter() - started) / count
    return Answer(
        observables={name: answer[name] for name in method.gives},
        status=answer["status"],
        steps=answer["steps"],
        residual=answer["residual"],
        seconds=np.full(count, seconds),
        messages={i: text for i, text in enumerate(answer.get("message", ())) if text},
    )


def array_namespace(device: str) -> Any:
    """The array API namespace of a device: NumPy, or CuPy on a GPU."""
    return importlib.import_module(f"array_api_compat.{'cupy' if device == 'gpu' else 'numpy'}")


def failed_answer(method: Method, count: int, message: str, seconds: float = 0.0) -> Answer:
    """Rows for points that raised: status FAILED, observables of zero size or not a number."""
    observables = {}
    for name, observable in method.observables.items():
        shape = (count, *(0 for _ in observable.dims))
        fill = np.nan if observable.dtype.kind == "f" else 0
        observables[name] = np.full(shape, fill, observable.dtype)
    return Answer(
        observables=observables,
        status=np.full(count, Status.FAILED, np.int8),
        steps=np.zeros(count, np.int64),
        residual=np.full(count, np.nan),
        seconds=np.full(count, seconds / count),
        messages=dict.fromkeys(range(count), message),
    )


def join_answers(method: Method, answers: list[Answer]) -> Answer:
    """One answer from the answers of single points; failed points take the shape of the others."""
    shapes = {
        name: np.max([a.observables[name].shape[1:] for a in answers], axis=0).astype(int)
        for name in method.gives
    }

    def padded(array: np.ndarray, shape: np.ndarray) -> np.ndarray:
        if array.shape[1:] == tuple(shape):
            return array
        return np.full((len(array), *shape), np.nan if array.dtype.kind == "f" else 0, array.dtype)

    messages: dict[int, str] = {}
    offset = 0
    for answer in answers:
        messages |= {offset + i: text for i, text in answer.messages.items()}
        offset += len(answer.status)
    return Answer(
        observables={
            n: np.concatenate([padded(a.observables[n], shapes[n]) for a in answers])
            for n in method.gives
        },
        status=np.concatenate([a.status for a in answers]),
        steps=np.concatenate([a.steps for a in answers]),
        residual=np.concatenate([a.residual for a in answers]),
        seconds=np.concatenate([a.seconds for a in answers]),
        messages=messages,
    )


def _single(method: Method, values: Mapping[str, Any], position: int) -> dict[str, Any]:
    return {
        name: value[position : position + 1] if name in method.columns else value
        for name, value in values.items()
    }


def _message(error: Exception) -> str:
    """The exception and the line that raised it: enough to find it, short enough for a row."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
    return f"{type(error).__name__}: {error} ({where})"[:500]

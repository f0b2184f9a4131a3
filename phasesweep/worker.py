"""What runs inside a worker: one task, which is a few batches of one method.

Only this module crosses to the workers. It imports the system there, and answers with arrays.
"""

from __future__ import annotations

import importlib
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from phasesweep.bounds import OutOfTimeError, bounded_memory, last_resort
from phasesweep.lateness import LAST_SECONDS, Teller
from phasesweep.limits import out_of_time
from phasesweep.streams import own_stream
from solvers.contract import Method, Status, load_system


def dask_setup(worker: Any) -> None:
    """Called by Dask when a worker starts: Ctrl-C is for the driver, which flushes and stops it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


_turn = threading.Lock()
"""Memory is bounded for the whole process, so that computations on its CPU take turns."""


class DeviceFullError(RuntimeError):
    """A computation got no memory of a device that it shares with others; alone it may."""


@dataclass
class Answer:
    """The rows of one batch. Failed points have empty observables and a message; others may."""

    observables: dict[str, np.ndarray]
    status: np.ndarray
    steps: np.ndarray
    residual: np.ndarray
    seconds: np.ndarray
    messages: dict[int, str]


@dataclass(frozen=True)
class Task:
    """A few batches of one method, and what they may spend."""

    system: str
    method: str
    version: int
    batches: list[tuple[int, Mapping[str, Any], float]]
    """(number of points, values, seconds that it may take)."""
    device: str
    attempts: int
    memory: float
    """Bytes that the computation may take beyond what the worker holds; 0 leaves it open. On a
    device, the bytes that all computations on it were promised together."""
    crowded: bool
    """Whether others compute on the device at the same time."""
    topic: str
    number: int


def solve_task(task: Task) -> list[Answer]:
    """Solve the batches of a task."""
    declared = load_system(task.system).methods[task.method]
    if declared.version != task.version:
        raise RuntimeError(
            f"this worker has version {declared.version} of {task.system} {task.method}, the run "
            f"has {task.version}; install the same phasesweep on both"
        )
    teller = Teller(task.topic, task.number)

    @contextmanager
    def bounds(seconds: float) -> Iterator[None]:
        teller.tell()
        with last_resort(seconds + LAST_SECONDS):
            yield

    with ExitStack() as stack:
        if task.device == "gpu":
            stack.enter_context(own_stream(task.memory))
        else:
            # Memory of a device is not counted by the operating system, but addresses for it are.
            stack.enter_context(_turn)
            stack.enter_context(bounded_memory(task.memory))
        return [
            solve_batch(
                *(declared, count, values, task.device, seconds),
                bounds=bounds,
                attempts=task.attempts,
                crowded=task.crowded,
            )
            for count, values, seconds in task.batches
        ]


def _unbounded(seconds: float) -> AbstractContextManager[None]:
    return nullcontext()


def solve_batch(
    method: Method,
    count: int,
    values: Mapping[str, Any],
    device: str,
    seconds: float = 0.0,
    *,
    bounds: Callable[[float], AbstractContextManager[None]] = _unbounded,
    attempts: int = 1,
    crowded: bool = False,
) -> Answer:
    """Solve one batch; if it raises or is ended by `bounds(seconds)`, solve its points one by one.

    A point that still does so is tried `attempts` times by itself, and then recorded as failed.
    Want of memory in a `crowded` device raises DeviceFullError.
    """
    started = time.perf_counter()
    try:
        with bounds(seconds):
            answer = method(count, values, array_namespace(device))
    except (Exception, OutOfTimeError) as error:  # noqa: BLE001 - any failure of a solver becomes a row with its message
        late = isinstance(error, OutOfTimeError)
        message = out_of_time(seconds) if late else _message(error)
        full = crowded and isinstance(error, MemoryError)
        del error  # its frames hold the arrays of the batch
        spent = time.perf_counter() - started
    else:
        return _answer(method, count, answer, time.perf_counter() - started)
    if full:
        raise DeviceFullError(message)
    if count == 1 and attempts <= 1:
        return failed_answer(method, 1, message, spent)
    # A batch of one has had its first attempt.
    left = attempts if count > 1 else attempts - 1
    singles = [
        solve_batch(
            *(method, 1, _single(method, values, i), device, seconds),
            bounds=bounds,
            attempts=left,
            crowded=crowded,
        )
        for i in range(count)
    ]
    return join_answers(method, singles)


def _answer(method: Method, count: int, answer: Mapping[str, Any], spent: float) -> Answer:
    return Answer(
        observables={name: answer[name] for name in method.gives},
        status=answer["status"],
        steps=answer["steps"],
        residual=answer["residual"],
        seconds=np.full(count, spent / count),
        messages=_not_finite(method, answer)
        | {i: text for i, text in enumerate(answer.get("message", ())) if text},
    )


def _not_finite(method: Method, answer: Mapping[str, Any]) -> dict[int, str]:
    """A sentence for every converged point with a number that is none. It keeps its status: a
    method may have nothing to give there, and then says why itself."""
    named: dict[int, list[str]] = {}
    for name, observable in method.observables.items():
        if observable.dtype.kind == "f" and not observable.dims:
            bad = ~np.isfinite(answer[name]) & (answer["status"] == Status.CONVERGED)
            for i in np.flatnonzero(bad).tolist():
                named.setdefault(i, []).append(name)
    return {i: f"{', '.join(names)} not finite" for i, names in named.items()}


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


def _message(error: BaseException) -> str:
    """The exception and the line that raised it: enough to find it, short enough for a row."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
    return f"{type(error).__name__}: {error} ({where})"[:500]

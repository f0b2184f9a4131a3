"""Solving batches: in this process one after the other, or over Dask with few tasks in flight.

Tasks that run past their time are taken back, those whose worker died are halved until the point
that does it is alone, and points are tried again as the limits allow.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from phasesweep.batches import Batch, cut
from phasesweep.bounds import alarm, bounded_memory, machine_memory
from phasesweep.cluster import DEFAULT_WORKER_MEMORY, Cluster
from phasesweep.errors import StoppedError, UserError
from phasesweep.grid import Points
from phasesweep.lateness import Clock
from phasesweep.limits import Limits, out_of_time
from phasesweep.worker import Answer, DeviceFullError, Task, failed_answer, solve_batch, solve_task

TASK_SECONDS = 2.0
"""Small batches travel together: a task costs milliseconds of the scheduler's time."""
TASK_SECONDS_PER_WORKER = 0.02
"""Many workers get longer tasks, or one driver could not hand them out fast enough."""
TASKS_PER_WORKER = 4
"""At least so many, however long tasks should be: the last ones end at different times."""
IN_FLIGHT_PER_WORKER = 3
WAIT_SECONDS = 0.1
"""How long the driver waits for an answer before it looks whether a task is late."""


def here(points: Points, limits: Limits) -> Iterator[tuple[Batch, Answer]]:
    """Solve in this process, batch by batch."""
    memory = machine_memory()
    fits, too_large = _by_memory(cut(points, memory=DEFAULT_WORKER_MEMORY), memory)
    for batch in too_large:
        message = f"one point declares {batch.memory / 2**30:.2f} GiB and this machine has "
        message += f"{memory / 2**30:.2f} GiB; use a cluster file with more memory"
        yield batch, failed_answer(points.method, len(batch), message)

    @contextmanager
    def bounds(seconds: float) -> Iterator[None]:
        with bounded_memory(memory), alarm(seconds):
            yield

    for batch in fits:
        seconds = limits.allowed(batch.seconds)
        yield (
            batch,
            solve_batch(
                *(points.method, len(batch), batch.values, "cpu", seconds),
                bounds=bounds,
                attempts=limits.attempts,
            ),
        )


def over_dask(points: Points, cluster: Cluster, limits: Limits) -> Iterator[tuple[Batch, Answer]]:
    """Solve over a cluster, with few tasks in flight, longest first."""
    from distributed import KilledWorker, as_completed

    method = points.method
    device = cluster.device if cluster.device in method.devices else "cpu"
    on_gpu = cluster.device == "gpu"
    cluster = replace(cluster, memory=cluster.memory_for(device))
    fits, too_large = _by_memory(cut(points, memory=cluster.memory), cluster.memory)
    for batch in too_large:
        message = f"one point declares {batch.memory / 2**30:.2f} GiB and " + (
            f"a device has {cluster.memory / 2**30:.2f} GiB free; use larger devices, or CPUs"
            if device == "gpu"
            else f"a worker has {cluster.memory / 2**30:.2f} GiB; give workers more memory in the "
            "cluster file"
        )
        yield batch, failed_answer(method, len(batch), message)
    waiting = _tasks(fits, task_seconds(sum(batch.seconds for batch in fits), _places(cluster)))
    # Answers are fetched behind: a worker in compiled code may not give them out for long.
    pending = as_completed(with_results=True, raise_errors=False)
    in_flight: dict[Any, tuple[int, list[Batch]]] = {}
    numbers = itertools.count()
    tries: Counter[int] = Counter()
    alone: set[int] = set()
    """First points of batches that are not to share a device."""
    with _needing_the_scheduler():
        clock = Clock(cluster.client)

    def asked(task: list[Batch]) -> float:
        """The part of a device: all of it for the CPU of its worker, whose memory is one, too."""
        if device == "cpu" or not alone.isdisjoint(int(batch.index[0]) for batch in task):
            return 1.0
        return cluster.share(max(batch.memory for batch in task))

    def by_itself(task: list[Batch]) -> None:
        """Try a task again with nobody else on the device; in company it was no attempt."""
        alone.update(int(batch.index[0]) for batch in task)
        waiting.append(task)

    def submit() -> None:
        limit = IN_FLIGHT_PER_WORKER * _places(cluster)
        while waiting and len(in_flight) < limit:
            task, number = waiting.pop(), next(numbers)
            batches = [(len(b), b.values, limits.allowed(b.seconds)) for b in task]
            clock.expect(number, max(seconds for _, _, seconds in batches))
            part = asked(task)
            future = cluster.client.submit(
                solve_task,
                Task(
                    *(method.system.name, method.name, method.version, batches, device),
                    *(limits.attempts, cluster.memory, part < 1.0, clock.topic, number),
                ),
                pure=False,
                resources={"GPU": part} if on_gpu else None,
            )
            in_flight[future] = number, task
            pending.add(future)

    def again(task: list[Batch], parts: list[list[Batch]], attempts: int) -> bool:
        """Whether the task, in parts or as it was if it is one point, is to be tried again."""
        if not parts:
            (point,) = task[0].index.tolist()
            tries[point] += 1
            parts = [task] if tries[point] < attempts else []
        waiting.extend(parts)
        return bool(parts)

    with _needing_the_scheduler():
        submit()
    while in_flight:
        late = clock.late()
        for future in [f for f, (number, _) in in_flight.items() if number in late]:
            if future.done():
                clock.forget(in_flight[future][0])  # only its answer is late
                continue
            number, task = in_flight.pop(future)
            clock.forget(number)
            with _needing_the_scheduler():
                future.cancel()  # its worker ends itself
            if not again(task, _parts(task, points, cluster.memory), limits.attempts):
                seconds = limits.allowed(task[0].seconds)
                yield task[0], failed_answer(method, 1, out_of_time(seconds), seconds)
        if late:
            with _needing_the_scheduler():
                submit()
        future, answers = next(pending) if pending.has_ready() else (None, [])
        if future is None:
            with pending.thread_condition:
                pending.thread_condition.wait(WAIT_SECONDS)
            lost = next((f for f in in_flight if f.cancelled()), None)
            if lost is not None:
                with _needing_the_scheduler():
                    lost.result()
            # An answer that died with its workers before it was fetched is not announced.
            future = next((f for f in in_flight if f.status == "error"), None)
        if future not in in_flight:
            continue  # nothing yet, or it was late
        number, task = in_flight.pop(future)
        with _needing_the_scheduler():
            error = future.result() if future.cancelled() else future.exception()
        if error is None:
            yield from zip(task, answers, strict=True)
        elif isinstance(error, KilledWorker):
            # A point that never began was only near workers that died.
            attempts = limits.attempts if clock.began(number) else max(3, limits.attempts)
            parts = _halves(task, points, cluster.memory)
            if not parts and asked(task) < 1.0:
                by_itself(task)
            elif not again(task, parts, attempts):
                message = "the worker died several times on this point; it may need more memory"
                yield task[0], failed_answer(method, 1, message)
        elif isinstance(error, DeviceFullError):
            by_itself(task)
        else:
            raise UserError(f"{method.system.name} {method.name}: {error}")
        clock.forget(number)
        with _needing_the_scheduler():
            future.release()
            submit()


def _places(cluster: Cluster) -> int:
    """Tasks that may be computed at once, now or when the cluster has grown."""
    return max(1, cluster.workers, sum(cluster.client.nthreads().values()))


@contextmanager
def _needing_the_scheduler() -> Iterator[None]:
    """Say in one sentence that the scheduler is gone, however it shows."""
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    try:
        yield
    except (FutureCancelledError, CommClosedError, OSError):
        raise StoppedError(
            "the scheduler was lost; every flushed point is kept, and running again computes only "
            "the rest"
        ) from None


def _by_memory(batches: list[Batch], memory: float) -> tuple[list[Batch], list[Batch]]:
    fits = [b for b in batches if b.memory <= memory]
    return fits, [b for b in batches if b.memory > memory]


def task_seconds(declared: float, workers: int) -> float:
    """How much work travels in one task, given all of it and the number of workers."""
    fair = declared / (TASKS_PER_WORKER * workers)
    return max(TASK_SECONDS, min(TASK_SECONDS_PER_WORKER * workers, fair))


def _tasks(batches: list[Batch], seconds: float) -> list[list[Batch]]:
    """Bundles of batches worth a task each, shortest first (they are taken from the end)."""
    tasks: list[list[Batch]] = []
    room = 0.0
    for batch in batches:
        if batch.seconds > room:
            tasks.append([])
            room = seconds
        tasks[-1].append(batch)
        room -= batch.seconds
    return sorted(tasks, key=lambda task: sum(batch.seconds for batch in task))


def _halves(task: list[Batch], points: Points, memory: float) -> list[list[Batch]]:
    """The task in two parts, to find what kills workers; nothing if it is a single point."""
    if len(task) > 1:
        middle = len(task) // 2
        return [task[:middle], task[middle:]]
    batch = task[0]
    if len(batch) == 1:
        return []
    parts = np.array_split(batch.index, 2)
    return [[_rebatch(points, index, memory)] for index in parts]


def _parts(task: list[Batch], points: Points, memory: float) -> list[list[Batch]]:
    """The batches of a task that was late, or the points of its only batch; nothing of a point.

    A hung part wastes its whole time limit, so the rest is parted from it as soon as possible.
    """
    if len(task) > 1:
        return [[batch] for batch in task]
    index = task[0].index
    singles = np.array_split(index, len(index)) if len(index) > 1 else []
    return [[_rebatch(points, index, memory)] for index in singles]


def _rebatch(points: Points, index: np.ndarray, memory: float) -> Batch:
    (batch,) = cut(points.take(index), memory=memory, seconds=math.inf)
    return Batch(index, batch.values, batch.seconds, batch.memory)

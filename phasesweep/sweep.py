"""Running points: missing points -> batches -> this process or Dask -> rows -> cache -> manifest.

Rows are flushed to the cache every few hundred points or few seconds, so that a kill at any instant
loses at most one flush. Anything that ends the run early (Ctrl-C, SIGTERM, an error) flushes first.
"""

from __future__ import annotations

import itertools
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from phasesweep.batches import Batch, cut
from phasesweep.bounds import alarm, bounded_memory, machine_memory
from phasesweep.cache import Cache, Coded, Rows
from phasesweep.cache.keys import Ascending, sortable
from phasesweep.cluster import DEFAULT_WORKER_MEMORY, Cluster, ClusterFile, open_cluster
from phasesweep.errors import StoppedError, UserError
from phasesweep.grid import Points
from phasesweep.lateness import Clock
from phasesweep.limits import Limits, out_of_time
from phasesweep.progress import Progress
from phasesweep.provenance import provenance
from phasesweep.worker import Answer, Task, failed_answer, solve_batch, solve_task
from solvers.axes import FileContent
from solvers.contract import Method, Status

FLUSH_ROWS = 500
FLUSH_SECONDS = 10.0
FLUSH_BYTES = 64 * 2**20
FLUSH_MOST_ROWS = 50_000
"""As many as compaction puts together: a reader holds a whole segment."""
FLUSH_SHARE = 0.1
"""Most of the time that flushes may take: where rows come fast or the disk is slow, they grow."""
SMALL_SECONDS = 5.0
"""Declared work below this runs in the calling process: a cluster takes longer to start."""
TASK_SECONDS = 2.0
"""Small batches travel together: a task costs milliseconds of the scheduler's time."""
TASK_SECONDS_PER_WORKER = 0.02
"""Many workers get longer tasks, or one driver could not hand them out fast enough."""
TASKS_PER_WORKER = 4
"""At least so many, however long tasks should be: the last ones end at different times."""
IN_FLIGHT_PER_WORKER = 3
MANIFEST_FAILURES = 100
WAIT_SECONDS = 0.1
"""How long the driver waits for an answer before it looks whether a task is late."""


@dataclass
class Report:
    """What a run did with the points it was asked for."""

    asked: int = 0
    found: int = 0
    computed: int = 0
    failed: int = 0
    seconds: float = 0.0
    failures: list[dict[str, Any]] = field(default_factory=list)
    """The first failed points, each with its message."""
    statuses: dict[str, int] = field(default_factory=dict)
    """How the computed points ended."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Segments that could not be read, each with the reason; their points count as missing."""

    def add(self, other: Report) -> None:
        """Add what another run did."""
        self.asked += other.asked
        self.found += other.found
        self.computed += other.computed
        self.failed += other.failed
        self.seconds += other.seconds
        self.failures = (self.failures + other.failures)[:MANIFEST_FAILURES]
        self.damaged |= other.damaged
        for name, count in other.statuses.items():
            self.statuses[name] = self.statuses.get(name, 0) + count


def missing(points: Points, cache: Cache, *, failed: str = "again") -> tuple[np.ndarray, int]:
    """(positions of points to compute, number of those that failed before).

    Points that failed are asked again (a failure is an exception, which a lost worker can also
    cause), unless `failed` is "keep".
    """
    method, first = points.method, points.distinct
    place = method.system.name, method.name, method.version
    asked = Ascending(sortable(points.key_table[first]))
    status = cache.locate(*place, asked).status
    again = (status == Status.FAILED) & (failed == "again")
    wanted = np.flatnonzero((status < 0) | again)
    return np.sort(first[wanted]), int(np.count_nonzero(status[wanted] == Status.FAILED))


def shard_of(points: Points, shard: int, shards: int) -> Points:
    """The part of the points that shard `shard` of `shards` (from 1) computes.

    Cut by the points alone, whole groups of shared instances at a time where there are enough.
    """
    if shards == 1:
        return points
    batches = cut(points, memory=DEFAULT_WORKER_MEMORY)
    if len(batches) < shards:
        return points.take(np.arange(shard - 1, len(points), shards))
    own = batches[shard - 1 :: shards]
    return points.take(np.sort(np.concatenate([b.index for b in own])))


def run(
    points: Points,
    cache: Cache,
    *,
    cluster: ClusterFile | None = None,
    label: str = "",
    quiet: bool = False,
    limits: Limits | None = None,
) -> Report:
    """Compute the missing points and store them; returns what was done.

    `cluster` is used if the declared work is more than a few seconds (a running scheduler always);
    without one, such work goes to local processes.
    """
    from phasesweep.cluster.gpu import check_device

    started = time.monotonic()
    asked = len(points.distinct)
    limits = limits or Limits()
    todo, _ = missing(points, cache, failed=limits.failed)
    method = points.method
    damaged = cache.damaged(method.system.name, method.name, method.version)
    report = Report(asked=asked, found=asked - len(todo), damaged=dict(damaged))
    if not len(todo):
        return report
    wanted = points.take(todo)
    file = cluster or ClusterFile()
    check_device(file)
    declared, needs = estimate(wanted.method, wanted, file.memory)
    with ExitStack() as stack:
        device = "cpu"
        folder = Path(cache.root).parent
        told = {}
        if file.kind != "address" and declared < SMALL_SECONDS:
            solved = _here(wanted, limits)
        else:
            opened = stack.enter_context(open_cluster(file, data=folder, needs=needs))
            device = opened.device if opened.device in wanted.method.devices else "cpu"
            if not quiet:
                sys.stderr.write(f"{label}: {opened.label}; dashboard at {opened.dashboard}\n")
            solved = _over_dask(wanted, opened, limits)
            told = {"cluster": opened.label, "dashboard": opened.dashboard}
        progress = stack.enter_context(
            Progress(len(wanted), label, quiet=quiet, data=folder, found=report.found, **told)
        )
        # Entered last, so that it flushes first, before workers are waited for.
        collector = stack.enter_context(_Collector(wanted, cache, device, progress.stored))
        for batch, answer in solved:
            collector.add(batch, answer)
            failed = int(np.count_nonzero(answer.status == Status.FAILED))
            progress.advance(len(batch), failed)
            _count(report, wanted, batch, answer)
    report.seconds = time.monotonic() - started
    return report


def _count(report: Report, points: Points, batch: Batch, answer: Answer) -> None:
    for code, count in zip(*np.unique(answer.status, return_counts=True), strict=True):
        name = Status(int(code)).name.lower()
        report.statuses[name] = report.statuses.get(name, 0) + int(count)
    failed = np.flatnonzero(answer.status == Status.FAILED)
    report.failed += len(failed)
    report.computed += len(batch) - len(failed)
    for position in failed[: MANIFEST_FAILURES - len(report.failures)].tolist():
        point = points.point(int(batch.index[position]))
        shown = {n: v if isinstance(v, int | float) else str(v) for n, v in point.items()}
        report.failures.append({"point": shown, "message": answer.messages[position]})


def _here(points: Points, limits: Limits) -> Iterator[tuple[Batch, Answer]]:
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


def _over_dask(points: Points, cluster: Cluster, limits: Limits) -> Iterator[tuple[Batch, Answer]]:
    """Solve over a cluster, with few tasks in flight, longest first."""
    from distributed import KilledWorker, as_completed

    method = points.method
    device = cluster.device if cluster.device in method.devices else "cpu"
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
    workers = max(1, cluster.workers, len(cluster.client.nthreads()))
    waiting = _tasks(fits, task_seconds(sum(batch.seconds for batch in fits), workers))
    # Answers are fetched behind: a worker in compiled code may not give them out for long.
    pending = as_completed(with_results=True, raise_errors=False)
    in_flight: dict[Any, tuple[int, list[Batch]]] = {}
    numbers = itertools.count()
    tries: Counter[int] = Counter()
    with _needing_the_scheduler():
        clock = Clock(cluster.client)

    def submit() -> None:
        workers = max(1, cluster.workers, len(cluster.client.nthreads()))
        limit = IN_FLIGHT_PER_WORKER * workers
        while waiting and len(in_flight) < limit:
            task, number = waiting.pop(), next(numbers)
            batches = [(len(b), b.values, limits.allowed(b.seconds)) for b in task]
            clock.expect(number, max(seconds for _, _, seconds in batches))
            future = cluster.client.submit(
                solve_task,
                Task(
                    *(method.system.name, method.name, method.version, batches, device),
                    *(limits.attempts, cluster.memory, clock.topic, number),
                ),
                pure=False,
                resources={"GPU": 1} if device == "gpu" else None,
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
            if not again(task, _halves(task, points, cluster.memory), attempts):
                message = "the worker died several times on this point; it may need more memory"
                yield task[0], failed_answer(method, 1, message)
        else:
            raise UserError(f"{method.system.name} {method.name}: {error}")
        clock.forget(number)
        with _needing_the_scheduler():
            future.release()
            submit()


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


class _Collector:
    """Holds rows until a flush is due, and writes them as segments of uniform shape."""

    def __init__(
        self, points: Points, cache: Cache, device: str, stored: Callable[[int], None]
    ) -> None:
        self.stored = stored
        self.points = points
        self.cache = cache
        self.device = device
        self._held: dict[tuple, list[tuple[Batch, Answer]]] = {}
        self._rows = 0
        self._bytes = 0
        self._flushed = time.monotonic()
        self._pause = 0.0

    def __enter__(self) -> _Collector:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def add(self, batch: Batch, answer: Answer) -> None:
        """Take the rows of one batch; flush if it is time."""
        shape = tuple(answer.observables[n].shape[1:] for n in self.points.method.gives)
        self._held.setdefault(shape, []).append((batch, answer))
        self._rows += len(batch)
        self._bytes += sum(array.nbytes for array in answer.observables.values())
        waited = time.monotonic() - self._flushed
        enough = self._rows >= FLUSH_ROWS and waited >= self._pause
        full = self._rows >= FLUSH_MOST_ROWS or self._bytes >= FLUSH_BYTES
        if enough or full or waited > FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        started = time.monotonic()
        while self._held:
            _, parts = self._held.popitem()
            declared = sum(batch.seconds for batch, _ in parts)
            header = provenance(self.device) | {"declared_seconds": declared}
            self.cache.write(_rows(self.points, parts), header)
            self.stored(sum(len(batch) for batch, _ in parts))
        self._rows = self._bytes = 0
        self._flushed = time.monotonic()
        self._pause = (self._flushed - started) * (1.0 / FLUSH_SHARE - 1.0)


def _rows(points: Points, parts: list[tuple[Batch, Answer]]) -> Rows:
    """The rows of some batches with equal shapes."""
    method = points.method
    index = np.concatenate([batch.index for batch, _ in parts])
    taken = points.take(index)
    messages: list[str] = []
    for batch, answer in parts:
        messages += [answer.messages.get(i, "") for i in range(len(batch))]
    return Rows(
        system=method.system.name,
        method=method.name,
        version=method.version,
        keys=taken.key_table,
        parameters={axis: _parameter(taken, axis) for axis in taken.columns},
        observables={
            n: np.concatenate([answer.observables[n] for _, answer in parts]) for n in method.gives
        },
        dims={n: o.dims for n, o in method.observables.items() if o.dims},
        labels={n: o.labels for n, o in method.observables.items() if o.labels},
        status=np.concatenate([answer.status for _, answer in parts]),
        steps=np.concatenate([answer.steps for _, answer in parts]),
        residual=np.concatenate([answer.residual for _, answer in parts]),
        seconds=np.concatenate([answer.seconds for _, answer in parts]),
        messages=Coded.of(messages),
    )


def _parameter(points: Points, axis: str) -> np.ndarray | Coded:
    if axis not in points.values:
        return points.columns[axis]
    plain = [str(v) if isinstance(v, FileContent) else v for v in points.values[axis]]
    return Coded(points.columns[axis].astype(np.int32), plain)


def estimate(method: Method, points: Points, memory: int = 0) -> tuple[float, float]:
    """(declared seconds of one core, bytes of the largest batch) for these points.

    `memory` is that of a worker, if it is known.
    """
    batches = cut(points, memory=memory or DEFAULT_WORKER_MEMORY) if len(points) else []
    return sum(b.seconds for b in batches), max((b.memory for b in batches), default=0.0)

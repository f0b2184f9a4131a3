"""Running points: missing points -> batches -> this process or Dask -> rows -> cache -> manifest.

Rows are flushed to the cache every few hundred points or few seconds, so that a kill at any instant
loses at most one flush. Anything that ends the run early (Ctrl-C, SIGTERM, an error) flushes first.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phasesweep.batches import Batch, cut
from phasesweep.cache import Cache, Coded, Rows
from phasesweep.cache.keys import Ascending, sortable
from phasesweep.cluster import DEFAULT_WORKER_MEMORY, Cluster, ClusterFile, open_cluster
from phasesweep.errors import StoppedError, UserError
from phasesweep.grid import Points
from phasesweep.progress import Progress
from phasesweep.provenance import provenance
from phasesweep.worker import Answer, failed_answer, solve_batch, solve_task
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


def missing(points: Points, cache: Cache) -> tuple[np.ndarray, int]:
    """(positions of points to compute, number of those that failed before).

    Points that failed are asked again: a failure is an exception, which a lost worker can also
    cause.
    """
    method, first = points.method, points.distinct
    place = method.system.name, method.name, method.version
    asked = Ascending(sortable(points.key_table[first]))
    status = cache.locate(*place, asked).status
    wanted = np.flatnonzero((status < 0) | (status == Status.FAILED))
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
) -> Report:
    """Compute the missing points and store them; returns what was done.

    `cluster` is used if the declared work is more than a few seconds (a running scheduler always);
    without one, such work goes to local processes.
    """
    started = time.monotonic()
    asked = len(points.distinct)
    todo, _ = missing(points, cache)
    method = points.method
    damaged = cache.damaged(method.system.name, method.name, method.version)
    report = Report(asked=asked, found=asked - len(todo), damaged=dict(damaged))
    if not len(todo):
        return report
    wanted = points.take(todo)
    file = cluster or ClusterFile()
    declared, needs = estimate(wanted.method, wanted, file.memory)
    with ExitStack() as stack:
        device = "cpu"
        folder = Path(cache.root).parent
        told = {}
        if file.kind != "address" and declared < SMALL_SECONDS:
            solved = _here(wanted)
        else:
            opened = stack.enter_context(open_cluster(file, data=folder, needs=needs))
            device = opened.device if opened.device in wanted.method.devices else "cpu"
            if not quiet:
                sys.stderr.write(f"{label}: {opened.label}; dashboard at {opened.dashboard}\n")
            solved = _over_dask(wanted, opened)
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


def _here(points: Points) -> Iterator[tuple[Batch, Answer]]:
    """Solve in this process, batch by batch."""
    for batch in cut(points, memory=DEFAULT_WORKER_MEMORY):
        yield batch, solve_batch(points.method, len(batch), batch.values, "cpu")


def _over_dask(points: Points, cluster: Cluster) -> Iterator[tuple[Batch, Answer]]:
    """Solve over a cluster, with few tasks in flight, longest first."""
    from distributed import KilledWorker, as_completed

    method = points.method
    device = cluster.device if cluster.device in method.devices else "cpu"
    fits, too_large = _by_memory(cut(points, memory=cluster.memory), cluster.memory)
    for batch in too_large:
        message = (
            f"one point declares {batch.memory / 2**30:.2f} GiB and a worker has "
            f"{cluster.memory / 2**30:.2f} GiB; give workers more memory in the cluster file"
        )
        yield batch, failed_answer(method, len(batch), message)
    workers = max(1, cluster.workers, len(cluster.client.nthreads()))
    waiting = _tasks(fits, task_seconds(sum(batch.seconds for batch in fits), workers))
    pending = as_completed()
    in_flight: dict[Any, list[Batch]] = {}

    def submit() -> None:
        workers = max(1, cluster.workers, len(cluster.client.nthreads()))
        limit = IN_FLIGHT_PER_WORKER * workers
        while waiting and len(in_flight) < limit:
            task = waiting.pop()
            future = cluster.client.submit(
                solve_task,
                method.system.name,
                method.name,
                method.version,
                [(len(batch), batch.values) for batch in task],
                device,
                pure=False,
                resources={"GPU": 1} if device == "gpu" else None,
            )
            in_flight[future] = task
            pending.add(future)

    with _needing_the_scheduler():
        submit()
    while in_flight:
        future = next(pending)
        task = in_flight.pop(future)
        error = None if future.cancelled() else future.exception()
        answers: list[Answer] = []
        if error is None:
            with _needing_the_scheduler():
                try:
                    answers = future.result()
                except KilledWorker as lost:
                    # The answer died with its worker before it was fetched, and so did the others
                    # that were to compute it again.
                    error = lost
        if error is None:
            yield from zip(task, answers, strict=True)
        elif isinstance(error, KilledWorker):
            halves = _halves(task, points, cluster.memory)
            waiting.extend(halves)
            if not halves:
                message = "the worker died several times on this point; it may need more memory"
                yield task[0], failed_answer(method, 1, message)
        else:
            raise UserError(f"{method.system.name} {method.name}: {error}")
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
    except (FutureCancelledError, CommClosedError):
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

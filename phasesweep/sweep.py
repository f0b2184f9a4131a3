"""Running points: missing points -> batches -> this process or Dask -> rows -> cache -> manifest.

Rows are flushed to the cache every few hundred points or few seconds, so that a kill at any instant
loses at most one flush. Anything that ends the run early (Ctrl-C, SIGTERM, an error) flushes first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phasesweep.batches import Batch, cut
from phasesweep.cache import Cache, Coded, Rows
from phasesweep.cache.keys import Ascending, sortable
from phasesweep.cluster import DEFAULT_WORKER_MEMORY, ClusterFile, open_cluster
from phasesweep.dispatch import here, over_dask
from phasesweep.grid import Points
from phasesweep.limits import Limits
from phasesweep.progress import Progress
from phasesweep.provenance import provenance
from phasesweep.worker import Answer
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
            solved = here(wanted, limits)
        else:
            opened = stack.enter_context(open_cluster(file, data=folder, needs=needs))
            device = opened.device if opened.device in wanted.method.devices else "cpu"
            if not quiet:
                sys.stderr.write(f"{label}: {opened.label}; dashboard at {opened.dashboard}\n")
            solved = over_dask(wanted, opened, limits)
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

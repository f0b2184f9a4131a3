"""Ten million points on a thousand workers: where the driver saturates.

Workers are simulated in virtual time. What the driver does for each task is measured first, with
the real parts, in processor time: an answer of a hundred rows through a real Dask scheduler over
TCP (whose worker's share is counted too, so the figure is pessimistic), rows collected and written
as real segments, manifests, the plan of a shard. What a disk takes to make a segment durable is
taken to be `DISK_SECONDS`. Then one driver serves W workers, each of which has three tasks in
flight, as a run does; at last several drivers share them, as shards of a sweep.
"""

from __future__ import annotations

import heapq
import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from benchmarks.bench_engine import enumeration_points
from benchmarks.common import arguments
from phasesweep import dispatch, sweep
from phasesweep.batches import BATCH_SECONDS, Batch, cut
from phasesweep.cache import Cache
from phasesweep.grid import Points, expand
from phasesweep.jobs import write_manifest
from phasesweep.sweepfile import single_method
from phasesweep.worker import Answer, Task, solve_task
from solvers.contract import load_system

PER_TASK = 100
"""Rows of the tasks that are measured."""
DISK_SECONDS = 0.01


@dataclass(frozen=True)
class Costs:
    """Seconds of the driver."""

    task: float
    """submitting a task and taking its answer, scheduler and transport included"""
    row: float
    """taking and encoding one row"""
    flush: float
    """one segment: encoding, fsync, rename"""


def answer(points: Points, count: int) -> Answer:
    """Made-up observables of `count` points."""
    rng = np.random.default_rng(0)
    observables = {n: rng.normal(size=count) for n in points.method.gives}
    return Answer(
        observables,
        np.zeros(count, np.int8),
        np.zeros(count, np.int64),
        np.zeros(count),
        np.zeros(count),
        {},
    )


def collecting(points: Points, per_task: int, flush_rows: int, folder: Path) -> float:
    """Seconds a row when every `flush_rows` rows become a segment, whatever that costs."""
    parts = np.array_split(np.arange(len(points)), len(points) // per_task)
    given = answer(points, per_task)
    before = sweep.FLUSH_ROWS, sweep.FLUSH_SHARE
    sweep.FLUSH_ROWS, sweep.FLUSH_SHARE = flush_rows, 1.0
    try:
        collector = sweep._Collector(points, Cache(folder), "cpu", lambda rows: None)
        started = time.process_time()
        with collector:
            for part in parts:
                collector.add(Batch(part, {}, 0.0, 0.0), given)
        return (time.process_time() - started) / len(points)
    finally:
        sweep.FLUSH_ROWS, sweep.FLUSH_SHARE = before


def one_task(count: int) -> float:
    """Seconds of a task of a closed form, scheduler and worker in this process."""
    from distributed import Client, LocalCluster, as_completed

    axes = {"alpha": np.linspace(0.1, 3, PER_TASK).tolist(), "dimension": 20}
    method = load_system("perceptron_storage").methods["cover"]
    (batch,) = cut(
        expand(single_method(method, axes, "benchmark"), lambda *_: np.zeros(0)), memory=2**31
    )
    batches = [(len(batch), batch.values, 600.0)]
    task = Task(
        *("perceptron_storage", "cover", 1, batches, "cpu", 1, 0.0),
        crowded=False,
        topic=uuid4().hex,
        number=0,
    )
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            protocol="tcp",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):

        def submit() -> Any:
            return client.submit(solve_task, task, pure=False)

        client.gather([submit() for _ in range(50)])
        started = time.process_time()
        waiting = as_completed([submit() for _ in range(6)])
        for number, future in enumerate(waiting):
            future.result()
            future.release()
            if number < count:
                waiting.add(submit())
        return (time.process_time() - started) / count


def manifests(count: int, folder: Path) -> tuple[float, float]:
    """Seconds to write one manifest with a hundred failures, and to read one."""
    failure = {"point": {"alpha": 0.5, "dimension": 20, "seed": 7}, "message": "x" * 200}
    report = asdict(sweep.Report(failures=[failure] * sweep.MANIFEST_FAILURES))
    started = time.process_time()
    for number in range(count):
        write_manifest(folder / f"run.{number}.json", report)
    written = time.process_time() - started
    for number in range(count):
        json.loads((folder / f"run.{number}.json").read_text())
    return written / count, (time.process_time() - started - written) / count


def planning(count: int) -> float:
    """Seconds until a shard of a sweep of `count` points knows which are its own."""
    started = time.process_time()
    sweep.shard_of(enumeration_points(count), 1, 16)
    return time.process_time() - started


def served(
    workers: int, points: int, seconds: float, costs: Costs, share: float, task: float
) -> tuple:
    """(makespan, busy share of the workers, busy share of the driver, segments) in virtual time.

    The driver does one thing at a time: it submits tasks until each worker has its few, then takes
    answers in the order in which they come, flushes when that is due, and submits the next task.
    """
    per_task = max(1, round(max(task, BATCH_SECONDS) / seconds))
    left = -(-points // per_task)
    lengths = per_task * seconds * np.random.default_rng(0).lognormal(0.0, 0.3, size=left)
    ends: list[tuple[float, int]] = []  # (time at which a worker ends its task, worker)
    queued, running = [0] * workers, [False] * workers
    driver = flushed = pause = spent = 0.0
    held = segments = 0

    def start(worker: int, now: float) -> None:
        running[worker] = True
        heapq.heappush(ends, (now + lengths[started()], worker))

    numbers = iter(range(left))

    def started() -> int:
        return next(numbers)

    def submit(worker: int) -> None:
        nonlocal left
        left -= 1
        if running[worker]:
            queued[worker] += 1
        else:
            start(worker, driver)

    for _ in range(dispatch.IN_FLIGHT_PER_WORKER):
        for worker in range(workers):
            if left:
                driver, spent = driver + costs.task / 2, spent + costs.task / 2
                submit(worker)
    while ends:
        end, worker = heapq.heappop(ends)
        running[worker] = False
        if queued[worker]:
            queued[worker] -= 1
            start(worker, end)
        now = max(driver, end)
        work = costs.task + per_task * costs.row
        held += per_task
        full = held >= sweep.FLUSH_MOST_ROWS or now - flushed >= sweep.FLUSH_SECONDS
        if full or (held >= sweep.FLUSH_ROWS and now - flushed >= pause):
            work += costs.flush
            segments, held, flushed = segments + 1, 0, now + work
            pause = costs.flush * (1.0 / share - 1.0)
        driver, spent = now + work, spent + work
        if left:
            submit(worker)
    return driver, float(lengths.sum()) / (workers * driver), spent / driver, segments


def main() -> None:
    """Measure the driver, then let it serve more and more workers."""
    given = arguments(points=10_000_000, rows=200_000, tasks=1000, manifests=1000)
    points = enumeration_points(given.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = collecting(points, PER_TASK, 50_000, folder / "one")
        often = collecting(points, PER_TASK, 500, folder / "many")
        written, read = manifests(given.manifests, folder)
    flush = max(0.0, 500 * (often - plain)) + DISK_SECONDS
    costs = Costs(one_task(given.tasks), plain, flush)
    print(
        f"the driver: {1e3 * costs.task:.2f} ms a task of {PER_TASK} rows, "
        f"{1e6 * costs.row:.1f} microseconds a row, {1e3 * costs.flush:.1f} ms a segment, "
        f"of which {1e3 * DISK_SECONDS:g} ms are the disk's"
    )
    print(f"a manifest: {1e3 * written:.2f} ms to write, {1e3 * read:.2f} ms to read")
    print(f"the plan of one shard of {given.points:,} points: {planning(given.points):.1f} s")
    print(f"{given.points:,} points; `plain`: tasks of a batch, a segment for every 500 rows")
    print("    seconds/point  workers  drivers  policy    makespan  workers busy  driver  segments")
    for seconds in (0.001, 0.01, 0.1):
        for workers, drivers in ((10, 1), (100, 1), (1000, 1), (1000, 16)):
            own, part = workers // drivers, given.points // drivers
            long = dispatch.task_seconds(part * seconds, own)
            policies = {"plain": (1.0, 0.0), "adapted": (sweep.FLUSH_SHARE, long)}
            for name, (share, task) in policies.items():
                found = served(own, part, seconds, costs, share, task)
                print(
                    f"    {seconds:13g} {workers:8d} {drivers:8d}  {name:<8} {found[0]:9.0f} s "
                    f"{found[1]:13.0%} {found[2]:7.0%} {found[3] * drivers:9,d}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

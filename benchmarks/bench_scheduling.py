"""Ten million points on a thousand workers: where the driver saturates.

Workers are simulated in virtual time. What the driver does for each task is measured first, with
the real parts: a task through a real Dask scheduler, rows collected and written as real segments.
Then one driver serves W workers, each of which has three tasks in flight, as a run does.
"""

from __future__ import annotations

import heapq
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.bench_engine import enumeration_points
from benchmarks.common import arguments
from phasesweep import sweep
from phasesweep.batches import BATCH_SECONDS, Batch
from phasesweep.cache import Cache
from phasesweep.grid import Points
from phasesweep.worker import Answer


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
        started = time.perf_counter()
        with collector:
            for part in parts:
                collector.add(Batch(part, {}, 0.0, 0.0), given)
        return (time.perf_counter() - started) / len(points)
    finally:
        sweep.FLUSH_ROWS, sweep.FLUSH_SHARE = before


def one_task(count: int) -> float:
    """Seconds of a task that does nothing, through a real scheduler in this process."""
    from distributed import Client, LocalCluster, as_completed

    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(int, range(50), pure=False))
        started = time.perf_counter()
        waiting = as_completed([client.submit(int, i, pure=False) for i in range(6)])
        for number, future in enumerate(waiting):
            future.result()
            if number < count:
                waiting.add(client.submit(int, number, pure=False))
        return (time.perf_counter() - started) / count


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

    for _ in range(sweep.IN_FLIGHT_PER_WORKER):
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
        if held >= sweep.FLUSH_ROWS and now - flushed >= pause:
            work += costs.flush
            segments, held, flushed = segments + 1, 0, now + work
            pause = costs.flush * (1.0 / share - 1.0)
        driver, spent = now + work, spent + work
        if left:
            submit(worker)
    return driver, float(lengths.sum()) / (workers * driver), spent / driver, segments


def main() -> None:
    """Measure the driver, then let it serve more and more workers."""
    given = arguments(points=10_000_000, rows=200_000, tasks=2000)
    points = enumeration_points(given.rows)
    with tempfile.TemporaryDirectory() as name:
        plain = collecting(points, 100, len(points), Path(name) / "one")
        often = collecting(points, 100, 500, Path(name) / "many")
    costs = Costs(one_task(given.tasks), plain, max(0.0, 500 * (often - plain)))
    print(
        f"the driver: {1e3 * costs.task:.2f} ms a task, {1e6 * costs.row:.1f} microseconds a row, "
        f"{1e3 * costs.flush:.1f} ms a segment"
    )
    print(f"{given.points:,} points; `plain`: tasks of a batch, a segment for every 500 rows")
    print("    seconds/point  workers  policy    makespan  workers busy  driver busy  segments")
    for seconds in (0.001, 0.01, 0.1):
        for workers in (10, 100, 1000):
            long = sweep.task_seconds(given.points * seconds, workers)
            policies = {"plain": (1.0, 0.0), "adapted": (sweep.FLUSH_SHARE, long)}
            for name, (share, task) in policies.items():
                found = served(workers, given.points, seconds, costs, share, task)
                print(
                    f"    {seconds:13g} {workers:8d}  {name:<8} {found[0]:9.0f} s "
                    f"{found[1]:13.0%} {found[2]:12.0%} {found[3]:9,d}",
                    flush=True,
                )


if __name__ == "__main__":
    main()

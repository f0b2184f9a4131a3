"""A million points of a cheap theory through the whole engine, beside what scripts do per point.

Stages run in processes of their own, so that the peak memory is the stage's. Processor time is
printed beside wall time: on a machine with other users only the first says what the engine costs.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import phasesweep
from benchmarks.bench_engine import enumeration_points, rows_of
from benchmarks.common import arguments
from phasesweep import api
from phasesweep.cache import Cache
from phasesweep.cache.keys import Ascending, distinct, sortable
from phasesweep.sweep import missing, run
from phasesweep.sweepfile import parse_sweep

FIRST = 11
"""Smallest dimension of the sweep."""


def sweep_file(folder: Path, side: int, *, first: int = FIRST) -> Path:
    """side x side points of Cover's probability, a closed form."""
    content = {
        "system": "perceptron_storage",
        "axes": {"alpha": {"from": 0.001, "to": 3, "points": side}},
        "methods": {"cover": {"dimension": list(range(first, first + side))}},
    }
    path = folder / f"cover_{side}_{first}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@dataclass(frozen=True)
class Cost:
    """What a stage took."""

    wall: float
    processor: float
    memory: float
    """Peak, MiB."""


def measured(function: Callable[[Path], None], path: Path) -> Cost:
    """A stage in a process of its own, after its imports."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measured, function, path).result()


def _measured(function: Callable[[Path], None], path: Path) -> Cost:
    import scipy.special  # noqa: F401 - by the first point that is solved
    import xarray  # noqa: F401
    import zarr  # noqa: F401

    parse_sweep(yaml.safe_load(path.read_text()), name=path.stem, where=str(path))
    started, worked = time.perf_counter(), time.process_time()
    function(path)
    wall, processor = time.perf_counter() - started, time.process_time() - worked
    return Cost(wall, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def command(path: Path) -> Cost:
    """`phasesweep plan` as a person types it: interpreter, imports and all."""
    typed = [sys.executable, "-m", "phasesweep.cli", "plan", str(path), "--data", str(path.parent)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(typed, check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - started
    processor = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Cost(wall, processor, math.nan)  # the peak of all children says nothing of this one


def _points(path: Path) -> Any:
    sweep = parse_sweep(yaml.safe_load(path.read_text()), name=path.stem, where=str(path))
    return api.sweep_points(sweep, Cache(path.parent / "cache"))["cover"]


def solve(path: Path) -> None:
    """The solver alone, in one call."""
    points = _points(path)
    method = points.method
    columns = {n: points.columns[n] for n in method.columns}
    method(len(points), columns | {n: points.value(n, 0) for n in method.single})


def compute(path: Path) -> None:
    """Plan, compute and store."""
    run(_points(path), Cache(path.parent / "cache"), cluster=None, quiet=True)


def plan(path: Path) -> None:
    """Which points are missing."""
    todo, _ = missing(_points(path), Cache(path.parent / "cache"))
    assert not len(todo)


def dataset(path: Path) -> None:
    """The dense dataset from the cache."""
    api.build_dataset(path, path.parent)


def slices(path: Path) -> None:
    """Open the dataset and read a line along each axis."""
    tree = phasesweep.open(path.stem, data=path.parent)
    values = tree["cover"].to_dataset()["probability_separable"]
    values.isel(alpha=3).load()
    values.isel(dimension=3).load()


STAGES = {"solve": solve, "compute": compute, "plan": plan, "dataset": dataset, "slices": slices}


def imports(_: Path) -> None:
    """Nothing: what the other stages stand on."""


def stages(side: int, folder: Path) -> None:
    """Every stage for side² points."""
    path = sweep_file(folder, side)
    count = side * side
    print(f"{count:,} points (imports alone: {measured(imports, path).memory:.0f} MiB)")
    found = {name: measured(stage, path) for name, stage in STAGES.items()}
    found["the command"] = command(path)
    for name, cost in found.items():
        each = 1e6 * cost.processor / count
        memory = "" if math.isnan(cost.memory) else f"{cost.memory:8.0f} MiB"
        print(
            f"    {name:<12} {cost.wall:8.2f} s wall {cost.processor:8.2f} s processor "
            f"{each:9.2f} microseconds/point {memory}"
        )
    engine = {n: found[n].processor for n in ("compute", "plan", "dataset", "slices")}
    beyond = 1e6 * (sum(engine.values()) - found["solve"].processor) / count
    print(
        f"    compute, plan again, dataset and slices beyond solve: {beyond:.2f} microseconds/point"
    )


def stored_already(sides: list[int], folder: Path) -> None:
    """Time and memory of 1,024 new points beside more and more stored ones."""
    print("1,024 new points, by the number of points stored before")
    for number, side in enumerate(sides):
        home = folder / f"stored_{side}"
        home.mkdir()
        measured(compute, sweep_file(home, side))
        path = sweep_file(home, 32, first=100_000 + number)
        floor = measured(imports, path).memory
        cost = measured(compute, path)
        print(
            f"    {side * side:>10,} {cost.processor:8.2f} s processor "
            f"{cost.memory - floor:8.1f} MiB beyond imports"
        )


def alternatives(count: int, folder: Path) -> None:
    """Microseconds a point of the usual ways to do the same."""
    path = sweep_file(folder, max(2, int(np.sqrt(count))), first=50_000)
    points = _points(path)
    method = points.method
    single = {n: points.value(n, 0) for n in method.single}

    def one(position: int) -> float:
        columns = {n: points.columns[n][position : position + 1] for n in method.columns}
        return float(method(1, columns | single)["probability_separable"][0])

    def in_files(target: Path) -> None:
        for i in range(len(points)):
            (target / f"{i}.json").write_text(json.dumps([points.point(i), one(i)], default=str))

    def in_tasks(_: Path) -> None:
        from distributed import Client, LocalCluster

        with (
            LocalCluster(
                n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
            ) as cluster,
            Client(cluster) as client,
        ):
            client.gather(client.map(one, range(len(points)), pure=False))

    def in_joblib(target: Path) -> None:
        from joblib import Memory

        remembered = Memory(target, verbose=0).cache(_joblib_point, ignore=["call"])
        for i in range(len(points)):
            remembered(points.point(i), call=lambda i=i: one(i))

    def together(target: Path) -> None:
        run(points, Cache(target), cluster=None, quiet=True)

    ways = {
        "phasesweep": together,
        "one JSON file a point, not fsynced": in_files,
        "one Dask task a point, not stored": in_tasks,
        "joblib.Memory": in_joblib,
    }
    print(f"{len(points):,} points, solver included; the best of three")
    one(0)
    rates: dict[str, float] = {}
    for name, way in ways.items():
        found = []
        for number in range(3):
            target = folder / f"way_{len(rates)}" / str(number)
            target.mkdir(parents=True)
            started, worked = time.perf_counter(), time.process_time()
            way(target)
            found.append((time.process_time() - worked, time.perf_counter() - started))
        rates[name], wall = min(found)
        each, ratio = 1e6 / len(points), rates[name] / rates["phasesweep"]
        print(
            f"    {name:<36} {each * wall:10.1f} wall {each * rates[name]:10.1f} processor "
            f"microseconds/point, ratio {ratio:.1f}"
        )


def _joblib_point(point: dict[str, Any], call: Callable[[], float]) -> float:
    return call()


def many_segments(count: int, folder: Path) -> None:
    """Looking up the keys of a cache of many segments."""
    points = enumeration_points(1000 * -(-10 * count // 1000))
    cache = Cache(folder / "segments")
    for start in range(0, 10 * count, 10):
        cache.write(rows_of(points.take(np.arange(start, start + 10))), {})
    keys = points.key_table[:1000]
    asked = Ascending(sortable(keys)[distinct(sortable(keys))])
    fresh = Cache(folder / "segments")
    ways: dict[str, Callable[[], object]] = {
        "opened, every key merged": lambda: fresh.present("perceptron_storage", "enumeration", 1),
        "1,000 keys looked up": lambda: fresh.locate("perceptron_storage", "enumeration", 1, asked),
    }
    print(f"a cache of {count:,} segments, {10 * count:,} points")
    for name, way in ways.items():
        started, worked = time.perf_counter(), time.process_time()
        way()
        wall, processor = time.perf_counter() - started, time.process_time() - worked
        print(f"    {name:<28} {wall:8.2f} s wall {processor:8.2f} s processor")


def main() -> None:
    """Print every table."""
    given = arguments(side=1000, few=1000, segments=10_000)
    sides = [given.side // 10, round(given.side / 10**0.5), given.side]
    sides = sides[-1:] if given.short else sides
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side in sides:
            home = folder / str(side)
            home.mkdir()
            stages(side, home)
        stored_already(sides, folder)
        alternatives(given.few, folder)
        many_segments(given.segments, folder)


if __name__ == "__main__":
    main()

"""Running points: nothing twice, nothing lost, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from phasesweep.api import solve_points
from phasesweep.cache import Cache
from phasesweep.cluster import ClusterFile
from phasesweep.sweep import missing, run, shard_of
from phasesweep.sweepfile import single_method
from solvers.contract import Status, load_system

LOCAL = ClusterFile(workers=2, memory=2**29)
# A driver that flushes often, so that a short run has many flushes.
DRIVER = (  # a shell's background job ignores Ctrl-C, and so would its children
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "import phasesweep.sweep as s, phasesweep.dispatch as d; s.FLUSH_ROWS = 20; d.TASK_SECONDS = 0.2; "
    "from phasesweep.cli import main; main()"
)


def cache_of(data) -> Cache:
    return Cache(data / "cache")


def points_of(method="measure", **axes):
    from phasesweep.grid import expand

    return expand(
        single_method(load_system("toy").methods[method], axes, "test"), lambda *_: np.zeros(0)
    )


def rows_of(cache, method="measure") -> dict[bytes, tuple]:
    found = {}
    for rows in cache.read("toy", method, 1).blocks:
        for i, key in enumerate(rows.keys):
            assert bytes(key) not in found
            found[bytes(key)] = (
                float(rows.parameters["alpha"][i]),
                bool(rows.observables["satisfiable"][i]),
            )
    return found


def test_dask_and_this_process_give_the_same(data, tmp_path):
    axes = {"alpha": [0.9, 1, 1.1], "dimension": 16, "seed": {"count": 4}}
    solve_points("toy", "measure", axes, cache_of(data))
    slow = axes | {"pause": 0.8}
    _, _, report = solve_points("toy", "measure", slow, Cache(tmp_path / "dask"), cluster=LOCAL)
    assert (report.computed, report.failed) == (12, 0)
    assert sorted(rows_of(cache_of(data)).values()) == sorted(
        rows_of(Cache(tmp_path / "dask")).values()
    )


def test_a_point_that_kills_workers_is_found_and_the_others_live(data):
    axes = {"alpha": [0.2, 0.4, 0.6], "dimension": 16, "seed": 0, "pause": 2, "fault": "kill"}
    asked, blocks, report = solve_points("toy", "measure", axes, cache_of(data), cluster=LOCAL)
    assert (report.computed, report.failed) == (2, 1)
    assert report.failures[0]["point"]["alpha"] == 0.6
    assert "died" in report.failures[0]["message"]
    todo, failed = missing(asked, cache_of(data))
    assert (len(todo), failed) == (1, 1)
    assert sum(int(np.sum(rows.status == Status.FAILED)) for rows in blocks) == 1


def test_a_point_too_large_for_a_worker_is_refused_before_it_is_tried(data):
    axes = {"alpha": [0.2], "dimension": 16, "seed": [0, 1], "pause": 3, "megabytes": [1, 1000]}
    _, _, report = solve_points("toy", "measure", axes, cache_of(data), cluster=LOCAL)
    assert (report.computed, report.failed) == (2, 2)
    assert "one point declares 0.93 GiB and a worker has 0.50 GiB" in report.failures[0]["message"]


def test_failures_of_a_batch_are_pinned_to_their_points(data):
    points = points_of("line", alpha=[0.2, 0.4, 0.6, 0.8], fault="raise")
    report = run(points, cache_of(data), quiet=True)
    assert (report.computed, report.failed) == (2, 2)
    assert run(points, cache_of(data), quiet=True).found == 2


def test_a_segment_stays_small_however_fast_points_come(data, monkeypatch):
    """Flushes that take too large a share of the time grow, but only to a bound."""
    monkeypatch.setattr("phasesweep.sweep.FLUSH_SHARE", 1e-9)
    monkeypatch.setattr("phasesweep.sweep.FLUSH_ROWS", 10)
    monkeypatch.setattr("phasesweep.sweep.FLUSH_MOST_ROWS", 100)
    monkeypatch.setattr("phasesweep.batches.MAX_BATCH_POINTS", 30)
    run(points_of("line", alpha=np.linspace(0, 1, 1000).tolist()), cache_of(data), quiet=True)
    sizes = [len(rows) for rows in cache_of(data).blocks("toy", "line", 1)]
    assert sum(sizes) == 1000
    assert max(sizes) < 100 + 30
    assert len(sizes) < 1000 // 100 + 2  # and the bound is not where each of them ends


def test_points_asked_twice_are_missing_once(data):
    points = points_of("line", alpha=[0.2, 0.4, 0.6])
    twice = points.take(np.array([2, 0, 1, 0, 2]))
    assert missing(twice, cache_of(data))[0].tolist() == [0, 1, 2]
    report = run(twice, cache_of(data), quiet=True)
    assert (report.asked, report.computed) == (3, 3)
    assert len(missing(twice, cache_of(data))[0]) == 0


def test_shards_are_disjoint_and_complete():
    points = points_of(alpha=[0.5, 1], dimension=[8, 16], seed={"count": 5})
    for shards in (1, 2, 3, 7, 20, 50):
        parts = [shard_of(points, i + 1, shards) for i in range(shards)]
        keys = [key for part in parts for key in part.keys]
        assert sorted(keys) == sorted(points.keys)


def sweep_file(folder, points=300, pause=0.02):
    path = folder / "faults.yaml"
    path.write_text(
        "system: toy\n"
        f"methods: {{measure: {{dimension: 16, alpha: [0.9, 1, 1.1], seed: {{count: {points // 3}}}, pause: {pause}}}}}\n"
    )
    return path


def start(sweep, data, *options):
    command = [sys.executable, "-c", DRIVER, "run", str(sweep), "--data", str(data), *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def wait_for_rows(cache, at_least, process, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if len(cache.present("toy", "measure", 1)) >= at_least:
            return
        time.sleep(0.05)
    raise AssertionError(f"no rows after {seconds} s: {process.communicate(timeout=10)}")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killing_the_driver_loses_at_most_one_flush(tmp_path, how):
    data, sweep = tmp_path / "data", sweep_file(tmp_path)
    process = start(sweep, data)
    wait_for_rows(cache_of(data), 20, process)
    children = psutil.Process(process.pid).children(recursive=True)
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # a terminal's Ctrl-C reaches the workers as well
    else:
        process.send_signal(how)
    _, told = process.communicate(timeout=60)
    assert "Traceback" not in told
    assert process.returncode == {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[how]
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive, "workers outlive their driver"
    kept = rows_of(cache_of(data))
    assert 20 <= len(kept) < 300
    again = start(sweep, data)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    assert f"300 points asked, {len(kept)} found, {300 - len(kept)} computed, 0 failed" in out
    rows = rows_of(cache_of(data))
    assert len(rows) == 300
    assert kept.items() <= rows.items()


def test_a_killed_worker_is_replaced(tmp_path):
    data, sweep = tmp_path / "data", sweep_file(tmp_path, points=300, pause=0.03)
    process = start(sweep, data)
    wait_for_rows(cache_of(data), 20, process)
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]
    assert workers
    os.kill(workers[0].pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "300 computed, 0 failed" in out
    assert len(rows_of(cache_of(data))) == 300


def test_a_lost_scheduler_is_told_and_loses_at_most_one_flush(tmp_path):
    data, sweep, port = tmp_path / "data", sweep_file(tmp_path), tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    local = ["--host", "127.0.0.1", "--scheduler-file", str(port), "--no-dashboard"]
    scheduler = subprocess.Popen([*dask, "scheduler", "--port", "0", *local], **quiet)
    worker = subprocess.Popen([*dask, "worker", "--nthreads", "1", *local], **quiet)
    try:
        deadline = time.monotonic() + 30
        while not port.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = json.loads(port.read_text())["address"]
        process = start(sweep, data, "--cluster", address)
        wait_for_rows(cache_of(data), 20, process)
        scheduler.kill()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
        assert "the scheduler was lost" in err
        assert "Traceback" not in err, err
        assert 20 <= len(rows_of(cache_of(data))) < 300
    finally:
        for started in (scheduler, worker):
            started.kill()
            started.wait(30)

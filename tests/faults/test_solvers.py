"""Solvers that go wrong: the point is recorded with its message, the rest of the batch is kept."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

from phasesweep import bounds, dispatch, sweep
from phasesweep.api import solve_points
from phasesweep.cache import Cache
from phasesweep.cluster import ClusterFile
from phasesweep.limits import LEAST_SECONDS, Limits
from phasesweep.runs import end_with
from phasesweep.sweep import missing, run
from phasesweep.worker import solve_batch
from solvers.contract import Status, load_system
from tests.faults.counts import LONG, counted

ALPHA = [0.1, 0.2, 0.6, 0.3]


def rows_of(blocks) -> dict[float, tuple[str, str]]:
    """{alpha: (status, message)}."""
    return {
        float(alpha): (Status(int(status)).name, message)
        for rows in blocks
        for alpha, status, message in zip(
            rows.parameters["alpha"], rows.status, rows.messages.decode(), strict=True
        )
    }


@pytest.mark.parametrize("method", ["line", "measure"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", r"^ArithmeticError: alpha is above one half \(toy_system.py:\d+\)$"),
        ("hang", r"^ran past its time limit of 0.2 s; give it more with `limits"),
        ("memory", r"^(\w+\.)*_?(Array)?MemoryError: Unable to allocate 64.0 MiB"),
        ("shape", "^ContractError: toy .* must have shape"),
        ("type", "^(ContractError: toy .* must be (one of|real numbers))"),
        ("keys", r"^ContractError: toy .* must return .* it returned \['status'\]"),
    ],
)
def test_a_fault_is_pinned_to_its_point(data, monkeypatch, method, fault, message):
    monkeypatch.setattr(dispatch, "machine_memory", lambda: 2**28)
    limits = Limits(seconds=0.2 if fault == "hang" else 30)
    axes = {"alpha": ALPHA, "fault": fault}
    axes |= {"dimension": 16, "seed": 0} if method == "measure" else {}
    cache = Cache(data / "cache")
    asked, blocks, report = solve_points("toy", method, axes, cache, limits=limits)
    assert (report.computed, report.failed) == (3, 1)
    found = rows_of(blocks)
    assert {a: s for a, (s, _) in found.items() if a != 0.6} == dict.fromkeys(
        (0.1, 0.2, 0.3), "CONVERGED"
    )
    status, told = found[0.6]
    assert status == "FAILED"
    assert told == report.failures[0]["message"]
    assert re.search(message, told), told
    # The policy: asked again by the next run, or kept.
    assert missing(asked, cache)[0].size == 1
    kept = run(asked, cache, quiet=True, limits=Limits(failed="keep"))
    assert (kept.found, kept.computed, kept.failed) == (4, 0, 0)
    assert signal.getsignal(signal.SIGALRM) in (signal.SIG_DFL, None)


def test_not_a_number_is_told_and_kept(data):
    cache = Cache(data / "cache")
    _, [rows], report = solve_points("toy", "threshold", {"kappa": [0, 1000]}, cache)
    assert (report.computed, report.failed) == (2, 0)
    assert rows.messages.decode() == ["", "alpha_c not finite"]
    assert np.isnan(rows.observables["alpha_c"][1])


@pytest.mark.parametrize(("attempts", "tries"), [(1, 1 + 3 + 1), (3, 1 + 3 + 3)])
def test_attempts_are_those_of_the_policy(monkeypatch, attempts, tries):
    """The batch once, the three good points, and the bad one by itself as often as told."""
    import toy_system

    calls = []
    fail = toy_system._fail
    monkeypatch.setattr(toy_system, "_fail", lambda *given: calls.append(1) or fail(*given))
    method = load_system("toy").methods["line"]
    values = {n: a.default for n, a in method.axes.items() if n in method.single}
    values |= {"alpha": np.array(ALPHA), "pause": np.zeros(4), "megabytes": np.zeros(4)}
    answer = solve_batch(method, 4, values | {"fault": "raise"}, "cpu", attempts=attempts)
    assert answer.status.tolist() == [0, 0, Status.FAILED, 0]
    assert len(calls) == tries
    calls.clear()
    single = {n: v[2:3] if n in method.columns else v for n, v in values.items()}
    solve_batch(method, 1, single | {"fault": "raise"}, "cpu", attempts=attempts)
    assert len(calls) == attempts


def test_workers_that_hang_are_ended_and_replaced(data, monkeypatch):
    """Asleep, and in compiled code that never lets go of the interpreter (and, in the long version,
    taking memory without end)."""
    monkeypatch.setattr(sweep, "SMALL_SECONDS", 0.0)
    monkeypatch.setattr(dispatch, "TASK_SECONDS", 0.5)
    faults = ["hang", "spin", *(["memory"] if LONG else [])]
    axes = {"alpha": [0.2, 0.6], "fault": faults, "pause": 0.5}
    cluster = ClusterFile(workers=2, memory=2**29)
    limits = Limits(seconds=2)
    cache = Cache(data / "cache")
    _, _, report = solve_points("toy", "line", axes, cache, cluster=cluster, limits=limits)
    assert (report.computed, report.failed) == (len(faults), len(faults))
    told = {f["point"]["fault"]: f["message"] for f in report.failures}
    for fault in ("hang", "spin"):
        assert told[fault].startswith("ran past its time limit of 2 s")
    if LONG:
        assert "memory" in told["memory"].lower()
    counted("faults of solvers in workers", told)


def test_without_a_limit_of_the_user_the_cost_decides():
    assert Limits().allowed(1.0) == LEAST_SECONDS
    assert Limits().allowed(3600.0) > 10 * 3600
    assert Limits(seconds=3).override(seconds=None, attempts=2) == Limits(seconds=3, attempts=2)


def test_a_limit_leaves_timers_and_handlers_as_they_were():
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append(1))
    try:
        with bounds.alarm(10):
            pass
        os.kill(os.getpid(), signal.SIGALRM)
        assert heard == [1]
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_run_ends_with_the_process_that_wants_its_answer(monkeypatch):
    ended = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    monkeypatch.setattr("phasesweep.runs.PARENT_SECONDS", 0.05)
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with end_with(parent.pid):
            assert not ended.wait(0.3)
            parent.kill()
            parent.wait()
            assert ended.wait(10)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_limits_from_the_command_line_and_the_file(phasesweep, tmp_path):
    file = tmp_path / "slow.yaml"
    text = "system: toy\nlimits: {LIMITS}\nmethods: {line: {alpha: [0.1, 0.6], fault: hang}}\n"
    file.write_text(text.replace("LIMITS", "seconds: 0.2, failed: keep"))
    status, out, err = phasesweep("run", file)
    assert status == 1
    assert "1 computed, 1 failed" in out
    assert "time limit of 0.2 s" in err
    assert "2 found, 0 computed, 0 failed" in phasesweep("run", file)[1]
    file.write_text(text.replace("LIMITS", "seconds: 100"))
    status, _, err = phasesweep("run", file, "--time-limit", "0.3")
    assert "time limit of 0.3 s" in err
    assert "2 found" in phasesweep("run", file, "--keep-failed")[1]
    for wrong in ("seconds: -1", "attempts: 0", "failed: never", "hours: 1"):
        file.write_text(text.replace("LIMITS", wrong))
        status, out, err = phasesweep("run", file)
        assert (status, out, err.count("\n")) == (2, "", 1), err

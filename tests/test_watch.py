"""What runs now, seen from another terminal."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time

import pytest

from phasesweep import watch
from phasesweep.progress import Progress
from phasesweep.runs import Announced, Record, forget, process_started, read_records, runs_folder

NOW = 1_000_000.0
DEAD = 999_999_999


def record(**fields) -> Record:
    told = {"started": NOW - 100, "updated": NOW - 1, "stored_at": NOW - 3, "stored": 900}
    return Record("toy measure 2/8", 4000, done=1000, failed=2, found=50, **told | fields)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "running"),
        ({"process": DEAD}, "died"),
        # The number is in use again, by a process that started at another time.
        ({"process_started": "1"}, "died"),
        ({"updated": NOW - 3600}, "silent"),
        ({"host": "elsewhere", "process": DEAD}, "running"),
        ({"host": "elsewhere", "process": DEAD, "updated": NOW - 3600}, "silent"),
    ],
)
def test_the_state_of_a_run(fields, state):
    assert record(**fields).state(NOW) == state


def test_a_process_is_known_by_its_start():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert process_started(child.pid) == process_started(child.pid) != ""
        assert process_started(child.pid) != process_started(os.getpid())
    assert process_started(child.pid) == ""


def test_the_picture_says_what_a_person_asks(tmp_path):
    host = socket.gethostname()
    running = record(cluster="4 SLURM workers", dashboard="http://127.0.0.1:1/status", job="77")
    lines = watch.picture(tmp_path, [running, record(process=DEAD)], NOW)
    assert lines[0].endswith(f"{tmp_path}: 1 running, 1 died")
    assert lines[2:5] == [
        "toy measure 2/8: 1,000 of 4,000 points (25%), 10.1 points/s, 5 min left; 2 failed, "
        "50 found before",
        f"  900 stored, last 3 s ago; 4 SLURM workers; {host} process {os.getpid()}, SLURM job 77, "
        "since 2 min",
        "  dashboard http://127.0.0.1:1/status",
    ]
    assert "died; every flushed point is kept" in lines[6]
    assert "10.1 points/s" not in lines[6]
    assert watch.picture(tmp_path, [], NOW)[0].endswith("nothing is running")


def test_the_picture_fits_its_terminal():
    lines = ["a" * 100, *(f"\x1b{n}" for n in range(9))]
    shown = watch.fitted(lines, 20, 4)
    assert shown == ["a" * 19 + "…", "?0", "?1", "… 7 more lines"]
    assert watch.fitted(lines[1:4], 20, 4) == ["?0", "?1", "?2"]


def test_a_run_that_goes_on_forgets_the_one_that_died(tmp_path):
    dead = Announced(tmp_path, record(process=DEAD))
    other = Announced(tmp_path, Record("another label", 1, process=DEAD))
    for announced in (dead, other):
        announced.write()
    again = Announced(tmp_path, record())
    again.write()
    assert {path for path, _ in read_records(tmp_path)} == {other.path, again.path}
    assert forget(tmp_path) == 1
    assert [path for path, _ in read_records(tmp_path)] == [again.path]
    again.remove()
    assert not list(tmp_path.iterdir())


def test_a_record_that_is_none_is_named(tmp_path, phasesweep, data):
    runs_folder(data).mkdir(parents=True)
    (runs_folder(data) / "x.json").write_text('{"label": 1}')
    status, _, err = phasesweep("watch")
    assert status == 2
    assert "x.json is not the record of a run" in err
    assert "Traceback" not in err


def test_short_runs_leave_no_trace_and_a_full_disk_ends_none(tmp_path, monkeypatch):
    with Progress(10, "short", quiet=True, data=tmp_path):
        pass
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr("phasesweep.progress.ANNOUNCE_AFTER_SECONDS", 0.01)
    (tmp_path / "runs").write_text("a file where the folder should be")
    with Progress(10, "label", quiet=True, data=tmp_path) as progress:
        time.sleep(0.1)
        progress.advance(10)
    assert (tmp_path / "runs").is_file()


def test_a_run_that_is_stopped_leaves_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr("phasesweep.progress.ANNOUNCE_AFTER_SECONDS", 0.01)
    found = []

    def stopped() -> None:
        with Progress(10, "label", quiet=True, data=tmp_path) as progress:
            progress.stored(4)
            deadline = time.monotonic() + 30
            while not found and time.monotonic() < deadline:
                found.extend(record for _, record in read_records(runs_folder(tmp_path)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert [(record.stored, record.state(time.time())) for record in found] == [(4, "running")]
    assert not list(runs_folder(tmp_path).iterdir())


def test_watch_from_another_process(tmp_path, phasesweep):
    data = tmp_path / "data"
    sweep = tmp_path / "long.yaml"
    sweep.write_text(
        "system: toy\nmethods: {measure: {dimension: 16, alpha: 1, seed: {count: 900}, pause: 0.05}}"
    )
    driver = (
        "import phasesweep.sweep as s, phasesweep.dispatch as d, phasesweep.progress as p; s.FLUSH_ROWS = 20; "
        "d.TASK_SECONDS = 0.2; p.ANNOUNCE_AFTER_SECONDS = p.ANNOUNCE_EVERY_SECONDS = 0.2; "
        "from phasesweep.cli import main; main()"
    )
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("kind: local\nworkers: 1\nmemory: 512MiB\n")
    command = [sys.executable, "-c", driver, "run", str(sweep), "--data", str(data)]
    command += ["--cluster", str(cluster)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def told() -> list[dict]:
        return json.loads(phasesweep("watch", "--json", "--data", data)[1])

    assert phasesweep("watch", "--data", data)[1].endswith("nothing is running\n")
    assert not data.exists(), "watch only reads"
    with subprocess.Popen(command, **pipes) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (told() and told()[0]["stored"] >= 20):
            time.sleep(0.1)
        (found,) = told()
        assert found["state"] == "running"
        assert found["process"] == process.pid
        assert found["label"] == "long measure"
        assert 20 <= found["stored"] <= found["done"] < found["total"] == 900
        assert "1 local workers" in found["cluster"]
        assert found["dashboard"].startswith("http://127.0.0.1:")
        process.kill()
        _, err = process.communicate(timeout=30)
    assert f"dashboard at {found['dashboard']}" in err
    assert [run["state"] for run in told()] == ["died"]
    assert "running again computes the rest" in phasesweep("watch", "--data", data)[1]


def test_on_a_terminal_it_is_redrawn_until_control_c(tmp_path):
    ours, theirs = pty.openpty()
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{code}; from phasesweep.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "watch", "--interval", "0.1", "--data", str(tmp_path)],
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=os.environ | {"COLUMNS": "60", "LINES": "5"},
    )
    os.close(theirs)
    seen = b""
    while seen.count(watch.CLEAR.encode()) < 3:
        seen += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    try:
        while chunk := os.read(ours, 4096):
            seen += chunk
    except OSError:
        pass  # the terminal is closed with its last user
    os.close(ours)
    assert process.returncode == 0
    assert err == b""
    text = seen.decode()
    assert text.startswith(watch.ALTERNATE)
    assert text.endswith(watch.NORMAL)
    pictures = text.removeprefix(watch.ALTERNATE).removesuffix(watch.NORMAL).split(watch.CLEAR)
    assert all(len(line) <= 60 for picture in pictures for line in picture.split("\r\n"))

"""A full disk and one without inodes, in the middle of a flush and of a compaction.

A small tmpfs where mounting is allowed; elsewhere a limit on the size of files stands for it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from phasesweep import sweep
from phasesweep.api import solve_points
from phasesweep.cache import Cache, CacheError
from tests.faults.counts import LONG, counted, times

MIB = 2**20
ROUNDS = times("disks", short=1, long=20)


@contextmanager
def mounted(folder: Path, options: str):
    """A small file system, or a skip where this user may not mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        answer = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        answer = None
    if answer is None or answer.returncode:
        pytest.skip("mounting is not allowed; the test of a file-size limit stands for this one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """A ballast that leaves so many bytes."""
    about = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * max(0, about.f_bavail * about.f_frsize - leave))
    return ballast


def use_inodes(folder: Path) -> Path:
    """As many empty files as there is room for."""
    files = folder / "files"
    files.mkdir()
    for number in range(10_000):
        try:
            (files / str(number)).touch()
        except OSError:
            return files
    raise AssertionError("there is no limit of inodes")


def numbers(cache: Cache) -> list[float]:
    blocks = cache.read("toy", "measure", 1).blocks
    return sorted(float(a) for rows in blocks for a in rows.parameters["alpha"])


def ask(cache: Cache, alpha) -> int:
    axes = {"alpha": alpha, "dimension": 16, "seed": 0}
    return solve_points("toy", "measure", axes, cache)[2].computed


@pytest.mark.parametrize("kind", ["bytes", "inodes"])
@pytest.mark.parametrize("when", ["flush", "compaction"])
def test_a_full_disk_is_one_sentence_and_a_run_goes_on_after_it(tmp_path, monkeypatch, kind, when):
    rng = np.random.default_rng(7)
    monkeypatch.setattr(sweep, "FLUSH_ROWS", 200)
    for round_ in range(ROUNDS):
        with mounted(tmp_path / f"{kind}{round_}", "size=4m,nr_inodes=200") as disk:
            cache = Cache(disk / "data" / "cache")
            old = np.linspace(0.1, 0.4, 30)
            for alpha in np.array_split(old, 6):
                ask(cache, alpha.tolist())
            before = numbers(cache)
            assert len(before) == 30
            if kind == "bytes":
                used = fill(disk, int(rng.integers(0, 2)) * 4096)
            else:
                used = use_inodes(disk)
            new = np.linspace(1, 2, 3000).tolist()
            act = partial(ask, cache, new) if when == "flush" else cache.compact
            with pytest.raises(CacheError) as error:
                act()
            assert "rows could not be written" in str(error.value)
            assert "No space left on device" in str(error.value)
            assert "make room" in str(error.value)
            assert "\n" not in str(error.value)
            # Everything older is intact, and nothing is left lying about.
            fresh = Cache(cache.root)
            assert numbers(fresh) == before
            report = fresh.verify()
            assert report.sound
            assert report.findings == []
            if used.is_dir():
                for path in used.iterdir():
                    path.unlink()
                used.rmdir()
            else:
                used.unlink()
            if when == "flush":
                assert ask(fresh, new) == 3000
                assert len(numbers(fresh)) == 3030
            else:
                assert fresh.compact().after == 1
                assert numbers(fresh) == before
    counted(f"disks filled, {kind}, in a {when}", ROUNDS)


@pytest.mark.parametrize("kind", ["bytes", *(["inodes"] if LONG else [])])
def test_a_full_disk_on_the_command_line(tmp_path, phasesweep, kind):
    with mounted(tmp_path / "disk", "size=4m,nr_inodes=400") as disk:
        data = disk / "data"
        assert phasesweep("run", "toy", "--data", data)[0] == 0
        assert phasesweep("dataset", "toy", "--data", data)[0] == 0
        kept = sorted((data / "datasets").iterdir())
        ballast = fill(disk, 0) if kind == "bytes" else use_inodes(disk)
        for command in (
            ("solve", "toy", "line", "alpha=0.77"),
            ("dataset", "toy"),
            ("run", "toy", "--manifest", data / "manifest.json"),
            ("thresholds", "toy", "--csv", data / "table.csv"),
            ("figure", "toy"),
            ("cache", "export", data / "all.tar"),
        ):
            status, out, err = phasesweep(*command, "--data", data)
            assert status == 1, (command, out, err)
            assert err.strip().count("\n") == 0, err
            assert "No space left" in err, (command, err)
            assert "Traceback" not in err
        assert sorted((data / "datasets").iterdir()) == kept
        assert not [p for p in data.rglob("*") if p.name.startswith(".") and p.is_file()]
        if ballast.is_dir():
            for path in ballast.iterdir():
                path.unlink()
        else:
            ballast.unlink()
        assert phasesweep("dataset", "toy", "--data", data)[0] == 0
        assert "366 found" in phasesweep("run", "toy", "--data", data)[1]


LIMITED = """
import resource, sys
sys.path.insert(0, {root!r})
from tests.faults.test_full_disk import *
cache = Cache(Path({cache!r}))
resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    ask(cache, np.linspace(1, 2, 3000).tolist())
except CacheError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(ask(cache, np.linspace(1, 2, 3000).tolist()))
"""


def test_a_limit_on_the_size_of_files_stands_for_a_full_disk(tmp_path):
    root = str(Path(__file__).parent.parent.parent)
    cache = Cache(tmp_path / "cache")
    ask(cache, [0.1, 0.2])
    code = LIMITED.format(root=root, cache=str(cache.root))
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    told, computed = answer.stdout.splitlines()
    assert "rows could not be written" in told
    assert "File too large" in told
    assert int(computed) == 3000
    assert len(numbers(cache)) == 3002
    assert cache.verify().findings == []

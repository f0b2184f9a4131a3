"""Caches that cannot be written or are not there, other file systems, clocks that run ahead."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp

import pytest

from phasesweep.cache import Cache
from phasesweep.cache.files import STAMP
from tests.faults.test_full_disk import mounted

LINE = ("solve", "toy", "line", "alpha=0:2:3")


@contextmanager
def read_only(folder: Path):
    """The folder mounted read-only over itself, or a skip where that is not allowed."""
    for command in (
        ["mount", "--bind", str(folder), str(folder)],
        ["mount", "-o", "remount,ro,bind", str(folder)],
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting is not allowed")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_cache_answers_and_says_why_it_takes_nothing(data, phasesweep):
    assert phasesweep(*LINE)[0] == 0
    answer = phasesweep(*LINE, "--json")
    assert phasesweep("run", "toy")[0] == 0
    assert phasesweep("dataset", "toy")[0] == 0
    before = sorted(data.rglob("*"))
    with read_only(data):
        # What is there is answered.
        assert phasesweep(*LINE, "--json") == answer
        assert "366 found" in phasesweep("run", "toy")[1]
        for command in (
            ("plan", "toy"),
            ("query", "toy", "line"),
            ("thresholds", "toy"),
            ("cache", "info"),
            ("cache", "verify"),
            ("cache", "gc"),
            ("watch", "--once"),
        ):
            status, out, err = phasesweep(*command)
            assert (status, err) == (0, ""), command
            assert out
        # What would have to be written is refused in one sentence.
        for command in (
            ("solve", "toy", "line", "alpha=0.7"),
            ("dataset", "toy"),
            ("cache", "compact"),
            ("run", "toy", "--manifest", data / "manifest.json"),
            ("cache", "export", data / "all.tar"),
        ):
            status, _, err = phasesweep(*command)
            assert status == 1, (command, err)
            assert "Read-only file system" in err, (command, err)
            assert err.rstrip("\n").count("\n") == 0, err
    assert sorted(data.rglob("*")) == before


NOBODY = """
import encodings.cp437, os, sys
from phasesweep import cli
# Once as root, elsewhere: what is imported on the way may lie where nobody else may read.
line = ["solve", "toy", "line", "alpha=0.7"]
cli.cli.main([*line, "--data", {warm!r}], standalone_mode=False)
sys.stdout.flush()
sys.argv = ["phasesweep", *{arguments!r}]
os.setegid(65534); os.seteuid(65534)
cli.main()
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_cache_of_somebody_else(tmp_path, monkeypatch, phasesweep):
    """Read by a user who may not write it, and refused to one who may not read it."""
    # Not below the folder of the tests, which only its owner may enter.
    data = Path(mkdtemp())
    try:
        data.chmod(0o755)
        assert phasesweep(*LINE, "--data", data)[0] == 0

        def nobody(*arguments: str) -> subprocess.CompletedProcess:
            given = [*arguments, "--data", str(data)]
            code = NOBODY.format(arguments=given, warm=str(tmp_path / "warm"))
            return subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=False
            )

        answer = nobody(*LINE)
        assert (answer.returncode, answer.stderr) == (0, "")
        answer = nobody("solve", "toy", "line", "alpha=0.7")
        assert answer.returncode == 1
        assert "Permission denied" in answer.stderr
        assert answer.stderr.rstrip("\n").count("\n") == 0, answer.stderr
        (data / "cache").chmod(0o700)
        answer = nobody(*LINE)
        assert answer.returncode == 1
        assert "Permission denied" in answer.stderr
        assert answer.stderr.rstrip("\n").count("\n") == 0, answer.stderr
    finally:
        shutil.rmtree(data)


def test_missing_folders_are_made_or_told(tmp_path, phasesweep):
    deep = tmp_path / "not" / "there" / "yet"
    assert phasesweep("plan", "toy", "--data", deep)[0] == 0
    assert phasesweep("cache", "verify", "--data", deep)[0] == 0
    assert phasesweep("query", "toy", "line", "--data", deep)[1] == "no points\n"
    assert not deep.exists()
    assert phasesweep(*LINE, "--data", deep)[0] == 0
    assert (deep / "cache").is_dir()
    for command in (
        ("cache", "import", tmp_path / "absent.tar"),
        ("thresholds", "toy"),
        ("figure", "toy"),
    ):
        status, out, err = phasesweep(*command, "--data", deep)
        assert (status, out, err.count("\n")) == (2, "", 1)
    # A folder that is removed while it is used: the next points are computed and stored again.
    cache = Cache(deep / "cache")
    assert len(cache.present("toy", "line", 1)) == 3
    shutil.rmtree(deep)
    assert len(cache.present("toy", "line", 1)) == 0
    assert phasesweep(*LINE, "--data", deep)[0] == 0
    assert len(cache.present("toy", "line", 1)) == 3


def test_data_on_another_file_system_than_the_temporary_one(tmp_path, phasesweep):
    """Files are renamed within their own folder, never from the temporary one."""
    with mounted(tmp_path / "other", "size=16m") as disk:
        data = disk / "data"
        assert disk.stat().st_dev != tmp_path.stat().st_dev
        for command in (
            ("run", "toy", "--manifest", data / "manifests" / "toy.json"),
            ("dataset", "toy"),
            ("thresholds", "toy", "--csv", data / "toy.csv"),
            ("figure", "toy"),
            ("cache", "compact"),
            ("cache", "export", tmp_path / "all.tar"),
            ("cache", "export", disk / "all.tar"),
            ("cache", "verify"),
        ):
            status, _, err = phasesweep(*command, "--data", data)
            assert status == 0, (command, err)
        assert phasesweep("cache", "import", disk / "all.tar", "--data", tmp_path / "d")[0] == 0


def test_clocks_that_run_ahead(data, phasesweep):
    """Files dated in the future, by name and by the file system, are files like any other."""
    assert phasesweep("solve", "toy", "line", "alpha=0,1", "fault=raise")[0] == 1
    folder = data / "cache" / "toy" / "line" / "v1"
    [path] = folder.glob("*.zip")
    ahead = (datetime.now(UTC) + timedelta(days=4000)).strftime(STAMP)
    later = path.rename(path.with_name(ahead + path.name[len(ahead) :]))
    moment = time.time() + 4000 * 86400
    os.utime(later, (moment, moment))
    orphan = later.with_name(f".tmp-{later.name}")
    orphan.write_bytes(b"")
    os.utime(orphan, (moment, moment))
    # The failed point of the future does not hide one that is computed now.
    assert phasesweep("solve", "toy", "line", "alpha=0.25", "fault=raise")[0] == 0
    assert phasesweep("cache", "compact")[0] == 0
    assert len(Cache(data / "cache").present("toy", "line", 1)) == 3
    status, out, _ = phasesweep("cache", "verify")
    assert status == 0
    assert "orphan" in out
    assert "1 files" in phasesweep("cache", "gc")[1]
    assert phasesweep("run", "toy")[0] == 0
    assert phasesweep("dataset", "toy")[0] == 0
    for file in data.rglob("*"):
        os.utime(file, (moment, moment), follow_symlinks=False)
    for command in (("run", "toy"), ("dataset", "toy"), ("thresholds", "toy"), ("watch", "--once")):
        status, _, err = phasesweep(*command)
        assert status == 0, (command, err)
    assert phasesweep("cache", "verify")[0] == 0

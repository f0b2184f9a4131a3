"""Bits flipped, files cut short, files of another version: found, named, never silently read."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from phasesweep.api import solve_points
from phasesweep.cache import Cache, segment
from phasesweep.cache.exchange import differ
from phasesweep.errors import UserError
from tests.faults.counts import counted, times

FLIPS = times("flips", short=6, long=400)
PLACE = ("toy", "line", 1)
LENGTH = 12


@pytest.fixture
def written(tmp_path):
    """(cache, its two segments, their rows by key)."""
    cache = Cache(tmp_path / "data" / "cache")
    for start in (0.0, 100.0):
        solve_points("toy", "line", {"alpha": (start + np.arange(LENGTH)).tolist()}, cache)
    paths = sorted(cache.folder(*PLACE).glob("*.zip"))
    assert len(paths) == 2
    return cache, paths, cache.read(*PLACE).blocks[0]


def regions(path: Path) -> dict[str, range]:
    """Every kind of byte of a segment."""
    data = path.read_bytes()
    found = {}
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: info for info in archive.infolist()}
        for name in (
            *("key/c/0/0", "status/c/0", "zarr.json", "key/zarr.json", "message/zarr.json"),
            *("source/zarr.json", "parameter.alpha/c/0", "observable.path/c/0/0", "residual/c/0"),
        ):
            at = members[name].header_offset
            begin = at + 30 + len(name)
            found[f"header of {name}"] = range(at, begin)
            found[name] = range(begin, begin + members[name].file_size)
        directory = archive.start_dir
    found["directory"] = range(directory, len(data) - segment.TAIL - 22)
    found["end record"] = range(len(data) - segment.TAIL - 22, len(data) - segment.TAIL)
    found["mark"] = range(len(data) - segment.TAIL, len(data) - 32)
    found["digest"] = range(len(data) - 32, len(data))
    return found


def harmless_or_named(cache: Cache, path: Path, before) -> bool:
    """Whether a reader names the file; if not, every number that it reads is as it was."""
    fresh = Cache(cache.root)
    found = fresh.read(*PLACE)
    order = {key.tobytes(): i for i, key in enumerate(before.keys)}
    for rows in found.blocks:
        at = np.array([order[key.tobytes()] for key in rows.keys])
        assert not differ(rows, before.take(at), rtol=0, atol=0).any()
        np.testing.assert_array_equal(rows.parameters["alpha"], before.parameters["alpha"][at])
    if found.damaged:
        assert list(found.damaged) == [path.name]
        assert sum(map(len, found.blocks)) == LENGTH
        return True
    assert sum(map(len, found.blocks)) == 2 * LENGTH
    return False


def test_flips_in_every_kind_of_byte(written):
    cache, [path, _other], before = written
    whole = path.read_bytes()
    rng = np.random.default_rng(11)
    named = harmless = 0
    for name, where in regions(path).items():
        for at in rng.choice(where, min(FLIPS, len(where)), replace=False).tolist():
            data = bytearray(whole)
            data[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(data)
            # Reading trusts two checksums of each number; verify reads every byte.
            if harmless_or_named(cache, path, before):
                named += 1
            else:
                harmless += 1
                assert name.startswith(("header", "zarr", "message", "source", "directory")) or (
                    name in ("end record", "digest") or "zarr.json" in name
                ), f"a flip in {name} at {at} was not noticed"
            report = Cache(cache.root).verify(set_aside=False)
            assert [finding.path for finding in report.findings] == [path], (name, at)
    path.write_bytes(whole)
    assert Cache(cache.root).verify().findings == []
    counted("bits flipped in a segment: named when read", named)
    counted("bits flipped in a segment: harmless when read, named by verify", harmless)


def test_a_run_computes_just_the_points_that_were_lost(written, phasesweep, monkeypatch):
    cache, [path, other], before = written
    data = bytearray(path.read_bytes())
    data[regions(path)["observable.path/c/0/0"][3]] ^= 16
    path.write_bytes(data)
    other.rename(other.with_name(other.name[:-4] + "_"))  # foreign by name
    monkeypatch.setenv("PHASESWEEP_DATA", str(cache.root.parent))
    status, out, _ = phasesweep("cache", "verify")
    assert status == 1
    assert f"damaged: {path}: checksum of" in out or f"damaged: {path}: the digest" in out
    assert "(12 points, 12 lost)" in out
    assert "foreign" in out
    other.with_name(other.name[:-4] + "_").rename(other)
    asked = before.parameters["alpha"].tolist()
    _, blocks, report = solve_points("toy", "line", {"alpha": asked}, Cache(cache.root))
    assert (report.found, report.computed) == (12, 12)
    status, out, _ = phasesweep("cache", "gc", "--damaged")
    assert "1 files" in out
    assert phasesweep("cache", "verify")[0] == 0
    again = {r.tobytes() for rows in blocks for r in rows.keys}
    assert again == {key.tobytes() for key in before.keys}


def test_files_cut_short_or_from_another_version_are_named(written):
    cache, [path, _other], before = written
    whole = path.read_bytes()
    rng = np.random.default_rng(12)
    for length in [0, 1, 30, *rng.integers(0, len(whole), FLIPS).tolist()]:
        path.write_bytes(whole[:length])
        assert harmless_or_named(cache, path, before)
    for old, new, kind in (
        (b"phasesweep-segment-2:", b"phasesweep-segment-3:", "foreign"),
        (b'"format": 2', b'"format": 9', "damaged"),
    ):
        path.write_bytes(whole.replace(old, new))
        [finding] = Cache(cache.root).verify(set_aside=False).findings
        assert (finding.path, finding.kind) == (path, kind)
        if kind == "foreign":
            assert "another format" in finding.reason
            assert harmless_or_named(cache, path, before)
    # A whole file of another version of the method, put in the wrong folder.
    path.write_bytes(whole)
    elsewhere = cache.folder("toy", "line", 2)
    elsewhere.mkdir()
    shutil.copy(path, elsewhere)
    assert Cache(cache.root).read("toy", "line", 2).blocks == []
    [finding] = Cache(cache.root).verify(set_aside=False).findings
    assert (finding.kind, finding.path.parent) == ("foreign", elsewhere)
    assert "toy line version 1" in finding.reason


def test_damaged_manifests_are_named(tmp_path, phasesweep):
    config = tmp_path / "config.yaml"
    sweep = tmp_path / "small.yaml"
    sweep.write_text("system: toy\nmethods: {threshold: {kappa: [0, 1]}}\n")
    config.write_text(json.dumps({"sweeps": [str(sweep)]}))
    data = tmp_path / "data"
    manifest = data / "manifests" / "small" / "run.threshold.1-of-1.json"
    assert phasesweep("run", sweep, "--manifest", manifest)[0] == 0
    whole = manifest.read_bytes()
    rng = np.random.default_rng(13)
    told = 0
    for at in rng.integers(0, len(whole), FLIPS).tolist():
        content = bytearray(whole)
        content[at] ^= 1 << int(rng.integers(8))
        manifest.write_bytes(content)
        status, out, err = phasesweep("summary", config)
        if status:
            told += 1
            assert status == 2
            assert str(manifest) in err
            assert err.count("\n") == 1
            continue
        assert out.splitlines()[-1].startswith("2 points computed, 0 found"), out
    for content in (b"", b"[]", b"3", b"{}", whole[: len(whole) // 2]):
        manifest.write_bytes(content)
        status, _, err = phasesweep("summary", config)
        assert (status, err.count("\n")) == (2, 1)
    counted("bits flipped in manifests: named", told)


def test_damaged_datasets_are_named(tmp_path, phasesweep):
    """The labelled view is checked too: it is what people read."""
    import phasesweep as ps

    data = tmp_path / "data"
    assert phasesweep("run", "toy")[0] == 0
    assert phasesweep("dataset", "toy")[0] == 0
    whole = ps.open("toy", data=data).load()
    folder = (data / "datasets" / "toy").resolve()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    rng = np.random.default_rng(14)
    named = 0
    for path in [files[i] for i in rng.permutation(len(files))[: FLIPS // 2]]:
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        for bad in (bytes(flipped), content[:-1], None):
            path.unlink()
            if bad is not None:
                path.write_bytes(bad)
            try:
                read = ps.open("toy", data=data).load()
            except (UserError, ValueError, RuntimeError):
                named += 1
            else:
                assert read.identical(whole), path
            status, _, err = phasesweep("thresholds", "toy")
            assert (status, err.count("\n")) == (2, 1), (path, err)
            assert "is damaged" in err
            assert "phasesweep dataset" in err
            path.write_bytes(content)
    assert ps.open("toy", data=data).load().identical(whole)
    counted("files of datasets damaged: named", named)

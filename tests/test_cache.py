"""The cache: what is written comes back, and nothing is lost, overwritten or silently read wrong."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from phasesweep.cache import Cache, CacheError, Coded, Rows, concat, segment
from phasesweep.cache.files import STAMP, list_segments
from phasesweep.provenance import provenance
from solvers.contract import Status

PLACE = ("toy", "theory", 1)


def keys_of(numbers):
    """Keys that spell their number, spread over all bytes."""
    return np.array([list(int(n).to_bytes(8, "big") * 2) for n in numbers], dtype=np.uint8)


def make(numbers, *, width=3, status=0, shift=0.0, seed=0, place=PLACE):
    """Rows whose values are functions of their numbers, with every type that is stored."""
    n = np.asarray(numbers, dtype=np.int64)
    points = len(n)
    overlap = np.where(n % 7 == 0, np.nan, 1 / (n + 1.5)) + shift
    return Rows(
        *place,
        keys=keys_of(n),
        parameters={
            "alpha": n / 8,
            "dimension": n,
            "weights": Coded.of(["binary", "spherical"][i % 2] for i in n.tolist()),
            "times": Coded.constant((0.1, 1.0, 10.0)[:width], points),
        },
        observables={
            "overlap": overlap,
            "converged": n % 2 == 0,
            "samples": n * 3,
            "validity": (n % 3).astype(np.int8),
            "risk": overlap[:, None] ** np.arange(1, width + 1),
        },
        status=np.full(points, status, dtype=np.int8),
        steps=n + 1,
        residual=1e-12 / (n + 1.0),
        seconds=np.full(points, 1e-3),
        messages=Coded.of("" if i % 5 else f"point {i}" for i in n.tolist()),
        dims={"risk": ("time",)},
        labels={"validity": ("exact", "bound", "unknown")},
    )


def same(left, right):
    """Equality of all columns, coded ones by value, types included."""
    assert left.columns().keys() == right.columns().keys()
    assert (left.dims, left.labels) == (right.dims, right.labels)
    for name, one in left.columns().items():
        two = right.columns()[name]
        if isinstance(one, Coded):
            assert one.decode() == two.decode(), name
        else:
            assert one.dtype == two.dtype, name
            np.testing.assert_array_equal(one, two, err_msg=name)


def numbers_in(cache, place=PLACE):
    """The numbers of all rows that `read` returns, sorted."""
    return sorted(
        n for block in cache.read(*place).blocks for n in block.observables["samples"] // 3
    )


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


# -- what is written comes back -----------------------------------------------------------------


def test_every_column_comes_back_as_it_was(cache):
    rows = make(range(40))
    rows.observables["overlap"][3] = np.inf
    rows.observables["overlap"][4] = -0.0
    cache.write(rows, {"device": "cpu", "job": "17"})
    [block] = Cache(cache.root).read(*PLACE).blocks
    assert set(block.source.decode()[0]) == {"device", "job"}
    same(replace(block, source=None), rows)
    assert np.signbit(block.observables["overlap"][4])
    assert block.parameters["times"].values == [(0.1, 1.0, 10.0)]


def test_any_zarr_reader_opens_a_segment(cache):
    import xarray
    import zarr
    from zarr.storage import ZipStore

    rows = make(range(25))
    path = cache.write(rows, provenance("cpu") | {"spent": 1.5})
    store = ZipStore(path, mode="r")
    group = zarr.open_group(store, mode="r")
    for name, column in rows.columns().items():
        array = group[name]
        if isinstance(column, Coded):
            assert [array.attrs["values"][code] for code in array[:].tolist()] == json.loads(
                json.dumps(column.decode())
            )
        else:
            np.testing.assert_array_equal(array[:], column)
    dataset = xarray.open_zarr(store, consolidated=False, chunks=None)
    assert dataset["observable.risk"].dims == ("point", "time")
    assert group.attrs["method"] == "theory"
    [source] = group["source"].attrs["values"]
    assert {"versions", "commit", "host", "device", "job", "spent"} <= source.keys()
    store.close()


def test_rows_of_different_shapes_are_separate_blocks(cache):
    cache.write(make(range(10), width=3), {})
    cache.write(make(range(10, 15), width=2), {})
    cache.write(make(range(15, 20), width=3), {})
    shapes = {block.observables["risk"].shape for block in cache.read(*PLACE).blocks}
    assert shapes == {(15, 3), (5, 2)}


def test_an_observable_may_have_an_empty_axis(cache):
    cache.write(make(range(5), width=0), {})
    [block] = cache.read(*PLACE).blocks
    assert block.observables["risk"].shape == (5, 0)


def test_missing_is_wanted_minus_present(cache):
    assert len(cache.present(*PLACE)) == 0
    assert (cache.present(*PLACE).status_of(keys_of([1, 2])) == -1).all()
    cache.write(make([1, 3, 5]), {})
    cache.write(make([7], status=Status.MAX_STEPS), {})
    present = cache.present(*PLACE)
    assert present.status_of(keys_of([7, 2, 1, 2**40])).tolist() == [1, -1, 0, -1]
    assert dict(present) == {
        key.tobytes(): s for key, s in zip(keys_of([1, 3, 5, 7]), [0, 0, 0, 1], strict=False)
    }
    found = cache.read(*PLACE, keys=keys_of([5, 6, 7]))
    assert sorted(found.blocks[0].observables["samples"]) == [15, 21]


def test_keys_that_end_in_zero_bytes_are_told_apart(cache):
    rows = make(range(3))
    rows.keys[:] = 0
    rows.keys[1, 0] = rows.keys[2, 15] = 1
    cache.write(rows, {})
    assert len(cache.present(*PLACE)) == 3
    assert list(cache.present(*PLACE).find(rows.keys)) == [0, 2, 1]


def test_a_good_row_supersedes_a_failed_one_whatever_their_order(cache):
    cache.write(make([1, 2], status=Status.CONVERGED), {"run": 1})
    cache.write(make([1, 2, 3], status=Status.FAILED), {"run": 2})
    cache.write(make([3], status=Status.CONVERGED), {"run": 3})
    cache.write(make([4], status=Status.FAILED), {"run": 4})
    cache.write(make([4], status=Status.FAILED), {"run": 5})
    present = cache.present(*PLACE)
    assert present.status_of(keys_of([1, 2, 3, 4])).tolist() == [0, 0, 0, 6]
    [block] = cache.read(*PLACE).blocks
    runs = {
        n: s["run"]
        for n, s in zip(block.observables["samples"] // 3, block.source.decode(), strict=False)
    }
    assert runs == {1: 1, 2: 1, 3: 3, 4: 5}
    [about] = cache.info()
    assert (about.points, about.failed, about.repeated, about.segments) == (4, 1, 4, 5)


def test_another_object_sees_what_was_just_written(cache):
    other = Cache(cache.root)
    for n in range(3):
        cache.write(make([n]), {})
        assert len(other.present(*PLACE)) == n + 1


def test_names_cannot_leave_the_root(cache, tmp_path):
    for name in ("..", "../x", "a/b", "", "A", "a\n", "/etc", "a.b"):
        with pytest.raises(CacheError, match="not a name"):
            cache.folder(name, "theory", 1)
        with pytest.raises((CacheError, ValueError)):
            cache.write(make([1], place=("toy", name, 1)), {})
    for version in (0, -1, 1.5, True):
        with pytest.raises(CacheError, match="version"):
            cache.folder("toy", "theory", version)
    assert not list(tmp_path.iterdir())


def test_wrong_columns_are_refused_before_anything_is_written(cache):
    rows = make(range(4))
    for wrong in (
        replace(rows, status=rows.status.astype(int)),
        replace(rows, keys=rows.keys[:3]),
        replace(rows, observables={"risk": rows.observables["risk"][0]}),
        replace(rows, observables={"word": np.array(["a"] * 4)}),
        replace(rows, dims={}),
        replace(rows, messages=Coded(np.array([0, 1, 2, 3], dtype=np.int32), ["only one"])),
    ):
        with pytest.raises(ValueError, match=r".+"):
            cache.write(wrong, {})
    assert not Path(cache.root).exists()


def test_rows_are_joined_and_cut_without_changing_a_value():
    parts = [make([1, 2, 3]), make([9]), make([4, 5])]
    [joined] = concat(parts)
    same(joined, make([1, 2, 3, 9, 4, 5]))
    same(joined.take([3, 0]), make([9, 1]))
    same(joined.take(joined.parameters["alpha"] > 0.5), make([9, 5]))


# -- nothing is lost ----------------------------------------------------------------------------

CHILD = """
import os, sys, time
sys.path.insert(0, {tests!r})
from test_cache import *
cache = Cache(Path({root!r}))
"""


def child(cache, code, **options):
    """Start Python on `code` with this module's names and `cache` in scope."""
    text = CHILD.format(tests=str(Path(__file__).parent), root=str(cache.root)) + code
    # The parent's imports decide nothing here; a warning in the child is as fatal as in a test.
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def test_kill_in_mid_write_leaves_whole_segments_and_an_orphan(cache):
    """The writer is killed once just before its rename, so that the temporary file is there."""
    code = """
from phasesweep.cache import files
cache.write(make(range(10)), {})
files.os.fsync = lambda handle: os.kill(os.getpid(), 9)
cache.write(make(range(10, 20)), {})
"""
    process = child(cache, code)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert numbers_in(cache) == list(range(10))
    report = cache.verify()
    assert (report.segments, report.rows, report.sound) == (1, 10, True)
    [orphan] = report.of("orphan")
    assert orphan.path.name.startswith(".tmp-")
    assert cache.gc().paths == [orphan.path]
    assert cache.verify().findings == []
    assert numbers_in(cache) == list(range(10))


def test_kill_at_random_instants_leaves_nothing_torn(cache):
    code = """
print("ready", flush=True)
for start in range(0, 10**9, 50):
    cache.write(make(range(start, start + 50)), {})
    print(start, flush=True)
"""
    rng = np.random.default_rng(5)
    for _ in range(3):
        process = child(cache, code)
        process.stdout.readline()
        time.sleep(rng.uniform(0.02, 0.15))
        process.kill()
        told = process.communicate()[0].split()
        numbers = numbers_in(cache)
        # Whole flushes only, and every flush whose `write` returned is there.
        assert len(numbers) % 50 == 0
        assert len(numbers) >= 50 * len(told)
        assert numbers == list(range(len(numbers)))
        report = cache.verify()
        assert report.sound
        assert len(report.findings) <= 1
        cache.gc()
        for path in Path(cache.root).rglob("*.zip"):
            path.unlink()


def test_the_temporary_file_of_a_living_writer_is_no_orphan(cache):
    path = cache.write(make([1]), {})
    live = path.with_name(f".tmp-{path.name}")
    path.rename(live)
    assert cache.verify().findings == []
    assert cache.gc().paths == []
    for hours in (-48, 48):  # timestamps from the future are no sign of life either
        moment = time.time() + 3600 * hours
        os.utime(live, (moment, moment))
        assert [finding.kind for finding in cache.verify().findings] == ["orphan"]


def test_eight_writers_lose_no_row(cache):
    """Overlapping work: writer k writes [40 k, 40 k + 80) in flushes of 10 while all others write."""
    code = """
children = []
for k in range(8):
    children.append(os.fork())
    if not children[-1]:
        for start in range(40 * k, 40 * k + 80, 10):
            cache.write(make(range(start, start + 10)), dict(writer=k))
        os._exit(0)
print(*(os.waitpid(pid, 0)[1] for pid in children))
"""
    assert finish(child(cache, code)).split() == ["0"] * 8
    assert numbers_in(cache) == list(range(360))
    assert len(list_segments(cache.folder(*PLACE))) == 64
    [block] = cache.read(*PLACE).blocks
    same(replace(block.take(np.argsort(block.steps)), source=None), make(range(360)))


def test_disk_full_is_one_sentence_and_older_rows_stay(cache):
    """A file-size limit stands for the full disk: the write fails half-way with EFBIG."""
    cache.write(make(range(50)), {})
    code = """
import resource

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    cache.write(make(range(100, 900)), {})
except CacheError as error:
    print(error)
try:
    cache.compact(max_rows=1000)
except CacheError as error:
    print("compact:", error)
"""
    for start in range(50, 250, 50):
        cache.write(make(range(start, start + 50)), {})
    before = list_segments(cache.folder(*PLACE))
    first, second = finish(child(cache, code)).splitlines()
    assert first.startswith("800 rows could not be written")
    assert "File too large" in first
    assert second.startswith("compact: 250 rows could not be written")
    assert list_segments(cache.folder(*PLACE)) == before
    assert cache.verify().findings == []
    assert numbers_in(cache) == list(range(250))


def test_a_folder_that_cannot_be_made_is_one_sentence(cache):
    Path(cache.root).write_text("a file where the cache should be")
    with pytest.raises(CacheError, match="could not be written"):
        cache.write(make([1]), {})


# -- nothing is silently read wrong -------------------------------------------------------------


def test_every_flipped_bit_is_found(cache):
    whole = segment.encode(make(range(6)), created="now")
    segment.check_digest(whole)
    data = bytearray(whole)
    rng = np.random.default_rng(1)
    for at in [*range(60), *rng.integers(0, len(data), 300), *range(len(data) - 90, len(data))]:
        data[at] ^= 1 << int(rng.integers(8))
        with pytest.raises(segment.SegmentError):
            segment.check_digest(bytes(data))
        data[at] ^= 0xFF
        with pytest.raises(segment.SegmentError):
            segment.check_digest(bytes(data))
        data[at] = whole[at]


def test_flipped_bits_never_change_a_number_that_is_read():
    """Reading without the digest of the file: either refused, or every number as it was."""
    rows = replace(make(range(6)), source=Coded.constant({}, 6))
    whole = segment.encode(rows, created="now")
    rng = np.random.default_rng(2)
    refused = 0
    for at in rng.integers(0, len(whole), 400):
        data = bytearray(whole)
        data[at] ^= 1 << int(rng.integers(8))
        try:
            read, _about = segment.decode(bytes(data), place=PLACE)
        except segment.SegmentError:
            refused += 1
        else:
            same(read, rows)
    assert refused > 200


def test_truncation_at_any_length_is_found(cache):
    path = cache.write(make(range(30)), {})
    data = path.read_bytes()
    for length in [*range(40), *np.linspace(40, len(data) - 1, 40).astype(int)]:
        path.write_bytes(data[:length])
        present = Cache(cache.root).present(*PLACE)
        assert len(present) == 0
        assert path.name in present.damaged


def test_a_damaged_segment_is_named_and_its_points_are_missing_again(cache):
    paths = [cache.write(make(range(start, start + 10)), {}) for start in (0, 10, 20)]
    cache.write(make([12, 13]), {})
    data = bytearray(paths[1].read_bytes())
    with zipfile.ZipFile(paths[1]) as archive:
        at = archive.getinfo("observable.overlap/c/0").header_offset + 70
    data[at] ^= 4
    paths[1].write_bytes(data)

    found = Cache(cache.root).read(*PLACE)
    assert list(found.damaged) == [paths[1].name]
    assert sorted(n for b in found.blocks for n in b.steps - 1) == [
        *range(10),
        12,
        13,
        *range(20, 30),
    ]

    report = Cache(cache.root).verify()
    [finding] = report.of("damaged")
    assert finding.path == paths[1]
    assert not report.sound
    np.testing.assert_array_equal(finding.keys, keys_of(range(10, 20)))
    assert finding.lost == 8

    later = Cache(cache.root)
    missing = later.present(*PLACE).status_of(keys_of(range(30))) < 0
    assert np.flatnonzero(missing).tolist() == [10, 11, *range(14, 20)]
    cache.write(make(range(10, 20)), {})
    assert numbers_in(Cache(cache.root)) == list(range(30))
    [aside] = later.verify().findings
    assert aside.kind == "set aside"
    assert later.gc().paths == []
    assert later.gc(damaged=True).paths == [aside.path]


def test_files_of_others_are_named_and_left_alone(cache):
    path = cache.write(make(range(5)), {})
    folder = path.parent
    newer = folder / path.name.replace("Z-", "Z-other_", 1)
    newer.write_bytes(path.read_bytes().replace(b"segment-2:", b"segment-3:"))
    (folder / "notes.txt").write_text("hello")
    (Path(cache.root) / "stray").write_bytes(pickle.dumps({"never": "read"}))
    wrong = cache.folder("toy", "simulation", 1)
    wrong.mkdir(parents=True)
    (wrong / path.name).write_bytes(path.read_bytes())
    link = folder / path.name.replace("Z-", "Z-link_", 1)
    link.symlink_to(path)
    assert numbers_in(cache) == list(range(5))
    report = cache.verify(set_aside=False)
    found = {finding.path: finding.kind for finding in report.findings}
    assert found == dict.fromkeys(
        [newer, folder / "notes.txt", Path(cache.root) / "stray", wrong / path.name, link],
        "foreign",
    )
    assert cache.read("toy", "simulation", 1).blocks == []
    cache.gc(damaged=True)
    assert all(path.exists() for path in found)


# -- compaction ---------------------------------------------------------------------------------


def test_compaction_keeps_every_row_and_its_source(cache):
    for k in range(12):
        cache.write(make(range(10 * k, 10 * k + 10), width=3 - k % 2), {"run": k})
    cache.write(make([3, 500], status=Status.FAILED), {"run": 99})
    before = dict(sources(cache))
    done = cache.compact(max_rows=60)
    assert done.before == 13
    assert done.after < 8
    assert dict(sources(Cache(cache.root))) == before
    [about] = cache.info()
    assert about.points == 121
    assert cache.verify().findings == []


def sources(cache):
    for block in cache.read(*PLACE).blocks:
        yield from zip(
            (block.steps - 1).tolist(), [s["run"] for s in block.source.decode()], strict=True
        )


def test_repeated_and_superseded_rows_go_with_compaction(cache):
    cache.write(make(range(10), status=Status.FAILED), {})
    cache.write(make(range(10)), {})
    cache.write(make(range(5, 15)), {})
    done = cache.compact()
    assert (done.before, done.after, done.dropped) == (3, 1, 15)
    [about] = cache.info()
    assert (about.points, about.failed, about.repeated) == (15, 0, 0)


def test_a_merged_segment_is_newer_than_its_parts(cache):
    """Even when a part was written by a machine whose clock runs ahead."""
    path = cache.write(make([1]), {})
    ahead = (datetime.now(UTC) + timedelta(days=400)).strftime(STAMP)
    path.rename(path.with_name(ahead + path.name[len(ahead) :]))
    cache.write(make([2]), {})
    cache.compact()
    [(name, _size, _date)] = list_segments(cache.folder(*PLACE))
    assert name[: len(ahead)] > ahead


def test_a_compaction_killed_before_removing_its_parts_is_finished_by_the_next(cache):
    for k in range(4):
        cache.write(make(range(10 * k, 10 * k + 10)), {})
    code = """
from phasesweep.cache import compact
compact._remove = lambda folder, names: names and os.kill(os.getpid(), 9)
cache.compact()
"""
    process = child(cache, code)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert len(list_segments(cache.folder(*PLACE))) == 5
    assert cache.info()[0].repeated == 40
    assert numbers_in(cache) == list(range(40))
    done = cache.compact()
    assert (done.after, cache.info()[0].repeated) == (1, 0)
    assert numbers_in(cache) == list(range(40))


def test_reading_beside_writers_and_two_compactions_never_misses_a_row(cache):
    for k in range(6):
        cache.write(make(range(10 * k, 10 * k + 10)), {})
    writer = child(
        cache,
        """
for start in range(1000, 1600, 10):
    cache.write(make(range(start, start + 10)), {})
""",
    )
    mergers = [
        child(cache, f"for _ in range(40): cache.compact(max_rows={size})") for size in (200, 100)
    ]
    reader, rounds, seen = Cache(cache.root), 0, 0
    while any(process.poll() is None for process in (writer, *mergers)):
        numbers = numbers_in(reader)
        assert numbers[:60] == list(range(60))
        assert len(set(numbers)) == len(numbers) >= seen
        seen, rounds = len(numbers), rounds + 1
    for process in (writer, *mergers):
        finish(process)
    assert rounds > 3
    assert numbers_in(cache) == [*range(60), *range(1000, 1600)]
    assert cache.verify().findings == []


# -- moving results -----------------------------------------------------------------------------


def test_export_and_import_carry_every_row(cache, tmp_path):
    for k in range(4):
        cache.write(make(range(10 * k, 10 * k + 10), width=2 + k % 2), {"run": k})
    cache.write(make([1], place=("toy", "other", 2)), {"run": 9})
    archive = tmp_path / "all.tar"
    assert (
        cache.export(archive).segments,
        cache.export(tmp_path / "b.tar", method="other").rows,
    ) == (5, 1)
    with pytest.raises(CacheError, match="exists already"):
        cache.export(archive)
    with pytest.raises(CacheError, match="holds nothing of nosuch"):
        cache.export(tmp_path / "c.tar", system="nosuch")
    there = Cache(tmp_path / "there")
    assert there.import_(archive, check_keys=False).rows == 41
    assert sorted(sources(there)) == sorted(sources(cache))
    again = there.import_(archive, check_keys=False)
    assert (again.rows, again.known, again.conflicts) == (0, 41, [])
    assert numbers_in(there, ("toy", "other", 2)) == [1]


def test_contradictory_rows_are_reported_and_never_overwritten(cache, tmp_path):
    cache.write(make(range(0, 20)), {"side": "here"})
    cache.write(make([40], status=Status.FAILED), {"side": "here"})
    there = Cache(tmp_path / "there")
    there.write(make(range(10, 15), shift=1e-3), {"side": "there"})
    there.write(make(range(15, 30), shift=1e-9), {"side": "there"})
    there.write(make([30], status=Status.FAILED), {"side": "there"})
    there.write(make([16], status=Status.FAILED), {"side": "there"})
    there.write(make([40]), {"side": "there"})
    there.write(make([31]), {"side": "there"})
    there.write(make([31], status=Status.MAX_STEPS), {"side": "there"})
    there.export(tmp_path / "there.tar")
    done = cache.import_(tmp_path / "there.tar", check_keys=False)
    # 14 is NaN with any shift: its observables agree.
    told = Counter(int.from_bytes(key[:8], "big") for _place, key, _why in done.conflicts)
    assert told == Counter([10, 11, 12, 13, 31])
    assert done.rows == 10 + 1 + 1  # 20..29, 30 as failed, 40 that had failed here
    assert numbers_in(cache) == [*range(31), 40]
    assert cache.present(*PLACE).status_of(keys_of([40, 16, 31])).tolist() == [0, 0, -1]
    for block in cache.read(*PLACE, keys=keys_of(range(20))).blocks:
        assert {source["side"] for source in block.source.decode()} == {"here"}


def test_an_archive_with_an_unexpected_member_is_refused_whole(cache, tmp_path):
    good = cache.write(make([1]), {})
    name = f"toy/theory/v1/{good.name}"
    plain = tarfile.TarInfo
    for bad in (
        plain("../evil"),
        plain(f"../{name}"),
        plain(f"/{name}"),
        plain(f"toy/../theory/v1/{good.name}"),
        plain(f"toy/theory/v0/{good.name}"),
        plain("toy/theory/v1/x.pickle"),
        symlink(name),
    ):
        archive = tmp_path / "bad.tar"
        with tarfile.open(archive, "w") as tar:
            member = plain(name.replace("Z-", "Z-a_"))
            member.size = good.stat().st_size
            tar.addfile(member, io.BytesIO(good.read_bytes()))
            tar.addfile(bad)
        there = Cache(tmp_path / "there")
        with pytest.raises(CacheError, match="nothing was imported"):
            there.import_(archive, check_keys=False)
        assert not Path(there.root).exists()
        assert not (tmp_path / "evil").exists()


def symlink(name):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


def test_damaged_members_are_named_and_the_rest_comes_in(cache, tmp_path):
    paths = [cache.write(make([k]), {}) for k in range(3)]
    archive = tmp_path / "a.tar"
    cache.export(archive)
    data = archive.read_bytes()
    inner = paths[1].read_bytes()
    archive.write_bytes(data.replace(inner, inner[:-200] + bytes([inner[-200] ^ 1]) + inner[-199:]))
    done = Cache(tmp_path / "there").import_(archive, check_keys=False)
    assert done.rows == 2
    assert list(done.damaged) == [f"toy/theory/v1/{paths[1].name}"]
    archive.write_bytes(data[: len(data) // 2 // 512 * 512 + 100])
    with pytest.raises(CacheError, match="is not an archive"):
        Cache(tmp_path / "x").import_(archive, check_keys=False)
    with pytest.raises(CacheError, match="there is no file"):
        Cache(tmp_path / "x").import_(tmp_path / "nosuch.tar", check_keys=False)


def test_a_million_keys_are_merged_and_found(cache):
    """Not timed: that repeated, failed and missing keys are right at size."""
    rng = np.random.default_rng(3)
    n = 100_000
    keys = rng.integers(0, 256, (n, 16), dtype=np.uint8)
    status = (rng.random(n) < 0.1).astype(np.int8) * int(Status.FAILED)
    base = make(range(1), width=1)
    for start in range(0, n, n // 10):
        rows = base.take(np.zeros(n // 10, dtype=int))
        part = slice(start, start + n // 10)
        cache.write(replace(rows, keys=keys[part], status=status[part]), {})
    present = cache.present(*PLACE)
    shuffled = rng.permutation(n)
    np.testing.assert_array_equal(present.status_of(keys[shuffled]), status[shuffled])
    assert (present.find(rng.integers(0, 256, (1000, 16), dtype=np.uint8)) == -1).all()

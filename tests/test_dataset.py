"""Datasets say what the cache holds: every cell in its place, holes visible, windows selectable."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import xarray as xr

import phasesweep
from phasesweep.api import build_dataset, solve_points, sweep_points
from phasesweep.cache import Cache
from phasesweep.dataset import Dense, _layout, on_disk
from phasesweep.errors import UserError
from phasesweep.query import open_dataset
from phasesweep.sweep import run
from phasesweep.sweepfile import read_sweep
from phasesweep.windows import widen
from solvers.contract import Observable


def compute(sweep, data, only=None):
    cache = Cache(data / "cache")
    for name, points in sweep_points(sweep, cache, store=True).items():
        if only in (None, name):
            run(points, cache, quiet=True)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """A data folder with the toy's demo, computed."""
    data = tmp_path_factory.mktemp("toy")
    compute(read_sweep("toy"), data)
    build_dataset("toy", data)
    return data


def test_a_tree_has_a_group_per_method(toy):
    tree = phasesweep.open("toy", data=toy)
    assert isinstance(tree, xr.DataTree)
    assert set(tree.children) == {"threshold", "line", "measure"}
    assert tree.attrs["system"] == "toy"
    assert json.loads(tree.attrs["thresholds"])[0]["of"] == "measure.satisfiable"
    assert float(tree["threshold"]["alpha_c"]) == 1.0


def test_cells_words_and_further_axes(toy):
    line = phasesweep.open("toy", "line", data=toy)
    assert line.alpha.values.tolist() == [0, 0.5, 1, 1.5, 2]
    assert line.phase.values.tolist() == ["solvable"] * 2 + ["unsolvable"] * 3
    np.testing.assert_allclose(line.path, line.alpha * line.time)
    assert line.time.values.tolist() == [0, 1, 2]
    assert line.status.values.tolist() == [0, 0, 0, 0, 1]
    assert line.fault == "none"
    assert line.attrs["role"] == "theory"


def test_provenance_travels_with_the_dataset(toy):
    line = phasesweep.open("toy", "line", data=toy)
    (source,) = json.loads(line.attrs["computed"])
    assert source["versions"]["numpy"] == np.__version__
    assert source["host"]
    assert source["device"] == "cpu"
    assert line.attrs["version"] == 1


def test_a_window_is_selected_size_by_size(toy):
    measure = phasesweep.open("toy", "measure", data=toy)
    assert dict(measure.sizes) == {"dimension": 2, "seed": 20, "window": 9}
    assert measure.alpha.dims == ("dimension", "window")
    nearest = measure.satisfiable.mean("seed").sel(alpha=1.1, method="nearest")
    for dimension in (16, 64):
        own = measure.sel(dimension=dimension)
        place = int(np.argmin(np.abs(own.alpha.values - 1.1)))
        assert nearest.sel(dimension=dimension) == own.satisfiable.mean("seed")[place]
        assert nearest.alpha.sel(dimension=dimension) == own.alpha[place]
        assert (
            own.satisfiable.mean("seed").sel(alpha=1.1, method="nearest")
            == own.satisfiable.mean("seed")[place]
        )
    with pytest.raises(KeyError, match="not in every window"):
        measure.sel(alpha=1.1)
    with pytest.raises(ValueError, match="lies in windows"):
        measure.sel(alpha=slice(0.9, 1.1))
    assert float(measure.sel(alpha=1.0).alpha.std()) == 0


def test_wide_datasets_hold_the_same_cells(toy):
    narrow = phasesweep.open("toy", "measure", data=toy)
    wide = widen(narrow)
    assert wide.satisfiable.dims == ("dimension", "seed", "alpha")
    assert int(wide.satisfiable.notnull().sum()) == int(narrow.satisfiable.notnull().sum()) == 360
    assert int((wide.status == -1).sum()) == wide.status.size - 360
    for dimension in (16, 64):
        for place in range(9):
            alpha = float(narrow.alpha.sel(dimension=dimension)[place])
            np.testing.assert_array_equal(
                wide.satisfiable.sel(dimension=dimension, alpha=alpha),
                narrow.satisfiable.sel(dimension=dimension).isel(window=place),
            )
    tree = open_dataset("toy", None, toy, wide=True)
    xr.testing.assert_identical(tree["measure"].to_dataset(), wide)


def test_holes_are_visible(tmp_path):
    sweep = tmp_path / "holes.yaml"
    sweep.write_text(
        "system: toy\nmethods:\n"
        "  line: {alpha: [0.2, 1], fault: [none, raise]}\n"
        "  measure: {alpha: [0.2, 1], dimension: 16, seed: {count: 3}}\n"
    )
    compute(read_sweep(sweep), tmp_path, only="line")
    _, counts = build_dataset(sweep, tmp_path)
    assert counts["line"]["points_failed"] == 1
    assert counts["measure"] == {
        "points_asked": 6,
        "points_present": 0,
        "points_failed": 0,
        "segments_damaged": 0,
    }
    line = phasesweep.open("holes", "line", data=tmp_path)
    assert line.status.sel(fault="raise").values.tolist() == [0, 6]
    assert line.phase.sel(fault="raise").values.tolist() == ["solvable", ""]
    assert np.isnan(line.path.sel(alpha=1, fault="raise")).all()
    measure = phasesweep.open("holes", "measure", data=tmp_path)
    assert np.isnan(measure.satisfiable).all()
    assert (measure.status == -1).all()


def test_a_sweep_in_which_everything_failed_has_its_shape(tmp_path):
    dataset = phasesweep.solve("toy", "line", alpha=[1, 2], fault="raise", data=tmp_path)
    assert dataset.path.shape == (2, 3)
    assert np.isnan(dataset.path).all()
    assert dataset.status.values.tolist() == [6, 6]


def test_widths_are_padded_with_nan(tmp_path):
    dataset = phasesweep.solve("toy", "line", alpha=[1, 2], width=[2, 4], data=tmp_path)
    assert dataset.profile.shape == (2, 2, 4)
    assert np.isnan(dataset.profile.sel(width=2)[:, 2:]).all()
    assert dataset.profile.sel(width=4).notnull().all()


def test_several_sequences_have_their_own_times(tmp_path):
    times = {"values": [[0, 1], [0, 2, 4]]}
    dataset = phasesweep.solve("toy", "line", alpha=[1, 2], times=times, data=tmp_path)
    assert dataset.path.dims == ("alpha", "times", "time") or dataset.path.dims == (
        "times",
        "alpha",
        "time",
    )
    np.testing.assert_array_equal(dataset.time_of_times, [[0, 1, np.nan], [0, 2, 4]])
    np.testing.assert_array_equal(dataset.path.sel(alpha=2, times=1), [0, 4, 8])


def test_rebuilding_swaps_the_dataset_and_keeps_readers_alive(tmp_path):
    compute(read_sweep("toy"), tmp_path)
    build_dataset("toy", tmp_path)
    before = phasesweep.open("toy", "line", data=tmp_path)
    build_dataset("toy", tmp_path)
    assert before.path.notnull().all(), "a lazy reader of the old generation"
    build_dataset("toy", tmp_path)
    generations = [p for p in (tmp_path / "datasets").iterdir() if p.name.startswith(".toy.")]
    assert len(generations) == 2
    assert phasesweep.open("toy", "line", data=tmp_path).identical(before)


def test_a_dataset_is_plain_zarr_for_everybody_else(toy):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line = xr.open_zarr(toy / "datasets" / "toy" / "line", consolidated=False)
    assert line.phase.attrs["flag_meanings"] == "solvable unsolvable"
    assert line.phase.values.tolist() == [0, 0, 1, 1, 1]


def test_points_are_a_table_over_all_sweeps(toy):
    table = phasesweep.points("toy", "measure", alpha=slice(0.9, 1.1), dimension=64, data=toy)
    assert set(table.dimension.values) == {64}
    assert table.alpha.min() >= 0.9
    assert table.sizes["point"] == 20 * 3
    frame = table.to_dataframe()
    assert {"alpha", "seed", "satisfiable", "samples", "status"} <= set(frame.columns)
    words = phasesweep.points("toy", "line", fault="none", data=toy)
    assert set(words.phase.values) == {"solvable", "unsolvable"}
    assert phasesweep.points("toy", "line", alpha=[0.5, 1.0], data=toy).sizes["point"] == 2
    assert phasesweep.points("toy", "line", alpha=77.0, data=toy).sizes["point"] == 0
    assert phasesweep.points("toy", "line", times=[0.0, 1.0, 2.0], data=toy).sizes["point"] == 5
    with pytest.raises(UserError, match="no axis of line 'gamma'"):
        phasesweep.points("toy", "line", gamma=1, data=toy)


def test_solve_goes_through_the_cache(tmp_path):
    axes = {"alpha": {"from": 0, "to": 1, "points": 3}, "data": tmp_path}
    first = phasesweep.solve("toy", "line", **axes)
    again = phasesweep.solve("toy", "line", **axes)
    xr.testing.assert_identical(first, again)
    _, _, report = solve_points("toy", "line", {"alpha": [0, 0.5]}, Cache(tmp_path / "cache"))
    assert (report.found, report.computed) == (2, 0)


def test_a_damaged_segment_is_told_and_its_points_computed_again(tmp_path):
    compute(read_sweep("toy"), tmp_path)
    cache = Cache(tmp_path / "cache")
    (segment,) = (tmp_path / "cache" / "toy" / "line" / "v1").glob("*.zarr.zip")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 0xFF
    segment.write_bytes(bytes(content))
    report = cache.verify()
    assert [finding.kind for finding in report.findings] == ["damaged"]
    assert report.findings[0].lost == 5
    points = sweep_points(read_sweep("toy"), Cache(tmp_path / "cache"))["line"]
    again = run(points, Cache(tmp_path / "cache"), quiet=True)
    assert (again.found, again.computed) == (0, 5)


@pytest.mark.parametrize("shape", [(3,), (1000, 1000), (400, 21, 7, 300), (10_000_000,)])
def test_chunks_are_small_and_shards_are_whole_chunks(shape):
    layout = _layout(shape)
    assert np.prod(layout["chunks"]) <= 2**17
    assert np.prod(layout["shards"]) <= 2**23
    assert all(s % c == 0 for s, c in zip(layout["shards"], layout["chunks"], strict=True))


@pytest.mark.parametrize("room", [np.empty, on_disk(None)])
def test_blocks_may_come_in_any_order_and_length(room, monkeypatch):
    monkeypatch.setattr("phasesweep.dataset.IN_MEMORY_BYTES", 0)
    dense = Dense(Observable("path", dims=("time",)), (2, 2), {"time": 1}, room)
    assert np.isnan(dense.array()).all()
    assert dense.array().shape == (2, 2, 1)
    dense.put(np.array([3, 0]), np.array([[1.0, 2], [3, 4]]))
    dense.put(np.array([1]), np.array([[5.0, 6, 7]]))
    dense.put(np.array([], int), np.zeros((0, 9)))
    dense.put(np.array([2]), np.zeros((1, 0)))
    nan = np.nan
    np.testing.assert_array_equal(
        dense.array().reshape(4, 3), [[3, 4, nan], [5, 6, 7], [nan] * 3, [1, 2, nan]]
    )
    assert isinstance(dense.array(), np.memmap) == (room is not np.empty)


def test_a_dataset_too_large_for_memory_is_the_same(toy, tmp_path, monkeypatch):
    """Arrays on the disk while it is built; nothing of them is left."""
    (tmp_path / "cache").symlink_to(toy / "cache")
    monkeypatch.setattr("phasesweep.dataset.IN_MEMORY_BYTES", 0)
    build_dataset("toy", tmp_path)
    small, large = (phasesweep.open("toy", data=data) for data in (toy, tmp_path))
    for name in small.children:
        xr.testing.assert_identical(small[name].to_dataset(), large[name].to_dataset())
    assert len(list((tmp_path / "datasets").iterdir())) == 2  # the link and its folder


def test_large_datasets_are_sharded(tmp_path):
    sweep = tmp_path / "large.yaml"
    sweep.write_text(
        "system: toy\nmethods: {line: {alpha: {from: 0, to: 1, points: 600}, width: 400}}\n"
    )
    compute(read_sweep(sweep), tmp_path)
    build_dataset(sweep, tmp_path)
    line = phasesweep.open("large", "line", data=tmp_path)
    assert line.profile.encoding["shards"] is not None
    assert line.profile.encoding["chunks"] != line.profile.shape
    np.testing.assert_allclose(line.profile[:, 0], line.alpha)


def test_a_file_is_found_again_by_its_digest(tmp_path):
    solved = phasesweep.solve("toy", "line", alpha=1, start={"x": 2.0}, data=tmp_path)
    assert solved.path.values.tolist() == [2, 3, 4]
    digest = str(solved.start.values)
    assert digest.startswith("sha256:")
    assert phasesweep.points("toy", "line", start=digest, data=tmp_path).sizes["point"] == 1
    assert phasesweep.points("toy", "line", start="zero", data=tmp_path).sizes["point"] == 0

"""From the cache to labelled xarray: dense datasets of sweeps, and tables of points.

The dataset of a sweep is a disposable view: one Zarr v3 store with a group per method, written
beside the old one and swapped in. It can always be rebuilt from the cache.

Dimensions are the axes with several values, in the sweep's order; other axes are scalar
coordinates. An axis that is a window has a dimension `window`, and is a coordinate over it (see
`windows`). Cells that were not asked are NaN (`status` is -1 there), and so are the observables
of failed points. Flags and integers are stored as floats for the same reason. Words are stored as
CF flags, and come back as words from `open_dataset`.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.cache import Cache, Rows
from phasesweep.cache.keys import Ascending, sortable
from phasesweep.grid import Points
from phasesweep.provenance import provenance
from phasesweep.seal import seal
from phasesweep.sweepfile import Sweep
from solvers.axes import Sequence as SequenceAxis
from solvers.contract import Method, Observable, Status

if TYPE_CHECKING:
    import xarray as xr

BUILDING = ".building"
WINDOW, WINDOW_AXIS = "window", "window_axis"
CHUNK_CELLS = 2**17
SHARD_CELLS = 2**23
IN_MEMORY_BYTES = 2**26
"""Larger arrays lie on the disk while a dataset is built."""
BOOKKEEPING = {
    "status": Observable("how the point ended", labels=tuple(s.name.lower() for s in Status)),
    "steps": Observable("steps taken", kind="integer"),
    "residual": Observable("distance from solving the equations, as the method defines it"),
    "seconds": Observable("time spent on the point", unit="s"),
}
COMMENT = "NaN where a cell was not asked, failed, or has no value"


def bookkeeping(method: Method) -> dict[str, Observable]:
    """What is told of every point; of a method with an axis `steps` that axis tells the steps."""
    return {name: item for name, item in BOOKKEEPING.items() if name not in method.axes}


def method_dataset(
    points: Points, blocks: Iterable[Rows], room: Callable[..., np.ndarray] = np.empty
) -> xr.Dataset:
    """The dense dataset of one method: `points` set its axes, `blocks` of rows fill it.

    Blocks are taken one after the other and not kept. `room(shape, dtype)` gives the arrays.
    """
    import xarray as xr

    method = points.method
    window = _window_axis(points)
    coordinates = {axis: _axis_values(points, axis) for axis in points.columns if axis != window}
    dims = [axis for axis, values in coordinates.items() if len(values) > 1]
    shape = tuple(len(coordinates[axis]) for axis in dims)
    if window and points.window:
        dims, shape = [*dims, WINDOW], (*shape, int(points.window[1].max()) + 1)
    cells = _cells(points, coordinates, dims, shape)
    first = points.distinct
    held = Ascending(sortable(points.key_table[first]))
    further = _further_coordinates(points, coordinates)
    lengths = {dims[-1]: data.shape[-1] for dims, data, _ in further.values()}
    told = bookkeeping(method)
    filled = {
        name: Dense(observable, shape, lengths, room)
        for name, observable in (method.observables | told).items()
    }
    found = failed = 0
    sources: dict[str, Any] = {}
    for rows in blocks:
        at = held.find(sortable(rows.keys))
        source = np.flatnonzero(at >= 0)
        target, lost = cells[first[at[source]]], rows.status[source] == Status.FAILED
        for name in method.observables:
            filled[name].put(target[~lost], rows.observables[name][source[~lost]])
        for name in told:
            filled[name].put(target, getattr(rows, name)[source])
        found, failed = found + len(source), failed + int(lost.sum())
        sources |= _sources(rows)
    variables = {
        name: (
            (*dims, *dense.observable.dims),
            dense.array(),
            describe_observable(name, dense.observable),
        )
        for name, dense in filled.items()
    }
    attributes = {
        "Conventions": "CF-1.11",
        "title": f"{method.system.title}: {method.name}",
        "source": method.system.source,
        "system": method.system.name,
        "method": method.name,
        "role": method.role,
        "version": method.version,
        "size": method.size or "",
        "points_asked": len(first),
        "points_present": found,
        "points_failed": failed,
        "computed": json.dumps(list(sources.values())),
    }
    coords = {axis: _coordinate(points, axis, values) for axis, values in coordinates.items()}
    coords |= further
    if window:
        coords[window] = _window_coordinate(points, window, cells, dims, shape)
        attributes[WINDOW_AXIS] = window
    return xr.Dataset(variables, coords, attributes)


def _window_axis(points: Points) -> str | None:
    """The axis that is a window, unless its values depend on no other axis: then it is as any."""
    if points.window is None:
        return None
    axis, positions = points.window
    pairs = np.unique(np.stack([positions, points.columns[axis]]), axis=1)
    return axis if pairs.shape[1] > len(np.unique(positions)) else None


def _window_coordinate(
    points: Points, axis: str, cells: np.ndarray, dims: list[str], shape: tuple[int, ...]
) -> tuple:
    """The values of a window axis over the dimensions that they depend on; NaN outside the axis."""
    table = np.full(int(np.prod(shape)), np.nan)
    table[cells] = points.columns[axis]
    table = table.reshape(shape)
    kept = list(dims)
    for dim in dims[:-1]:
        along = kept.index(dim)
        low = np.fmin.reduce(table, axis=along, keepdims=True)
        if np.all((table == low) | np.isnan(table)):
            table = low.squeeze(along)
            kept.remove(dim)
    return tuple(kept), table, _axis_attributes(points, axis)


def _axis_values(points: Points, axis: str) -> list[Any]:
    """The distinct values of an axis: sorted if numeric, in the sweep's order otherwise."""
    if axis in points.values:
        used = np.unique(points.columns[axis])
        return [points.values[axis][code] for code in used]
    return np.unique(points.columns[axis]).tolist()


def _cells(
    points: Points, coordinates: Mapping[str, list[Any]], dims: list[str], shape: tuple[int, ...]
) -> np.ndarray:
    """The flat position in the dense array of every point."""
    if not dims:
        return np.zeros(len(points), np.int64)
    index = []
    for axis in dims:
        if axis == WINDOW and points.window:
            index.append(points.window[1])
            continue
        column = points.columns[axis]
        known = np.unique(column) if axis in points.values else np.asarray(coordinates[axis])
        index.append(np.searchsorted(known, column))
    return np.ravel_multi_index(index, shape)


class Dense:
    """One dense array, filled from columns of rows; further axes are padded to the longest.

    `at_least` gives lengths of further axes, for when all have.
    """

    def __init__(
        self,
        observable: Observable,
        shape: tuple[int, ...],
        at_least: Mapping[str, int] | None = None,
        room: Callable[..., np.ndarray] = np.empty,
    ) -> None:
        self.observable = observable
        self.shape = shape
        self._room = room
        self._cells = self._empty(tuple((at_least or {}).get(dim, 0) for dim in observable.dims))

    def _empty(self, further: tuple[int, ...]) -> np.ndarray:
        words = bool(self.observable.labels)
        cells = self._room((math.prod(self.shape), *further), "i1" if words else "f8")
        cells[...] = -1 if words else np.nan
        return cells

    def put(self, target: np.ndarray, column: np.ndarray) -> None:
        """Set the cells `target`, positions in the flattened array."""
        before = self._cells.shape[1:]
        if not len(target):
            return
        further = tuple(max(pair) for pair in zip(before, column.shape[1:], strict=True))
        if further != before:
            shorter, self._cells = self._cells, self._empty(further)
            self._cells[_part(slice(None), before)] = shorter
        self._cells[_part(target, column.shape[1:])] = column

    def array(self) -> np.ndarray:
        """The array in its shape."""
        return self._cells.reshape((*self.shape, *self._cells.shape[1:]))


def _part(cells: Any, further: tuple[int, ...]) -> tuple[Any, ...]:
    return (cells, *(slice(length) for length in further))


def on_disk(folder: Path | None) -> Callable[..., np.ndarray]:
    """What makes room for large arrays in nameless files of a folder instead of in memory."""

    def room(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        if math.prod(shape) * np.dtype(dtype).itemsize < IN_MEMORY_BYTES:
            return np.empty(shape, dtype)
        with tempfile.TemporaryFile(dir=folder) as file:  # the mapping keeps it
            return np.memmap(file, dtype, "w+", shape=shape)

    return room


def describe_observable(name: str, observable: Observable) -> dict[str, Any]:
    """CF-style attributes of an observable's variable."""
    attributes: dict[str, Any] = {"long_name": observable.description, "units": observable.unit}
    if observable.symbol:
        attributes["symbol"] = observable.symbol
    if observable.labels:
        attributes |= _flags(observable.labels)
        del attributes["units"]
    else:
        attributes |= {"kind": observable.kind, "comment": COMMENT}
    return attributes


def _flags(words: Iterable[str]) -> dict[str, Any]:
    words = [word.replace(" ", "_") for word in words]
    return {"flag_values": list(range(len(words))), "flag_meanings": " ".join(words)}


def _coordinate(points: Points, axis: str, values: list[Any]) -> tuple:
    """Dims, values and attributes of one axis; words become CF flags."""
    declared = points.method.axes[axis]
    attributes = _axis_attributes(points, axis)
    if declared.numeric:
        data = np.asarray(values)
    else:
        data = np.arange(len(values), dtype=np.int8 if len(values) < 128 else np.int32)
        del attributes["units"]
        if isinstance(declared, SequenceAxis):
            attributes |= {"units": "1", "comment": "position of the sequence in the sweep"}
        else:
            attributes |= _flags(str(value) for value in values)
    return ((axis,), data, attributes) if len(values) > 1 else ((), data[0], attributes)


def _axis_attributes(points: Points, axis: str) -> dict[str, Any]:
    declared = points.method.axes[axis]
    attributes = {"long_name": declared.description or axis, "units": declared.unit}
    return attributes | ({"symbol": declared.symbol} if declared.symbol else {})


def _further_coordinates(points: Points, coordinates: Mapping[str, list[Any]]) -> dict[str, tuple]:
    """Coordinates of the observables' further axes that a sequence axis labels."""
    found: dict[str, tuple] = {}
    for axis, values in coordinates.items():
        declared = points.method.axes[axis]
        if not isinstance(declared, SequenceAxis) or not declared.dim:
            continue
        if not any(declared.dim in o.dims for o in points.method.observables.values()):
            continue
        longest = max(len(value) for value in values)
        table = np.full((len(values), longest), np.nan)
        for row, value in zip(table, values, strict=True):
            row[: len(value)] = value
        attributes = {"long_name": declared.description, "units": declared.unit}
        if declared.symbol:
            attributes["symbol"] = declared.symbol
        if len(values) == 1:
            found[declared.dim] = ((declared.dim,), table[0], attributes)
        else:
            found[f"{declared.dim}_of_{axis}"] = ((axis, declared.dim), table, attributes)
    return found


def _sources(rows: Rows) -> dict[str, Any]:
    """The distinct places that rows came from, each under its text."""
    found: dict[str, Any] = {}
    for value in rows.source.values if rows.source is not None else []:
        place = {k: v for k, v in value.items() if k not in ("created", "declared_seconds")}
        found.setdefault(json.dumps(place, sort_keys=True, default=str), place)
    return found


def build(sweep: Sweep, points: Mapping[str, Points], cache: Cache, root: Path) -> dict[str, Any]:
    """Write a sweep's dataset under `root`/datasets and swap it in; returns counts per method."""
    import xarray as xr

    folder = root / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    groups: dict[str, xr.Dataset] = {}
    for name, asked in points.items():
        method = asked.method
        place = method.system.name, method.name, method.version
        blocks = cache.blocks(*place, asked.key_table)
        groups[f"/{name}"] = method_dataset(asked, blocks, on_disk(folder))
        groups[f"/{name}"].attrs["segments_damaged"] = len(cache.damaged(*place))
    attributes = {
        "title": sweep.title,
        "sweep": sweep.name,
        "system": sweep.system.name,
        "source": sweep.system.source,
        "description": sweep.content,
        "thresholds": json.dumps(sweep.thresholds),
        "figure": json.dumps(sweep.figure),
        "provenance": json.dumps(provenance("cpu")),
    }
    tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=attributes), **groups}, name=sweep.name)
    fresh = folder / f".{sweep.name}.{os.getpid()}-{os.urandom(4).hex()}{BUILDING}"
    encoding = {path: _encoding(ds) for path, ds in groups.items()}
    try:
        with warnings.catch_warnings():
            # One read instead of dozens on a shared file system is worth a young convention.
            warnings.filterwarnings("ignore", message=".*[Cc]onsolidated metadata.*")
            tree.to_zarr(fresh, mode="w", zarr_format=3, consolidated=True, encoding=encoding)
        seal(fresh)
        _swap_in(fresh.rename(fresh.with_suffix("")), folder / sweep.name)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    counts = ("points_asked", "points_present", "points_failed", "segments_damaged")
    return {path.strip("/"): {c: ds.attrs[c] for c in counts} for path, ds in groups.items()}


def _encoding(dataset: xr.Dataset) -> dict[str, Any]:
    """Checksummed chunks, and the layout of large variables."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    checked = {"compressors": (ZstdCodec(), Crc32cCodec())}
    return {
        str(name): checked
        | (
            _layout(variable.shape)
            if name in dataset.data_vars and variable.size > CHUNK_CELLS
            else {}
        )
        for name, variable in dataset.variables.items()
    }


def _layout(shape: tuple[int, ...]) -> dict[str, Any]:
    """Chunks of about a megabyte, many of them to a shard file."""
    chunks = list(shape)
    while np.prod(chunks) > CHUNK_CELLS:
        largest = int(np.argmax(chunks))
        chunks[largest] = -(-chunks[largest] // 2)
    shards = list(chunks)
    for axis in reversed(range(len(shape))):
        fits = max(1, SHARD_CELLS // int(np.prod(shards)))
        shards[axis] *= min(fits, -(-shape[axis] // chunks[axis]))
    return {"chunks": tuple(chunks), "shards": tuple(shards)}


def _swap_in(fresh: Path, name: Path) -> None:
    """Point the link `name` at `fresh` in one step; the generation before is kept for readers."""
    previous = name.resolve() if name.is_symlink() else None
    link = fresh.with_name(f"{fresh.name}.link")
    link.symlink_to(fresh.name)
    link.replace(name)
    for other in name.parent.glob(f".{name.name}.*"):
        # Another process may be building the same dataset; only a killed one takes a day.
        with suppress(FileNotFoundError):
            building = other.suffix == BUILDING and time.time() - other.stat().st_mtime < 86400
            if other not in (fresh, previous) and other.is_dir() and not building:
                shutil.rmtree(other, ignore_errors=True)

"""Reading results back: datasets of sweeps, and tables of points straight from the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.cache import Cache, Coded
from phasesweep.dataset import Dense, bookkeeping, describe_observable
from phasesweep.errors import UserError, unknown
from phasesweep.seal import broken
from solvers.axes import Axis, File
from solvers.axes import Sequence as SequenceAxis
from solvers.contract import Method, Status

if TYPE_CHECKING:
    import xarray as xr


def dataset_names(root: Path) -> list[str]:
    """Names of the datasets that exist."""
    folder = root / "datasets"
    return sorted(p.name for p in folder.iterdir() if p.is_symlink()) if folder.is_dir() else []


def open_dataset(
    name: str, method: str | None, root: Path, *, wide: bool = False
) -> xr.DataTree | xr.Dataset:
    """The dataset of a sweep, lazily: a DataTree of its methods, or one method's Dataset.

    `wide` makes window axes ordinary dimensions (`windows.widen`), for statistics and figures.
    """
    import xarray as xr

    from phasesweep.windows import widen, with_index

    path = root / "datasets" / name
    if name not in dataset_names(root):
        error = unknown(
            "dataset", name, dataset_names(root) or ["none yet"], str(root / "datasets")
        )
        raise UserError(f"{error}; make it with: phasesweep dataset SWEEP.yaml")
    damage = broken(path, deep=wide)
    if damage:
        raise UserError(
            f"the dataset {path} is damaged ({damage}); make it again from the cache: "
            "phasesweep dataset SWEEP.yaml"
        )
    tree = xr.open_datatree(path, engine="zarr", consolidated=True, zarr_format=3)
    finish = widen if wide else with_index
    groups = {g: finish(decode_words(node.to_dataset())) for g, node in tree.children.items()}
    if method is None:
        return xr.DataTree.from_dict({"/": tree.to_dataset(), **groups}, name=name)
    if method not in groups:
        raise unknown("method", method, groups, f"dataset {name}")
    return groups[method]


def decode_words(dataset: xr.Dataset) -> xr.Dataset:
    """Turn CF flags back into words (`status` keeps its codes)."""
    for name in list(dataset.variables):
        variable = dataset[name]
        meanings = variable.attrs.get("flag_meanings")
        if meanings is None or name == "status":
            continue
        words = np.array([*meanings.split(" "), ""])
        decoded = variable.copy(data=words[variable.values])
        decoded.attrs = {k: v for k, v in variable.attrs.items() if not k.startswith("flag_")}
        dataset = (
            dataset.assign_coords({name: decoded})
            if name in dataset.coords
            else dataset.assign({name: decoded})
        )
    return dataset


def points_table(method: Method, cache: Cache, chosen: Mapping[str, Any]) -> xr.Dataset:
    """Every point of a method in the cache that matches, along one dimension `point`.

    `chosen` holds for an axis a value, a list of values, or a slice (both ends included).
    """
    import xarray as xr

    tests = {axis: _test(method, axis, wanted) for axis, wanted in chosen.items()}
    blocks = []
    for rows in cache.read(method.system.name, method.name, method.version).blocks:
        keep = np.ones(len(rows), bool)
        for axis, test in tests.items():
            keep &= test(rows.parameters[axis])
        if keep.any():
            blocks.append(rows.take(np.flatnonzero(keep)))
    count = sum(len(rows) for rows in blocks)
    ends = np.cumsum([0, *(len(rows) for rows in blocks)])
    targets = [np.arange(a, b) for a, b in pairwise(ends)]
    variables, coords = {}, {}
    told = bookkeeping(method)
    for name, observable in (method.observables | told).items():
        dense = Dense(observable, (count,))
        for rows, target in zip(blocks, targets, strict=True):
            good = slice(None) if name in told else rows.status != Status.FAILED
            column = getattr(rows, name) if name in told else rows.observables[name]
            dense.put(target[good], column[good])
        described = describe_observable(name, observable)
        variables[name] = (("point", *observable.dims), dense.array(), described)
    texts = [np.array(rows.messages.decode(), dtype=str) for rows in blocks]
    variables["message"] = (
        ("point",),
        np.concatenate(texts) if texts else np.zeros(0, str),
        {"long_name": "what the solver said of the point"},
    )
    for axis, declared in method.axes.items():
        columns = [rows.parameters[axis] for rows in blocks]
        parts = [
            np.array([str(v) for v in c.decode()]) if isinstance(c, Coded) else c for c in columns
        ]
        empty = np.zeros(0, float if declared.numeric else str)
        attributes = {"long_name": declared.description or axis, "symbol": declared.symbol}
        coords[axis] = (("point",), np.concatenate(parts) if parts else empty, attributes)
    about = {"system": method.system.name, "method": method.name, "version": method.version}
    return decode_words(xr.Dataset(variables, coords, about))


def _test(method: Method, axis: str, wanted: Any) -> Callable[[Any], np.ndarray]:
    """Which rows of a column of this axis are wanted; UserError if nothing could ever be."""
    if axis not in method.axes:
        raise unknown(f"axis of {method.name}", axis, method.axes)
    declared = method.axes[axis]
    if isinstance(wanted, slice):
        if not declared.numeric:
            raise UserError(f"{axis} is not numeric: give a value or a list, not a range")
        low = -np.inf if wanted.start is None else wanted.start
        high = np.inf if wanted.stop is None else wanted.stop
        return lambda column: (column >= low) & (column <= high)
    entries = wanted if isinstance(wanted, list | tuple | np.ndarray) else [wanted]
    if isinstance(declared, SequenceAxis) and len(entries) and np.ndim(entries[0]) == 0:
        entries = [wanted]
    try:
        values = [_canonical(declared, entry) for entry in entries]
    except ValueError as error:
        raise UserError(f"{axis}: given {wanted!r}; allowed: {error}") from None
    if declared.numeric:
        return lambda column: np.isin(column, values)
    texts = {declared.text(value) for value in values}

    def coded(column: Coded) -> np.ndarray:
        held = [declared.text(v) if isinstance(v, tuple) else str(v) for v in column.values]
        return np.array([text in texts for text in held])[column.codes]

    return coded


def _canonical(declared: Axis, entry: Any) -> Any:
    """A value as the axis has it; a file may also be named by the digest that the cache keeps."""
    entry = entry.item() if isinstance(entry, np.generic) else entry
    if isinstance(declared, File) and isinstance(entry, str) and entry.startswith("sha256:"):
        return entry
    return declared.parse(entry)

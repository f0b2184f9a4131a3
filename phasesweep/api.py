"""What a person calls from Python, and what the command line is made of.

`open`, `points`, `solve` and `thresholds` are re-exported as `phasesweep.open` and so on.
xarray and the statistics are imported where they are used: a plan needs neither, and they take as
long to import as a plan of a million points.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.cache import Cache, Rows
from phasesweep.cluster import ClusterFile, read_cluster
from phasesweep.errors import UserError, unknown
from phasesweep.grid import Points, expand, points_for
from phasesweep.limits import Limits
from phasesweep.paths import data_root
from phasesweep.sweep import Report, run
from phasesweep.sweepfile import Sweep, find_method, find_system, read_sweep, single_method
from phasesweep.worker import solve_batch
from solvers.contract import Status

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from phasesweep import scaling


def open(
    sweep: str, method: str | None = None, *, data: str | Path | None = None
) -> xr.DataTree | xr.Dataset:
    """The dataset of a sweep, lazily.

    Without `method` a `DataTree` with one group per method, theory and simulation side by side;
    with it that method's `Dataset`. Raises UserError if the dataset was not made yet.
    """
    from phasesweep.query import open_dataset

    return open_dataset(sweep, method, data_root(data))


def points(system: str, method: str, *, data: str | Path | None = None, **axes: Any) -> xr.Dataset:
    """Every point of a method in the cache, from whichever sweep, along one dimension `point`.

    Axes narrow it: a value, a list of values, or a slice with both ends included
    (`alpha=slice(1, 2)`). Nothing is computed. `.to_dataframe()` makes it a pandas table.
    """
    from phasesweep.query import points_table

    declared = find_method(find_system(system), method)
    return points_table(declared, _cache(data), axes)


def solve(
    system: str,
    method: str,
    *,
    data: str | Path | None = None,
    cluster: str | Path | None = None,
    **axes: Any,
) -> xr.Dataset:
    """Compute the product of the given axes through the cache, and return it as a Dataset.

    Axes take every form of a sweep file (`alpha=[1, 1.5]`, `alpha={"from": 1, "to": 2, "points":
    11}`); those left out take their defaults. Small work runs in this process, large work on
    local processes or on the cluster given. `attrs["failures"]` lists points whose solver raised,
    with the messages.
    """
    asked, blocks, report = solve_points(
        system, method, axes, _cache(data), cluster=read_cluster(cluster)
    )
    from phasesweep.dataset import method_dataset
    from phasesweep.query import decode_words
    from phasesweep.windows import with_index

    dataset = method_dataset(asked, blocks)
    dataset.attrs["failures"] = json.dumps(report.failures)
    return with_index(decode_words(dataset))


def thresholds(sweep: str, *, data: str | Path | None = None) -> pd.DataFrame:
    """The threshold table of a sweep's dataset: theory beside simulation, in standard errors."""
    from phasesweep import scaling
    from phasesweep.query import open_dataset

    tree = open_dataset(sweep, None, data_root(data), wide=True)
    return scaling.to_frame(threshold_rows(tree))


def threshold_rows(tree: Any) -> list[scaling.Row]:
    """The rows that the `thresholds` of the sweep ask for."""
    from phasesweep import scaling

    try:
        return scaling.threshold_table(tree, json.loads(tree.attrs["thresholds"]))
    except ValueError as error:
        raise UserError(f"sweep {tree.attrs['sweep']}: thresholds: {error}") from None


def solve_points(
    system: str,
    method: str,
    axes: Mapping[str, Any],
    cache: Cache,
    *,
    cluster: ClusterFile | None = None,
    quiet: bool = True,
    limits: Limits | None = None,
) -> tuple[Points, list[Rows], Report]:
    """(points asked, their rows, what was done) for one method and axis forms given directly."""
    declared = find_method(find_system(system), method)
    where = f"{system} {method}"
    grid = single_method(declared, axes, where)
    asked = expand(grid, _centres({}, cache, store=True), where)
    report = run(asked, cache, cluster=cluster, label=where, quiet=quiet, limits=limits)
    found = cache.read(system, method, declared.version, asked.key_table)
    return asked, found.blocks, report


def sweep_points(
    sweep: Sweep, cache: Cache, *, only: str | None = None, store: bool = False
) -> dict[str, Points]:
    """The points of every method of a sweep (or of one); windows ask the cache for their centres.

    With `store`, centres that had to be computed are kept in the cache; otherwise nothing is
    written.
    """
    if only is not None and only not in sweep.grids:
        raise unknown("method in the sweep", only, sweep.grids, sweep.name)
    own = {name: grid.values for name, grid in sweep.grids.items()}
    centres = _centres(own, cache, store=store)
    return {
        name: expand(grid, centres, sweep.name)
        for name, grid in sweep.grids.items()
        if only in (None, name)
    }


def _centres(own: Mapping[str, Mapping[str, list[Any]]], cache: Cache, *, store: bool) -> Any:
    """The function that tells where windows lie; see `grid.Centres`."""

    def centres(reference: str, observable: str, around: Points) -> np.ndarray:
        method = around.method.system.methods[reference]
        single = {axis: v for axis, v in own.get(reference, {}).items() if len(v) == 1}
        asked = points_for(method, around, single)
        distinct = dict(zip(asked.keys, range(len(asked)), strict=True))
        wanted = asked.take(np.fromiter(distinct.values(), np.int64, len(distinct)))
        found = _known(wanted, observable, cache)
        left = [i for i, key in enumerate(wanted.keys) if key not in found]
        if left and store:
            run(wanted, cache, quiet=True)
            found = _known(wanted, observable, cache)
        elif left:
            found |= _in_memory(wanted.take(np.array(left)), observable)
        return np.array([found.get(key, np.nan) for key in asked.keys])

    return centres


def _known(wanted: Points, observable: str, cache: Cache) -> dict[bytes, float]:
    method = wanted.method
    found: dict[bytes, float] = {}
    place = method.system.name, method.name, method.version
    for rows in cache.read(*place, wanted.key_table).blocks:
        good = rows.status != Status.FAILED
        values = np.where(good, rows.observables[observable], np.nan)
        found |= {bytes(key): float(v) for key, v in zip(rows.keys, values, strict=True)}
    return found


def _in_memory(wanted: Points, observable: str) -> dict[bytes, float]:
    from phasesweep.batches import cut
    from phasesweep.cluster import DEFAULT_WORKER_MEMORY

    found: dict[bytes, float] = {}
    keys = wanted.keys
    for batch in cut(wanted, memory=DEFAULT_WORKER_MEMORY):
        answer = solve_batch(wanted.method, len(batch), batch.values, "cpu")
        values = answer.observables[observable].astype(float)
        found |= {keys[i]: float(v) for i, v in zip(batch.index.tolist(), values, strict=True)}
    return found


def records(asked: Points, blocks: list[Rows]) -> Iterator[dict[str, Any]]:
    """One plain mapping per point, in the order asked: axes, observables, how it ended, version.

    Numbers that are not finite become None.
    """
    method = asked.method
    place = {bytes(key): (b, i) for b, rows in enumerate(blocks) for i, key in enumerate(rows.keys)}
    seen: set[bytes] = set()
    for position, key in enumerate(asked.keys):
        if key in seen or key not in place:
            continue
        seen.add(key)
        block, i = place[key]
        yield row_record(method, asked.point(position), blocks[block], i)


def row_record(method: Any, point: Mapping[str, Any], rows: Rows, i: int) -> dict[str, Any]:
    """One row as a plain mapping."""
    record: dict[str, Any] = {
        n: v if isinstance(v, int | float) else list(v) if isinstance(v, tuple) else str(v)
        for n, v in point.items()
    }
    failed = rows.status[i] == Status.FAILED
    for name, observable in method.observables.items():
        value = rows.observables[name][i]
        if failed:
            record[name] = None
        elif observable.labels:
            record[name] = observable.labels[int(value)]
        else:
            record[name] = plain(value)
    record["status"] = Status(int(rows.status[i])).name.lower()
    if "steps" not in method.axes:
        record["steps"] = int(rows.steps[i])
    record["residual"] = plain(rows.residual[i])
    record["seconds"] = plain(rows.seconds[i])
    record["version"] = method.version
    message = rows.messages.values[int(rows.messages.codes[i])]
    if not message and rows.status[i] != Status.CONVERGED:
        message = Status(int(rows.status[i])).advice
    return record | ({"message": message} if message else {})


def plain(value: Any) -> Any:
    """NumPy to JSON: nested lists, None for what is not finite."""
    if isinstance(value, np.ndarray) and value.ndim:
        return [plain(item) for item in value]
    item = value.item()
    return None if isinstance(item, float) and not np.isfinite(item) else item


def build_dataset(
    source: str | Path, data: str | Path | None = None
) -> tuple[Sweep, dict[str, Any]]:
    """Make the dataset of a sweep file from the cache; returns the sweep and its counts."""
    from phasesweep.dataset import build

    sweep = read_sweep(source)
    root = data_root(data)
    cache = Cache(root / "cache")
    return sweep, build(sweep, sweep_points(sweep, cache), cache, root)


def _cache(data: str | Path | None) -> Cache:
    return Cache(data_root(data) / "cache")

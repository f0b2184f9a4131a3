"""What the command line prints: tables for people, JSON and CSV for scripts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from phasesweep import api
from phasesweep.cache import Cache
from phasesweep.cluster import available_cores
from phasesweep.errors import UserError
from phasesweep.outline import read_outline
from phasesweep.paths import data_root, project_root
from phasesweep.plain import read_plain
from phasesweep.progress import duration
from phasesweep.statistics import over_seeds
from phasesweep.sweep import estimate, missing
from phasesweep.sweepfile import find_method, find_system, read_sweep
from solvers.axes import REQUIRED, Axis
from solvers.contract import Method, system_names

LONG_LIST = 6


def table(rows: Sequence[Sequence[Any]], headers: Sequence[str], **options: Any) -> str:
    """A plain table without lines, as wide as it needs to be."""
    return tabulate(rows, headers, tablefmt="plain", **{"disable_numparse": True} | options)


def systems(as_json: bool) -> str:
    """Every system with its title and methods."""
    found = []
    for name in system_names():
        try:
            declared = find_system(name)
            found.append(
                {"system": name, "title": declared.title, "methods": list(declared.methods)}
            )
        except UserError as error:
            # One broken system of somebody else must not hide the others.
            found.append({"system": name, "title": str(error), "methods": []})
    if as_json:
        return json.dumps(found, indent=2)
    rows = [[f["system"], f["title"], ", ".join(f["methods"])] for f in found]
    return table(rows, ["system", "title", "methods"], maxcolwidths=[None, 44, 44])


def system(name: str, as_json: bool) -> str:
    """One system: methods, axes, observables, source."""
    declared = find_system(name)
    content = {
        "system": name,
        "title": declared.title,
        "source": declared.source,
        "methods": {n: _method(m) for n, m in declared.methods.items()},
        "axes": {
            n: {
                "allowed": a.allowed(),
                "default": None if a.default is REQUIRED else _short(a.default),
                "when": {choice: list(words) for choice, words in a.when.items()},
                "description": a.description,
                "symbol": a.symbol,
                "unit": a.unit,
            }
            for n, a in declared.axes.items()
        },
        "observables": {
            n: {
                "description": o.description,
                "symbol": o.symbol,
                "unit": o.unit,
                "dims": list(o.dims),
            }
            | ({"words": list(o.labels)} if o.labels else {})
            for n, o in declared.observables.items()
        },
    }
    if as_json:
        return json.dumps(content, indent=2)
    methods = [
        [n, m.role, m.version, m.doc.splitlines()[0], ", ".join(m.gives)]
        for n, m in declared.methods.items()
    ]
    axes = [[n, a.description, a.allowed(), _default(a)] for n, a in declared.axes.items()]
    observables = [
        [n, o.description, ", ".join(o.labels or o.dims)] for n, o in declared.observables.items()
    ]
    used = [[n, ", ".join(m.axes)] for n, m in declared.methods.items()]
    return "\n\n".join(
        [
            f"{name}: {declared.title}\nsource: {declared.source}",
            table(
                methods,
                ["method", "role", "version", "what", "gives"],
                maxcolwidths=[None, None, None, 50, 40],
            ),
            table(used, ["method", "axes"], maxcolwidths=[None, 90]),
            table(axes, ["axis", "what", "allowed", "default"], maxcolwidths=[None, 50, 36, 20]),
            table(
                observables,
                ["observable", "what", "words or further axes"],
                maxcolwidths=[None, 60, 36],
            ),
        ]
    )


def _default(axis: Axis) -> str:
    """The default, and with which words of other axes the axis has a meaning."""
    value = "required" if axis.default is REQUIRED else _short(axis.default)
    return f"{value} with {axis.condition()}" if axis.when else value


def _method(method: Method) -> dict[str, Any]:
    return {
        "role": method.role,
        "version": method.version,
        "axes": {
            n: {
                "allowed": a.allowed(),
                "default": None if a.default is REQUIRED else _short(a.default),
            }
            for n, a in method.axes.items()
        },
        "gives": list(method.gives),
        "size": method.size,
        "shares": list(method.shares),
        "varies": list(method.varies),
        "devices": list(method.devices),
        "what": method.doc,
    }


def _short(value: Any) -> str:
    if isinstance(value, list | tuple) and len(value) > LONG_LIST:
        return f"{len(value)} numbers from {value[0]:g} to {value[-1]:g}"
    return str(value)


def records(found: Sequence[Mapping[str, Any]], method: Method, form: str | None) -> str:
    """Points as JSON lines, as CSV, or as a table of what differs between them."""
    found = [_folded(record, method) for record in found]
    if form == "json":
        return "\n".join(json.dumps(record) for record in found)
    names = list(
        dict.fromkeys(
            [*method.axes, *method.gives, "status", "steps", "residual", "seconds", "version"]
        )
    )
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        for record in found:
            writer.writerow([_cell(record.get(name)) for name in names])
        return text.getvalue().rstrip("\n")
    if not found:
        return "no points"
    axes = [n for n in method.axes if len({json.dumps(r[n]) for r in found}) > 1]
    fixed = [f"{n}={_brief(found[0][n])}" for n in method.axes if n not in axes]
    taken = [] if "steps" in method.axes else ["steps"]
    shown = [*axes, *method.gives, "status", *taken, "residual"]
    rows = [[_brief(record.get(name)) for name in shown] for record in found]
    said = dict.fromkeys(record["message"] for record in found if record.get("message"))
    notes = "".join(f"\n\n{text}" for text in list(said)[:LONG_LIST])
    return f"{' '.join(fixed)}\n\n{table(rows, shown)}{notes}"


def _folded(record: Mapping[str, Any], method: Method) -> Mapping[str, Any]:
    """A record without the further axes of length one that an observable wants left out."""
    short = {}
    for name, observable in method.observables.items():
        if observable.folded and record.get(name) is not None:
            array = np.array(record[name], dtype=object)
            along = tuple(observable.dims.index(dim) for dim in observable.folded)
            if array.ndim == len(observable.dims) and all(array.shape[i] == 1 for i in along):
                short[name] = array.squeeze(along).tolist()
    return {**record, **short}


def _cell(value: Any) -> Any:
    return "" if value is None else json.dumps(value) if isinstance(value, list | dict) else value


def _brief(value: Any) -> str:
    """A value in a table: twelve digits, and long lists by their ends."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, list):
        if any(isinstance(item, list) for item in value):
            return f"array {'x'.join(map(str, np.shape(value)))}"
        if len(value) > LONG_LIST:
            return f"[{_digits(value[0])} ... {_digits(value[-1])}] ({len(value)})"
        return f"[{', '.join(map(_digits, value))}]"
    return str(value)


def _digits(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def plan(sources: Sequence[str], data: str | None, as_json: bool) -> str:
    """What a run would do: points total, cached, failed, missing; declared time and memory."""
    cache = Cache(data_root(data) / "cache")
    found: list[dict[str, Any]] = []
    for source in _sweep_files(sources):
        sweep = read_sweep(source)
        for name, points in api.sweep_points(sweep, cache).items():
            todo, failed = missing(points, cache, failed=sweep.limits.failed)
            seconds, memory = estimate(points.method, points.take(todo))
            total = len(points.distinct)
            found.append(
                {
                    "sweep": sweep.name,
                    "method": name,
                    "total": total,
                    "cached": total - len(todo),
                    "failed": failed,
                    "missing": len(todo),
                    "clipped": points.clipped,
                    "core_seconds": seconds,
                    "batch_bytes": memory,
                }
            )
    if as_json:
        return json.dumps(found, indent=2)
    rows = [
        [
            *(f[k] for k in ("sweep", "method")),
            *(f"{f[k]:,}" for k in ("total", "cached", "failed", "missing")),
            duration(f["core_seconds"]),
            f"{f['batch_bytes'] / 2**20:,.1f} MiB",
        ]
        for f in found
    ]
    headers = ["sweep", "method", "total", "cached", "failed", "missing", "core time", "batch"]
    seconds, cores = sum(f["core_seconds"] for f in found), available_cores()
    counts = {k: sum(f[k] for f in found) for k in ("total", "missing", "clipped")}
    lines = [
        table(rows, headers, colalign=("left", "left", *["right"] * 6)),
        "",
        f"{counts['total']:,} points, {counts['missing']:,} missing: "
        f"about {duration(seconds / cores)} on {cores} cores",
    ]
    if counts["clipped"]:
        lines.append(f"{counts['clipped']:,} points of windows fell outside their axis: left out")
    return "\n".join(lines)


def _sweep_files(sources: Sequence[str]) -> list[str]:
    """Sweeps as given; a configuration stands for all of its sweeps."""
    files = []
    for source in sources:
        path = Path(source)
        if source not in system_names() and path.suffix in (".yaml", ".yml") and path.exists():
            content = read_plain(path)
            if isinstance(content, Mapping) and "sweeps" in content:
                files += [str(project_root() / sweep.file) for sweep in read_outline(path).sweeps]
                continue
        files.append(source)
    return files


def query(
    system: str, method: str, chosen: Mapping[str, Any], form: str | None, data: str | None
) -> str:
    """The points of the cache that match."""
    declared = find_method(find_system(system), method)
    found = api.points(system, method, data=data, **chosen)
    rows = []
    for i in range(found.sizes["point"]):
        record = {}
        for name in (*declared.axes, *declared.gives, "status", "steps", "residual", "seconds"):
            record[name] = api.plain(found[name].values[i])
        words = found["status"].attrs["flag_meanings"].split()
        record["status"] = words[record["status"]]
        record["version"] = declared.version
        message = str(found["message"].values[i])
        rows.append(record | ({"message": message} if message else {}))
    return records(rows, declared, form)


def query_over_seeds(
    system: str, method: str, chosen: Mapping[str, Any], form: str | None, data: str | None
) -> str:
    """Means, medians and fractions over the seeds of the points that match."""
    declared = find_method(find_system(system), method)
    if "seed" not in declared.axes:
        raise UserError(f"{system} {method} has no seeds; leave --over-seeds out")
    found = api.points(system, method, data=data, **chosen)
    records = [
        {k: v if isinstance(v, dict) else api.plain(np.asarray(v)) for k, v in record.items()}
        for record in (over_seeds(found, declared) if found.sizes["point"] else [])
    ]
    if form == "json":
        return "\n".join(json.dumps(record) for record in records)
    if not records:
        return "no points"
    flat = [_flat(record) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))
    if form == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_cell(record.get(name)) for name in names] for record in flat)
        return text.getvalue().rstrip("\n")
    axes = [n for n in declared.axes if n != "seed"]
    varied = [n for n in axes if len({json.dumps(r[n]) for r in flat}) > 1]
    fixed = [f"{n}={_brief(flat[0][n])}" for n in axes if n not in varied]
    parts = ("_mean", "_standard_error", "_median")
    shown = [*varied, "points", *(n for n in names if n.startswith("status_") or n.endswith(parts))]
    rows = [[_brief(_rounded(record.get(name, 0.0))) for name in shown] for record in flat]
    return f"{' '.join(fixed)}\n\n{table(rows, shown)}"


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Nested statistics as columns: mse_mean, mse_median, status_converged, ..."""
    flat: dict[str, Any] = {}
    for name, value in record.items():
        if not isinstance(value, Mapping):
            flat[name] = value
        elif name == "statuses":
            flat |= {f"status_{status}": fraction for status, fraction in value.items()}
        else:
            flat |= {f"{name}_{statistic}": number for statistic, number in value.items()}
    return flat


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def dataset_counts(path: Path, counts: Mapping[str, Mapping[str, int]]) -> str:
    """The path of a dataset and what it holds."""
    rows = [
        [name, *(f"{c[k]:,}" for k in ("points_asked", "points_present", "points_failed"))]
        for name, c in counts.items()
    ]
    headers = ["method", "asked", "present", "failed"]
    lines = [str(path), table(rows, headers, colalign=("left", "right", "right", "right"))]
    damaged = sum(c["segments_damaged"] for c in counts.values())
    if damaged:
        lines.append(
            f"{damaged:,} segments are damaged: run phasesweep cache verify, then the sweep"
        )
    return "\n".join(lines)

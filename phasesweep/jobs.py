"""What a Snakemake rule calls: one stage each, with its manifest.

A manifest is a small JSON file that says what was done; it is the rule's output. The cache and the
datasets never are: Snakemake deletes the outputs of failed jobs.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from phasesweep import describe, scaling
from phasesweep.api import build_dataset, sweep_points, threshold_rows
from phasesweep.cache import Cache
from phasesweep.cluster import ClusterFile
from phasesweep.errors import UserError
from phasesweep.outline import read_outline
from phasesweep.paths import data_root
from phasesweep.provenance import provenance
from phasesweep.query import dataset_names, open_dataset
from phasesweep.seal import sealed, unsealed
from phasesweep.sweep import Report, run, shard_of
from phasesweep.sweepfile import read_sweep
from solvers.contract import system_names


def run_sweep(
    source: str,
    *,
    data: str | None,
    cluster: ClusterFile,
    method: str | None,
    shard: tuple[int, int],
    manifest: str | None,
    limits: Mapping[str, Any] | None = None,
) -> Report:
    """Compute the missing points of a sweep, method after method.

    `limits` goes before those of the sweep file.
    """
    sweep = read_sweep(source)
    allowed = sweep.limits.override(**(limits or {}))
    target = _target(manifest)
    cache = Cache(data_root(data) / "cache")
    total = Report()
    part = "" if shard == (1, 1) else f" {shard[0]}/{shard[1]}"
    # Windows last: what they lie around may be among the sweep's own points.
    names = sorted(sweep.grids, key=lambda name: sweep.grids[name].window is not None)
    for name in names if method is None else [method]:
        points = sweep_points(sweep, cache, only=name, store=True)[name]
        label = f"{sweep.name} {name}{part}"
        own = shard_of(points, *shard)
        report = run(own, cache, cluster=cluster, label=label, limits=allowed)
        total.add(report)
    if target:
        versions = {
            n: grid.method.version for n, grid in sweep.grids.items() if method in (None, n)
        }
        write_manifest(
            target,
            {"stage": "run", "sweep": sweep.name, "methods": versions, "shard": list(shard)}
            | asdict(total),
        )
    return total


def make_dataset(source: str, *, data: str | None, manifest: str | None) -> str:
    """Build a dataset from the cache; with the name of an existing one, show it."""
    root = data_root(data)
    if source in dataset_names(root) and not Path(source).exists() and source not in system_names():
        return str(open_dataset(source, None, root))
    target = _target(manifest)
    sweep, counts = build_dataset(source, data)
    path = root / "datasets" / sweep.name
    if target:
        write_manifest(
            target, {"stage": "dataset", "sweep": sweep.name, "path": str(path), "counts": counts}
        )
    return describe.dataset_counts(path, counts)


def make_thresholds(source: str, *, data: str | None, csv: str | None, as_json: bool) -> str:
    """The threshold table of a dataset, as text, and as a CSV file if asked."""
    root = data_root(data)
    name = Path(source).stem if Path(source).suffix in (".yaml", ".yml", ".json") else source
    target = _target(csv)
    tree = open_dataset(name, None, root, wide=True)
    rows = threshold_rows(tree)
    if target:
        _write(target, scaling.to_csv(rows))
    if as_json:
        return json.dumps(scaling.to_records(rows), indent=2)
    return scaling.to_text(rows) if rows else f"the sweep {name} asks for no thresholds"


def summary(config: str, *, since: float, data: str | None) -> str:
    """Where the results of a configuration are, and what was computed and found."""
    root = data_root(data)
    outline = read_outline(Path(config))
    lines = []
    computed = present = failed = 0
    for sweep in outline.sweeps:
        for path in sorted((root / "manifests" / sweep.name).glob("run.*.json")):
            report = _read(path)
            fresh = report["finished"] >= since
            computed += report["computed"] if fresh else 0
            present += report["found"] + (0 if fresh else report["computed"])
            failed += report["failed"]
    for figure in outline.figures:
        lines += [f"figure     {root / 'figures' / figure}.{kind}" for kind in ("pdf", "png")]
    for sweep in outline.sweeps:
        lines.append(f"thresholds {root / 'tables' / sweep.name}.csv")
    for sweep in outline.sweeps:
        lines.append(f"dataset    {root / 'datasets' / sweep.name}")
    lines = [line for line in lines if Path(line.split(maxsplit=1)[1]).exists()]
    lines.append(f"{computed:,} points computed, {present:,} found in the cache, {failed:,} failed")
    return "\n".join(lines)


def write_manifest(path: Path, content: dict[str, Any]) -> None:
    """Write a manifest with its provenance and the time it was finished."""
    content = content | {"finished": time.time(), "provenance": provenance("cpu")}
    _write(path, json.dumps(sealed(content), indent=2) + "\n")


def _target(given: str | None) -> Path | None:
    """The file to write, checked before anything is computed."""
    if given is None:
        return None
    path = Path(given)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the name of a file")
    return path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _read(path: Path) -> dict[str, Any]:
    try:
        return unsealed(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise UserError(
            f"the manifest {path} cannot be read ({error}); remove it and run again"
        ) from None

"""Engine: keys of many points, segments of rows, and looking up what is missing."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.common import arguments, compare
from phasesweep.cache import Cache, Coded, Rows
from phasesweep.grid import Points, expand
from phasesweep.sweepfile import single_method
from solvers.contract import load_system


def enumeration_points(count: int) -> Points:
    """Points of the enumeration: 100 alphas, ten sizes, the rest seeds."""
    axes = {
        "weights": "binary",
        "alpha": np.linspace(0.1, 1.2, 100).tolist(),
        "dimension": list(range(10, 20)),
        "seed": {"count": max(1, count // 1000)},
    }
    method = load_system("perceptron_storage").methods["enumeration"]
    return expand(single_method(method, axes, "benchmark"), lambda *_: np.zeros(0))


def keys_one_by_one(points: Points) -> set[str]:
    """A hash of the JSON of each point's dictionary, as most scripts do it."""
    return {
        hashlib.blake2b(
            json.dumps(points.point(i), default=str).encode(), digest_size=16
        ).hexdigest()
        for i in range(len(points))
    }


def rows_of(points: Points) -> Rows:
    """Rows with made-up observables."""
    n = len(points)
    codes = {a: Coded(points.columns[a], list(v)) for a, v in points.values.items()}
    return Rows(
        system="perceptron_storage",
        method="enumeration",
        version=1,
        keys=points.key_table,
        parameters={**points.columns, **codes},
        observables={"entropy": np.random.default_rng(0).normal(size=n)},
        status=np.zeros(n, np.int8),
        steps=np.zeros(n, np.int64),
        residual=np.zeros(n),
        seconds=np.zeros(n),
        messages=Coded.constant("", n),
    )


def main() -> None:
    """Print the comparisons."""
    given = arguments(points=400_000, rows=20_000)
    points = enumeration_points(given.points)

    def fresh_keys() -> list[bytes]:
        return Points(points.method, points.columns, points.values, len(points)).keys

    compare(
        f"keys of {len(points):,} points",
        ("columns (phasesweep)", fresh_keys),
        ("one dictionary a point (json + blake2b)", lambda: keys_one_by_one(points)),
        work=len(points),
        unit="points",
        repeats=1,
    )
    few = points.take(np.arange(min(given.rows, len(points))))
    parts = np.array_split(np.arange(len(few)), max(1, len(few) // 500))
    blocks = [rows_of(few.take(part)) for part in parts]
    with tempfile.TemporaryDirectory() as folder:

        def segments() -> None:
            cache = Cache(Path(folder) / "segments")
            for block in blocks:
                cache.write(block, {})

        def files() -> None:
            target = Path(folder) / "files"
            target.mkdir(exist_ok=True)
            for i in range(len(few)):
                (target / f"{i}.json").write_text(json.dumps(few.point(i), default=str))

        compare(
            f"storing {len(few):,} points",
            ("segments of 500 rows, fsynced (phasesweep)", segments),
            ("one JSON file a point, not fsynced", files),
            work=len(few),
            unit="points",
            repeats=1,
        )
        keys = few.key_table

        def found() -> np.ndarray:
            cache = Cache(Path(folder) / "segments")
            return cache.present("perceptron_storage", "enumeration", 1).status_of(keys)

        def listed() -> list[bool]:
            return [
                json.loads((Path(folder) / "files" / f"{i}.json").read_text()) is not None
                for i in range(len(few))
            ]

        compare(
            f"which of {len(few):,} points are stored, in a fresh process's memory",
            ("heads of segments (phasesweep)", found),
            ("reading every JSON file", listed),
            work=len(few),
            unit="points",
            repeats=1,
        )


if __name__ == "__main__":
    main()

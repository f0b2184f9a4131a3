"""How time and peak memory grow: with points, stored segments, dimension and width.

Every measurement runs in a process of its own, forked when everything is imported, after one run at
the smallest size that compiles what has to be. Slopes are those of the upper half of the sizes on
log axes. With --write the tables and their plots go to docs/performance.md and docs/images.
"""

from __future__ import annotations

import multiprocessing
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from benchmarks.bench_engine import enumeration_points, rows_of
from benchmarks.common import arguments
from phasesweep.batches import cut
from phasesweep.cache import Cache
from phasesweep.grid import Points, expand
from phasesweep.sweep import missing, run
from phasesweep.sweepfile import single_method
from phasesweep.worker import solve_batch
from solvers.contract import load_system

DOCS = Path(__file__).parent.parent / "docs"
FLOOR_MIB = 1.0
"""Less memory than this is noise of the allocator."""

Work = Callable[[int, Path], None]


@dataclass(frozen=True)
class Table:
    """One quantity that grows, and what grows with it."""

    name: str
    title: str
    along: str
    sizes: tuple[int, ...]
    work: Work
    must: str
    """The slopes that cannot be avoided, and why; what is worse would be a fault."""
    prepare: Work | None = None
    """Done before, in another process."""
    exponential: bool = False
    """The abscissa is 2^size."""


def points_of(system: str, method: str, **axes: object) -> Points:
    """Points given directly."""
    declared = load_system(system).methods[method]
    return expand(single_method(declared, axes, "benchmark"), lambda *_: np.zeros(0))


def solved(points: Points) -> None:
    """The solver alone, batch by batch."""
    for batch in cut(points, memory=2**31):
        solve_batch(points.method, len(batch), batch.values, "cpu")


def cover(count: int, *, first: int = 11) -> Points:
    """Points of a closed form: up to a thousand alphas, then more dimensions."""
    alphas = np.linspace(0.001, 3, min(count, 1000)).tolist()
    sizes = list(range(first, first + max(1, count // 1000)))
    return points_of("perceptron_storage", "cover", alpha=alphas, dimension=sizes)


def compute(count: int, folder: Path) -> None:
    """Plan, solve and store."""
    run(cover(count), Cache(folder / f"points_{count}"), quiet=True)


def plan(count: int, folder: Path) -> None:
    """Find that nothing is missing."""
    todo, _ = missing(cover(count), Cache(folder / f"points_{count}"))
    assert not len(todo)


def beside(count: int, folder: Path) -> None:
    """A thousand new points beside `count` stored ones."""
    run(cover(1000, first=100_000 + count), Cache(folder / f"points_{count}"), quiet=True)


def segments(count: int, folder: Path) -> None:
    """Small segments, ten rows each."""
    cache, points = Cache(folder / f"segments_{count}"), enumeration_points(10 * count)
    for start in range(0, 10 * count, 10):
        cache.write(rows_of(points.take(np.arange(start, start + 10))), {})


def looked_up(count: int, folder: Path) -> None:
    """A thousand keys looked up among them."""
    missing(enumeration_points(1000), Cache(folder / f"segments_{count}"))


def gamp(dimension: int, _: Path) -> None:
    """One instance, eight alphas."""
    alphas = np.linspace(0.2, 1.2, 8).tolist()
    axes = {"prior": "rademacher", "alpha": alphas, "dimension": dimension, "seed": 0}
    solved(points_of("glm_bayes", "gamp", **axes))


def enumeration(dimension: int, _: Path) -> None:
    """Every configuration of one instance."""
    alphas = np.linspace(0.2, 1.0, 8).tolist()
    axes = {"weights": "binary", "alpha": alphas, "dimension": dimension, "seed": 0}
    solved(points_of("perceptron_storage", "enumeration", **axes))


def ode(width: int, _: Path) -> None:
    """Order parameters of eight step sizes to t = 1."""
    axes = {"width": width, "teacher_width": 2, "times": [0, 0.5, 1]}
    solved(points_of("sgd_two_layer", "ode", step_size=np.linspace(0.1, 0.8, 8).tolist(), **axes))


def sgd(width: int, _: Path) -> None:
    """Four seeds of 400 steps at dimension 100."""
    axes = {"width": width, "teacher_width": 2, "dimension": 100, "seed": {"count": 4}}
    unit = 1.0 / (100 * width)  # of time, of one step
    solved(points_of("sgd_two_layer", "sgd", step_size=1.0, times=[400 * unit], **axes))


LINEAR = "time 1, memory 1: every point has its columns, key and result"
TABLES = (
    Table(
        "compute",
        "points of a closed form, planned, solved and stored",
        "points",
        (1000, 10_000, 100_000, 1_000_000),
        compute,
        f"{LINEAR}; rows leave memory with each flush, the grid stays",
    ),
    Table(
        "plan",
        "a plan of points that are all stored",
        "points",
        (1000, 10_000, 100_000, 1_000_000),
        plan,
        LINEAR,
        prepare=compute,
    ),
    Table(
        "stored",
        "a thousand new points beside stored ones",
        "points stored before",
        (1000, 10_000, 100_000, 1_000_000),
        beside,
        "time at most 1: the keys of every segment are read once; memory 0",
        prepare=compute,
    ),
    Table(
        "segments",
        "a thousand keys looked up in many segments of ten rows",
        "segments",
        (100, 300, 1000, 3000),
        looked_up,
        "time 1: one file opened for each segment, until `phasesweep cache compact`; memory 1, "
        "of a name and a date for each file",
        prepare=segments,
    ),
    Table(
        "gamp",
        "message passing, one instance, eight alphas",
        "dimension",
        (500, 1000, 2000, 4000),
        gamp,
        "time 2 and memory 2: the design has alpha dimension² numbers, and is read in each of a "
        "number of iterations that does not grow",
    ),
    Table(
        "enumeration",
        "all configurations of a binary perceptron, eight alphas",
        "configurations (2^dimension)",
        (14, 18, 22, 24, 26),
        enumeration,
        "time 1 in the configurations: each is visited once, with a number of operations that "
        "grows as alpha dimension; memory 0",
        exponential=True,
    ),
    Table(
        "ode",
        "equations of two-layer SGD, erf units, eight step sizes",
        "width",
        (4, 8, 16, 32),
        ode,
        "time 4 for large widths: the step_size² term has two sums over units for each of width² "
        "pairs; memory 2",
    ),
    Table(
        "sgd",
        "two-layer SGD itself, 400 steps at dimension 100, four seeds",
        "width",
        (8, 16, 32, 64, 128),
        sgd,
        "time 1 while products of weights and samples dominate, 2 if overlaps were taken at each "
        "step; memory at most 2",
    ),
)


@dataclass(frozen=True)
class Measured:
    """Of one size."""

    size: int
    seconds: float
    mib: float


def apart(function: Callable[..., object], *given: object) -> object:
    """Call a function in a forked process."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(function, given)


def _measured(table: Table, size: int, folder: Path) -> Measured:
    smallest = folder / f"before_{size}"
    smallest.mkdir()
    if table.prepare:
        table.prepare(table.sizes[0], smallest)
    table.work(table.sizes[0], smallest)
    floor, started = _peak(), time.process_time()
    table.work(size, folder)
    return Measured(size, time.process_time() - started, _peak() - floor)


def _peak() -> float:
    per_mib = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / per_mib


def slope(sizes: np.ndarray, values: np.ndarray) -> float:
    """Of log value against log size, over the upper half of the sizes."""
    upper = slice(-max(2, len(sizes) // 2), None)
    if np.any(values[upper] <= 0):
        return 0.0
    return float(np.polyfit(np.log(sizes[upper]), np.log(values[upper]), 1)[0])


def measure(table: Table, largest: int | None) -> list[Measured]:
    """Every size of a table; `largest` keeps that many of the smallest sizes."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in table.sizes[:largest]:
            if table.prepare:
                apart(table.prepare, size, folder)
            one = apart(_measured, table, size, folder)
            assert isinstance(one, Measured)
            found.append(one)
    return found


def described(table: Table, found: list[Measured]) -> list[str]:
    """The lines of a Markdown table, and the slopes."""
    abscissa = np.array([2.0**m.size if table.exponential else m.size for m in found])
    seconds, mib = (np.array([getattr(m, n) for m in found]) for n in ("seconds", "mib"))
    shown = "dimension" if table.exponential else table.along
    lines = [f"| {shown} | processor seconds | MiB beyond the smallest |", "| ---: | ---: | ---: |"]
    lines += [f"| {m.size:,} | {m.seconds:.3g} | {m.mib:.1f} |" for m in found]
    grown = f"{slope(abscissa, mib):.2f}" if mib.max() > FLOOR_MIB else "none seen"
    lines += ["", f"Slope in {table.along}: time {slope(abscissa, seconds):.2f}, memory {grown}."]
    return lines


def draw(table: Table, found: list[Measured], path: Path) -> None:
    """Time and memory on log axes, with the fitted slopes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import NullFormatter

    abscissa = np.array([2.0**m.size if table.exponential else m.size for m in found])
    figure, panels = plt.subplots(1, 2, figsize=(6.4, 2.4), layout="constrained")
    quantities = (("seconds", "processor seconds"), ("mib", "MiB beyond the smallest"))
    for panel, (name, label) in zip(panels, quantities, strict=True):
        values = np.array([getattr(m, name) for m in found])
        grows = name == "seconds" or values.max() > FLOOR_MIB
        panel.loglog(abscissa, np.maximum(values, 1e-3 if name == "seconds" else 0.1), "o-", ms=4)
        fitted = f"slope {slope(abscissa, values):.2f}" if grows else "flat"
        panel.set_title(fitted, fontsize=9)
        panel.set_xlabel(table.along, fontsize=8)
        panel.set_ylabel(label, fontsize=8)
        panel.tick_params(labelsize=7)
        panel.grid(alpha=0.3)
        if abscissa[-1] < 30 * abscissa[0]:
            panel.set_xticks(abscissa, [f"{n:g}" for n in abscissa])
        panel.xaxis.set_minor_formatter(NullFormatter())
        low, high = panel.get_ylim()
        if high > 10 * low:  # enough powers of ten without the numbers between
            panel.yaxis.set_minor_formatter(NullFormatter())
        if not grows:
            panel.set_ylim(0.05, 100)
    figure.savefig(path, dpi=90)
    plt.close(figure)


HEADING = """# Performance: how time and memory grow

Written by `python -m benchmarks.bench_growth --write`; do not edit. {machine}, {date}. Times are
processor seconds of one process on one core; memory is what the peak rises above that of the
smallest size. Slopes are those of the upper half of the sizes on log axes. What each operation
costs beside its alternatives is in [benchmarks/RESULTS.md](../benchmarks/RESULTS.md), what limits
the largest sweeps in [scaling.md](scaling.md).
"""


def main() -> None:
    """Print every table; with --write, make the page and its plots."""
    write = "--write" in sys.argv
    if write:
        sys.argv.remove("--write")
    given = arguments(tables=len(TABLES))
    for system in ("perceptron_storage", "glm_bayes", "sgd_two_layer"):
        load_system(system)  # here, so that no fork has to
    page = [HEADING.format(machine=platform.machine(), date=date.today())]
    for table in TABLES[: len(TABLES) if given.short else given.tables]:
        found = measure(table, 2 if given.short else None)
        lines = described(table, found)
        print(f"{table.name}: {table.title}", *lines, "", sep="\n", flush=True)
        if write:
            (DOCS / "images").mkdir(exist_ok=True)
            draw(table, found, DOCS / "images" / f"growth_{table.name}.png")
            heading = f"## {table.title[0].upper()}{table.title[1:]}"
            picture = f"![{table.title}](images/growth_{table.name}.png)"
            page += [heading, "", *lines, "", f"Must be: {table.must}.", "", picture, ""]
    if write:
        (DOCS / "performance.md").write_text("\n".join(page))


if __name__ == "__main__":
    main()

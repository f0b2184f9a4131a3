"""What the benchmarks share: timing two alternatives in one run, and how to print it."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version


def best(function: Callable[[], object], repeats: int) -> float:
    """Shortest of several wall times, after one call to compile and warm up."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def compare(
    claim: str,
    ours: tuple[str, Callable[[], object]],
    other: tuple[str, Callable[[], object]],
    *,
    work: float = 1.0,
    other_work: float | None = None,
    unit: str = "run",
    repeats: int = 3,
) -> float:
    """Time both, print their rates and the ratio of the rates, and return the ratio.

    `other_work` is for an alternative too slow to do all the work.
    """
    seconds = best(ours[1], repeats)
    theirs = best(other[1], repeats)
    print(f"{claim}")
    rates = work / seconds, (other_work or work) / theirs
    for (name, _), taken, rate in zip((ours, other), (seconds, theirs), rates, strict=True):
        shown = f"{rate:12,.0f}" if rate >= 100 else f"{rate:12.3g}"
        print(f"    {name:<44} {taken:10.4f} s  {shown} {unit}/s")
    print(f"    ratio {rates[0] / rates[1]:.1f}")
    return rates[0] / rates[1]


def arguments(**sizes: int) -> argparse.Namespace:
    """Command-line sizes with their defaults; --short takes a quarter of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true", help="a quarter of each size")
    parser.add_argument("--repeats", type=int, default=3)
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    given = parser.parse_args()
    if given.short:
        for name in sizes:
            setattr(given, name, max(1, getattr(given, name) // 4))
    packages = ", ".join(f"{n} {version(n)}" for n in ("numpy", "scipy", "numba", "zarr"))
    print(f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, {packages}")
    return given

"""What a GPU does: products, normals, message passing, and agreement with the CPU. One command:

    python benchmarks/gpu.py                 # needs cupy and a CUDA device
    python benchmarks/gpu.py --rehearse      # small sizes on the CPU, by the same portable code

Rates are printed beside the device's own rate of single-precision matrix products.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import types
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from typing import Any

import array_api_compat.numpy as anp
import numpy as np

from phasesweep.grid import expand
from phasesweep.sweepfile import single_method
from solvers.contract import load_system
from solvers.numerics import lockstep
from solvers.numerics.random import Stream


def gamp(**axes: Any) -> Callable[[Any], dict[str, Any]]:
    """Message passing on one instance, as a function of the array namespace."""
    method = load_system("glm_bayes").methods["gamp"]
    points = expand(single_method(method, axes, "benchmark"), lambda *_: np.zeros(0))
    values = {n: points.columns[n] for n in method.columns}
    values |= {n: points.value(n, 0) for n in method.single}
    return lambda xp: method(len(points), values, xp)


def device_namespace(rehearse: bool) -> Any:
    """CuPy under the array API, or NumPy under another name, which takes the same paths."""
    if rehearse:
        other = types.ModuleType("rehearsal")
        other.__dict__.update({k: v for k, v in vars(anp).items() if not k.startswith("__")})
        return other
    try:
        import cupy

        if not cupy.cuda.is_available():
            raise ImportError
    except ImportError:
        sys.exit("the benchmark needs cupy and a CUDA device; try --rehearse for the CPU")
    return importlib.import_module("array_api_compat.cupy")


def seconds(function: Callable[[], Any], xp: Any, repeats: int) -> float:
    """Shortest wall time of several, the device idle before and after."""

    def wait() -> None:
        if hasattr(xp, "cuda"):
            xp.cuda.Device().synchronize()

    function()
    times = []
    for _ in range(repeats):
        wait()
        started = time.perf_counter()
        function()
        wait()
        times.append(time.perf_counter() - started)
    return min(times)


def products(xp: Any, dimension: int, points: int, repeats: int) -> None:
    """Billions of operations a second: a square product, and both products of a lockstep pass."""
    stream = Stream("benchmark", 0, dimension, "design")
    square = stream.normals(0, dimension, dimension, xp=xp, dtype=np.float32)
    own = 2e-9 * dimension**3 / seconds(lambda: square @ square, xp, repeats)
    print(f"square product of {dimension}: {own:12,.0f} Gflop/s")
    rows = lockstep.whole_tiles(2 * dimension)
    matrix = stream.normals(0, rows, dimension, xp=xp, dtype=np.float32)
    for count in sorted({1, 8, points}):
        thin = stream.normals(0, count, dimension, xp=xp, dtype=np.float32).T
        seen = np.full(count, rows)
        taken = seconds(
            lambda thin=thin, seen=seen: lockstep.read(
                matrix, thin, seen, lambda _, __, product: product, xp=xp
            ),
            xp,
            repeats,
        )
        rate = 4e-9 * rows * dimension * count / taken
        print(
            f"    lockstep, {rows} x {dimension}, {count:5} columns: {rate:12,.0f} Gflop/s, "
            f"{rate / own:.2f} of it"
        )


def normals(xp: Any, dimension: int, repeats: int) -> None:
    """Numbers a second of addressable rows, beside the library's generator."""
    rows = max(16, 10**8 // dimension if hasattr(xp, "cuda") else 10**5 // dimension)
    stream = Stream("benchmark", 0, dimension, "design")
    ours = seconds(lambda: stream.normals(0, rows, dimension, xp=xp, dtype=np.float32), xp, repeats)
    print(f"single-precision normals: {rows * dimension / ours:,.0f} a second")
    if hasattr(xp, "cuda"):
        import cupy

        generator = cupy.random.default_rng(0)
        theirs = seconds(
            lambda: generator.standard_normal((rows, dimension), dtype=np.float32), xp, repeats
        )
        print(f"    cupy's generator: {rows * dimension / theirs:,.0f} a second")


def message_passing(xp: Any, dimension: int, points: int) -> None:
    """GAMP over a grid of alphas up to 2 on one instance: points a second."""
    alphas = np.linspace(2 / points, 2, points).tolist()
    solve = gamp(
        prior="rademacher",
        alpha=alphas,
        dimension=dimension,
        seed=0,
        damping=0.1,
        iterations=0,
        max_steps=60,
    )
    taken = seconds(lambda: solve(xp), xp, 1)
    print(f"GAMP, dimension {dimension}, {points} alphas up to 2: {taken:.2f} s")


def agreement(xp: Any, dimension: int) -> None:
    """Largest difference of the overlaps of one instance between the device and the CPU."""
    solve = gamp(
        prior="rademacher",
        alpha=[0.4, 0.9, 2.0],
        dimension=dimension,
        seed=1,
        precision="single",
    )
    here, there = solve(np), solve(xp)
    difference = np.max(np.abs(here["overlap"] - there["overlap"]))
    print(f"overlaps of one instance of {dimension}, device against CPU: {difference:.1e}")


def main() -> None:
    """Print every number."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rehearse", action="store_true", help="small sizes on the CPU")
    parser.add_argument("--dimension", type=int, default=0, help="of the largest instance")
    parser.add_argument("--points", type=int, default=0, help="alphas in lockstep")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    xp = device_namespace(given.rehearse)
    largest = given.dimension or (300 if given.rehearse else 40_000)
    points = given.points or (4 if given.rehearse else 64)
    if hasattr(xp, "cuda"):
        name = xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
        print(f"{date.today()}, {name}, cupy {version('cupy-cuda13x')}, numpy {np.__version__}")
    else:
        print(f"{date.today()}, rehearsal on the CPU, numpy {np.__version__}")
    products(xp, min(largest, 10_000), points, given.repeats)
    normals(xp, min(largest, 10_000), given.repeats)
    agreement(xp, min(largest, 1000))
    for dimension in sorted({largest // 10, largest}):
        message_passing(xp, dimension, points)


if __name__ == "__main__":
    main()

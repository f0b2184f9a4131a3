"""What a GPU does: products, normals, message passing, memory, and agreement with the CPU.

    python benchmarks/gpu.py                 # needs cupy and a CUDA device; some minutes
    python benchmarks/gpu.py --rehearse      # small sizes on the CPU, by the same portable code
    python benchmarks/gpu.py --dimension 10000   # a device of less memory: the largest instance

Needs `solvers` (where it is not installed: PYTHONPATH=. in front), numpy, scipy, numba and
array-api-compat. Rates are printed beside the device's own rate of square matrix products in the
same precision; what does not fit in the free memory is said and left out.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import types
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import date
from functools import partial
from typing import Any

import array_api_compat.numpy as anp
import numpy as np

from solvers.contract import Method, load_system
from solvers.numerics import lockstep
from solvers.numerics.lockstep import device
from solvers.numerics.lockstep.held import Held
from solvers.numerics.random import Stream

PRECISIONS = ("single", "tf32", "half")


def solver(**axes: Any) -> Callable[[Any], dict[str, np.ndarray]]:
    """`gamp` of glm_bayes on one instance, as a function of the array namespace."""
    method = load_system("glm_bayes").methods["gamp"]
    count, values = batch(method, axes)
    return lambda xp: method(count, values, xp)


def batch(method: Method, axes: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """How many points, and their values: the axes given and the defaults of the others."""
    given = {n: v if isinstance(v, list) else [v] for n, v in axes.items()}
    count = max(len(v) for v in given.values())
    values: dict[str, Any] = {}
    for name, axis in method.axes.items():
        idle = any(given[other][0] not in words for other, words in axis.when.items())
        some = given.get(name, [axis.otherwise if idle else axis.default])
        parsed = [axis.parse(v) for v in some]
        values[name] = (
            np.broadcast_to(parsed, (count,)).copy() if name in method.columns else parsed[0]
        )
    return count, values


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
        print(
            "the benchmark needs cupy and a CUDA device; try --rehearse for the CPU",
            file=sys.stderr,
        )
        sys.exit(2)
    return importlib.import_module("array_api_compat.cupy")


def seconds(function: Callable[[], Any], xp: Any, repeats: int) -> float:
    """Shortest wall time of several after one to warm up, the device idle before and after."""

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


def square_rate(xp: Any, dimension: int, precision: str, repeats: int) -> float:
    """Billions of operations a second of a square product of factors in a precision."""
    held = Held.of(precision)
    drawn = Stream("benchmark", 0, dimension, "design").normals(
        0, dimension, dimension, xp=xp, dtype=np.float32
    )
    square = held.hold(drawn, xp)
    taken = seconds(lambda: device.dots(square, (square,), held, xp), xp, repeats)
    return 2e-9 * dimension**3 / taken


def _unchanged(_: slice, __: np.ndarray, product: Any) -> Any:
    return product


def products(xp: Any, dimension: int, counts: Iterable[int], repeats: int) -> dict[str, float]:
    """Both products of a lockstep pass in every precision; returns the square-product rates."""
    rates = {}
    for precision in PRECISIONS:
        own = rates[precision] = square_rate(xp, dimension, precision, repeats)
        print(f"{precision}: square product of {dimension}: {own:12,.0f} Gflop/s")
        held, stream = Held.of(precision), Stream("benchmark", 0, dimension, "design")
        rows = lockstep.whole_tiles(2 * dimension)
        matrix = xp.empty((rows, dimension), dtype=held.dtype(xp.float32, xp))
        for start in range(0, rows, 4096):
            stop = min(start + 4096, rows)
            drawn = stream.normals(start, stop, dimension, xp=xp, dtype=np.float32)
            matrix[start:stop, :] = held.hold(drawn, xp)
        for count in counts:
            thin = stream.normals(0, count, dimension, xp=xp, dtype=np.float32).T
            seen = np.full(count, rows)
            taken = seconds(
                partial(lockstep.read, matrix, thin, seen, _unchanged, xp=xp, held=held),
                xp,
                repeats,
            )
            rate = 4e-9 * rows * dimension * count / taken
            memory = 2e-9 * rows * dimension * matrix.dtype.itemsize / taken
            print(
                f"    lockstep, {rows} x {dimension}, {count:4} columns: {rate:12,.0f} Gflop/s, "
                f"{rate / own:.2f} of it; the matrix read at {memory:,.0f} GB/s"
            )
    return rates


def normals(xp: Any, dimension: int, repeats: int) -> None:
    """Numbers a second of addressable rows, beside the library's generator."""
    rows = max(16, (10**8 if hasattr(xp, "cuda") else 10**5) // dimension)
    stream = Stream("benchmark", 0, dimension, "design")
    for name, dtype in (("single", xp.float32), ("half", xp.float16)):
        draw = partial(stream.normals, 0, rows, dimension, xp=xp, dtype=dtype)
        taken = seconds(draw, xp, repeats)
        print(f"normals in {name} precision: {rows * dimension / taken:,.0f} a second")
    if hasattr(xp, "cuda"):
        import cupy

        generator = cupy.random.default_rng(0)
        theirs = seconds(
            lambda: generator.standard_normal((rows, dimension), dtype=np.float32), xp, repeats
        )
        print(f"    cupy's generator: {rows * dimension / theirs:,.0f} a second")


def agreement(xp: Any, dimension: int) -> None:
    """Largest difference of one instance's overlaps, device against CPU, in every precision."""
    for precision in ("double", *PRECISIONS):
        solve = solver(
            prior="rademacher",
            channel="sign",
            alpha=[0.4, 0.9, 2.0],
            dimension=dimension,
            seed=1,
            precision=precision,
        )
        here, there = solve(anp), solve(xp)
        difference = np.max(np.abs(here["overlap"] - there["overlap"]))
        steps = np.max(np.abs(here["steps"] - there["steps"]))
        print(
            f"{precision}: overlaps of one instance of {dimension}, device against CPU: "
            f"{difference:.1e}, iterations differ by {steps}"
        )


class Memory:
    """Memory of the device: what is free, and the most that a computation held."""

    def __init__(self, xp: Any) -> None:
        self.pool = xp.get_default_memory_pool() if hasattr(xp, "cuda") else None
        self.xp = xp

    def free(self) -> float:
        """Bytes; on a CPU enough for everything."""
        if self.pool is None:
            return np.inf
        self.pool.free_all_blocks()
        return float(self.xp.cuda.runtime.memGetInfo()[0])

    def held(self) -> str:
        """What the pool holds: it gives nothing back by itself, so this is the most there was."""
        return "" if self.pool is None else f", {self.pool.total_bytes() / 2**30:.2f} GiB held"


def message_passing(
    xp: Any, dimension: int, points: int, precision: str, own: float | None
) -> None:
    """GAMP over a grid of alphas up to 2 on one instance: points a second, memory, rate."""
    alphas = np.linspace(2 / points, 2, points).tolist()
    axes = {
        "prior": "rademacher",
        "channel": "sign",
        "alpha": alphas,
        "dimension": dimension,
        "seed": 0,
        "damping": 0.1,
        "iterations": 0,
        "max_steps": 60,
        "precision": precision,
    }
    method = load_system("glm_bayes").methods["gamp"]
    count, values = batch(method, axes)
    declared = np.max(method.cost.shared_memory(**values)) + np.sum(method.cost.memory(**values))
    memory = Memory(xp)
    what = f"GAMP, {precision}, dimension {dimension}, {points} alphas up to 2"
    free = memory.free()
    if declared > 0.9 * free:
        print(f"{what}: left out, {declared / 2**30:.1f} GiB declared, {free / 2**30:.1f} free")
        return
    started = time.perf_counter()
    method(count, {**values, "max_steps": np.ones(count, dtype=int)}, xp)
    drawn = time.perf_counter() - started
    started = time.perf_counter()
    answer = method(count, values, xp)
    taken = time.perf_counter() - started
    rate = 4e-9 * dimension * np.sum(answer["steps"] * answer["samples"]) / taken
    share = f", {rate / own:.2f} of the square product" if own else ""
    print(
        f"{what}: {taken:.2f} s ({drawn:.2f} s for one iteration), {points / taken:,.1f} points/s, "
        f"{rate:,.0f} Gflop/s{share}{memory.held()} ({declared / 2**30:.2f} declared)"
    )
    memory.free()


def in_flight(xp: Any, dimension: int, count: int) -> None:
    """Small instances one after another, and each in its own thread and stream."""
    solvers = [
        solver(
            prior="rademacher",
            channel="sign",
            alpha=[0.5, 1.0, 2.0],
            dimension=dimension,
            seed=seed,
            damping=0.1,
            iterations=0,
            max_steps=60,
        )
        for seed in range(count)
    ]

    def alone(solve: Callable[[Any], dict[str, np.ndarray]]) -> np.ndarray:
        stream = xp.cuda.Stream(non_blocking=True) if hasattr(xp, "cuda") else nullcontext()
        with stream:
            return solve(xp)["overlap"]

    with ThreadPoolExecutor(count) as pool:
        one = seconds(lambda: [alone(solve) for solve in solvers], xp, 1)
        many = seconds(lambda: list(pool.map(alone, solvers)), xp, 1)
        same = np.array_equal([alone(s) for s in solvers], list(pool.map(alone, solvers)))
    print(
        f"{count} instances of {dimension}: one by one {one:.2f} s, in {count} threads with a "
        f"stream each {many:.2f} s, ratio {one / many:.2f}; same numbers: {same}"
    )


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
    started = time.perf_counter()
    if hasattr(xp, "cuda"):
        name = xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
        free, total = (bytes_ / 2**30 for bytes_ in xp.cuda.runtime.memGetInfo())
        library = importlib.import_module("cupy").__version__
        print(f"{date.today()}, {name}, {free:.1f} of {total:.1f} GiB free, cupy {library}")
    else:
        print(f"{date.today()}, rehearsal on the CPU, numpy {np.__version__}")
    counts = (1, 8) if given.rehearse else (1, 8, 64, 512)
    rates = products(xp, min(largest, 10_000), counts, given.repeats)
    Memory(xp).free()
    normals(xp, min(largest, 10_000), given.repeats)
    agreement(xp, min(largest, 1000))
    in_flight(xp, min(largest, 1000), 2 if given.rehearse else 8)
    for dimension in sorted({max(2, largest // 4), largest}):
        for precision in PRECISIONS:
            for many in (points, 8 * points):
                message_passing(xp, dimension, many, precision, rates[precision])
    print(f"{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()

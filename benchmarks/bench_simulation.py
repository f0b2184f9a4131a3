"""Simulation: one instance shared in lockstep, a hypercube walked, normals drawn."""

from __future__ import annotations

import math
from functools import partial

import numba
import numpy as np
from scipy.special import erfcx

from benchmarks.common import arguments, compare
from phasesweep.batches import cut
from phasesweep.grid import expand
from phasesweep.sweepfile import single_method
from solvers.contract import load_system
from solvers.numerics import lockstep, one_pass
from solvers.numerics.channels import sign
from solvers.numerics.hazard import hazard
from solvers.numerics.random import Stream


def columns(system: str, method: str, **axes: object) -> tuple:
    """(method, number of points, their values as one batch) for the points of one instance."""
    declared = load_system(system).methods[method]
    points = expand(single_method(declared, axes, "benchmark"), lambda *_: np.zeros(0))
    (batch,) = cut(points, memory=math.inf, seconds=math.inf)
    return declared, len(batch), batch.values


def one_by_one(method, count: int, values: dict) -> None:
    """The same points, each as a batch of its own."""
    for i in range(count):
        method(1, {n: v[i : i + 1] if n in method.columns else v for n, v in values.items()})


def plain_gamp(
    alpha: float, dimension: int, noise: float, tolerance: float = 1e-5, steps: int = 300
) -> float:
    """GAMP as one would write it: one alpha, binary weights, sign labels, library products."""
    rng = np.random.default_rng(0)
    rows = round(alpha * dimension)
    design = rng.standard_normal((rows, dimension), np.float32) * np.float32(dimension**-0.5)
    teacher = rng.choice(np.array([-1, 1], np.float32), dimension)
    shift = rng.standard_normal(rows, np.float32) * np.float32(noise**0.5)
    labels = np.sign(design @ teacher + shift)
    mean, variance, g = np.zeros(dimension, np.float32), 1.0, np.zeros(rows, np.float32)
    for _ in range(steps):
        total = variance + noise
        omega = design @ mean - np.float32(variance) * g
        x = -labels * omega / np.float32(np.sqrt(total))
        h = np.float32(np.sqrt(2 / np.pi)) / erfcx(x * np.float32(np.sqrt(0.5)))
        g = labels * h / np.float32(np.sqrt(total))
        precision = np.sum(h * (h - x)) / total / dimension
        new = np.tanh(np.float32(precision) * mean + design.T @ g)
        change = np.sqrt(np.mean((new - mean) ** 2) / max(variance, 1e-14))
        mean, variance = new, max(float(np.mean(1 - new**2)), 1e-14)
        if change < tolerance:
            break
    return float(mean @ teacher) / dimension


def message_passing(dimension: int, alphas: list[float], noise: float) -> None:
    """GAMP over a grid of alphas on one instance, beside one alpha at a time."""
    gamp, count, values = columns(
        "glm_bayes", "gamp", prior="rademacher", alpha=alphas, noise=noise, dimension=dimension,
        seed=0,
    )  # fmt: skip
    for name, other in (
        (
            "one point at a time, plain NumPy",
            lambda: [plain_gamp(a, dimension, noise) for a in alphas],
        ),
        ("one point at a time, phasesweep", lambda: one_by_one(gamp, count, values)),
    ):
        compare(
            f"GAMP, dimension {dimension}, {count} alphas up to 2, noise {noise:g}, one instance",
            ("lockstep (phasesweep)", lambda: gamp(count, values)),
            (name, other),
            work=count,
            unit="points",
            repeats=1,
        )


def both_starts(dimension: int, alphas: list[float]) -> None:
    """GAMP from both starts: one batch of both words, beside one of each.

    With noise, since a start that knows binary weights ends at once without.
    """
    axes = {
        "prior": "rademacher", "noise": 0.1, "alpha": alphas, "dimension": dimension, "seed": 0
    }  # fmt: skip
    words = ("uninformed", "informed")
    gamp, count, together = columns("glm_bayes", "gamp", initialization=list(words), **axes)
    apart = [columns("glm_bayes", "gamp", initialization=word, **axes) for word in words]
    compare(
        f"GAMP, dimension {dimension}, {len(alphas)} noisy alphas up to 2, both starts",
        ("one batch (phasesweep)", lambda: gamp(count, together)),
        (
            "a batch for each start",
            lambda: [method(part, values) for method, part, values in apart],
        ),
        work=count,
        unit="points",
    )


def response(labels: np.ndarray, omega: np.ndarray) -> np.ndarray:
    """g of sign labels at variance 1, in NumPy and SciPy."""
    return labels * np.float32(np.sqrt(2 / np.pi)) / erfcx(-labels * omega * np.float32(0.5**0.5))


def reading_rates(dimension: int, count: int, repeats: int) -> None:
    """Single-precision arithmetic of one reading of a design, beside the library's."""
    rng = np.random.default_rng(0)
    rows = lockstep.whole_tiles(dimension)
    design = rng.standard_normal((rows, dimension), np.float32) * np.float32(dimension**-0.5)
    labels = rng.choice(np.array([-1, 1], np.float32), (rows, count))
    square, thin = design[:dimension], rng.standard_normal((dimension, count), np.float32)
    output, one = np.zeros((rows, count), np.float32), np.ones(count)
    ours = (
        "lockstep, response included (phasesweep)",
        lambda: one_pass.read(
            *(sign, design, labels, output),
            points=np.arange(count),
            samples=np.full(count, rows),
            mean=thin,
            variance=one,
            noise=0 * one,
        ),
    )
    work = 4e-9 * rows * dimension * count
    compare(
        f"billions of operations: X^T g(X w), {rows} x {dimension}, {count} columns, sign labels",
        ours,
        ("the library, g in NumPy", lambda: design.T @ response(labels, design @ thin)),
        work=work,
        unit="Gflop",
        repeats=repeats,
    )
    compare(
        f"the same columns against the machine's rate, a square product of {dimension}",
        ours,
        ("the library, square", lambda: square @ square),
        work=work,
        other_work=2e-9 * dimension**3,
        unit="Gflop",
        repeats=repeats,
    )


def plain_search(alpha: float, dimension: int, steps: int, rate: float = 0.003) -> bool:
    """Reinforced belief propagation as one would write it: one alpha, library products."""
    rng = np.random.default_rng(0)
    rows = round(alpha * dimension)
    patterns = rng.standard_normal((rows, dimension), np.float32) * np.float32(dimension**-0.5)
    field, g = np.zeros(dimension, np.float32), np.zeros(rows, np.float32)
    for step in range(1, steps + 1):
        mean = np.tanh(field)
        variance = np.float32(max(np.mean(1 - mean**2), 1e-6))
        u = (variance * g - patterns @ mean) / np.sqrt(variance)
        h = np.float32(np.sqrt(2 / np.pi)) / erfcx(u * np.float32(np.sqrt(0.5)))
        g = h / np.sqrt(variance)
        onsager = np.float32(np.sum(h * (h - u)) / variance / dimension)
        memory = np.float32(1 - (1 - rate) ** step)
        field = patterns.T @ g + onsager * mean + memory * field
        if step % 10 == 0:
            signs = np.where(field >= 0, np.float32(1), np.float32(-1))
            if np.all(patterns @ signs > 0):
                return True
    return False


@numba.njit(error_model="numpy")
def hazards(x: np.ndarray, h: np.ndarray, slope: np.ndarray) -> None:
    """The hazard and its slope of every entry."""
    for i in range(len(x)):
        h[i], slope[i] = hazard(x[i])


def searches(dimension: int, count: int) -> None:
    """Reinforced belief propagation above where it finds anything in 100 iterations."""
    alphas = np.linspace(0.7, 0.9, count).tolist()
    search, count, values = columns(
        "perceptron_storage",
        "reinforced_bp",
        alpha=alphas,
        dimension=dimension,
        seed=0,
        max_steps=100,
    )
    for name, other in (
        (
            "one point at a time, plain NumPy",
            lambda: [plain_search(a, dimension, 100) for a in alphas],
        ),
        ("one point at a time, phasesweep", lambda: one_by_one(search, len(alphas), values)),
    ):
        compare(
            f"reinforced belief propagation, dimension {dimension}, {count} alphas, 100 iterations",
            ("lockstep (phasesweep)", lambda: search(count, values)),
            (name, other),
            work=100 * count,
            unit="iterations of a point",
            repeats=1,
        )
    x = np.random.default_rng(0).normal(scale=3, size=2**14).astype(np.float32)
    h, slope = np.empty_like(x), np.empty_like(x)
    compare(
        "hazard φ/H and its slope, single precision",
        ("compiled (phasesweep)", lambda: hazards(x, h, slope)),
        ("1/erfcx of SciPy, without the slope", lambda: 1 / erfcx(x)),
        work=len(x),
        unit="numbers",
        repeats=20,
    )


def iterations(dimension: int, count: int) -> None:
    """Iterations on one matrix, symmetric or with rows of every alpha, in single precision."""
    alphas, signals = np.linspace(2 / count, 2, count).tolist(), np.linspace(0.5, 2, count).tolist()
    common: dict = {"dimension": dimension, "seed": 0, "precision": "single"}
    for name, system, method, axes in (
        (
            "gradient descent with momentum, 20 steps",
            "gfom",
            "iterate",
            {"iteration": "momentum", "steps": 20, "alpha": alphas, "step_size": 0.3},
        ),
        (
            "message passing for a spiked matrix",
            "spiked_wigner",
            "amp",
            {"prior": "rademacher", "signal": signals},
        ),
        (
            "descent of two erf units, 20 steps",
            "dmft_two_layer",
            "gradient_descent",
            {"activation": "erf", "width": 2, "steps": 20, "alpha": alphas, "step_size": 0.5},
        ),
    ):
        run, points, values = columns(system, method, **common, **axes)
        compare(
            f"{name}, dimension {dimension}, {points} points",
            ("lockstep (phasesweep)", partial(run, points, values)),
            ("one point at a time, phasesweep", partial(one_by_one, run, points, values)),
            work=points,
            unit="points",
            repeats=1,
        )


def matrix_enumeration(rows: np.ndarray, alphas: np.ndarray) -> list[int]:
    """Solutions by one product with all configurations, in blocks."""
    dimension = rows.shape[1]
    counts = np.zeros(len(alphas), np.int64)
    samples = np.floor(alphas * dimension + 0.5).astype(int)
    for start in range(0, 2**dimension, 2**14):
        bits = np.arange(start, min(start + 2**14, 2**dimension))
        weights = 1.0 - 2.0 * ((bits[:, None] >> np.arange(dimension)) & 1)
        good = np.cumprod(weights @ rows.T > 0, axis=1)
        counts += np.array([good[:, n - 1].sum() if n else len(bits) for n in samples])
    return counts.tolist()


def main() -> None:
    """Print the comparisons."""
    given = arguments(dimension=3000, alphas=32, spins=20, rows=4000)
    alphas = np.linspace(2 / given.alphas, 2, given.alphas).tolist()
    for noise in (0.0, 0.1):
        message_passing(given.dimension, alphas, noise)
    both_starts(given.dimension * 2 // 3, alphas[1::2])
    for count in (1, 4, 8, 32):
        reading_rates(given.dimension, count, given.repeats)
    searches(given.dimension, given.alphas)
    iterations(given.dimension, given.alphas)
    spins = max(given.spins, 16) if given.short else given.spins
    walk, count, values = columns(
        "perceptron_storage", "enumeration", weights="binary", alpha=alphas, dimension=spins, seed=0
    )
    rows = np.random.default_rng(0).normal(size=(2 * spins, spins))
    compare(
        f"counting all solutions, {spins} spins, {count} alphas",
        ("walk of the hypercube (phasesweep)", lambda: walk(count, values)),
        ("matrix products in blocks", lambda: matrix_enumeration(rows, np.array(alphas))),
        work=2**spins,
        unit="configurations",
        repeats=given.repeats,
    )
    stream = Stream("benchmark", 0, 1000, "design")
    generator = np.random.default_rng(0)
    compare(
        f"single-precision normals, {given.rows} x 1000",
        (
            "addressable rows (phasesweep)",
            lambda: stream.normals(0, given.rows, 1000, dtype=np.float32),
        ),
        ("numpy Generator", lambda: generator.standard_normal((given.rows, 1000), np.float32)),
        work=given.rows * 1000,
        unit="numbers",
        repeats=given.repeats,
    )


if __name__ == "__main__":
    main()

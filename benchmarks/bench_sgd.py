"""SGD of two-layer networks: the mean update against width, a long run, a diagram, many seeds."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import erf

from benchmarks.bench_simulation import columns
from benchmarks.common import arguments, best, compare
from phasesweep import api
from phasesweep.cache import Cache
from phasesweep.sweep import run
from phasesweep.sweepfile import parse_sweep
from solvers.numerics.erf_integrals import four_fields
from solvers.numerics.random import Stream
from solvers.systems.sgd_two_layer.drift import drift, pack, unpack
from solvers.systems.sgd_two_layer.observing import excess_risk
from solvers.systems.sgd_two_layer.starts import start_overlaps, start_weights

WIDTHS = (2, 4, 8, 16, 32)


def main() -> None:
    """Print the comparisons."""
    given = arguments(horizon=10_000, side=20, seeds=32, steps=4000)
    growth()
    update()
    horizon(float(given.horizon))
    diagram(given.side)
    seeds(given.seeds, given.steps)


def one_drift(width: int, teacher_width: int, unit: str) -> float:
    """Seconds of one evaluation of the mean update of one point."""
    student, teacher, target = start_overlaps(
        "random", width=width, teacher_width=teacher_width, dimension=1000, seed=0
    )
    state = pack(student[None], teacher[None])
    out = np.empty_like(state)
    one, noise = np.array([0.3]), np.array([0.1])

    def evaluate() -> None:
        drift(
            state,
            target[None],
            one,
            noise,
            width,
            teacher_width,
            out,
            student=unit,
            teacher=unit,
        )

    return best(evaluate, 20)


def growth() -> None:
    """Cost of the mean update against width, with the slope over the last doubling."""
    print("one mean update, teacher_width 4, in milliseconds")
    print("    width     " + "".join(f"{width:>10}" for width in WIDTHS) + "   last slope")
    for unit in ("erf", "quadratic", "relu"):
        seconds = [one_drift(width, 4, unit) for width in WIDTHS]
        slope = np.log2(seconds[-1] / seconds[-2])
        print(f"    {unit:<10}" + "".join(f"{1e3 * s:10.4f}" for s in seconds) + f"{slope:13.1f}")


def update() -> None:
    """The mean update of erf units beside the same closed forms in arrays."""
    p, k = 8, 4
    student, teacher, target = start_overlaps(
        "random", width=p, teacher_width=k, dimension=1000, seed=0
    )
    joint = np.block([[student, teacher], [teacher.T, target]])
    state, out = pack(student[None], teacher[None]), np.empty((1, p * k + p * (p + 1) // 2))
    one, noise = np.array([0.3]), np.array([0.1])
    places = np.ix_(range(p), range(p), range(p + k), range(p + k))
    index = np.stack(np.broadcast_arrays(*places), axis=-1)
    weight = np.r_[np.full(p, -1 / p), np.full(k, 1 / k)]

    def in_arrays() -> np.ndarray:
        fourth = four_fields(joint[index[..., :, None], index[..., None, :]])
        return np.einsum("ijab,a,b->ij", fourth, weight, weight)

    def many() -> None:
        for _ in range(100):
            drift(state, target[None], one, noise, p, k, out)

    compare(
        f"mean update of erf units, width {p}, teacher_width {k}",
        (
            "compiled (phasesweep)",
            many,
        ),
        ("its step_size² term alone, in NumPy arrays", in_arrays),
        work=100,
        other_work=1,
        unit="updates",
    )


def horizon(end: float) -> None:
    """Width 8, teacher_width 4, to a long time, alone and for several step sizes, with errors."""
    p, k, noise = 8, 4, 1e-3
    times = np.geomspace(0.1, end, 101)
    student, teacher, target = start_overlaps(
        "random", width=p, teacher_width=k, dimension=1000, seed=0
    )
    start = pack(student[None], teacher[None])[0]

    def ours(step_sizes: list[float], tolerance: float = 1e-8) -> dict:
        ode, count, values = columns(
            "sgd_two_layer",
            "ode",
            width=p,
            teacher_width=k,
            step_size=step_sizes,
            noise=noise,
            times=times.tolist(),
            tolerance=tolerance,
        )
        return ode(count, values)

    def other(step_sizes: list[float]) -> np.ndarray:
        risks = []
        for step_size in step_sizes:

            def slope(_: float, y: np.ndarray, ratio: float = step_size / p) -> np.ndarray:
                out = np.empty((1, len(y)))
                drift(y[None], target[None], np.array([ratio]), np.array([noise]), p, k, out)
                return out[0]

            found = solve_ivp(slope, (0, end), start, "DOP853", times, rtol=1e-12, atol=1e-15)
            own, cross = unpack(found.y.T, width=p, teacher_width=k)
            risks.append(excess_risk(own, cross, target, np.ones(p), units=("erf", "erf")))
        return np.array(risks)

    for step_sizes in ([0.1], [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]):
        fine = ours(step_sizes, 1e-11)["excess_risk"]
        found = ours(step_sizes)
        errors = [np.max(np.abs(r / fine - 1)) for r in (found["excess_risk"], other(step_sizes))]
        compare(
            f"equations of width {p}, teacher_width {k}, to t = {end:g}: {len(step_sizes)} step "
            f"sizes, {int(found['steps'].max())} steps, errors {errors[0]:.0e} and {errors[1]:.0e}",
            ("tolerance 1e-8 of the risk (phasesweep)", partial(ours, step_sizes)),
            ("scipy solve_ivp, DOP853 at 1e-12, same drift", partial(other, step_sizes)),
            work=len(step_sizes),
            unit="runs",
            repeats=1,
        )


def diagram(side: int) -> None:
    """The (width, step_size) diagram from a sweep: planned, solved and stored."""
    spaced = np.unique(np.geomspace(1, 32, side).round()).astype(int).tolist()
    widths = sorted((spaced + [w for w in range(1, side + 1) if w not in spaced])[:side])
    sweep = {
        "system": "sgd_two_layer",
        "fixed": {"teacher_width": 4, "noise": 0.01, "seed": 0, "times": [0, 1, 3]},
        "axes": {
            "width": widths,
            "step_size": {"from": 0.03, "to": 300, "points": side, "spacing": "log"},
        },
        "methods": {"ode": {}},
    }
    parsed = parse_sweep(sweep, name="diagram", where="diagram")
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder) / "cache")
        started = time.perf_counter()
        for points in api.sweep_points(parsed, cache).values():
            run(points, cache, cluster=None, quiet=True)
        taken = time.perf_counter() - started
    print(f"diagram of {len(widths)} widths to {max(widths)} and {side} step sizes, one process")
    print(f"    planned, solved and stored                   {taken:10.4f} s")


def seeds(count: int, steps: int) -> None:
    """One-pass SGD with many seeds beside the same steps in NumPy."""
    p, k, d, step_size = 4, 2, 500, 1.0
    unit = step_size / (p * d)
    sgd, points, values = columns(
        "sgd_two_layer",
        "sgd",
        width=p,
        teacher_width=k,
        step_size=[step_size] * count,
        dimension=d,
        seed=list(range(count)),
        times=[steps * unit],
    )

    def plain() -> np.ndarray:
        w, teacher = start_weights("random", width=p, teacher_width=k, dimension=d, seed=0)
        w = w.copy()
        rows = Stream("sgd_two_layer", 0, d, "samples").normals(0, steps, d + 1, dtype=np.float32)
        for row in rows.astype(float):
            x = row[:-1] / np.sqrt(d)
            fields = w @ x
            error = erf(teacher @ x / np.sqrt(2)).mean() - erf(fields / np.sqrt(2)).mean()
            slope = np.sqrt(2 / np.pi) * np.exp(-(fields**2) / 2)
            w += step_size / p * error * np.outer(slope, x)
        return w

    compare(
        f"SGD, width {p}, dimension {d}: {count} seeds of {steps} steps",
        ("compiled steps, samples in blocks (phasesweep)", lambda: sgd(points, values)),
        ("one seed, steps in NumPy", plain),
        work=count * steps,
        other_work=steps,
        unit="steps",
    )


if __name__ == "__main__":
    main()

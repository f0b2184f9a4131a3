"""A system from another package: exact answers, and faults on demand, for the tests of the engine.

Instance `seed` of a given dimension is solvable up to alpha = 1 + x / sqrt(dimension), x uniform in
(-1, 1); the theory says 1.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time

import numpy as np

from solvers.axes import Choice, File, Integer, Real, Sequence
from solvers.contract import Cost, Limit, Observable, Status, System

COST = Cost(
    flops=lambda *, alpha, pause=0.0, **_: 1e3 + 1e9 * np.asarray(pause) + 0 * np.asarray(alpha),
    memory=lambda *, megabytes=0.0, **_: 100 + 1e6 * np.asarray(megabytes),
)

system = System(
    "toy",
    title="A toy with a transition at alpha = 1",
    axes={
        "alpha": Real("load", symbol=r"\alpha", low=0),
        "kappa": Real("shift of the threshold", symbol=r"\kappa", default=0.0),
        "dimension": Integer("size", symbol="d", low=1),
        "seed": Integer("instance", symbol="s", low=0),
        "width": Integer("length of the profile", symbol="p", low=1, default=2),
        "times": Sequence("recorded times", dim="time", symbol="t", default=(0.0, 1.0, 2.0)),
        "start": File("initial value", names=("x",), words=("zero",), default="zero"),
        "fault": Choice(
            *("none", "raise", "kill", "hang", "spin", "memory", "shape", "type", "keys"),
            default="none",
            description="what goes wrong above alpha = 0.5",
        ),
        "pause": Real("seconds slept per point", symbol="s", low=0, default=0.0),
        "megabytes": Real("declared memory of a point", symbol="m", low=0, default=0.0),
    },
    observables={
        "alpha_c": Observable("threshold", symbol=r"\alpha_c"),
        "phase": Observable("phase", labels=("solvable", "unsolvable")),
        "satisfiable": Observable("solved", kind="flag"),
        "samples": Observable("realised number of samples", kind="integer"),
        "path": Observable("alpha times time", dims=("time",)),
        "profile": Observable("alpha over the units", dims=("unit",)),
    },
    source="made for tests",
    demo={
        "title": "Toy",
        "axes": {"kappa": [0.0]},
        "methods": {
            "threshold": {},
            "line": {"alpha": {"from": 0, "to": 2, "points": 5}},
            "measure": {
                "dimension": [16, 64],
                "seed": {"count": 20},
                "alpha": {
                    "around": "threshold.alpha_c",
                    "window": [-2, 2],
                    "points": 9,
                    "exponent": 0.5,
                },
            },
        },
        "thresholds": [
            {
                "of": "measure.satisfiable",
                "along": "alpha",
                "level": 0.5,
                "beside": "threshold.alpha_c",
            }
        ],
    },
    limits=[Limit("threshold without shift", "threshold", {"kappa": 0}, "alpha_c", 1.0)],
)


@system.theory(
    version=1, gives=("alpha_c",), cost=Cost(flops=lambda **_: 1e3, memory=lambda **_: 100)
)
def threshold(*, kappa):
    """The threshold, 1 + kappa; not a number from kappa = 1000, for the tests of that."""
    alpha_c = np.where(kappa < 1000, 1 + kappa, np.nan)
    return {"alpha_c": alpha_c, "status": np.zeros(len(kappa)), "steps": 0, "residual": 0.0}


@system.theory(version=1, gives=("phase", "path", "profile"), shares=("width",), cost=COST)
def line(*, alpha, width, times, start, fault, pause, megabytes):
    """Everything that a theory can give: words, a path over times, a profile over units."""
    _fail(fault, alpha)
    _sleep(pause)
    offset = 0.0 if start == "zero" else float(start["x"])
    answer = {
        "phase": np.where(alpha < 1, "solvable", "unsolvable"),
        "path": offset + alpha[:, None] * np.array(times),
        "profile": np.repeat(alpha[:, None], width, axis=1),
        "status": np.where(alpha == 2, Status.MAX_STEPS, Status.CONVERGED),
        "steps": np.ones(len(alpha)),
        "residual": 0.0,
    }
    return _wrong(fault, alpha, answer)


@system.simulation(
    version=1,
    gives=("satisfiable", "samples"),
    size="dimension",
    shares=("dimension", "seed"),
    cost=COST,
)
def measure(*, alpha, kappa, dimension, seed, fault, pause, megabytes):
    """One instance per (dimension, seed)."""
    _fail(fault, alpha)
    _sleep(pause)
    _log(alpha=alpha, seed=[seed] * len(alpha))
    x = np.random.default_rng((seed, dimension)).uniform(-1, 1)
    samples = np.floor(alpha * dimension + 0.5)
    answer = {
        "satisfiable": samples / dimension < 1 + kappa + x / np.sqrt(dimension),
        "samples": samples,
        "status": 0,
        "steps": 1,
        "residual": 0.0,
    }
    return _wrong(fault, alpha, answer)


def _fail(fault, alpha):
    """Go wrong above one half, as told."""
    if not np.any(alpha > 0.5):
        return
    if fault == "raise":
        raise ArithmeticError("alpha is above one half")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang":
        time.sleep(600)
    if fault == "spin":  # as compiled code does: without ever letting go of the interpreter
        ctypes.PyDLL(None).sleep(600)
    if fault == "memory":
        held = [np.ones(2**23) for _ in range(64)]
        raise AssertionError(f"nobody stopped {len(held)} arrays of 64 MiB")


def _wrong(fault, alpha, answer):
    """The answer, made wrong above one half, as told."""
    if not np.any(alpha > 0.5):
        return answer
    name = next(iter(answer))
    made = {
        "shape": lambda values: values[:-1],
        "type": lambda values: [object()] * len(values),
    }
    if fault == "keys":
        return {"status": 0}
    return answer | {name: made[fault](answer[name])} if fault in made else answer


def _log(**columns):
    """Append one line for every point that is computed to a file of this process, if asked to."""
    folder = os.environ.get("TOY_LOG")
    if folder:
        lines = "".join(
            " ".join(map(str, row)) + "\n" for row in zip(*columns.values(), strict=True)
        )
        handle = os.open(f"{folder}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(handle, lines.encode())
        os.close(handle)


def _sleep(pause):
    if "TOY_HURRY" not in os.environ:
        time.sleep(float(np.sum(pause)))

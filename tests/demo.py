"""The demo points of every system, solved once per test session, and how to solve them again."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from phasesweep.api import sweep_points
from phasesweep.batches import cut
from phasesweep.cache import Cache
from phasesweep.grid import Points
from phasesweep.sweepfile import read_sweep
from solvers.contract import load_system, system_names

MEMORY = 2 * 2**30
GOLDEN = Path(__file__).parent / "golden"
OWN = [name for name in system_names() if name != "toy"]
METHODS = [(name, method) for name in OWN for method in load_system(name).methods]


@cache
def demo_points(system: str) -> dict[str, Points]:
    """The points of a system's demo sweep, per method; nothing is read or stored."""
    return sweep_points(read_sweep(system), Cache(Path("/nonexistent")))


def solve_all(points: Points) -> dict[str, np.ndarray]:
    """Answers for all the points in batches as the engine cuts them, in the order of the points.

    Further axes are padded with NaN (or 0) to the longest.
    """
    columns: dict[str, np.ndarray] = {}
    for batch in cut(points, memory=MEMORY):
        answer = points.method(len(batch), batch.values)
        answer.pop("message", None)
        for name, values in answer.items():
            held = columns.get(name)
            shape = np.max(
                [values.shape[1:], held.shape[1:] if held is not None else values.shape[1:]], axis=0
            )
            grown = np.full(
                (len(points), *shape.astype(int)),
                np.nan if values.dtype.kind == "f" else 0,
                values.dtype,
            )
            if held is not None:
                grown[tuple(slice(n) for n in held.shape)] = held
            grown[(batch.index, *(slice(n) for n in values.shape[1:]))] = values
            columns[name] = grown
    return columns


@cache
def demo_answers(system: str, method: str) -> dict[str, np.ndarray]:
    """Answers for all demo points of a method."""
    return solve_all(demo_points(system)[method])


def sample(points: Points, count: int) -> np.ndarray:
    """Positions of `count` points spread over all of them."""
    return np.unique(np.linspace(0, len(points) - 1, count).astype(int))

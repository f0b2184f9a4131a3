"""Runs of one unit: their starts, their samples, and what is known of them at the end.

A run in d dimensions reads row s of the stream "samples" of its instance (seed, dimension) at step
s: x and, in the last column, the noise. A reduced run reads its steps from the streams "normals"
and "uniforms", 64 steps a row. So runs of one seed with other step sizes or noises see the same
numbers, and a longer run goes on where a shorter one ended.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from solvers.numerics.random import Stream
from solvers.systems.single_index.descent import (
    NORMALS,
    UNIFORMS,
    walk,
    walk_reduced,
)
from solvers.systems.single_index.links import LINKS
from solvers.systems.single_index.units import SYSTEM, start_at

_BLOCK_BYTES = 2**18
_FIRST_ROWS = 32
_ROW_STEPS, _BLOCK_ROWS = 64, 32


@dataclass
class Run:
    """One run on its way."""

    step: float
    """γ_d/d"""
    noise: float
    """standard deviation of the label noise"""
    level: float
    stops: bool
    records: np.ndarray
    """steps of the records, not decreasing, first 0"""
    overlap: float
    overlaps: np.ndarray = field(init=False)
    state: np.ndarray = field(init=False)
    """steps done, next record, step of recovery or -1"""

    def __post_init__(self) -> None:
        self.overlaps = np.full(len(self.records), self.overlap)
        first = int(np.searchsorted(self.records, 0, side="right"))
        self.state = np.array([0, first, 0 if abs(self.overlap) >= self.level else -1])

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return bool((self.stops and self.state[2] >= 0) or self.state[0] >= self.records[-1])

    @property
    def reached(self) -> np.ndarray:
        """Step of each record; records that a stopped run did not reach hold its last step."""
        return np.minimum(self.records, self.state[0])

    def close(self) -> None:
        """Repeat the last overlap in the records that were not reached."""
        self.overlaps[self.state[1] :] = self.overlap


def start_weights(*, start: str, start_overlap: float, dimension: int, seed: int) -> np.ndarray:
    """Unit vector w of an instance; w* is the first basis vector."""
    w = Stream(SYSTEM, seed, dimension, "student").normals(0, 1, dimension)[0]
    if start == "fixed":
        w[0] = 0.0
        w *= math.sqrt(1.0 - start_overlap**2) / np.linalg.norm(w)
        w[0] = start_overlap
        return w
    if start == "half_sphere" and w[0] < 0.0:
        w = -w
    return w / np.linalg.norm(w)


def start_reduced(*, start: str, start_overlap: float, dimension: int, seed: int) -> float:
    """Overlap of the start of a reduced run."""
    chance = Stream(SYSTEM, seed, dimension, "start").uniforms(0, 1, 1)[0, 0]
    return float(start_at(chance, dimension, start, start_overlap))


def descend(runs: list[Run], weights: list[np.ndarray], *, link: str, seed: int) -> None:
    """Take all `runs` of one seed to their ends; they share samples."""
    d = len(weights[0])
    samples = Stream(SYSTEM, seed, d, "samples")
    position, code, rows = 0, LINKS.index(link), _FIRST_ROWS
    while any(not run.over for run in runs):
        last = max(int(run.records[-1]) for run in runs if not run.over)
        block = samples.normals(position, min(position + rows, last), d + 1, dtype=np.float32)
        position += len(block)
        # Short runs need few samples, long ones few calls.
        rows = min(2 * rows, max(1, _BLOCK_BYTES // (4 * (d + 1))))
        for run, w in zip(runs, weights, strict=True):
            if not run.over:
                run.overlap = walk(
                    code,
                    w,
                    block,
                    run.step,
                    run.noise,
                    run.level,
                    run.stops,
                    run.records,
                    run.state,
                    run.overlaps,
                )
    for run in runs:
        run.close()


def descend_reduced(runs: list[Run], *, link: str, dimension: int, seed: int) -> None:
    """The same for reduced runs."""
    normal = Stream(SYSTEM, seed, dimension, "normals")
    uniform = Stream(SYSTEM, seed, dimension, "uniforms")
    row, code, rows = 0, LINKS.index(link), 1
    while any(not run.over for run in runs):
        normals = normal.normals(row, row + rows, _ROW_STEPS * NORMALS).reshape(-1, NORMALS)
        uniforms = uniform.uniforms(row, row + rows, _ROW_STEPS * UNIFORMS).reshape(-1, UNIFORMS)
        row += rows
        rows = min(2 * rows, _BLOCK_ROWS)
        for run in runs:
            if not run.over:
                run.overlap = walk_reduced(
                    code,
                    float(dimension),
                    run.overlap,
                    normals,
                    uniforms,
                    run.step,
                    run.noise,
                    run.level,
                    run.stops,
                    run.records,
                    run.state,
                    run.overlaps,
                )
    for run in runs:
        run.close()


def hold_finite(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Whether all records (points, times, ...) are finite; the rest repeat the last that is.

    In place, `times` (points, times) of the records too. Without a finite one it is zero, at 0.
    """
    finite = np.isfinite(values).reshape(*times.shape, -1).all(axis=2)
    finite = np.logical_and.accumulate(finite, axis=1)
    for point in np.flatnonzero(~finite.all(axis=1)):
        known = int(finite[point].sum())
        values[point, known:] = values[point, known - 1] if known else 0.0
        times[point, known:] = times[point, known - 1] if known else 0.0
    return np.asarray(finite.all(axis=1))


def overflowed(time: float) -> str:
    """What is said of a run that `hold_finite` cut after `time`."""
    return (
        f"diverged after time {time:.6g}: a number overflowed; step_size or noise is far too large"
    )

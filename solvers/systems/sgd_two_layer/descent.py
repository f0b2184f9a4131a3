"""One-pass stochastic gradient descent of a two-layer network, weights and all.

Step s = 0, 1, ... of a run reads the sample (x, z) from row s of the stream "samples" of its
instance (seed, dimension): columns 0 ... d-1 are x, column d is the label noise z. So all runs of
one seed, whatever their step size, noise, width or start, are fed with one sequence of samples, and
a longer run goes on where a shorter one ended.

The samples come in blocks of rows, drawn once for all points of a batch that share a seed. Within a
block a compiled kernel walks the steps of one point. The update of a step and the fields of the
next one are taken in a single pass through the weights,

    w_i <- w_i + u_i x,    λ_i' = w_i·x'/√d,

so that a step costs p d multiply-adds twice and reads the weights once.

Overlaps are recorded after round(t/dt) steps, dt = γ/(p d), for each asked time t. A run whose
prediction error passes `observing.BOUND` has diverged and is stopped. `lockstep` has the same steps
for all runs at once in array operations, for a GPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from solvers.numerics.compiled import jit
from solvers.numerics.random import Stream
from solvers.numerics.unit_averages import CODES, ERF, RELU
from solvers.systems.sgd_two_layer.observing import BOUND
from solvers.systems.sgd_two_layer.starts import SYSTEM, overlaps_of

_BLOCK_BYTES = 2**18
_SLOPE = math.sqrt(2.0 / math.pi)


@dataclass
class Run:
    """One point on its way: what it needs, where it is, and what it has recorded."""

    student: np.ndarray
    """weights (width, dimension), updated in place"""
    teacher: np.ndarray
    rate: float
    """step_size / width"""
    noise: float
    records: np.ndarray
    """number of steps before each record, not decreasing; the first is 0, the start"""
    student_overlap: np.ndarray
    """(records, width, width)"""
    teacher_overlap: np.ndarray
    """(records, width, teacher_width)"""
    second_records: np.ndarray
    """second layer, (records, width)"""
    second: np.ndarray = field(default_factory=lambda: np.ones(1))
    """second layer (width,), updated in place"""
    following: int = 0
    """the next record"""
    diverged: int = -1
    """steps done when the run diverged; -1 if it did not"""

    @classmethod
    def start(
        cls,
        student: np.ndarray,
        teacher: np.ndarray,
        *,
        rate: float,
        noise: float,
        records: np.ndarray,
    ) -> Run:
        """A run at its start, which is recorded as often as `records` begins with 0."""
        shape = len(records), len(student)
        own, cross = np.empty((*shape, len(student))), np.empty((*shape, len(teacher)))
        own[:], cross[:] = overlaps_of(student, teacher)[:2]
        second = np.ones(len(student))
        run = cls(
            np.array(student), np.array(teacher), rate, noise, records, own, cross, own[..., 0]
        )
        run.second, run.second_records = second, np.ones(shape)
        run.following = int(np.searchsorted(records, 0, side="right"))
        return run

    @property
    def active(self) -> bool:
        """Whether there is something left to record."""
        return self.diverged < 0 and self.following < len(self.records)


def block_rows(dimension: int, runs: int = 1) -> int:
    """Samples drawn at a time for each of `runs`."""
    return max(1, _BLOCK_BYTES // (4 * (dimension + 1) * runs))


def descend(
    runs: list[Run], *, seed: int, dimension: int, units: tuple[str, str], trained: bool
) -> None:
    """Take all `runs` of one seed through all their steps; they share the samples."""
    samples = Stream(SYSTEM, seed, dimension, "samples")
    codes = tuple(CODES[unit] for unit in units)
    rows = block_rows(dimension)
    position = 0
    while active := [run for run in runs if run.active]:
        last = max(int(run.records[-1]) for run in active)
        block = samples.normals(
            position, min(position + rows, last), dimension + 1, dtype=np.float32
        )
        position += len(block)
        for run in active:
            steps = len(block) - max(0, position - int(run.records[-1]))
            noise = math.sqrt(run.noise) * block[:steps, -1].astype(np.float64)
            labels = _labels(block[:steps], run.teacher, codes[1]) + noise
            run.following, run.diverged = _walk(
                run.student,
                run.teacher,
                run.second,
                block[:steps],
                labels,
                run.rate,
                run.records,
                run.following,
                position - len(block),
                run.student_overlap,
                run.teacher_overlap,
                run.second_records,
                codes[0],
                trained,
            )


@jit(fastmath={"reassoc", "contract", "nsz"})
def _dot(a, b):
    total = 0.0
    for c in range(len(a)):
        total += a[c] * b[c]
    return total


@jit(fastmath={"reassoc", "contract", "nsz"})
def _step_dot(weights, update, old, new):
    """weights += update · old, and the product of the result with `new`, in one pass."""
    total = 0.0
    for c in range(len(weights)):
        value = weights[c] + update * old[c]
        weights[c] = value
        total += value * new[c]
    return total


@jit
def _value(unit, u):
    if unit == ERF:
        return math.erf(u / math.sqrt(2.0))
    return max(u, 0.0) if unit == RELU else u * u


@jit
def _slope(unit, u):
    if unit == ERF:
        return _SLOPE * math.exp(-0.5 * u * u)
    if unit == RELU:
        return 1.0 if u > 0.0 else 0.0
    return 2.0 * u


@jit
def _labels(block, teacher, unit):
    """Noiseless labels (rows,) of the samples (rows, dimension + 1)."""
    k, d = teacher.shape
    labels = np.zeros(len(block))
    for s in range(len(block)):
        for r in range(k):
            labels[s] += _value(unit, _dot(teacher[r], block[s, :d]) / math.sqrt(d)) / k
    return labels


@jit
def _walk(
    student,
    teacher,
    second,
    block,
    labels,
    rate,
    records,
    following,
    position,
    own,
    cross,
    seconds,
    unit,
    trained,
):
    """Do len(block) steps from step `position` on.

    Returns the number of the next record, and the number of steps after which the run diverged
    (-1 if it did not).
    """
    p, d = student.shape
    k = len(teacher)
    update, fields = np.zeros(p), np.empty(p)
    old = block[0, :d]
    for s in range(len(block)):
        new = block[s, :d]
        error = labels[s]
        for i in range(p):
            fields[i] = _step_dot(student[i], update[i], old, new) / math.sqrt(d)
            error -= second[i] * _value(unit, fields[i]) / p
        if not abs(error) < BOUND:
            return following, position + s
        for i in range(p):
            update[i] = rate * error * second[i] * _slope(unit, fields[i]) / math.sqrt(d)
        if trained:
            for i in range(p):
                second[i] += rate / d * error * _value(unit, fields[i])
        old = new
        while following < len(records) and records[following] == position + s + 1:
            for i in range(p):
                _step_dot(student[i], update[i], old, old)
            update[:] = 0.0
            for i in range(p):
                seconds[following, i] = second[i]
                for j in range(i + 1):
                    own[following, i, j] = own[following, j, i] = _dot(student[i], student[j]) / d
                for r in range(k):
                    cross[following, i, r] = _dot(student[i], teacher[r]) / d
            following += 1
    for i in range(p):
        _step_dot(student[i], update[i], old, old)
    return following, -1

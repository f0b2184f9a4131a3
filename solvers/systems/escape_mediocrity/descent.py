"""Projected one-pass stochastic gradient descent with quadratic units, weights and all.

Step s = 0, 1, ... of a run reads the sample (x, ξ) from row s of the stream "samples" of its
instance (seed, dimension): columns 0 ... d-1 are x, column d is the label noise ξ. So all runs of
one seed, whatever their step size, noise, width or start, are fed with one sequence of samples, and
a longer run goes on where a shorter one ended. Samples come in blocks of rows, drawn once for all
points of a batch that share a seed; within a block a compiled kernel walks the steps of one point.

With η = γ/(pd), λ_i = w_i·x, e = y - f and g_i = 2ηe λ_i a step is

    w_i <- (w_i + g_i x)/n_i,    n_i² = 1 + 2 g_i λ_i + g_i² |x|²,

and the overlaps follow without further products of d terms, exactly up to rounding:

    m_i <- (m_i + g_i λ*)/n_i,    q_ij <- (q_ij + g_i λ_j + g_j λ_i + g_i g_j |x|²)/(n_i n_j).

So the risk is known after every step. Weights are kept as a scale times a vector, w_i = c_i v_i:
v_i <- v_i + (g_i/c_i) x and c_i <- c_i/n_i, so that the update and the field of the next sample
take one pass through the weights. After each block v_i is normalised and the overlaps are computed
from the weights again, so that rounding does not add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from solvers.numerics.compiled import jit
from solvers.numerics.random import Stream
from solvers.systems.escape_mediocrity.moments import pack, risk
from solvers.systems.escape_mediocrity.starts import SYSTEM

_BLOCK_BYTES = 2**18
_WORST_SCALE = 1e-100


@dataclass
class Run:
    """One point on its way: what it needs, where it is, and what it has recorded."""

    student: np.ndarray
    """weights (width, dimension), updated in place"""
    teacher: np.ndarray
    unit: float
    """time of a step, step_size/(width · dimension)"""
    noise: float
    level: float
    """risk of the exit"""
    stops: bool
    """whether the run ends with its exit"""
    records: np.ndarray
    """number of steps before each record, not decreasing; the first is 0, the start"""
    state: np.ndarray
    """packed overlaps"""
    states: np.ndarray
    """(records, components)"""
    reached: np.ndarray
    """step of each recorded state"""
    following: int = 0
    """the next record"""
    exit_step: int = -1
    steps: int = 0
    ended: bool = False
    broken: bool = False

    @classmethod
    def start(
        cls,
        student: np.ndarray,
        teacher: np.ndarray,
        *,
        unit: float,
        noise: float,
        fraction: float,
        stops: bool,
        records: np.ndarray,
    ) -> Run:
        """A run at its start, which is recorded as often as `records` begins with 0."""
        state = pack(student @ student.T, student @ teacher)
        level = (1.0 - fraction) * float(risk(state, len(student)))
        states = np.repeat(state[None], len(records), axis=0)
        reached = np.zeros(len(records), dtype=np.int64)
        run = cls(
            np.array(student), teacher, unit, noise, level, stops, records, state, states, reached
        )
        run.following = int(np.searchsorted(records, 0, side="right"))
        run.ended = run.following == len(records)
        return run

    def advance(self, block: np.ndarray, fields: np.ndarray, squares: np.ndarray) -> None:
        """Take the steps of a block of samples, as many as the run has left."""
        left = int(self.records[-1]) - self.steps
        noise = math.sqrt(self.noise) * block[:left, -1].astype(np.float64)
        taken, self.following, self.exit_step, self.broken = _walk(
            self.student,
            self.state,
            block[:left],
            fields[:left],
            fields[:left] ** 2 + noise,
            squares[:left],
            self.unit,
            self.level,
            self.stops,
            self.records,
            self.following,
            self.steps,
            self.exit_step,
            self.states,
            self.reached,
        )
        self.steps += taken
        gone = self.stops and self.exit_step >= 0
        if self.broken:
            # What was recorded last is finite and is repeated.
            self.states[self.following :] = self.states[self.following - 1]
            self.reached[self.following :] = self.reached[self.following - 1]
        else:
            self.student /= np.linalg.norm(self.student, axis=1, keepdims=True)
            self.state = pack(self.student @ self.student.T, self.student @ self.teacher)
            if gone:
                self.states[self.following :], self.reached[self.following :] = (
                    self.state,
                    self.steps,
                )
        self.ended = self.broken or gone or self.following == len(self.records)


def descend(runs: list[Run], *, seed: int, dimension: int) -> None:
    """Take all `runs` of one seed through all their steps; they share samples and teacher."""
    samples = Stream(SYSTEM, seed, dimension, "samples")
    rows = max(1, _BLOCK_BYTES // (4 * (dimension + 1)))
    position = 0
    while active := [run for run in runs if not run.ended]:
        last = max(int(run.records[-1]) for run in active)
        block = samples.normals(
            position, min(position + rows, last), dimension + 1, dtype=np.float32
        )
        position += len(block)
        fields, squares = _of_samples(block, active[0].teacher)
        for run in active:
            run.advance(block, fields, squares)


_fast = jit(fastmath={"reassoc", "contract", "nsz"})


@_fast
def _dot(a, b):
    total = 0.0
    for c in range(len(a)):
        total += a[c] * b[c]
    return total


@_fast
def _step_dot(weights, update, old, new):
    """weights += update · old, and the product of the result with `new`, in one pass."""
    total = 0.0
    for c in range(len(weights)):
        value = weights[c] + update * old[c]
        weights[c] = value
        total += value * new[c]
    return total


@_fast
def _square(x):
    total = 0.0
    for c in range(len(x)):
        value = np.float64(x[c])
        total += value * value
    return total


@jit
def _of_samples(block, teacher):
    """Teacher fields w*·x and squared lengths |x|² of the samples (rows, dimension + 1)."""
    d = len(teacher)
    fields, squares = np.empty(len(block)), np.empty(len(block))
    for s in range(len(block)):
        x = block[s, :d]
        fields[s] = _dot(teacher, x)
        squares[s] = _square(x)
    return fields, squares


@jit
def _walk(
    weights,
    state,
    block,
    targets,
    labels,
    squares,
    unit,
    level,
    stops,
    records,
    following,
    position,
    exit_step,
    states,
    reached,
):
    """Do len(block) steps from step `position` on, fewer if the run stops.

    Returns the steps done, the next record, the step of the exit (-1 if none) and whether a number
    was not finite. `weights` end as vectors of any length along the weights, `state` up to date.
    """
    p, d = weights.shape
    update, lambdas, step = np.zeros(p), np.empty(p), np.empty(p)
    scale, length = np.ones(p), np.empty(p)
    old = block[0, :d]
    for s in range(len(block)):
        new = block[s, :d]
        error = labels[s]
        for i in range(p):
            lambdas[i] = scale[i] * _step_dot(weights[i], update[i], old, new)
            error -= lambdas[i] * lambdas[i] / p
        old = new
        finite = True
        for i in range(p):
            g = 2.0 * unit * error * lambdas[i]
            square = 1.0 + 2.0 * g * lambdas[i] + g * g * squares[s]
            finite &= 0.0 < square < math.inf
            length[i] = math.sqrt(max(square, 0.0))
            step[i] = g
            update[i] = g / scale[i]
            scale[i] /= length[i]
        if not finite:
            return s, following, exit_step, True
        at = p
        for i in range(p):
            state[i] = (state[i] + step[i] * targets[s]) / length[i]
            for j in range(i + 1, p):
                moved = state[at] + step[i] * lambdas[j] + step[j] * lambdas[i]
                moved += step[i] * step[j] * squares[s]
                state[at] = moved / (length[i] * length[j])
                at += 1
            if scale[i] < _WORST_SCALE:
                for c in range(d):
                    weights[i, c] *= scale[i]
                update[i] *= scale[i]
                scale[i] = 1.0
        count = position + s + 1
        while following < len(records) and records[following] == count:
            states[following] = state
            reached[following] = count
            following += 1
        if exit_step < 0 and risk(state, p) <= level:
            exit_step = count
            if stops:
                break
    for i in range(p):
        _step_dot(weights[i], update[i], old, old)
    return count - position, following, exit_step, False

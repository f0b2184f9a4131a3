"""One iteration of `l1_amp`: what is read off the design, the next estimate, and going over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.numerics.lockstep import Tally, column_sums
from solvers.systems.glm_bayes.instance import Instance, to_host
from solvers.systems.glm_bayes.messages import inners
from solvers.systems.sparse_recovery.certificate import Sums
from solvers.systems.sparse_recovery.cut import cut
from solvers.systems.sparse_recovery.primal_dual import PrimalDual, soft

_FIRST_PACE = 0.5

_LEAST_STEPS, _PATIENCE, _PROGRESS = 60, 20, 0.7
"""Message passing goes on at least so long; it has stalled if the residual has not fallen to 0.7 of
its best for 20 steps."""

_FEASIBLE = 1e-3
"""Relative |y - X ŵ| at which basis pursuit leaves the recovered weights to be certified."""


@dataclass
class State:
    """Estimate and messages of all points: arrays (dimension or rows, points), host columns."""

    mean: Any
    output: Any
    """z, later ν, shape (rows, points)."""
    gathered: Any
    """X^T z of the last reading."""
    primal_dual: PrimalDual
    share: np.ndarray
    threshold: np.ndarray
    pace: np.ndarray
    dual: np.ndarray
    """|z|² of the last reading, NaN before the first."""
    labels: np.ndarray
    """|y|²"""
    miss: np.ndarray
    """|y - X ŵ|²"""
    best: np.ndarray
    """Smallest residual, and the step at which it was last clearly improved."""
    improved: np.ndarray

    @classmethod
    def blank(cls, instance: Instance, points: int, xp: Any, dtype: Any) -> State:
        """ŵ = 0 and z = 0."""
        rows = instance.design.shape[0]
        mean, gathered = (xp.zeros((instance.dimension, points), dtype=dtype) for _ in range(2))
        return cls(
            mean=mean,
            output=xp.zeros((rows, points), dtype=dtype),
            gathered=gathered,
            primal_dual=PrimalDual.nobody(mean),
            share=np.zeros(points),
            threshold=np.zeros(points),
            pace=np.full(points, _FIRST_PACE),
            dual=np.full(points, np.nan),
            labels=np.zeros(points),
            miss=np.zeros(points),
            best=np.full(points, np.inf),
            improved=np.zeros(points, dtype=int),
        )


def read(instance, state, active, xp):
    """One reading of the design: z, X^T z and the sums of a certificate, for `active`."""
    columns = xp.asarray(active)
    estimate = state.mean[:, columns]
    points, dtype = len(state.share), estimate.dtype
    onsager = state.share * instance.dimension / np.maximum(instance.samples, 1)
    late = state.primal_dual.on
    memory = np.where(late, state.primal_dual.memory, onsager)
    tally = Tally(3, points, xp)

    def respond(rows, group, product):
        where = xp.asarray(group)
        label = instance.labels[rows, where]
        rest = instance.only_asked(rows, group, label - product, xp=xp)
        gain, kept = (
            xp.asarray(factor[group], dtype=dtype) for factor in (state.primal_dual.gain, memory)
        )
        z = gain * rest + kept * state.output[rows, where]
        state.output[rows, where] = z
        tally.add(group, (z * z, rest * rest, label * z))
        return z

    gathered = instance.read(active, estimate, respond, xp=xp)
    dual, miss, work = tally.total()
    first = np.isnan(state.dual[active])
    state.labels[active] = np.where(first, dual[active], state.labels[active])
    # gain X^T(y - X ŵ), by linearity.
    rest = gathered - xp.asarray(memory[active], dtype=dtype) * state.gathered[:, columns]
    with np.errstate(divide="ignore", invalid="ignore"):
        slower = np.minimum(1.0, dual[active] / state.dual[active])
        rest_norm, norm = inners([(rest, rest), (estimate, estimate)], xp)
        gradient = np.sqrt(rest_norm / norm)
    state.pace[active] = np.where(first, _FIRST_PACE, slower)
    state.dual[active], state.miss[active] = dual[active], miss[active]
    state.gathered[:, columns] = gathered
    sums = Sums(
        label=state.labels[active],
        dual=dual[active],
        miss=miss[active],
        work=work[active],
        slope=to_host(xp.max(xp.abs(gathered), axis=0)).astype(float),
        norm=column_sums(xp.abs(estimate), xp),
        gradient=gradient / state.primal_dual.gain[active],
    )
    return gathered, sums


def advance(state, active, gathered, samples, regularization, xp):
    """The next ŵ of the points `active`, from X^T z."""
    late = state.primal_dual.on[active]
    which = np.flatnonzero(~late)
    points, columns = active[which], xp.asarray(active[which])
    if len(points):
        mean, n = state.mean[:, columns], samples[points]
        ratio = xp.asarray(mean.shape[0] / n, dtype=mean.dtype)
        u = mean + ratio * gathered[:, xp.asarray(which)]
        state.threshold[points], state.share[points] = cut(
            size=xp.abs(u),
            samples=n,
            regularization=regularization[points],
            pace=state.pace[points],
            xp=xp,
        )
        state.mean[:, columns] = soft(u, state.threshold[points], xp=xp)

    which = np.flatnonzero(late)
    points = active[which]
    if len(points):
        state.mean[:, xp.asarray(points)] = state.primal_dual.step(
            points,
            gathered=gathered[:, xp.asarray(which)],
            xp=xp,
        )


def go_over(state, active, step, residual, samples, regularization, xp):
    """Let points that have stalled, or recovered the weights, go over to primal-dual steps."""
    better = residual[active] < _PROGRESS * state.best[active]
    state.improved[active] = np.where(better, step, state.improved[active])
    state.best[active] = np.where(better, residual[active], state.best[active])
    stalled = (step >= _LEAST_STEPS) & (step - state.improved[active] >= _PATIENCE)
    bare = regularization[active] == 0
    recovered = bare & (state.miss[active] <= _FEASIBLE**2 * state.labels[active])
    squares = bare & (samples[active] > state.mean.shape[0])
    ready = np.where(squares, stalled, (stalled | recovered) & (state.threshold[active] > 0))
    points = active[ready & ~state.primal_dual.on[active]]
    if len(points):
        state.primal_dual.begin(
            points,
            mean=state.mean[:, xp.asarray(points)],
            threshold=state.threshold[points],
            samples=samples[points],
            regularization=regularization[points],
            xp=xp,
        )

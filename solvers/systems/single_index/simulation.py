"""Simulations of one unit: SGD with weights and samples, and its exact reduction."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import Integer
from solvers.contract import Cost, Status
from solvers.systems.single_index.model import RUN_GIVES, system
from solvers.systems.single_index.runs import (
    Run,
    descend,
    descend_reduced,
    hold_finite,
    overflowed,
    start_reduced,
    start_weights,
)
from solvers.systems.single_index.units import exponent_of, in_units, paper_unit, step_of


def _step_count(*, link: Any, dimension: Any, times: Any) -> Any:
    """Steps of a run that does not stop early."""
    return np.floor(times[-1] * paper_unit(dimension, exponent_of(link)) + 0.5)


def _records(times: tuple[float, ...], dimension: float, link: str) -> np.ndarray:
    unit = float(paper_unit(dimension, exponent_of(link)))
    return np.floor(np.asarray((0.0, *times)) * unit + 0.5).astype(np.int64)


def _answer(
    runs: list[Run], starts: np.ndarray, dimension: np.ndarray, link: str
) -> dict[str, Any]:
    """Observables of finished runs."""
    recovered = np.array([run.state[2] for run in runs], dtype=float)
    found = recovered >= 0
    overlaps = np.stack([run.overlaps for run in runs])  # the first is the start
    unit = paper_unit(dimension, exponent_of(link))
    reached = np.stack([run.reached for run in runs]) / unit[:, None]
    good = hold_finite(overlaps, reached)
    late = np.where(found, Status.CONVERGED, Status.MAX_STEPS)
    last = [run.records[-1] for run in runs]
    return {
        "overlap": overlaps[:, 1:],
        "start_value": starts,
        "recorded_time": reached[:, 1:],
        **in_units(np.where(found, recovered, np.nan), dimension, exponent_of(link)),
        "status": np.where(good, late, Status.DIVERGED),
        "steps": np.array([run.state[0] for run in runs]),
        "residual": np.zeros(len(runs)),
        "message": [
            overflowed(time)
            if not finite
            else ""
            if ok
            else f"the threshold was not reached in {int(steps)} steps; ask later times"
            for ok, steps, finite, time in zip(found, last, good, reached[:, -1], strict=True)
        ],
    }


@system.simulation(
    version=2,
    gives=RUN_GIVES,
    size="dimension",
    shares=("dimension",),
    cost=Cost(
        flops=lambda *, link, dimension, times, **_: (
            1e5
            + _step_count(link=link, dimension=dimension, times=times) * (120.0 + 3.6 * dimension)
        ),
        memory=lambda *, dimension, times, **_: 40 * dimension + 60 * len(times),
        shared_memory=lambda **_: 2**20,
    ),
)
def sgd(
    *,
    link: str,
    dimension: int,
    step_size: np.ndarray,
    step_scaling: str,
    noise: np.ndarray,
    start: str,
    start_overlap: np.ndarray,
    threshold: np.ndarray,
    times: tuple[float, ...],
    after_recovery: str,
    seed: np.ndarray,
) -> dict[str, Any]:
    """Projected one-pass SGD with weights and samples in d dimensions.

    Ends at times[-1] · n_k(d) steps, or with its recovery if after_recovery = stop; what a stopped
    run did not reach repeats its last overlap, with `recorded_time` of it. w* is the
    first basis vector (inputs are isotropic). Samples are drawn in single, weights kept in double
    precision.

    Status: converged if |m| reached the threshold, max_steps (and no recovery time) if not;
    diverged if a number overflowed, with the last finite record and its time repeated.
    """
    step = step_of(step_size, dimension, exponent_of(link), step_scaling) / dimension
    records = _records(times, dimension, link)
    runs, vectors = [], []
    for point, instance in enumerate(seed):
        w = start_weights(
            start=start,
            start_overlap=float(start_overlap[point]),
            dimension=dimension,
            seed=int(instance),
        )
        vectors.append(w)
        runs.append(
            Run(
                step=float(step[point]),
                noise=float(noise[point]) ** 0.5,
                level=float(threshold[point]),
                stops=after_recovery == "stop",
                records=records,
                overlap=float(w[0]),
            )
        )
    starts = np.array([run.overlap for run in runs])
    for instance in np.unique(seed):
        own = np.flatnonzero(seed == instance)
        descend([runs[n] for n in own], [vectors[n] for n in own], link=link, seed=int(instance))
    return _answer(runs, starts, np.full(len(runs), float(dimension)), link)


@system.simulation(
    version=2,
    gives=RUN_GIVES,
    size="dimension",
    axes={
        "dimension": Integer(
            "dimension, of the law of a step only: its cost does not depend on it",
            low=4,
            high=10**9,
            symbol="d",
        )
    },
    cost=Cost(
        flops=lambda *, link, dimension, times, **_: (
            2e5 + 130.0 * _step_count(link=link, dimension=dimension, times=times)
        ),
        memory=lambda *, times, **_: 500 + 60 * len(times),
        shared_memory=lambda **_: 2**20,
    ),
)
def chain(
    *,
    link: str,
    dimension: np.ndarray,
    step_size: np.ndarray,
    step_scaling: str,
    noise: np.ndarray,
    start: str,
    start_overlap: np.ndarray,
    threshold: np.ndarray,
    times: tuple[float, ...],
    after_recovery: str,
    seed: np.ndarray,
) -> dict[str, Any]:
    """The same SGD as a Markov chain of the overlap: the law of `sgd`, at any dimension.

    The input enters a step through two fields and one length only, which are drawn as such
    (`descent`); a step costs some tens of nanoseconds whatever the dimension. A seed is another
    realisation than in `sgd`, with the same law. Status as in `sgd`.
    """
    step = step_of(step_size, dimension, exponent_of(link), step_scaling) / dimension
    runs, starts = [], []
    groups: dict[tuple[int, int], list[Run]] = {}
    for point, (d, instance) in enumerate(zip(dimension, seed, strict=True)):
        begin = start_reduced(
            start=start,
            start_overlap=float(start_overlap[point]),
            dimension=int(d),
            seed=int(instance),
        )
        starts.append(begin)
        runs.append(
            Run(
                step=float(step[point]),
                noise=float(noise[point]) ** 0.5,
                level=float(threshold[point]),
                stops=after_recovery == "stop",
                records=_records(times, float(d), link),
                overlap=begin,
            )
        )
        groups.setdefault((int(d), int(instance)), []).append(runs[-1])
    for (d, instance), own in groups.items():
        descend_reduced(own, link=link, dimension=d, seed=instance)
    return _answer(runs, np.array(starts), dimension.astype(float), link)

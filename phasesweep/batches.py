"""Cutting points into batches: what one worker solves at a time.

A batch has one value for every single-valued axis of its method (choices, sequences, files, shared
axes); its other axes are columns. It is cut by the method's declared cost to a few seconds and to a
part of the worker's memory, so a worker never holds more than its batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from phasesweep.grid import Points
from solvers.contract import Method

FLOPS_PER_SECOND = 1e9
"""What a core of a modest machine does; declared flops are effective ones at this rate."""
BYTES_PER_SECOND = 4e9
BATCH_SECONDS = 4.0
MAX_BATCH_POINTS = 20_000
MEMORY_SHARE = 0.5
"""Part of a worker's memory that a batch may declare."""


@dataclass(frozen=True)
class Batch:
    """Some points of a method, by position, with their declared seconds and bytes."""

    index: np.ndarray
    values: Mapping[str, Any]
    """A column for each column axis and one value for each single-valued axis."""
    seconds: float
    memory: float

    def __len__(self) -> int:
        return len(self.index)


def declared_seconds(method: Method, count: int, values: Mapping[str, Any]) -> np.ndarray:
    """Estimated seconds of each point."""
    flops = np.broadcast_to(np.asarray(method.cost.flops(**values), float), (count,))
    moved = np.broadcast_to(np.asarray(method.cost.bytes(**values), float), (count,))
    return np.maximum(flops / FLOPS_PER_SECOND, moved / BYTES_PER_SECOND)


def declared_memory(
    method: Method, count: int, values: Mapping[str, Any]
) -> tuple[np.ndarray, float]:
    """(bytes held per point, bytes held once for the batch)."""
    each = np.broadcast_to(np.asarray(method.cost.memory(**values), float), (count,))
    shared = np.max(np.asarray(method.cost.shared_memory(**values), float), initial=0.0)
    return each, float(shared)


def cut(points: Points, *, memory: float, seconds: float = BATCH_SECONDS) -> list[Batch]:
    """Batches of all the points; `memory` is what one worker has, in bytes.

    The order of the points is kept inside a group, and the cuts depend on the points alone, so the
    same points are always cut in the same way.
    """
    batches: list[Batch] = []
    for index in _groups(points):
        values = _values(points, index)
        cost = declared_seconds(points.method, len(index), values)
        held, shared = declared_memory(points.method, len(index), values)
        allowed = memory * MEMORY_SHARE
        start = 0
        # Cumulative sums make each cut one search instead of a walk over the points.
        spent, filled = np.cumsum(cost), np.cumsum(held)
        while start < len(index):
            before_s, before_m = (spent[start - 1], filled[start - 1]) if start else (0.0, 0.0)
            stop = min(
                np.searchsorted(spent, before_s + seconds, "right"),
                np.searchsorted(filled, before_m + allowed - shared, "right"),
                start + MAX_BATCH_POINTS,
                len(index),
            )
            stop = max(int(stop), start + 1)
            chosen = index[start:stop]
            part = {
                n: v[start:stop] if n in points.method.columns else v for n, v in values.items()
            }
            batches.append(
                Batch(
                    chosen,
                    part,
                    float(spent[stop - 1] - before_s),
                    float(filled[stop - 1] - before_m) + shared,
                )
            )
            start = stop
    return batches


def _groups(points: Points) -> list[np.ndarray]:
    """Positions of the points that agree on every single-valued axis, in order of appearance."""
    single = points.method.single
    if not single or not len(points):
        return [np.arange(len(points))] if len(points) else []
    code = np.zeros(len(points), np.int64)
    for axis in single:
        distinct, inverse = np.unique(points.columns[axis], return_inverse=True)
        # Renumber at each step so that the product of many axes cannot overflow.
        _, code = np.unique(code * len(distinct) + inverse, return_inverse=True)
    order = np.argsort(code, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(code[order])) + 1)
    return sorted(groups, key=lambda group: group[0])


def _values(points: Points, index: np.ndarray) -> dict[str, Any]:
    method = points.method
    columns = {n: points.columns[n][index] for n in method.columns}
    return columns | {n: points.value(n, int(index[0])) for n in method.single}

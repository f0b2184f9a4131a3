"""Cutting points into batches: what one worker solves at a time.

A batch has one value for every single-valued axis of its method (sequences, files, shared axes, and
choices but those that vary); its other axes are columns. It is cut by the method's declared cost to
a few seconds and to a part of the worker's memory, so a worker never holds more than its batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
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
    same points are always cut in the same way. A declared cost does not depend on the seed: groups
    that differ in nothing else are cut alike, which a million of them need.
    """
    method = points.method
    order, starts = _groups(points)
    first = order[starts]
    columns = {n: points.columns[n][order] for n in method.columns}
    words = {n: np.array(points.values[n]) for n in columns if n in points.values}
    codes = {n: points.columns[n][first].tolist() for n in method.single}
    heads = {
        n: [points.values[n][code] for code in entries] if n in points.values else entries
        for n, entries in codes.items()
    }
    unlike = [n for n in codes if n != "seed"]
    batches: list[Batch] = []
    known: dict[tuple, list[_Part]] = {}
    for group, (start, stop) in enumerate(pairwise([*starts.tolist(), len(points)])):
        values: dict[str, Any] = {n: c[start:stop] for n, c in columns.items()}
        content = blake2b(digest_size=16)
        for column in values.values():
            content.update(column)
        values |= {n: entries[values[n]] for n, entries in words.items()}
        values |= {n: entries[group] for n, entries in heads.items()}
        alike = (stop - start, content.digest(), *(codes[n][group] for n in unlike))
        parts = known.get(alike)
        if parts is None:
            parts = known[alike] = _parts(method, stop - start, values, memory, seconds)
        for part in parts:
            chosen = order[start + part.start : start + part.stop]
            own = {n: v[part.start : part.stop] if n in columns else v for n, v in values.items()}
            batches.append(Batch(chosen, own, part.seconds, part.memory))
    return batches


@dataclass(frozen=True)
class _Part:
    """One batch of a group: where it starts and stops there, its declared seconds and bytes."""

    start: int
    stop: int
    seconds: float
    memory: float


def _parts(
    method: Method, count: int, values: Mapping[str, Any], memory: float, seconds: float
) -> list[_Part]:
    """Where to cut one group."""
    cost = declared_seconds(method, count, values)
    held, shared = declared_memory(method, count, values)
    allowed = memory * MEMORY_SHARE
    # Cumulative sums make each cut one search instead of a walk over the points.
    spent, filled = np.cumsum(cost), np.cumsum(held)
    parts: list[_Part] = []
    start = 0
    while start < count:
        before_s, before_m = (spent[start - 1], filled[start - 1]) if start else (0.0, 0.0)
        stop = min(
            np.searchsorted(spent, before_s + seconds, "right"),
            np.searchsorted(filled, before_m + allowed - shared, "right"),
            start + MAX_BATCH_POINTS,
            count,
        )
        stop = max(int(stop), start + 1)
        used, needed = float(spent[stop - 1] - before_s), float(filled[stop - 1] - before_m)
        parts.append(_Part(start, stop, used, needed + shared))
        start = stop
    return parts


def _groups(points: Points) -> tuple[np.ndarray, np.ndarray]:
    """(positions of the points, group after group; where each group starts there).

    A group agrees on every single-valued axis; groups stand in the order of their first points.
    """
    code = np.zeros(len(points), np.int64)
    for axis in points.method.single:
        column = points.columns[axis]
        if np.all(column == column[:1]):
            continue
        distinct, inverse = np.unique(column, return_inverse=True)
        # Renumber at each step so that the product of many axes cannot overflow.
        _, code = np.unique(code * len(distinct) + inverse, return_inverse=True)
    _, first, sizes = np.unique(code, return_index=True, return_counts=True)
    appearance = np.argsort(first)
    rank = np.empty(len(first), np.int64)
    rank[appearance] = np.arange(len(first))
    starts = np.cumsum(sizes[appearance]) - sizes[appearance]
    return np.argsort(rank[code], kind="stable"), starts

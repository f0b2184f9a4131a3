"""What a job of a batch system asks for, from what its points declare to cost.

Imports nothing heavy: Snakemake calls it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MIB = 2**20
WORKER_MIB = 1024
"""A worker, with the interpreter and the compiled loops it loads, at the least."""
DRIVER_MIB = 1024
WORKER_AT_MOST_MIB = 2048
"""A worker for batches; only a single point that is larger makes it larger."""
ROOM = 1.25
USABLE = 0.8
"""As in cluster/local.py: what workers get of the memory of their machine."""
SAFETY = 3.0
"""Declared seconds are of a modest core; a node may be slower, or shared."""
START_SECONDS = 300.0
SHORTEST_MINUTES = 10


@dataclass(frozen=True)
class Needs:
    """What one job of a method has to do."""

    core_seconds: float
    batch_bytes: float
    """Of the largest batch; more than half a worker's memory only if it is a single point."""


def runtime_minutes(needs: Needs, *, threads: int, attempt: int, at_most: int) -> int:
    """Minutes to ask for. A job that is stopped by this keeps its points; the next goes on.

    An attempt after the first gets twice, thrice, ... the time.
    """
    seconds = START_SECONDS + SAFETY * needs.core_seconds / max(1, threads)
    minutes = max(SHORTEST_MINUTES, math.ceil(seconds / 60))
    return min(at_most, attempt * minutes)


def memory_mib(needs: Needs, *, threads: int, attempt: int) -> int:
    """MiB to ask for: a worker for each thread, and the process that owns them."""
    batch = needs.batch_bytes / MIB
    # Twice a batch is a worker that takes it whole; a point that is larger must fit alone.
    worker = max(WORKER_MIB, min(2 * batch, WORKER_AT_MOST_MIB), ROOM * batch)
    return math.ceil(attempt * (DRIVER_MIB + max(1, threads) * worker) / USABLE)

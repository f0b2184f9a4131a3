"""Processes on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from phasesweep.cluster.file import Cluster, ClusterFile
from phasesweep.cluster.machine import (
    DEFAULT_WORKER_MEMORY,
    LOOPBACK,
    available_cores,
    available_memory,
)

USABLE = 0.8
"""Part of the memory that workers may have; the rest is the driver's and the machine's."""

ROOM = 1.25
"""A worker's memory over what its largest point declares: the interpreter, and a margin."""


@contextmanager
def open_local(file: ClusterFile, data: Path, needs: float) -> Iterator[Cluster]:
    """One worker per core, each with an equal part of the memory."""
    from distributed import Client, LocalCluster

    workers, memory = shares(file, needs)
    with ExitStack() as stack:
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=memory,
                host=LOOPBACK,
                dashboard_address=f"{LOOPBACK}:0",
                silence_logs=logging.CRITICAL + 1,
                **encryption(stack, file, data),
            )
        )
        client = stack.enter_context(Client(cluster, security=cluster.security))
        label = f"{workers} local workers with {memory / 2**30:.1f} GiB each"
        yield Cluster(client, memory, "cpu", cluster.dashboard_link, label)


def shares(file: ClusterFile, needs: float) -> tuple[int, int]:
    """(workers, bytes of each): fewer and larger ones for points that need more than 2 GiB."""
    workers = file.workers or max(1, available_cores() // file.threads)
    if file.memory:
        return workers, file.memory
    usable = int(USABLE * available_memory())
    wanted = max(DEFAULT_WORKER_MEMORY, min(int(ROOM * needs), usable))
    if not file.workers and wanted > DEFAULT_WORKER_MEMORY:
        workers = max(1, min(workers, usable // wanted))
    return workers, min(wanted, usable // workers)


def encryption(stack: ExitStack, file: ClusterFile, data: Path) -> dict[str, Any]:
    """What a cluster is told so that it uses TLS, if its file asks for it."""
    from phasesweep.cluster.tls import certificates

    if not file.encrypt:
        return {}
    return {"security": stack.enter_context(certificates(data)), "protocol": "tls://"}

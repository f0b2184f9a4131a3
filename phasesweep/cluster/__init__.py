"""From a cluster file to a Dask client; a context manager.

Four kinds: `local` (processes on this machine), `gpu` (one worker per device), `slurm` (workers
that SLURM starts, through dask-jobqueue) and `address` (a scheduler that runs already).
Everything listens on loopback, except `slurm` with a network interface, which always uses TLS with
certificates made for the run (`tls.py`); the others use it where `encrypt: true` asks for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from phasesweep.cluster.file import Cluster, ClusterFile, read_cluster
from phasesweep.cluster.machine import (
    DEFAULT_WORKER_MEMORY,
    available_cores,
    available_memory,
    thread_limits,
)
from phasesweep.paths import data_root

__all__ = [
    "DEFAULT_WORKER_MEMORY",
    "Cluster",
    "ClusterFile",
    "available_cores",
    "available_memory",
    "open_cluster",
    "read_cluster",
    "thread_limits",
]

RESTARTING = {"distributed.deploy.lost-worker-timeout": "1 hour"}
"""A worker process that died is started again by its nanny. On a machine that is busy this takes
longer than the 15 seconds after which the cluster would close the nanny too, and never compute."""


@contextmanager
def open_cluster(
    file: ClusterFile, *, data: Path | None = None, needs: float = 0.0
) -> Iterator[Cluster]:
    """Start (or join) the cluster, and stop what was started.

    `data` is the folder of the results: logs of jobs and certificates of the run lie there. `needs`
    is what the largest point declares, in bytes: local workers are made large enough for it where
    the machine is, and fewer, unless the file says how large they are.
    """
    import dask
    import distributed  # noqa: F401 - sets the defaults that are changed below

    from phasesweep.cluster.address import join
    from phasesweep.cluster.gpu import open_gpu
    from phasesweep.cluster.local import open_local
    from phasesweep.cluster.slurm import open_slurm

    # A lost worker is a normal event; its story belongs to the manifest, not to the terminal.
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            # A scheduler whose workers heard Ctrl-C first is even critical of it.
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    limits = thread_limits(file.threads)
    with (
        _environment(limits),
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ": limits,
                "distributed.scheduler.allowed-failures": 3,
                "distributed.worker.memory.spill": False,
                "distributed.worker.memory.target": False,
                "distributed.worker.daemon": True,
                "distributed.worker.preload": ["phasesweep.worker"],
                **(RESTARTING if file.kind in ("local", "gpu") else {}),
            }
        ),
    ):
        opener = {"local": open_local, "gpu": open_gpu, "slurm": open_slurm, "address": join}
        with opener[file.kind](file, data or data_root(), needs) as cluster:
            yield replace(cluster, dashboard=_page(cluster.dashboard))


def _page(dashboard: str) -> str:
    """The address to look at: Dask's graphs, or, without bokeh, its plain pages of workers."""
    if find_spec("bokeh") is None:
        return dashboard.removesuffix("status") + "info/main/workers.html"
    return dashboard


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while: Dask prefers them to its configuration.

    Snakemake, for one, sets OMP_NUM_THREADS to the threads of the job, which would be those of
    every worker.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

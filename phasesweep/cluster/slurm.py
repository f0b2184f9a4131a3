"""Workers that SLURM starts: one job each, asked for and given back as the work asks for them.

The driver may itself be a SLURM job. Jobs that end before their time (preempted, cancelled, on a
node that died, before or after they joined) are replaced; see `replacing.py`.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from phasesweep.cluster.file import Cluster, ClusterFile
from phasesweep.cluster.local import encryption
from phasesweep.cluster.machine import DEFAULT_WORKER_MEMORY, LOOPBACK, thread_limits
from phasesweep.errors import UserError

LOST_AFTER = "5s"
"""A worker that has left may come back within this time; then it is replaced."""
TARGET_DURATION = "1s"
"""Dask asks for enough workers to finish what is in flight within this time: all that may be."""


@contextmanager
def open_slurm(file: ClusterFile, data: Path, needs: float) -> Iterator[Cluster]:
    """A scheduler in this process, and SLURM jobs as its workers."""
    import dask
    from distributed import Client

    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise UserError("a slurm cluster needs dask-jobqueue; install phasesweep[slurm]") from None
    from phasesweep.cluster.replacing import Replacing, looked_after, stopping

    _check_interface(file.interface)
    logs = (data / "logs" / "slurm").absolute()
    if any(character.isspace() for character in str(logs)):
        raise UserError(f"the data folder {data} has a space in it, which sbatch cannot take")
    minimum, maximum = file.minimum, max(file.minimum, file.maximum)
    memory = file.memory or DEFAULT_WORKER_MEMORY
    with ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.deploy.lost-worker-timeout": LOST_AFTER}))
        # Without certificates anybody on the network could run code as the user.
        file = file if file.interface == "lo" else replace(file, encrypt=True)
        job = _job(file, memory)
        _check_script(SLURMCluster.job_cls("tcp://scheduler", name="test", **job).job_script())
        trouble = stack.enter_context(stopping())
        if file.interface == "lo":
            trouble.hint = "a worker on another machine needs `interface` in the cluster file"
        cluster = SLURMCluster(
            **job,
            job_cls=looked_after(SLURMCluster.job_cls),
            log_directory=str(logs),
            scheduler_options={"dashboard_address": f"{LOOPBACK}:0"},
            **encryption(stack, file, data),
        )
        stack.enter_context(cluster)
        cluster.adapt(
            Adaptive=Replacing,
            trouble=trouble,
            minimum=minimum,
            maximum=maximum,
            target_duration=TARGET_DURATION,
        )
        client = stack.enter_context(Client(cluster, security=cluster.security))
        count = f"{minimum} to {maximum}" if maximum > minimum else f"{minimum}"
        label = f"{count} SLURM workers with {memory / 2**30:.1f} GiB each"
        yield Cluster(client, memory, "cpu", cluster.dashboard_link, label, maximum)


def _job(file: ClusterFile, memory: int) -> dict[str, Any]:
    """What one worker's job is, as dask-jobqueue takes it."""
    return {
        "queue": file.queue or None,
        "account": file.account or None,
        # One task at a time, whatever the threads of BLAS.
        "cores": 1,
        "job_cpu": file.threads,
        "processes": 1,
        "memory": f"{memory} B",
        "walltime": file.walltime,
        "interface": file.interface,
        "job_name": "phasesweep-worker",
        # A job that SLURM starts again would meet the one that replaced it.
        "job_extra_directives": ["--no-requeue", *file.directives],
        "job_script_prologue": [f"export {n}={v}" for n, v in _environment(file).items()],
        # A worker has pages of its own; they are for its machine only, too.
        "worker_extra_args": ["--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0"],
    }


def _environment(file: ClusterFile) -> dict[str, str]:
    """What a worker's job must find, wherever sbatch was called from."""
    kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
    return {name: shlex.quote(value) for name, value in kept.items()} | thread_limits(file.threads)


def _check_interface(name: str) -> None:
    from distributed.utils import get_ip_interface

    try:
        get_ip_interface(name)
    except ValueError as error:
        raise UserError(f"the cluster file's interface: {' '.join(str(error).split())}") from None


def _check_script(script: str) -> None:
    """Ask SLURM whether it would take the job, so that a misspelled queue is told at once."""
    try:
        answer = subprocess.run(
            ["sbatch", "--test-only"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except FileNotFoundError:
        raise UserError(
            "a slurm cluster needs the command sbatch, which is not on this machine; run on a "
            "machine of the cluster, or use another cluster file"
        ) from None
    except subprocess.TimeoutExpired:
        raise UserError("sbatch does not answer; is the SLURM controller running?") from None
    if answer.returncode:
        words = " ".join(answer.stderr.replace("allocation failure:", "").split())
        raise UserError(f"SLURM would not take a worker's job: {words}")

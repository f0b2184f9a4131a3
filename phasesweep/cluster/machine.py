"""What this process may use of its machine: cores, memory, threads."""

from __future__ import annotations

import os

LOOPBACK = "127.0.0.1"
DEFAULT_WORKER_MEMORY = 2 * 2**30


def thread_limits(threads: int) -> dict[str, str]:
    """Environment that pins the threads of BLAS and numba: workers do not fight over cores."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {name: str(threads) for name in names}


def available_memory() -> int:
    """Bytes this process may use: the machine's, or what its control group or its job leaves."""
    from distributed.system import MEMORY_LIMIT

    # A SLURM without control groups does not hold a job to what it asked for, so we do.
    asked = _number("SLURM_MEM_PER_NODE") * 2**20
    return min(int(MEMORY_LIMIT), asked or int(MEMORY_LIMIT))


def available_cores() -> int:
    """Cores this process may use: those it is bound to, at most those its job asked for."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = _number("SLURM_CPUS_PER_TASK") or _number("SLURM_CPUS_ON_NODE")
    return min(bound or 1, asked or bound or 1)


def _number(variable: str) -> int:
    text = os.environ.get(variable, "")
    return int(text) if text.isdigit() else 0


def process_exists(process: int) -> bool:
    """Whether this machine has a process of that number, whoever owns it."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

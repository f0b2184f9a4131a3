"""Looking after SLURM workers: as many as the work asks for, and new ones for those that are lost.

Dask's `Adaptive` counts a job as a worker from the moment it was submitted. A worker that had
joined and left is noticed by the scheduler; a job that ends before it joined (cancelled while it
waited, or its node broke) is noticed by nobody, so the queue is asked for those now and then.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from distributed.core import Status
from distributed.deploy.adaptive import Adaptive

from phasesweep.errors import StoppedError

SIGNAL = signal.SIGUSR2
ASK_EVERY_SECONDS = 10.0
GIVE_UP_AFTER = 10
"""Jobs in a row that end before they join: then something is wrong with all of them."""


@dataclass
class Trouble:
    """Jobs that ended before they joined, since one last did; and why the run was given up."""

    in_a_row: int = 0
    sentence: str = ""
    handled: bool = False
    """Whether somebody waits for the signal."""
    joined: set[Any] = field(default_factory=set)


class Replacing(Adaptive):
    """`Adaptive` that also forgets jobs which are no longer in SLURM's queue."""

    cluster: Any

    def __init__(self, *args: Any, trouble: Trouble, **options: Any) -> None:
        super().__init__(*args, **options)
        self.trouble = trouble
        self._asked = time.monotonic()

    async def adapt(self) -> None:
        """One round: forget what is lost, then ask for more or give back."""
        if self.trouble.sentence:
            return
        if time.monotonic() - self._asked > ASK_EVERY_SECONDS:
            await self._forget_lost()
            self._asked = time.monotonic()
        await super().adapt()

    async def _forget_lost(self) -> None:
        arrived = self.observed
        jobs = dict(self.cluster.workers)
        joined = {job.job_id for name, job in jobs.items() if name in arrived}
        if joined - self.trouble.joined:
            self.trouble.in_a_row = 0
        self.trouble.joined |= joined
        if len(joined) == len(jobs):
            return
        queued = await _queued_jobs()
        if queued is None:
            return
        for name, job in jobs.items():
            lost = job.job_id not in queued and name not in self.observed
            if lost and self.cluster.workers.get(name) is job:
                del self.cluster.workers[name]
                job.status = Status.closed
                self.trouble.in_a_row += job.job_id not in self.trouble.joined
        if self.trouble.in_a_row >= GIVE_UP_AFTER:
            self.trouble.sentence = (
                f"{self.trouble.in_a_row} worker jobs in a row ended before they joined (their "
                "logs are in logs/slurm of the data folder); every flushed point is kept, and "
                "running again computes only the rest"
            )
            # The thread that waits for answers is woken, and told by the handler of `stopping`.
            if self.trouble.handled:
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)


async def _queued_jobs() -> set[str] | None:
    """The numbers of this user's jobs; None if SLURM does not answer now."""
    command = ["squeue", "--noheader", f"--user={os.getuid()}", "--format=%A"]
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    except (OSError, TimeoutError):
        return None
    return set(out.decode().split()) if process.returncode == 0 else None


@contextmanager
def stopping() -> Iterator[Trouble]:
    """While it is open, a run whose jobs never join is stopped with a sentence.

    To be opened before the cluster, so that the handler outlives what sends the signal. Outside of
    the main thread Python has no handlers, and the run goes on waiting.
    """
    trouble = Trouble()
    if threading.current_thread() is not threading.main_thread():
        yield trouble
        return

    def stop(*_: object) -> None:
        raise StoppedError(trouble.sentence)

    before = signal.signal(SIGNAL, stop)
    trouble.handled = True
    try:
        yield trouble
    finally:
        signal.signal(SIGNAL, before)

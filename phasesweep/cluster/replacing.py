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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from distributed.core import Status
from distributed.deploy.adaptive import Adaptive

from phasesweep.errors import StoppedError

SIGNAL = signal.SIGUSR2
ASK_EVERY_SECONDS = 10.0
ANSWER_SECONDS = 60.0
GIVE_UP_AFTER = 10
"""Jobs that end before they join while none works: then something is wrong with all of them."""


@dataclass
class Trouble:
    """Jobs that ended before they joined while no other worked; and why the run was given up."""

    hint: str = ""
    """What may be wrong, from the cluster file."""
    in_a_row: int = 0
    sentence: str = ""
    handled: bool = False
    """Whether somebody waits for the signal."""
    joined: set[Any] = field(default_factory=set)


def looked_after(job: Any) -> Any:
    """A kind of job of dask-jobqueue that is no exception when SLURM refuses it.

    It may be one more than a person may have in the queue; it is found lost, and asked for again.
    """

    class Job(job):
        refused = ""

        async def start(self) -> None:
            try:
                await super().start()
            except RuntimeError as error:
                words = str(error).rpartition("stderr:")[2]
                self.refused = " ".join(words.split()) or "sbatch gave no reason"
                self.status = Status.running

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed  # which a closing cluster asserts of all its jobs

    return Job


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
        if joined:
            # Some work: the others may be beyond what a person may submit, or on a broken node.
            self.trouble.in_a_row = 0
        self.trouble.joined |= joined
        if len(joined) == len(jobs):
            return
        queued = await _queued_jobs()
        if queued is None:
            return
        some_wait = any(job.job_id in queued for job in jobs.values())
        for name, job in jobs.items():
            lost = job.job_id not in queued and name not in self.observed
            if lost and self.cluster.workers.get(name) is job:
                del self.cluster.workers[name]
                job.status = Status.closed
                if job.job_id is None:
                    self.trouble.in_a_row += not some_wait
                else:
                    self.trouble.in_a_row += job.job_id not in self.trouble.joined
        if self.trouble.in_a_row >= GIVE_UP_AFTER:
            refused = [job.refused for job in jobs.values() if job.refused]
            why = f"SLURM refused: {refused[-1]}" if refused else self.trouble.hint
            self.trouble.sentence = (
                f"{self.trouble.in_a_row} worker jobs in a row ended before they joined (their "
                f"logs are in logs/slurm of the data folder{why and '; ' + why}); every flushed "
                "point is kept, and running again computes only the rest"
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
    except OSError:
        return None
    try:
        out, _ = await asyncio.wait_for(process.communicate(), ANSWER_SECONDS)
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
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

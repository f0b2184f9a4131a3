"""Which tasks of a run are late: workers tell when they begin, the driver watches the clock.

A worker that computes cannot be interrupted, and one that hangs cannot tell. So it tells before it
begins (`tell`), and the driver takes a task back that has been silent for longer than it may be.
The worker ends itself a little later (`bounds.last_resort`).
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any
from uuid import uuid4

TELL_SECONDS = 1.0
"""A task of many points tells at most so often."""
HEARD_SECONDS = 5.0
"""A scheduler that does not answer for so long is not waited for."""
GRACE_SECONDS = 2.0
"""What a driver waits beyond the limit and the time between two tellings."""
LOOK_SECONDS = 0.5
"""A driver of thousands of tasks looks at them at most so often."""
LAST_SECONDS = 6.0
"""What a worker waits beyond the limit before it ends itself: by then the task is not its own."""


class Teller:
    """The worker's side, for one task."""

    def __init__(self, topic: str, task: int) -> None:
        self._about = (topic, task)
        self._told = float("-inf")

    def tell(self) -> None:
        """A computation begins."""
        from distributed import get_worker
        from distributed.utils import sync

        now = time.monotonic()
        if now - self._told < TELL_SECONDS:
            return
        first, self._told = self._told == float("-inf"), now
        topic, task = self._about
        try:
            worker = get_worker()
        except ValueError:
            return  # not in a worker
        said = {"task": task, "worker": worker.address}
        if not first:
            worker.log_event(topic, said)
            return
        # Heard for certain before compiled code holds the interpreter and nothing gets out.
        with suppress(OSError, TimeoutError):
            sync(
                *(worker.loop, worker.scheduler.log_event),
                topic=topic,
                msg=said,
                callback_timeout=HEARD_SECONDS,
            )


class Clock:
    """The driver's side, for one run."""

    def __init__(self, client: Any) -> None:
        self.topic = f"phasesweep-{uuid4().hex}"
        self._lock = threading.Lock()
        self._begun: dict[int, tuple[float, str]] = {}
        self._allowed: dict[int, float] = {}
        self._looked = float("-inf")
        client.subscribe_topic(self.topic, self._hear)

    def _hear(self, event: tuple[float, dict[str, Any]]) -> None:
        said, now = event[1], time.monotonic()
        task, worker = said["task"], said["worker"]
        with self._lock:
            begun, before = self._begun.get(task, (now, worker))
            # Another worker has it: the one before is gone. If it went too late for the driver to
            # have noticed, it was late all the same.
            if worker != before and now - begun > self._allowed.get(task, float("inf")):
                return
            self._begun[task] = (now, worker)

    def expect(self, task: int, allowed: float) -> None:
        """A task is submitted whose longest computation may take so many seconds."""
        with self._lock:
            self._allowed[task] = allowed

    def forget(self, task: int) -> None:
        """A task has ended, or begins anew if it is heard of again."""
        with self._lock:
            self._begun.pop(task, None)

    def began(self, task: int) -> bool:
        """Whether a worker ever told that it began with a task."""
        with self._lock:
            return task in self._begun

    def late(self) -> set[int]:
        """The tasks that should have told something by now, if it is time to look."""
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return set()
        self._looked = now
        slack = TELL_SECONDS + GRACE_SECONDS
        with self._lock:
            return {
                task
                for task, (begun, _worker) in self._begun.items()
                if now - begun > self._allowed.get(task, float("inf")) + slack
            }

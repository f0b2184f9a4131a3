"""Bounds on one computation: a time after which it is ended, and memory it cannot exceed.

In the calling process a timer interrupts it (`alarm`). In a worker the computation has a thread of
its own, which nothing can interrupt, so the process ends itself (`last_resort`) and its nanny
starts another; the timer for this is a thread without Python, which works while compiled code
holds the interpreter. Memory is bounded by the operating system, so that asking for too much raises
MemoryError, which is recorded, before the machine runs out and kills whom it likes.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path


class OutOfTimeError(BaseException):
    """A computation ran past its limit. No `except Exception` of a solver takes it for its own."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise OutOfTimeError in the main thread after so long; elsewhere there is no such limit.

    A compiled loop that never returns to Python is not interrupted: only a worker ends such a one.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGALRM"):
        yield
        return
    armed = True

    def ring(*_: object) -> None:
        if armed:
            raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, ring)
    try:
        # Once more every second, should the first fall where Python drops exceptions.
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        try:
            yield
        finally:
            armed = False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


_ends: dict[int, float] = {}
_lock = threading.Lock()


@cache
def _nowhere() -> int:
    """Where the timer writes where every thread was; it must stay open."""
    return os.open(os.devnull, os.O_WRONLY)


@contextmanager
def last_resort(seconds: float) -> Iterator[None]:
    """End this process if what is inside takes longer, whatever it does."""
    thread = threading.get_ident()
    _set_end(thread, time.monotonic() + seconds)
    try:
        yield
    finally:
        _set_end(thread, None)


def _set_end(thread: int, end: float | None) -> None:
    with _lock:
        if end is None:
            _ends.pop(thread, None)
        else:
            _ends[thread] = end
        if not _ends:
            faulthandler.cancel_dump_traceback_later()
            return
        left = max(0.001, min(_ends.values()) - time.monotonic())
        faulthandler.dump_traceback_later(left, exit=True, file=_nowhere())


@contextmanager
def bounded_memory(room: float) -> Iterator[None]:
    """Let this process take `room` more bytes than it has now, and not more (on Linux)."""
    held = _data_bytes()
    if not held or not room:
        yield
        return
    import resource

    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = int(held + room)
    if before != resource.RLIM_INFINITY:
        bound = min(bound, before)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (before, hard))


def machine_memory() -> int:
    """Bytes of this machine, or of the control group that this process is in.

    As `cluster.available_memory`, without Dask, which takes longer to import than a small answer.
    """
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            sizes.append(int(Path("/sys/fs/cgroup", file).read_text()))
    return min(sizes)


def _data_bytes() -> int:
    """What counts for the limit: writable memory of this process alone; 0 where it is not told."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0

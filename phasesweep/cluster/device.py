"""The lock of a GPU: at most one process of ours computes on a device.

A lock is held by an open file (`flock`), so it ends with the process, however that ends. The files
lie in one folder of the machine, whatever TMPDIR says, and are never written to: two people's runs
see each other. Dask workers preload this module, and take the lock that their environment names.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
DEVICE = "PHASESWEEP_DEVICE"
"""Environment variable of a GPU worker: the identity of its device."""
LOCK = "PHASESWEEP_DEVICE_LOCK"
"""And the file of its lock."""
WAIT_SECONDS = 30.0
"""A worker that is being replaced may take this long to end."""


@dataclass
class Lock:
    """A lock on a file that need not exist."""

    path: Path
    _file: int = field(default=-1, repr=False)

    def take(self, seconds: float = 0.0) -> bool:
        """Take it, waiting at most `seconds`; whether it was taken."""
        # Reading is enough for a lock, and another person's file may not be opened for more.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._file = os.open(self.path, flags)
        except FileNotFoundError:
            self._file = os.open(self.path, flags | os.O_CREAT, 0o644)
            os.fchmod(self._file, 0o644)  # whatever the umask: others lock it too
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self.release()
                    return False
                time.sleep(0.1)
            else:
                return True

    def release(self) -> None:
        """Let it go."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def device_lock(identity: str, use: str) -> Lock:
    """The lock of a device for a use: `run` (who plans with it) or `worker` (who computes)."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", identity)
    return Lock(FOLDER / f"phasesweep-gpu-{name}.{use}")


_HELD: list[Lock] = []


def dask_setup(worker: Any) -> None:
    """Called by Dask when a worker starts: hold the device until the process ends."""
    identity = os.environ[DEVICE]
    lock = Lock(Path(os.environ[LOCK]))
    if not lock.take(seconds=WAIT_SECONDS):
        raise RuntimeError(f"the device {identity} is in use by another process")
    _HELD.append(lock)

"""What runs now, as each run tells in a small file of the data folder; `phasesweep watch` reads it.

A run writes its record after a moment and then every few seconds, and removes it when it ends,
however it ends: a record whose process is gone is a run that was killed. Records are for people; no
result depends on one.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from uuid import uuid4

from phasesweep.errors import UserError

SILENT_SECONDS = 60.0
"""A record older than this is of a run that may not live any more."""
PARENT_SECONDS = 1.0
"""How often a run looks whether the process that wants its answer is still there."""


@dataclass
class Record:
    """Where a run stands."""

    label: str
    total: int
    found: int = 0
    """Points that were in the cache already."""
    done: int = 0
    failed: int = 0
    stored: int = 0
    stored_at: float = 0.0
    """When points were last written to the cache; 0 if none were yet."""
    cluster: str = "this process"
    dashboard: str = ""
    started: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    host: str = field(default_factory=socket.gethostname)
    process: int = field(default_factory=os.getpid)
    process_started: str = field(default_factory=lambda: process_started(os.getpid()))
    job: str = field(default_factory=lambda: os.environ.get("SLURM_JOB_ID", ""))

    @property
    def rate(self) -> float:
        """Points a second since the start."""
        elapsed = self.updated - self.started
        return self.done / elapsed if elapsed > 0 else 0.0

    def state(self, now: float) -> str:
        """running, died, or silent: it cannot be known, since it was on another machine."""
        if self.host == socket.gethostname():
            alive = process_started(self.process)
            if not alive or (self.process_started and alive != self.process_started):
                return "died"
        return "running" if now - self.updated < SILENT_SECONDS else "silent"


class Announced:
    """The file of one run."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.record = record
        self.path = folder / f"{record.host}-{record.process}-{uuid4().hex[:8]}.json"

    def write(self) -> None:
        """Write where the run stands; a full disk is told by the cache, not by this."""
        self.record.updated = time.time()
        temporary = self.path.with_suffix(".part")
        with suppress(OSError):
            if not self.path.exists():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                forget(self.path.parent, label=self.record.label)
            temporary.write_text(json.dumps(asdict(self.record)))
            temporary.replace(self.path)

    def remove(self) -> None:
        """The run has ended."""
        for path in (self.path, self.path.with_suffix(".part")):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def runs_folder(data: Path) -> Path:
    """Where the records of a data folder are."""
    return data / "runs"


def read_records(folder: Path) -> list[tuple[Path, Record]]:
    """The records of a folder, oldest run first."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_text())
            record = Record(**{f.name: content[f.name] for f in fields(Record)})
        except FileNotFoundError:
            continue  # the run ended just now
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not the record of a run ({error}); remove it") from None
        found.append((path, record))
    return sorted(found, key=lambda pair: pair[1].started)


def forget(folder: Path, *, label: str | None = None) -> int:
    """Remove the records of runs that died (of one label: a new run goes on with its work).

    Without a label also those that are silent. Returns how many were removed.
    """
    removed = 0
    with suppress(UserError):
        for path, record in read_records(folder):
            state = record.state(time.time())
            if state == "died" and label in (None, record.label):
                gone = True
            else:
                gone = label is None and state == "silent"
            if gone:
                path.unlink(missing_ok=True)
                removed += 1
    return removed


@contextmanager
def end_with(parent: int | None) -> Iterator[None]:
    """End this process, as SIGTERM does, when another one is gone: nobody waits for it any more.

    A killed Snakemake leaves its jobs running. The next one would compute the same points again.
    """
    if parent is None:
        yield
        return
    began, over = process_started(parent), threading.Event()
    if not began:
        raise UserError(f"--parent: given {parent}; allowed: the number of a process that runs")

    def watch() -> None:
        while not over.wait(PARENT_SECONDS):
            if process_started(parent) != began:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def process_started(process: int) -> str:
    """When a process of this machine started, as an opaque word; "" if there is none.

    Numbers of processes are used again; with the start they are not.
    """
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        from phasesweep.cluster.machine import process_exists

        # Without /proc (macOS): whether it exists is all there is.
        return "" if Path("/proc/self").exists() or not process_exists(process) else "exists"
    state, *rest = stat.rpartition(")")[2].split()
    return "" if state == "Z" else rest[18]

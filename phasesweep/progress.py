"""How a run tells where it stands: a bar on a terminal, a line now and then in a log, a record.

The record (`runs.py`) is what `phasesweep watch` shows in another terminal.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from phasesweep.runs import Announced, Record, runs_folder

LOG_EVERY_SECONDS = 30.0
ANNOUNCE_AFTER_SECONDS = 2.0
"""Runs that end sooner leave no trace."""
ANNOUNCE_EVERY_SECONDS = 5.0


class Progress:
    """Counts points done, failed and stored; use as a context manager around a run.

    On a terminal: a tqdm bar with points, rate, time left and failures. Elsewhere: one line every
    half minute, and one at the end if anything was said before. With `data`, a record there.
    """

    def __init__(
        self,
        total: int,
        label: str,
        *,
        quiet: bool = False,
        data: Path | None = None,
        found: int = 0,
        cluster: str = "this process",
        dashboard: str = "",
    ) -> None:
        self.record = Record(label, total, found=found, cluster=cluster, dashboard=dashboard)
        self._started = self._told = time.monotonic()
        self._quiet = quiet or not total
        self._announced = Announced(runs_folder(data), self.record) if data and total else None
        self._ended = threading.Event()
        self._announcing = threading.Thread(target=self._announce, daemon=True)
        self._bar = None
        if not self._quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=label, unit="pt", dynamic_ncols=True, smoothing=0.1)

    def advance(self, points: int, failed: int = 0) -> None:
        """Add points that are finished, of which `failed` raised an exception."""
        record = self.record
        record.done += points
        record.failed += failed
        if self._bar is not None:
            if record.failed:
                self._bar.set_postfix_str(f"{record.failed} failed", refresh=False)
            self._bar.update(points)
        elif not self._quiet and time.monotonic() - self._told > LOG_EVERY_SECONDS:
            self._told = time.monotonic()
            self._line()

    def stored(self, points: int) -> None:
        """Add points that were written to the cache."""
        self.record.stored += points
        self.record.stored_at = time.time()

    def _announce(self) -> None:
        """Keep the record fresh, also while a batch takes long."""
        wait = ANNOUNCE_AFTER_SECONDS
        while self._announced and not self._ended.wait(wait):
            self._announced.write()
            wait = ANNOUNCE_EVERY_SECONDS

    def _line(self) -> None:
        record = self.record
        elapsed = time.monotonic() - self._started
        rate = record.done / elapsed if elapsed > 0 else 0.0
        left = (record.total - record.done) / rate if rate > 0 else float("inf")
        sys.stderr.write(
            f"{record.label}: {record.done:,} of {record.total:,} points, "
            f"{record.failed:,} failed, {rate:.1f} points/s, {duration(left)} left\n"
        )
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        if self._announced:
            self._announcing.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._announced:
            self._announcing.join()
            self._announced.remove()
        if self._bar is not None:
            self._bar.close()
        elif self._told != self._started:
            self._line()


def duration(seconds: float) -> str:
    """Seconds as words: 45 s, 12 min, 3.5 h."""
    if seconds == float("inf"):
        return "unknown time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"

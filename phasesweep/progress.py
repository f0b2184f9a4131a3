"""How a run tells where it stands: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType

LOG_EVERY_SECONDS = 30.0


class Progress:
    """Counts points done and failed; use as a context manager around a run.

    On a terminal: a tqdm bar with points, rate, time left and failures. Elsewhere: one line every
    half minute, and one at the end if anything was said before.
    """

    def __init__(self, total: int, label: str, *, quiet: bool = False) -> None:
        self.total = total
        self.label = label
        self.done = 0
        self.failed = 0
        self._started = self._told = time.monotonic()
        self._quiet = quiet or not total
        self._bar = None
        if not self._quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=label, unit="pt", dynamic_ncols=True, smoothing=0.1)

    def advance(self, points: int, failed: int = 0) -> None:
        """Add points that are finished, of which `failed` raised an exception."""
        self.done += points
        self.failed += failed
        if self._bar is not None:
            if self.failed:
                self._bar.set_postfix_str(f"{self.failed} failed", refresh=False)
            self._bar.update(points)
        elif not self._quiet and time.monotonic() - self._told > LOG_EVERY_SECONDS:
            self._told = time.monotonic()
            self._line()

    def _line(self) -> None:
        elapsed = time.monotonic() - self._started
        rate = self.done / elapsed if elapsed > 0 else 0.0
        left = (self.total - self.done) / rate if rate > 0 else float("inf")
        sys.stderr.write(
            f"{self.label}: {self.done:,} of {self.total:,} points, {self.failed:,} failed, "
            f"{rate:.1f} points/s, {duration(left)} left\n"
        )
        sys.stderr.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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

"""What `phasesweep watch` shows: the runs of a data folder, from another terminal.

On a terminal the picture is redrawn in place until Ctrl-C; elsewhere it is printed once, so that a
log is not flooded.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from phasesweep.progress import duration
from phasesweep.runs import Record, forget, read_records, runs_folder

CLEAR = "\x1b[H\x1b[J"
ALTERNATE, NORMAL = "\x1b[?1049h\x1b[?25l", "\x1b[?1049l\x1b[?25h"
"""The terminal's second page, so that what was on it comes back; and the cursor."""
ADVICE = {
    "died": "died; every flushed point is kept, and running again computes the rest",
    "silent": "no word",
}


def watch(data: Path, *, once: bool, interval: float, as_json: bool, forgetting: bool) -> None:
    """Show the runs; on a terminal until Ctrl-C."""
    folder = runs_folder(data)
    if forgetting:
        removed = forget(folder)
        sys.stdout.write(f"{removed} record{'' if removed == 1 else 's'} of dead runs removed\n")
        return
    if as_json:
        now = time.time()
        told = [
            asdict(record) | {"rate": record.rate, "state": record.state(now)}
            for _, record in read_records(folder)
        ]
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    if once or not sys.stdout.isatty():
        sys.stdout.write("\n".join(picture(data, _records(folder), time.time())) + "\n")
        return
    sys.stdout.write(ALTERNATE)
    try:
        while True:
            size = shutil.get_terminal_size()
            lines = picture(data, _records(folder), time.time())
            shown = fitted(lines, size.columns, size.lines - 1)
            sys.stdout.write(CLEAR + "\n".join(shown))
            sys.stdout.flush()
            time.sleep(interval)
    except KeyboardInterrupt:
        return
    finally:
        sys.stdout.write(NORMAL)
        sys.stdout.flush()


def picture(data: Path, records: Sequence[Record], now: float) -> list[str]:
    """The runs as lines, two or three for each."""
    states = [record.state(now) for record in records]
    counts = ", ".join(
        f"{states.count(s)} {s}" for s in ("running", "silent", "died") if s in states
    )
    clock = time.strftime("%H:%M:%S", time.localtime(now))
    lines = [f"{clock}  {data}: {counts or 'nothing is running'}"]
    for record, state in zip(records, states, strict=True):
        lines += ["", *_run(record, state, now)]
    return lines


def _run(record: Record, state: str, now: float) -> list[str]:
    share = record.done / record.total if record.total else 1.0
    if state == "running":
        left = (record.total - record.done) / record.rate if record.rate > 0 else float("inf")
        pace = f"{record.rate:.1f} points/s, {duration(left)} left"
    else:
        pace = f"{ADVICE[state]} (last heard {duration(now - record.updated)} ago)"
    # What is asked most comes first: a narrow terminal cuts the end.
    first = (
        f"{record.label}: {record.done:,} of {record.total:,} points ({100 * share:.0f}%), {pace}; "
        f"{record.failed:,} failed, {record.found:,} found before"
    )
    stored = (
        f"{record.stored:,} stored, last {duration(now - record.stored_at)} ago"
        if record.stored_at
        else "none stored yet"
    )
    job = f", SLURM job {record.job}" if record.job else ""
    since = duration(now - record.started)
    lines = [
        first,
        f"  {stored}; {record.cluster}; {record.host} process {record.process}{job}, since {since}",
    ]
    if record.dashboard and state == "running":
        lines.append(f"  dashboard {record.dashboard}")
    return lines


def fitted(lines: Sequence[str], columns: int, rows: int) -> list[str]:
    """The lines cut to a terminal, with a word about those that have no room."""
    printable = ["".join(c if c.isprintable() else "?" for c in line) for line in lines]
    shown = [line if len(line) <= columns else line[: columns - 1] + "…" for line in printable]
    if len(shown) > rows:
        shown = [*shown[: rows - 1], f"… {len(shown) - rows + 1} more lines"[:columns]]
    return shown


def _records(folder: Path) -> list[Record]:
    return [record for _, record in read_records(folder)]

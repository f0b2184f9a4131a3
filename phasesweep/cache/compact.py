"""Compaction: many small segments become a few large ones.

Safe beside running writers, readers and another compaction, and against a kill at any instant: a
file is removed only when every row of it that counts is safely on the disk under another name.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from phasesweep.cache import segment
from phasesweep.cache.files import Entry, list_segments, sync_folder
from phasesweep.cache.index import winners
from phasesweep.cache.keys import sortable
from phasesweep.cache.rows import Rows, concat
from phasesweep.cache.store import Cache, Place, read_whole


@dataclass
class Compacted:
    """What `compact` did."""

    before: int = 0
    """Segments found."""
    after: int = 0
    """Segments left."""
    dropped: int = 0
    """Rows left out because another row of the same merge has their key."""
    damaged: dict[str, str] = field(default_factory=dict)


def compact(cache: Cache, *, max_rows: int = 50_000, max_bytes: int = 1 << 27) -> Compacted:
    """Merge small segments into ones of about `max_rows` rows or `max_bytes` bytes in memory.

    The merged file is on the disk before its parts are removed, and a row is dropped only in favour
    of another row of the same merge. If the process is killed in between, rows stand twice: readers
    do not mind, and the next call removes the parts, whose names the merged file carries.
    """
    done = Compacted()
    for place in cache.places():
        folder = cache.folder(*place)
        listing = list_segments(folder)
        done.before += len(listing)
        _finish(folder, listing, place)
        _compact_place(cache, place, max_rows, max_bytes, done)
        done.after += len(list_segments(folder))
    return done


def _finish(folder: Path, listing: tuple[Entry, ...], place: Place) -> None:
    """Remove the parts that an earlier, killed merge left behind."""
    names = {name for name, _size, _date in listing}
    for name in sorted(names):
        try:
            parts = names.intersection(segment.read_attributes(folder / name)["replaces"])
            if parts:
                read_whole(folder / name, place)
        except (OSError, segment.SegmentError):
            continue  # nothing is removed on the word of a file that is not whole
        _remove(folder, parts - {name})


def _remove(folder: Path, names: set[str]) -> None:
    for name in names:
        with suppress(FileNotFoundError):
            (folder / name).unlink()
    if names:
        sync_folder(folder)


def _compact_place(
    cache: Cache, place: Place, max_rows: int, max_bytes: int, done: Compacted
) -> None:
    folder = cache.folder(*place)
    waiting: dict[tuple, list[tuple[str, Rows]]] = {}

    def held(signature: tuple) -> int:
        return sum(rows.nbytes for _name, rows in waiting[signature])

    def flush(signature: tuple) -> None:
        parts = waiting.pop(signature)
        if len(parts) < 2:
            return
        merged = concat(rows for _name, rows in parts)[0]
        kept = winners(sortable(merged.keys), merged.status)
        done.dropped += len(merged) - len(kept)
        names = tuple(name for name, _rows in parts)
        cache.write_segment(merged.take(kept), replaces=names)
        _remove(folder, set(names))

    for name, size, _date in list_segments(folder):
        if size >= max_bytes // 2:
            continue
        try:
            if segment.read_attributes(folder / name)["rows"] >= max_rows // 2:
                continue
            rows = read_whole(folder / name, place)
        except FileNotFoundError:
            continue  # another compaction was faster
        except segment.SegmentError as error:
            done.damaged[str(folder / name)] = str(error)
            continue
        signature = rows.signature()
        waiting.setdefault(signature, []).append((name, rows))
        if sum(len(part) for _name, part in waiting[signature]) >= max_rows:
            flush(signature)
        elif sum(map(held, waiting)) >= max_bytes:
            flush(max(waiting, key=held))
    for signature in list(waiting):
        flush(signature)

"""The cache: which points exist, and reading and writing them.

`<root>/<system>/<method>/v<version>/<stamp>-<host>-<pid>-<random>.zarr.zip`, one immutable file
per flush. Writers never share a file and readers take no locks; a file is written under a `.tmp-`
name, fsynced and renamed, so that it is either whole or not there. The same key may stand in
several files: readers keep one row, a row that did not fail before one that did, then the newest
by file name.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.cache import segment
from phasesweep.cache.files import (
    ROUNDS,
    SEGMENT,
    STAMP,
    SUFFIX,
    Entry,
    Head,
    host,
    list_segments,
    place_file,
    read_bytes,
    read_head,
)
from phasesweep.cache.index import Located, Present, locate, merge
from phasesweep.cache.keys import Ascending, distinct, sortable
from phasesweep.cache.rows import NAME, CacheError, Coded, Rows, concat

if TYPE_CHECKING:
    from phasesweep.cache.compact import Compacted
    from phasesweep.cache.exchange import Exported, Imported
    from phasesweep.cache.maintenance import Info, Removed, Report

FOLDER = re.compile(r"v([1-9]\d*)")

Place = tuple[str, str, int]
_NO_KEYS = np.empty((0, 16), dtype=np.uint8)


@dataclass(frozen=True)
class Found:
    """What `Cache.read` found: blocks of uniform rows, and the files that could not be read."""

    blocks: list[Rows]
    damaged: Mapping[str, str]

    def __len__(self) -> int:
        """Number of points."""
        return sum(map(len, self.blocks))


@dataclass
class _Known:
    """What this process remembers of one folder; a file is known by name, size and date."""

    heads: dict[Entry, Head] = field(default_factory=dict)
    listing: tuple[Entry, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)
    """Files whose head is sound but whose body proved not to be, each with the reason."""
    present: Present | None = None
    searched: tuple[Entry, ...] | None = None
    damaged: Mapping[str, str] = field(default_factory=dict)
    """What the last search left out, of the files that were there then."""


@dataclass
class Cache:
    """The store of results under `root`, which need not exist yet."""

    root: Path
    _known: dict[Place, _Known] = field(default_factory=dict, repr=False)

    def folder(self, system: str, method: str, version: int) -> Path:
        """Where the segments of a method lie; the names cannot lead out of the root."""
        for name in (system, method):
            if not NAME.fullmatch(name):
                raise CacheError(
                    f"{name!r} is not a name of a system or method: letters, digits and _ only"
                )
        if isinstance(version, bool) or int(version) != version or version < 1:
            raise CacheError(
                f"version {version!r} of {system} {method} must be a whole number from 1"
            )
        return Path(self.root) / system / method / f"v{int(version)}"

    def places(self) -> list[Place]:
        """Every (system, method, version) that has a folder."""
        root = Path(self.root)
        found = []
        for path in sorted(root.glob("*/*/v*")) if root.is_dir() else []:
            system, method, folder = path.relative_to(root).parts
            match = FOLDER.fullmatch(folder)
            if match and NAME.fullmatch(system) and NAME.fullmatch(method) and path.is_dir():
                found.append((system, method, int(match[1])))
        return found

    # -- writing ---------------------------------------------------------------------------

    def write(self, rows: Rows, header: Mapping[str, Any]) -> Path:
        """Store rows as one new segment and return its path once it is safely on the disk.

        `header` is JSON data about this computation (see `phasesweep.provenance`). It becomes
        the source of rows that have none yet. CacheError when the disk refuses; nothing older is
        touched then.
        """
        if rows.source is None:
            rows = replace(rows, source=Coded.constant(dict(header), len(rows)))
        return self.write_segment(rows)

    def write_segment(self, rows: Rows, *, replaces: tuple[str, ...] = ()) -> Path:
        """Store rows that know their source; `replaces` names the segments merged into this one."""
        rows.check()
        folder = self.folder(rows.system, rows.method, rows.version)
        now = datetime.now(UTC)
        # A merged segment is newer than its parts, whatever the clocks of their writers said.
        for stamp in (match[1] for match in map(SEGMENT.fullmatch, replaces) if match):
            now = max(
                now, datetime.strptime(stamp, STAMP).replace(tzinfo=UTC) + timedelta(microseconds=1)
            )
        stamp = now.strftime(STAMP)
        data = segment.encode(rows, created=stamp, replaces=replaces)
        name = f"{stamp}-{host()}-{os.getpid()}-{secrets.token_hex(8)}{SUFFIX}"
        try:
            try:
                return place_file(folder, name, data)
            except FileNotFoundError:
                # Somebody's clean-up took the folder or the temporary file for abandoned.
                return place_file(folder, name, data)
        except OSError as error:
            raise CacheError(
                f"{len(rows)} rows could not be written to {folder} ({error.strerror or error}); "
                "everything stored before is intact: make room or permission there and run again"
            ) from error

    # -- reading ---------------------------------------------------------------------------

    def present(self, system: str, method: str, version: int) -> Present:
        """Which keys are stored, with their status; damaged files count as absent and are named."""
        place = (system, method, version)
        folder = self.folder(*place)
        known = self._known.setdefault(place, _Known())
        for _ in range(ROUNDS):
            listing = list_segments(folder)
            if known.present is not None and listing == known.listing:
                return known.present
            heads: dict[Entry, Head] = {}
            vanished = False
            for entry in listing:
                head = known.left_out.get(entry[0]) or known.heads.get(entry)
                if head is None:
                    try:
                        head = read_head(folder / entry[0])
                    except FileNotFoundError:
                        vanished = True
                        continue
                heads[entry] = head
            known.heads = heads
            if not vanished:
                known.listing, known.present = listing, merge(heads)
                return known.present
        raise CacheError(f"files in {folder} keep vanishing while they are read; try again")

    def locate(self, system: str, method: str, version: int, asked: Ascending) -> Located:
        """Where each of the keys asked for stands; memory as large as the question."""
        return self._locate((system, method, version), asked)

    def _locate(self, place: Place, asked: Ascending) -> Located:
        folder = self.folder(*place)
        known = self._known.setdefault(place, _Known())
        left_out = known.left_out
        for _ in range(ROUNDS):
            listing = list_segments(folder)
            names = [name for name, *_ in listing]
            try:
                found = locate(asked, names, lambda n: left_out.get(n) or read_head(folder / n))
            except FileNotFoundError:
                continue  # merged into another meanwhile
            known.searched, known.damaged = listing, found.damaged
            return found
        raise CacheError(f"files in {folder} keep vanishing while they are read; try again")

    def blocks(
        self, system: str, method: str, version: int, keys: np.ndarray | None = None
    ) -> Iterator[Rows]:
        """Each wanted row once, a segment at a time; `keys` is (points, 16) uint8, or all.

        Keys that are not there are passed over. Files that turn out to be damaged are passed over
        too, and from then on this object leaves them out and names them.
        """
        place = (system, method, version)
        folder = self.folder(*place)
        if keys is None:
            asked = Ascending(self.present(*place).sorted_keys)
        else:
            column = sortable(keys)
            asked = Ascending(column[distinct(column)])
        left = np.ones(len(asked), dtype=bool)
        for _ in range(ROUNDS):
            found = self._locate(place, asked)
            where = np.flatnonzero(left & (found.status >= 0))
            if not len(where):
                return
            again = False
            where = where[np.argsort(found.segment[where], kind="stable")]
            number, begins = np.unique(found.segment[where], return_index=True)
            for index, positions in zip(number, np.split(where, begins[1:]), strict=True):
                name = found.names[index]
                try:
                    rows, _about = segment.decode(read_bytes(folder / name), place=place)
                except FileNotFoundError:
                    again = True
                    continue
                except segment.SegmentError as error:
                    self.leave_out(place, name, str(error))
                    again = True
                    continue
                left[positions] = False
                yield rows.take(np.sort(found.row[positions]))
            if not again:
                return
        raise CacheError(f"files in {folder} keep vanishing while they are read; try again")

    def read(self, system: str, method: str, version: int, keys: np.ndarray | None = None) -> Found:
        """All rows, or those of `keys` ((points, 16) uint8), each once, in uniform blocks."""
        found = concat(list(self.blocks(system, method, version, keys)))
        return Found(found, self.damaged(system, method, version))

    def damaged(self, system: str, method: str, version: int) -> Mapping[str, str]:
        """Segments that cannot be read, as far as this object knows, each with the reason."""
        place = (system, method, version)
        known = self._known.get(place)
        if known is not None and known.searched == list_segments(self.folder(*place)):
            return known.damaged
        return self._locate(place, Ascending(sortable(_NO_KEYS))).damaged

    def leave_out(self, place: Place, name: str, reason: str) -> None:
        """Remember for this object that a file is not to be read."""
        known = self._known.setdefault(place, _Known())
        known.left_out[name] = reason
        known.present = known.searched = None

    # -- upkeep ----------------------------------------------------------------------------

    def info(self) -> list[Info]:
        """Rows, failures, segments and bytes of each method and version."""
        from phasesweep.cache import maintenance

        return maintenance.info(self)

    def verify(self, *, set_aside: bool = True) -> Report:
        """Read everything, name what is damaged, foreign, orphaned; see `maintenance.verify`."""
        from phasesweep.cache import maintenance

        return maintenance.verify(self, set_aside=set_aside)

    def compact(self, *, max_rows: int = 50_000, max_bytes: int = 1 << 27) -> Compacted:
        """Merge small segments into large ones; see `compact.compact`."""
        from phasesweep.cache import compact

        return compact.compact(self, max_rows=max_rows, max_bytes=max_bytes)

    def gc(self, *, damaged: bool = False) -> Removed:
        """Remove orphans, and what `verify` set aside if `damaged`; see `maintenance.gc`."""
        from phasesweep.cache import maintenance

        return maintenance.gc(self, damaged=damaged)

    def export(
        self, path: Path, *, system: str | None = None, method: str | None = None
    ) -> Exported:
        """Write the segments to one tar file; see `exchange.export`."""
        from phasesweep.cache import exchange

        return exchange.export(self, path, system=system, method=method)

    def import_(
        self, path: Path, *, rtol: float = 1e-6, atol: float = 1e-12, check_keys: bool = True
    ) -> Imported:
        """Take in what another cache exported, never overwriting; see `exchange.import_`."""
        from phasesweep.cache import exchange

        return exchange.import_(self, path, rtol=rtol, atol=atol, check_keys=check_keys)


def read_whole(path: Path, place: Place) -> Rows:
    """The rows of a file of which every byte is as it was written; SegmentError otherwise."""
    data = read_bytes(path)
    segment.check_digest(data)
    return segment.decode(data, place=place)[0]

"""Upkeep of the cache: what is in it, what is wrong with it, and clearing away.

Every step is safe beside running writers, readers and other upkeep, and against a kill at any
instant: a file is removed only when what it held is safely on the disk under another name, or was
never whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from phasesweep.cache import segment
from phasesweep.cache.files import (
    SEGMENT,
    SET_ASIDE,
    TEMPORARY,
    host,
    list_segments,
)
from phasesweep.cache.store import FOLDER, Cache, Place, read_whole
from phasesweep.paths import IDENTITY
from solvers.contract import Status

ABANDONED = 3600.0
"""Seconds after which a temporary file whose writer cannot be asked counts as abandoned."""


@dataclass(frozen=True)
class Info:
    """What the cache holds of one method and version."""

    system: str
    method: str
    version: int
    points: int
    failed: int
    repeated: int
    """Rows that do not count, because another row has their key; `compact` drops those it can."""
    segments: int
    bytes: int
    damaged: int


def info(cache: Cache) -> list[Info]:
    """One entry for each method and version, from the heads of the files."""
    table = []
    for place in cache.places():
        present = cache.present(*place)
        sizes = [size for _name, size, _date in list_segments(cache.folder(*place))]
        failed = int((present.status == Status.FAILED).sum())
        table.append(
            Info(
                *place,
                points=len(present),
                failed=failed,
                repeated=present.repeated,
                segments=len(sizes),
                bytes=sum(sizes),
                damaged=len(present.damaged),
            )
        )
    return table


# -- verify --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """One file that is not a whole segment in its place."""

    path: Path
    kind: str
    """damaged | foreign | orphan | set aside"""
    reason: str
    keys: np.ndarray | None = None
    """(points, 16) uint8: what it held, where its head can still be read."""
    lost: int = 0
    """How many of them are in no other file: the points that a run computes again."""


@dataclass(frozen=True)
class Report:
    """What `verify` found."""

    segments: int
    """Whole ones."""
    rows: int
    findings: list[Finding]

    def of(self, kind: str) -> list[Finding]:
        """The findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    @property
    def sound(self) -> bool:
        """Nothing is damaged or foreign."""
        return not self.of("damaged") and not self.of("foreign")


def verify(cache: Cache, *, set_aside: bool = True) -> Report:
    """Read every byte of the cache against its checksums and name what is wrong.

    A file that must not be read is renamed to `.damaged-...` if `set_aside`, so that every later
    run sees that its points are missing; where renaming is not allowed it stays and is still
    named.
    """
    whole, count = 0, 0
    findings: list[Finding] = []
    bad: list[tuple[Place, Path, str, str]] = []
    for path, place in _files(Path(cache.root)):
        if place is not None and SEGMENT.fullmatch(path.name) and not path.is_symlink():
            try:
                count += len(read_whole(path, place))
                whole += 1
            except FileNotFoundError:
                continue  # compacted or removed meanwhile
            except segment.SegmentError as error:
                bad.append((place, path, error.kind, error.reason))
                cache.leave_out(place, path.name, str(error))
        else:
            other = _other(path, place)
            findings += [] if other is None else [other]
    for where, path, kind, reason in bad:
        keys = _keys_held(path)
        lost = 0 if keys is None else int((cache.present(*where).find(keys) < 0).sum())
        findings.append(Finding(path, kind, reason, keys, lost))
        if set_aside and (kind == "damaged" or keys is not None):
            with suppress(OSError):
                path.rename(path.with_name(f"{SET_ASIDE}{path.name}"))
    return Report(whole, count, sorted(findings, key=lambda finding: str(finding.path)))


def _keys_held(path: Path) -> np.ndarray | None:
    try:
        return segment.read_keys(path, tail=False)[0]
    except (OSError, segment.SegmentError):
        return None


def _files(root: Path) -> Iterator[tuple[Path, Place | None]]:
    """Every file under the root, with the place its folder stands for."""
    for folder, _folders, names in os.walk(root):
        parts = Path(folder).relative_to(root).parts
        match = FOLDER.fullmatch(parts[2]) if len(parts) == 3 else None
        place = (parts[0], parts[1], int(match[1])) if match else None
        for name in sorted(names):
            if parts or name != IDENTITY:
                yield Path(folder) / name, place


def _other(path: Path, place: Place | None) -> Finding | None:
    """What a file without a segment's name is; None for the temporary file of a living writer."""
    if place is not None and path.name.startswith(SET_ASIDE):
        return Finding(path, "set aside", "found damaged before; gc removes it when told so")
    match = SEGMENT.fullmatch(path.name.removeprefix(TEMPORARY))
    if place is None or match is None or not path.name.startswith(TEMPORARY):
        return Finding(path, "foreign", "not a file of the cache")
    try:
        # A date in the future says as little about a living writer as one long past.
        age = abs(time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return None
    if match[2] == host() and not _alive(int(match[3])):
        return Finding(path, "orphan", "its writer was killed before the file was whole")
    if age > ABANDONED:
        return Finding(path, "orphan", f"a write that was not finished in {ABANDONED / 3600:g} h")
    return None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


# -- gc ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Removed:
    """What `gc` cleared away."""

    paths: list[Path]
    bytes: int


def gc(cache: Cache, *, damaged: bool = False) -> Removed:
    """Remove orphaned temporary files, and files that `verify` set aside if `damaged`."""
    kinds = {"orphan", "set aside"} if damaged else {"orphan"}
    paths, freed = [], 0
    for path, place in list(_files(Path(cache.root))):
        if place is not None and SEGMENT.fullmatch(path.name):
            continue
        finding = _other(path, place)
        if finding is not None and finding.kind in kinds:
            with suppress(FileNotFoundError):
                size = path.stat().st_size
                path.unlink()
                paths.append(path)
                freed += size
    return Removed(paths, freed)

"""Moving results between caches: one tar file of whole segments, out and in.

Nothing from an archive is unpickled or extracted by its own name: members must be named like
segments of the cache, are checked against their digest, and enter as rows through the ordinary way
of writing.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from phasesweep.cache import segment
from phasesweep.cache.derive import derived_keys
from phasesweep.cache.files import (
    ROUNDS,
    SEGMENT,
    TEMPORARY,
    list_segments,
    read_bytes,
    sync_folder,
)
from phasesweep.cache.index import winners
from phasesweep.cache.keys import sortable
from phasesweep.cache.rows import NAME, CacheError, Rows, concat
from phasesweep.cache.store import FOLDER, Cache, Place
from solvers.contract import Status

MEMBER = re.compile(rf"({NAME.pattern})/({NAME.pattern})/{FOLDER.pattern}/({SEGMENT.pattern})")
CHUNK = 50_000  # rows compared and written at a time


@dataclass
class Exported:
    """What `export` wrote."""

    path: Path
    segments: int = 0
    rows: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    """Files left out."""


def export(
    cache: Cache, path: Path, *, system: str | None = None, method: str | None = None
) -> Exported:
    """Write all segments, or those of a system or method, to one new tar file."""
    path = Path(path)
    places = [p for p in cache.places() if system in (None, p[0]) and method in (None, p[1])]
    if not places:
        asked = " ".join(name for name in (system, method) if name) or "anything"
        raise CacheError(f"the cache {cache.root} holds nothing of {asked}")
    if path.exists():
        raise CacheError(f"{path} exists already; give another name")
    done = Exported(path)
    temporary = path.with_name(f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for place in places:
                    _export_place(cache, place, archive, done)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        sync_folder(path.resolve().parent)
    except OSError as error:
        raise CacheError(f"{path} could not be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
    return done


def _export_place(cache: Cache, place: Place, archive: tarfile.TarFile, done: Exported) -> None:
    folder = cache.folder(*place)
    written: set[str] = set()
    for _ in range(ROUNDS):
        vanished = False
        for name, _size, _date in list_segments(folder):
            if name in written:
                continue
            try:
                data = read_bytes(folder / name)
                segment.check_digest(data)
                rows, _about = segment.decode(data, place=place)
            except FileNotFoundError:
                vanished = True
                continue
            except segment.SegmentError as error:
                done.damaged[str(folder / name)] = str(error)
                continue
            member = tarfile.TarInfo(f"{place[0]}/{place[1]}/v{place[2]}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
            written.add(name)
            done.segments += 1
            done.rows += len(rows)
        if not vanished:
            return
    raise CacheError(f"files in {folder} keep vanishing while they are read; try again")


@dataclass
class Imported:
    """What `import_` took in."""

    rows: int = 0
    """New points."""
    known: int = 0
    """Points that were here already with the same numbers, or that had failed there."""
    conflicts: list[tuple[Place, bytes, str]] = field(default_factory=list)
    """Points whose numbers differ: what was here stays, nothing of the key is taken in."""
    damaged: dict[str, str] = field(default_factory=dict)
    """Members of the archive that were not whole."""
    strange: list[tuple[Place, bytes]] = field(default_factory=list)
    """Keys that do not belong to the parameters they came with: not taken in."""


def import_(
    cache: Cache, path: Path, *, rtol: float = 1e-6, atol: float = 1e-12, check_keys: bool = True
) -> Imported:
    """Take in the points of an archive that this cache lacks, or holds as failed only.

    A point on both sides must agree: equal status, words, flags and integers, and real observables
    within `atol + rtol * size`, NaN equal to NaN. An archive with any unexpected member is refused
    before anything is written. Keys are made again from the parameters, and rows with another key
    are left out, unless `check_keys` is off.
    """
    done = Imported()
    try:
        with tarfile.open(path, mode="r:") as archive:
            members = archive.getmembers()
            for member in members:
                if not member.isreg() or not MEMBER.fullmatch(member.name):
                    raise CacheError(
                        f"{path} holds {member.name!r}, which is no segment of a cache; "
                        "nothing was imported: give a file that `phasesweep cache export` wrote"
                    )
            for place, rows in _chunks(archive, members, done):
                for block in concat(rows):
                    block = _own(block, place, done) if check_keys else block
                    _take_in(cache, place, block, rtol, atol, done)
    except FileNotFoundError:
        raise CacheError(f"there is no file {path}") from None
    except (tarfile.TarError, EOFError) as error:
        raise CacheError(
            f"{path} is not an archive that `phasesweep cache export` wrote ({error})"
        ) from None
    except OSError as error:
        raise CacheError(f"{path} cannot be read ({error.strerror or error})") from error
    return done


def _chunks(
    archive: tarfile.TarFile, members: list[tarfile.TarInfo], done: Imported
) -> Iterator[tuple[Place, list[Rows]]]:
    """Rows of the archive, one place and about `CHUNK` rows at a time."""
    waiting: list[Rows] = []
    before: Place | None = None
    for member in sorted(members, key=lambda item: item.name):
        match = MEMBER.fullmatch(member.name)
        file = archive.extractfile(member)
        if match is None or file is None:
            continue
        place = (match[1], match[2], int(match[3]))
        if before is not None and (place != before or sum(map(len, waiting)) >= CHUNK):
            yield before, waiting
            waiting = []
        before = place
        data = file.read()
        try:
            segment.check_digest(data)
            waiting.append(segment.decode(data, place=place)[0])
        except segment.SegmentError as error:
            done.damaged[member.name] = str(error)
    if before is not None:
        yield before, waiting


def _own(rows: Rows, place: Place, done: Imported) -> Rows:
    """The rows whose keys belong to their parameters; the others are told."""
    wrong = np.any(derived_keys(rows) != rows.keys, axis=1)
    done.strange += [(place, key.tobytes()) for key in rows.keys[wrong]]
    return rows.take(np.flatnonzero(~wrong)) if wrong.any() else rows


def _take_in(
    cache: Cache, place: Place, rows: Rows, rtol: float, atol: float, done: Imported
) -> None:
    """Write those of the rows that are new here; count the known; report the contradictory."""
    if not len(rows):
        return
    order = winners(sortable(rows.keys), rows.status)
    incoming = rows.take(order)
    contradicted = np.zeros(len(incoming), dtype=bool)
    if len(order) < len(rows):
        # Repeated within the archive: every row that did not fail must agree with the one kept.
        others = np.setdiff1d(np.flatnonzero(rows.status != Status.FAILED), order)
        at = np.searchsorted(sortable(incoming.keys), sortable(rows.keys[others]))
        wrong = (
            at[differ(rows.take(others), incoming.take(at), rtol=rtol, atol=atol)]
            if len(others)
            else at
        )
        contradicted[wrong] = True
        for number in np.unique(wrong):
            done.conflicts.append((place, incoming.keys[number].tobytes(), "twice in the archive"))
    present = cache.present(*place)
    status = present.status_of(incoming.keys)
    here = (status >= 0) & (status != Status.FAILED)
    both = here & (incoming.status != Status.FAILED) & ~contradicted
    clash = np.zeros(len(incoming), dtype=bool)
    if both.any():
        found = np.zeros(len(incoming), dtype=bool)
        for block in cache.blocks(*place, incoming.keys[both]):
            at = np.searchsorted(sortable(incoming.keys), sortable(block.keys))
            found[at] = True
            clash[at] = differ(incoming.take(at), block, rtol=rtol, atol=atol)
        here &= found | ~both  # what proved unreadable here is taken in
    for number in np.flatnonzero(clash):
        done.conflicts.append((place, incoming.keys[number].tobytes(), "other numbers here"))
    fresh = (
        ~contradicted
        & ~clash
        & ~here
        & ((status != Status.FAILED) | (incoming.status != Status.FAILED))
    )
    done.known += int((~fresh & ~contradicted & ~clash).sum())
    if fresh.any():
        cache.write_segment(incoming.take(fresh))
        done.rows += int(fresh.sum())


def differ(left: Rows, right: Rows, *, rtol: float, atol: float) -> np.ndarray:
    """Which of two aligned sets of rows give different answers: (points,) bool."""
    apart = left.status != right.status
    same_labels = {n: tuple(w) for n, w in left.labels.items()} == {
        n: tuple(w) for n, w in right.labels.items()
    }
    if set(left.observables) != set(right.observables) or not same_labels:
        return np.ones(len(left), dtype=bool)
    for name, one in left.observables.items():
        two = right.observables[name]
        if one.shape != two.shape or one.dtype != two.dtype:
            return np.ones(len(left), dtype=bool)
        if one.dtype == np.float64:
            with np.errstate(invalid="ignore", over="ignore"):
                near = np.abs(one - two) <= atol + rtol * np.maximum(np.abs(one), np.abs(two))
                # An infinite number is as large as its tolerance: only equality will do.
                near &= np.isfinite(one) & np.isfinite(two)
            equal = near | (one == two) | (np.isnan(one) & np.isnan(two))
        else:
            equal = one == two
        apart = apart | ~equal.reshape(len(left), -1).all(axis=1)
    return apart

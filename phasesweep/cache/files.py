"""Files of the cache: names, listing, reading, and writing that is whole or not there at all."""

from __future__ import annotations

import errno
import os
import re
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np

from phasesweep.cache import segment
from phasesweep.cache.rows import CacheError

SUFFIX = ".zarr.zip"
SEGMENT = re.compile(r"(\d{8}T\d{6}\.\d{6}Z)-([a-z0-9_]+)-(\d+)-[0-9a-f]{16}\.zarr\.zip")
TEMPORARY = ".tmp-"
SET_ASIDE = ".damaged-"
STAMP = "%Y%m%dT%H%M%S.%fZ"
ROUNDS = 50  # a reader that still meets vanishing files after so many listings says so

Entry = tuple[str, int, int]
"""A segment as listed: name, size, date."""
Head = tuple[np.ndarray, np.ndarray] | str
"""Keys and status of a segment, or why it is not to be read."""


@cache
def host() -> str:
    """Name of this machine, as it stands in file names."""
    return re.sub(r"[^a-z0-9]+", "_", socket.gethostname().lower())[:40].strip("_") or "host"


def place_file(folder: Path, name: str, data: bytes) -> Path:
    """Write a file under a temporary name, fsync it, rename it, fsync the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{TEMPORARY}{name}"
    try:
        with temporary.open("xb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        temporary.rename(folder / name)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(folder)
    return folder / name


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems do not know fsync of a folder; their renames are synchronous.
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def list_segments(folder: Path) -> tuple[Entry, ...]:
    """(name, size, date) of each segment of a folder, sorted by name.

    A folder is not listed in one instant: a merged segment may appear behind the reader's place
    while its parts disappear ahead of it, and both would be missed. Every such part was there in
    an earlier listing, or its successor is there in a later one: list until nothing seen before is
    gone.
    """
    try:
        seen = {path.name for path in folder.iterdir() if SEGMENT.fullmatch(path.name)}
        for _ in range(ROUNDS):
            found = {}
            with os.scandir(folder) as scan:
                for entry in scan:
                    if SEGMENT.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        with suppress(FileNotFoundError):
                            about = entry.stat(follow_symlinks=False)
                            found[entry.name] = (entry.name, about.st_size, about.st_mtime_ns)
                    else:
                        seen.discard(entry.name)
            if seen <= found.keys():
                return tuple(sorted(found.values()))
            seen = set(found)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise CacheError(f"{folder} cannot be listed ({error.strerror})") from error
    raise CacheError(f"files in {folder} keep vanishing while they are listed; try again")


def read_bytes(path: Path) -> bytes:
    """A whole file; FileNotFoundError if it vanished, SegmentError if the disk will not give it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise _reading_failed(error) from error


def _reading_failed(error: OSError) -> Exception:
    if error.errno in (errno.ENOENT, errno.ESTALE):
        return FileNotFoundError(error.errno, error.strerror)
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        return CacheError(f"the cache cannot be read ({error.strerror})")
    return segment.SegmentError("damaged", f"it cannot be read ({error.strerror})")


def read_head(path: Path) -> Head:
    """Keys and status, or the reason why they cannot be had; FileNotFoundError if it vanished."""
    try:
        return segment.read_keys(path)
    except segment.SegmentError as error:
        return str(error)
    except OSError as error:
        reason = _reading_failed(error)
        if isinstance(reason, segment.SegmentError):
            return str(reason)
        raise reason from error

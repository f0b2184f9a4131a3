"""Which keys a method has: the heads of its segments merged into one sorted table, or searched.

`merge` holds every key in memory; `locate` looks through one head after the other for the keys
that are asked for, so that its memory does not grow with what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from phasesweep.cache.files import Entry, Head
from phasesweep.cache.keys import Ascending, find, order, sortable
from phasesweep.cache.rows import KEY_BYTES
from solvers.contract import Status

BUNDLE_ROWS = 2**16


@dataclass(frozen=True)
class Present(Mapping[bytes, int]):
    """The keys that the cache holds with their status; also a mapping from key bytes to status."""

    sorted_keys: np.ndarray
    """(points,) 16-byte strings, increasing."""
    status: np.ndarray
    """(points,) int8."""
    segment: np.ndarray
    """(points,) which of `names` holds the row that counts."""
    row: np.ndarray
    """(points,) its position there."""
    names: tuple[str, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Files that were left out, each with the reason."""
    repeated: int = 0
    """Rows that do not count because another row has their key."""

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Position of each key ((points, 16) uint8) in `sorted_keys`, -1 where it is missing."""
        return find(self.sorted_keys, sortable(keys))

    def status_of(self, keys: np.ndarray) -> np.ndarray:
        """Status of each key ((points, 16) uint8), -1 where it is missing."""
        place = self.find(keys)
        if not len(self.status):
            return place.astype(np.int8)
        return np.where(place < 0, np.int8(-1), self.status[place])

    def __len__(self) -> int:
        """Number of points."""
        return len(self.sorted_keys)

    def __iter__(self) -> Iterator[bytes]:
        """The keys, increasing."""
        data = self.sorted_keys.tobytes()
        return (data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES))

    def __getitem__(self, key: bytes) -> int:
        """Status of a key; KeyError where it is missing."""
        status = (
            int(self.status_of(np.frombuffer(key, dtype=np.uint8))[0])
            if len(key) == KEY_BYTES
            else -1
        )
        if status < 0:
            raise KeyError(key)
        return status


def merge(heads: Mapping[Entry, Head]) -> Present:
    """One row per key: not failed before failed, then the last in the order of file names."""
    names: list[str] = []
    keys, status, damaged = [], [], {}
    for (name, _size, _date), head in heads.items():
        if isinstance(head, str):
            damaged[name] = head
        else:
            names.append(name)
            keys.append(head[0])
            status.append(head[1])
    if not names:
        nothing = np.empty(0, dtype=np.int32)
        return Present(
            np.empty(0, dtype=f"S{KEY_BYTES}"),
            nothing.astype(np.int8),
            nothing,
            nothing,
            (),
            damaged,
        )
    lengths = [len(key) for key in keys]
    every, state = sortable(np.concatenate(keys)), np.concatenate(status)
    file = np.repeat(np.arange(len(names), dtype=np.int32), lengths)
    row = np.concatenate([np.arange(length, dtype=np.int32) for length in lengths])
    kept = winners(every, state)
    return Present(
        every[kept],
        state[kept],
        file[kept],
        row[kept],
        tuple(names),
        damaged,
        len(every) - len(kept),
    )


def winners(keys: np.ndarray, status: np.ndarray) -> np.ndarray:
    """Position of the row that counts for each distinct key, in order of the keys.

    Among rows of one key, the last that did not fail, else the last. `keys` as `sortable` gives
    them.
    """
    # Failed rows first, then a stable sort: the last of each run of equal keys is the one.
    failed = status == Status.FAILED
    first = np.concatenate([np.flatnonzero(failed), np.flatnonzero(~failed)])
    ranked = first[order(keys[first])] if failed.any() else order(keys)
    run = keys[ranked]
    last = np.ones(len(ranked), dtype=bool)
    last[:-1] = run[1:] != run[:-1]
    return ranked[last]


@dataclass(frozen=True)
class Located:
    """Where the asked keys stand: the row that counts of each."""

    status: np.ndarray
    """(asked,) int8, -1 where a key is missing."""
    segment: np.ndarray
    """(asked,) which of `names` holds the row."""
    row: np.ndarray
    """(asked,) its position there."""
    names: tuple[str, ...] = ()
    damaged: Mapping[str, str] = field(default_factory=dict)
    """Files that were left out, each with the reason."""


def locate(asked: Ascending, names: Iterable[str], read: Callable[[str], Head]) -> Located:
    """Search heads in the order of file names, by the rule of `winners`."""
    segment, row = (np.zeros(len(asked), dtype=np.int32) for _ in range(2))
    found = Located(np.full(len(asked), -1, dtype=np.int8), segment, row)
    sound: list[str] = []
    damaged: dict[str, str] = {}
    # Small heads are searched together: a search costs as much as reading one of them.
    bundle: list[tuple[np.ndarray, np.ndarray]] = []
    waiting = 0
    for name in names:
        head = read(name)
        if isinstance(head, str):
            damaged[name] = head
            continue
        sound.append(name)
        bundle.append(head)
        waiting += len(head[0])
        if waiting >= BUNDLE_ROWS:
            _search(asked, bundle, len(sound) - len(bundle), found)
            bundle, waiting = [], 0
    if bundle:
        _search(asked, bundle, len(sound) - len(bundle), found)
    return replace(found, names=tuple(sound), damaged=damaged)


def _search(
    asked: Ascending, heads: list[tuple[np.ndarray, np.ndarray]], number: int, found: Located
) -> None:
    """Enter in `found` what stands in these heads, the first of which is segment `number`."""
    lengths = np.array([len(status) for _, status in heads])
    place = asked.find(sortable(np.concatenate([keys for keys, _ in heads])))
    held = np.flatnonzero(place >= 0)
    here, place = np.concatenate([status for _, status in heads])[held], place[held]
    file = np.repeat(np.arange(len(heads)), lengths)[held]
    row = held - (np.cumsum(lengths) - lengths)[file]
    # A row that did not fail wins, then the later one; within a file as among files.
    for failed in (True, False):
        chosen = (here == Status.FAILED) == failed
        if failed:
            earlier = found.status[place]
            chosen &= (earlier < 0) | (earlier == Status.FAILED)
        at = place[chosen]
        found.status[at], found.row[at] = here[chosen], row[chosen]
        found.segment[at] = file[chosen] + number

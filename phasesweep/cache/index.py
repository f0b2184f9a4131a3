"""Which keys a method has: the heads of its segments merged into one sorted table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from phasesweep.cache.files import Entry, Head
from phasesweep.cache.rows import KEY_BYTES
from solvers.contract import Status


def sortable(keys: np.ndarray) -> np.ndarray:
    """(points, 16) uint8 as one comparable 16-byte column."""
    return (
        np.ascontiguousarray(keys, dtype=np.uint8)
        .reshape(-1, KEY_BYTES)
        .view(f"S{KEY_BYTES}")
        .reshape(-1)
    )


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
        wanted = sortable(keys)
        if not len(self.sorted_keys) or not len(wanted):
            return np.full(len(wanted), -1, dtype=np.int64)
        # Sorted look-ups walk through memory once: five times faster at a million keys.
        order = np.argsort(wanted, kind="stable")
        place = np.empty(len(wanted), dtype=np.int64)
        place[order] = np.searchsorted(self.sorted_keys, wanted[order])
        place = np.minimum(place, len(self.sorted_keys) - 1)
        return np.where(self.sorted_keys[place] == wanted, place, -1)

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
    order = first[np.argsort(keys[first] if failed.any() else keys, kind="stable")]
    run = keys[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = run[1:] != run[:-1]
    return order[last]

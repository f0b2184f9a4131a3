"""BLAKE2b of many rows that begin alike: the digests of `hashlib`, a million in under a second.

`hashlib` costs a microsecond a row, most of it Python's. Above `FEW` rows the same function is
compiled (RFC 7693, section 3: unkeyed, `SIZE` bytes of digest); tests compare the two.
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from typing import Any

import numpy as np

SIZE = 16
"""Bytes of a digest."""
FEW = 20_000
"""Up to here hashlib is faster than importing the compiler."""


def digests(prefix: bytes, rows: np.ndarray) -> np.ndarray:
    """(n, SIZE) uint8: BLAKE2b of `prefix` followed by each row of `rows`, (n, width) uint8."""
    rows = np.ascontiguousarray(rows, dtype=np.uint8)
    if len(rows) <= FEW or sys.byteorder != "little":
        return _by_hashlib(prefix, rows)
    from phasesweep.blake import compress_rows

    return compress_rows(np.frombuffer(prefix, np.uint8), rows, SIZE)


def _by_hashlib(prefix: bytes, rows: np.ndarray) -> np.ndarray:
    seeded = blake2b(prefix, digest_size=SIZE)
    data, width = memoryview(rows.tobytes()), rows.shape[1]

    def one(start: int) -> Any:
        row = seeded.copy()
        row.update(data[start : start + width])
        return row.digest()

    found = b"".join(one(at * width) for at in range(len(rows)))
    return np.frombuffer(found, np.uint8).reshape(-1, SIZE)

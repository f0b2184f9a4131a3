"""The key that parameters have, from the stored columns alone.

As `grid.Points.key_table` makes it, without knowing the system: the type of a column says what kind
of axis it was. An archive from another machine may claim any key for any numbers; this tells.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numpy as np

from phasesweep.cache.rows import KEY_BYTES, Coded, Column, Rows
from phasesweep.hashing import digests


def derived_keys(rows: Rows) -> np.ndarray:
    """(points, 16) uint8: the keys that belong to the parameters of the rows."""
    parts = [_digests(axis, rows.parameters[axis]) for axis in sorted(rows.parameters)]
    if not parts:
        parts = [np.empty((len(rows), 0), np.uint8)]
    prefix = f"{rows.system}/{rows.method}/v{rows.version}/".encode()
    return digests(prefix, np.concatenate(parts, axis=1))


def _digests(axis: str, column: Column) -> np.ndarray:
    if isinstance(column, Coded):
        values, inverse = column.values, column.codes
    else:
        distinct, inverse = np.unique(column, return_inverse=True)
        values = distinct.tolist()
    table = b"".join(
        blake2b(f"{axis}={_text(value)}".encode(), digest_size=KEY_BYTES).digest()
        for value in values
    )
    return np.frombuffer(table, np.uint8).reshape(-1, KEY_BYTES)[inverse]


def _text(value: Any) -> str:
    """A canonical value as its axis writes it (`solvers.axes`)."""
    if isinstance(value, tuple):
        return ",".join(f"{item:.11e}" for item in value)
    return f"{value:.11e}" if isinstance(value, float) else str(value)

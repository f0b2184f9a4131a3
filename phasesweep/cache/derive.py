"""The key that parameters have, from the stored columns alone.

As `grid.Points.key_table` makes it, without knowing the system: the type of a column says what kind
of axis it was. An archive from another machine may claim any key for any numbers; this tells.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from phasesweep.cache.keys import digest_table
from phasesweep.cache.rows import KEY_BYTES, Coded, Column, Rows


def derived_keys(rows: Rows) -> np.ndarray:
    """(points, 16) uint8: the keys that belong to the parameters of the rows."""
    prefix = f"{rows.system}/{rows.method}/v{rows.version}/"
    table = np.empty((len(rows), KEY_BYTES // 8), np.uint64)
    table[:] = digest_table([prefix])
    for axis, column in rows.parameters.items():
        table ^= _digests(f"{prefix}{axis}=", column)
    return table.view(np.uint8)


def _digests(begins: str, column: Column) -> np.ndarray:
    if isinstance(column, Coded):
        values, inverse = column.values, column.codes
    else:
        distinct, inverse = np.unique(column, return_inverse=True)
        values = distinct.tolist()
    return digest_table(f"{begins}{_text(value)}" for value in values)[inverse]


def _text(value: Any) -> str:
    """A canonical value as its axis writes it (`solvers.axes`)."""
    if isinstance(value, tuple):
        return ",".join(f"{item:.11e}" for item in value)
    return f"{value:.11e}" if isinstance(value, float) else str(value)

"""Inner products of rows, kept while the set of rows changes little from step to step."""

from __future__ import annotations

from typing import Any

import numpy as np


class Gram:
    """X_J X_J^T for sets J of fewer rows than X has columns.

    A set costs one product of its new rows with all of its rows; rows that have left are forgotten
    when they are a third of what is kept.
    """

    def __init__(self, *, inputs: Any, xp: Any) -> None:
        self._inputs, self._xp = inputs, xp
        self._members = np.zeros(0, dtype=np.int64)
        self._kept = xp.zeros((0, 0), dtype=inputs.dtype)

    def of(self, rows: np.ndarray) -> Any:
        """X_J X_J^T for the row numbers J (increasing)."""
        xp = self._xp
        known = np.isin(rows, self._members, assume_unique=True)
        fresh, old = rows[~known], len(self._members)
        if old + len(fresh) > 1.5 * len(rows):
            keep = np.flatnonzero(np.isin(self._members, rows, assume_unique=True))
            self._kept, self._members = self._part(keep), self._members[keep]
            old = len(keep)
        if len(fresh):
            members = np.concatenate([self._members, fresh])
            size = len(members)
            grown = xp.zeros((size, size), dtype=self._inputs.dtype)
            grown[:old, :old] = self._kept
            new = xp.take(self._inputs, xp.asarray(fresh), axis=0)
            grown[old:, old:] = new @ new.T
            for start in range(0, old, 1024):  # so that not all rows are copied at once
                stop = min(start + 1024, old)
                held = xp.take(self._inputs, xp.asarray(members[start:stop]), axis=0)
                grown[old:, start:stop] = new @ held.T
                grown[start:stop, old:] = grown[old:, start:stop].T
            self._members, self._kept = members, grown
        order = np.argsort(self._members, kind="stable")
        return self._part(order[np.searchsorted(self._members[order], rows)])

    def _part(self, at: np.ndarray) -> Any:
        index = self._xp.asarray(at)
        return self._xp.take(self._xp.take(self._kept, index, axis=0), index, axis=1)

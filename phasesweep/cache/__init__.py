"""The store of results: which points exist, immutable segments, and their upkeep.

`rows` are the columns that go in and come out, `segment` is one file, `store` finds, reads and
writes them (`files` does so safely), `index` says which keys there are, `maintenance` verifies and
cleans, `compact` merges, `exchange` exports and imports.
"""

from phasesweep.cache.index import Present
from phasesweep.cache.rows import CacheError, Coded, Rows, concat
from phasesweep.cache.store import Cache, Found

__all__ = ["Cache", "CacheError", "Coded", "Found", "Present", "Rows", "concat"]

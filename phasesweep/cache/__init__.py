"""The store of results: which points exist, immutable segments, and their upkeep.

`rows` are the columns that go in and come out, `segment` is one file, `store` finds, reads and
writes them (`files` does so safely), `provenance` says where a row comes from, `maintenance`
verifies and cleans, `compact` merges, `exchange` exports and imports.
"""

from phasesweep.cache.index import Present
from phasesweep.cache.provenance import provenance
from phasesweep.cache.rows import CacheError, Coded, Rows, concat
from phasesweep.cache.store import Cache, Found

__all__ = ["Cache", "CacheError", "Coded", "Found", "Present", "Rows", "concat", "provenance"]

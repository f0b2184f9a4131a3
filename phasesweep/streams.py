"""One stream of the device for every thread of a worker: what several threads ask is done together.

A device that one computation does not fill works on others beside it, if they come through other
streams. A stream of CuPy also has its own part of the memory pool, which keeps what was freed for
the next of its computations; when an allocation fails, CuPy frees what all streams keep, which
makes all of them wait, so a thread gives back its own before it comes to that.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

KEPT = 0.5
"""Part of the promised memory that all streams may hold before a thread gives back what it kept."""

_own = threading.local()


@contextmanager
def own_stream(memory: float) -> Iterator[None]:
    """Compute in this thread's stream of the device; all of it is done when the block is left.

    `memory`: bytes of the device that batches were promised.
    """
    import cupy

    stream = getattr(_own, "stream", None)
    if stream is None:
        # The default stream waits for all others, and they for it, unless they are non-blocking.
        stream = _own.stream = cupy.cuda.Stream(non_blocking=True)
    pool = cupy.get_default_memory_pool()
    with stream:
        try:
            yield
        finally:
            stream.synchronize()
            if pool.total_bytes() > KEPT * memory:
                pool.free_all_blocks(stream=stream)

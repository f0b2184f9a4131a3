"""Eight writers on one cache at once, with overlapping work: no row lost, none contradictory."""

from __future__ import annotations

import os
from collections import defaultdict

import numpy as np

from phasesweep.api import solve_points
from phasesweep.cache import Cache
from phasesweep.cache.exchange import differ
from phasesweep.cache.files import list_segments
from phasesweep.cache.store import read_whole
from tests.faults.counts import counted, times

WRITERS = 8
ROUNDS = times("writers", short=1, long=20)
SEEDS = 60


def write(cache: Cache, number: int) -> None:
    """Seeds [20 k, 20 k + 60) for writer k: every seed but the outermost belongs to three."""
    for start in range(20 * number, 20 * number + SEEDS, 10):
        axes = {"dimension": [16, 64], "seed": list(range(start, start + 10)), "alpha": [0.9, 1.1]}
        solve_points("toy", "measure", axes, cache)
        if start % 40 == 0:
            cache.compact()


def fork(cache: Cache) -> None:
    """Eight processes that write at once."""
    children = []
    for number in range(WRITERS):
        children.append(os.fork())
        if not children[-1]:
            status = 1
            try:
                write(Cache(cache.root), number)
                status = 0
            finally:
                os._exit(status)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * WRITERS


def test_eight_writers_with_overlapping_work(tmp_path):
    rows_seen = 0
    for round_ in range(ROUNDS):
        cache = Cache(tmp_path / f"cache{round_}")
        # Fresh interpreters in the state of this one: what is forked has no threads of Dask.
        fork(cache)
        place = ("toy", "measure", 1)
        present = cache.present(*place)
        seeds = 20 * (WRITERS - 1) + SEEDS
        assert len(present) == seeds * 2 * 2
        assert (present.status == 0).all()
        alone = Cache(tmp_path / f"alone{round_}")
        axes = {"dimension": [16, 64], "seed": {"count": seeds}, "alpha": [0.9, 1.1]}
        asked, [reference], _ = solve_points("toy", "measure", axes, alone)
        assert (present.find(asked.key_table) >= 0).all()
        # Every row of every file, not only those that count, says what one writer alone says.
        where = {key.tobytes(): i for i, key in enumerate(reference.keys)}
        repeated: dict[bytes, int] = defaultdict(int)
        for name, _size, _date in list_segments(cache.folder(*place)):
            rows = read_whole(cache.folder(*place) / name, place)
            at = np.array([where[key.tobytes()] for key in rows.keys])
            assert not differ(rows, reference.take(at), rtol=0, atol=0).any()
            for key in rows.keys:
                repeated[key.tobytes()] += 1
        assert cache.verify().findings == []
        rows_seen += sum(repeated.values())
    counted("rows of eight writers at once", rows_seen)

"""Columns of keys: sorting, finding, distinct keys."""

from __future__ import annotations

import numpy as np
import pytest

from phasesweep.cache import index
from phasesweep.cache.keys import Ascending, distinct, find, leading, order, sortable
from solvers.contract import Status


def random_keys(count, *, alike=False, seed=0):
    """Keys of which some repeat; `alike`: all begin with one of three 8-byte words."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 256, size=(count, 16), dtype=np.uint8)
    if alike:
        keys[:, :8] = rng.integers(0, 3, size=(count, 1), dtype=np.uint8)
    keys[count // 2 : count // 2 + count // 4] = keys[: count // 4]
    return keys


@pytest.mark.parametrize("alike", [False, True])
def test_order_is_that_of_a_stable_sort(alike):
    keys = sortable(random_keys(4000, alike=alike))
    np.testing.assert_array_equal(order(keys), np.argsort(keys, kind="stable"))
    numbers = leading(keys[order(keys)])
    assert np.all(numbers[1:] >= numbers[:-1])


@pytest.mark.parametrize("alike", [False, True])
def test_find_is_a_dictionary(alike):
    keys = random_keys(3000, alike=alike)
    held = np.unique(sortable(keys[:1500]))
    places = {bytes(key): at for at, key in enumerate(held.tolist())}
    wanted = sortable(keys)
    expected = [places.get(key, -1) for key in wanted.tolist()]
    np.testing.assert_array_equal(find(held, wanted), expected)
    assert min(expected) == -1
    assert len(find(held, wanted[:0])) == 0
    np.testing.assert_array_equal(find(held[:0], wanted[:3]), [-1, -1, -1])


@pytest.mark.parametrize("alike", [False, True])
def test_distinct_keeps_the_first_of_each_key(alike):
    keys = random_keys(2000, alike=alike)
    first: dict[bytes, int] = {}
    for at, key in enumerate(keys):
        first.setdefault(key.tobytes(), at)
    expected = [first[key] for key in sorted(first)]
    np.testing.assert_array_equal(distinct(sortable(keys)), expected)
    assert len(distinct(sortable(keys[:0]))) == 0


@pytest.mark.parametrize("bundle", [1, 50, 10**6])
def test_locate_finds_the_rows_that_merge_chooses(bundle, monkeypatch):
    """Heads with keys in common, failures among them, searched one by one and together."""
    monkeypatch.setattr(index, "BUNDLE_ROWS", bundle)
    rng = np.random.default_rng(bundle)
    pool = random_keys(60)
    heads = {}
    for number in range(30):
        length = int(rng.integers(1, 12))
        status = rng.choice([Status.CONVERGED, Status.MAX_STEPS, Status.FAILED], length)
        heads[(f"{number:02}", 0, 0)] = (pool[rng.integers(0, 50, length)], status.astype(np.int8))
    heads[("17", 0, 0)] = "cut short"
    merged = index.merge(heads)
    asked = Ascending(sortable(pool)[distinct(sortable(pool))])
    by_name = {name: head for (name, *_), head in heads.items()}
    found = index.locate(asked, by_name, by_name.__getitem__)
    np.testing.assert_array_equal(found.status, merged.status_of(asked.keys.view(np.uint8)))
    held = found.status >= 0
    place = merged.find(asked.keys[held].view(np.uint8))
    np.testing.assert_array_equal(found.row[held], merged.row[place])
    np.testing.assert_array_equal(found.segment[held], merged.segment[place])
    assert found.names == merged.names
    assert found.damaged == merged.damaged == {"17": "cut short"}
    assert 0 < held.sum() < len(held)

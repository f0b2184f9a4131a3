"""Columns of keys: sorting, finding, distinct keys."""

from __future__ import annotations

import numpy as np
import pytest

from phasesweep.cache.keys import distinct, find, leading, order, sortable


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

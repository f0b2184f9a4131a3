"""Products in lockstep: against the library, to the last bit of every column, and elsewhere."""

from __future__ import annotations

import array_api_compat.numpy as anp
import numpy as np
import pytest

from solvers.numerics import lockstep
from tests.namespaces import elsewhere

ROWS = np.array([7, 1920, 0, 970, 960, 1, 1333, 1919, 12])


def problem(dimension, dtype, rows=ROWS, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(2 * lockstep.CPU_BLOCK, dimension)).astype(dtype)
    return matrix, rng.normal(size=(dimension, len(rows))).astype(dtype)


def seen(rows, block, which):
    """Which rows of a block each column sees."""
    return np.arange(block.start, block.stop)[:, None] < rows[which]


def answer(matrix, columns, rows, xp=anp):
    """X^T tanh(X w), each column with its own prefix of rows."""

    def respond(block, which, product):
        return xp.where(xp.asarray(seen(rows, block, which)), xp.tanh(product), 0.0)

    return lockstep.read(matrix, columns, rows, respond, xp=xp)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("dimension", [1, 5, 24, 203, 1024])
def test_products_and_their_transposes_are_those_of_the_library(dimension, dtype):
    matrix, columns = problem(dimension, dtype)
    scale = np.finfo(dtype).eps * dimension
    covered = np.zeros((len(matrix), len(ROWS)), dtype=bool)
    for block, which, product in lockstep.products(matrix, columns, ROWS, xp=anp):
        exact = matrix[block].astype(float) @ columns[:, which].astype(float)
        np.testing.assert_allclose(product, exact, atol=10 * scale)
        covered[block, which] = True
    assert all(covered[: ROWS[i], i].all() for i in range(len(ROWS)))
    got = answer(matrix, columns, ROWS)
    assert got.dtype == dtype
    for i, rows in enumerate(ROWS):
        part = matrix[:rows].astype(float)
        exact = part.T @ np.tanh(part @ columns[:, i].astype(float))
        np.testing.assert_allclose(got[:, i], exact, atol=10 * (scale + np.finfo(dtype).eps * rows))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_does_not_depend_on_the_others_to_the_last_bit(dtype):
    matrix, columns = problem(301, dtype)
    whole = answer(matrix, columns, ROWS)
    rng = np.random.default_rng(1)
    for count in (1, 2, 5, 8):
        some = rng.permutation(len(ROWS))[:count]
        np.testing.assert_array_equal(answer(matrix, columns[:, some], ROWS[some]), whole[:, some])


@pytest.mark.parametrize("columns", [1, 3])
def test_a_last_tile_need_not_be_whole(columns):
    matrix, some = problem(37, np.float64, rows=np.zeros(columns))
    short = matrix[: lockstep.TILE + 5]
    filled = np.concatenate([short, np.zeros((lockstep.TILE - 5, 37))])
    rows = np.array([29, 8, 24])[:columns]
    np.testing.assert_array_equal(answer(short, some, rows), answer(filled, some, rows))


def test_another_array_namespace_gives_the_same_numbers():
    rows = np.minimum(ROWS, 40)
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(2 * lockstep.TILE, 33))
    columns = rng.normal(size=(33, len(rows)))
    there = answer(matrix, columns, rows, xp=elsewhere())
    here = answer(matrix, columns, rows)
    np.testing.assert_allclose(there, here, atol=1e-11)


def test_no_rows_give_zeros():
    matrix, columns = problem(8, np.float64, rows=np.zeros(3, dtype=int))
    none = np.zeros(3, dtype=int)
    assert list(lockstep.products(matrix, columns, none, xp=anp)) == []
    np.testing.assert_array_equal(answer(matrix, columns, none), np.zeros((8, 3)))


def test_sums_of_a_column_do_not_depend_on_the_others():
    values = np.random.default_rng(3).normal(size=(1000, 7)).astype(np.float32)
    whole = lockstep.column_sums(values, anp)
    np.testing.assert_allclose(whole, values.astype(float).sum(axis=0), rtol=1e-12)
    for i in range(7):
        assert lockstep.column_sums(values[:, i : i + 1], anp)[0] == whole[i]
        assert lockstep.column_sums(np.asfortranarray(values), anp)[i] == whole[i]


@pytest.mark.parametrize("most", [327, 328, 329])
def test_a_block_that_ends_inside_a_tile(most, monkeypatch):
    """No block is made of the rest of a tile of which no column sees a row."""
    monkeypatch.setattr(lockstep, "GPU_BLOCK", 82)  # four of them together
    rows, xp = np.array([most, 5, 300]), elsewhere()
    matrix, columns = problem(24, np.float64, rows)
    blocks = list(lockstep.blocks(rows, *matrix.shape, xp=xp))
    assert [count for _, count in blocks] == [3, 1][: len(blocks)]
    assert [block.start for block, _ in blocks] == [0, 328][: len(blocks)]
    assert most <= blocks[-1][0].stop <= lockstep.whole_tiles(most)
    np.testing.assert_allclose(
        answer(matrix, columns, rows, xp), answer(matrix, columns, rows), atol=1e-10
    )


def test_a_tally_adds_up_blocks_of_rows():
    first, second = np.random.default_rng(4).normal(size=(2, 6, 5))
    tally = lockstep.Tally(2, 5, elsewhere())
    tally.add(np.arange(5), (first, second))
    tally.add(np.array([3, 0]), (first[:, :2], second[:, :2]))
    want = np.stack([first.sum(axis=0), second.sum(axis=0)])
    want[:, [3, 0]] += want[:, :2].copy()
    for _ in range(2):
        np.testing.assert_allclose(tally.total(), want, rtol=1e-12)

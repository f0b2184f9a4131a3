"""Products one way at a time: against the library, to the last bit of every column, elsewhere."""

import array_api_compat.numpy as anp
import numpy as np
import pytest

from solvers.numerics import lockstep
from solvers.numerics.one_way import backward, forward
from tests.namespaces import elsewhere

ROWS = np.array([7, 1400, 0, 970, 960, 1, 1333])


def problem(dtype):
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(lockstep.whole_tiles(1400), 45)).astype(dtype)
    columns = rng.normal(size=(45, len(ROWS))).astype(dtype)
    seen = np.arange(len(matrix))[:, None] < ROWS
    factors = np.where(seen, rng.normal(size=seen.shape), 0).astype(dtype)
    return matrix, columns, factors, seen


@pytest.mark.parametrize("xp", [anp, elsewhere()])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_those_of_the_library(xp, dtype):
    matrix, columns, factors, seen = problem(dtype)
    there, back = forward(matrix, columns, ROWS, xp=xp), backward(matrix, factors, ROWS, xp=xp)
    assert there.dtype == back.dtype == dtype
    exact = matrix.astype(float) @ columns.astype(float)
    scale = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(np.where(seen, there, 0), np.where(seen, exact, 0), atol=scale)
    exact = matrix.astype(float).T @ factors.astype(float)
    np.testing.assert_allclose(back, exact, atol=10 * scale)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_does_not_depend_on_the_others_to_the_last_bit(dtype):
    matrix, columns, factors, seen = problem(dtype)
    there, back = forward(matrix, columns, ROWS, xp=anp), backward(matrix, factors, ROWS, xp=anp)
    rng = np.random.default_rng(1)
    for count in (1, 2, 5):
        some = rng.permutation(len(ROWS))[:count]
        tall = lockstep.whole_tiles(int(ROWS[some].max()))
        alone = forward(matrix[:tall], columns[:, some], ROWS[some], xp=anp)
        whole = np.where(seen, there, 0)[:tall, some]
        np.testing.assert_array_equal(np.where(seen[:tall, some], alone, 0), whole)
        alone = backward(matrix[:tall], factors[:tall, some], ROWS[some], xp=anp)
        np.testing.assert_array_equal(alone, back[:, some])


def test_a_square_matrix_needs_no_whole_tiles():
    matrix = np.random.default_rng(2).normal(size=(50, 50))
    columns = np.random.default_rng(3).normal(size=(50, 3))
    answer = forward(matrix, columns, np.full(3, 50), xp=anp)
    np.testing.assert_allclose(answer, matrix @ columns, atol=1e-13)

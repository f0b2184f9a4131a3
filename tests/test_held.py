"""Products of rounded factors: the rounding itself, the library's call, CPU and device alike."""

from __future__ import annotations

import array_api_compat.numpy as anp
import numpy as np
import pytest

from solvers.numerics import lockstep
from solvers.numerics.lockstep import device
from solvers.numerics.lockstep.held import PLAIN, Held, power_of_two, round_to_tf32
from tests.blas import COMPUTE_32F, COMPUTE_32F_FAST_TF32, COMPUTE_64F, Library
from tests.namespaces import elsewhere

LOW = ["half", "tf32"]
ROWS = np.array([7, 1920, 0, 970, 960, 1, 1333, 1919, 12])
EPS = 2.0**-10


def problem(word, xp, dimension=203, seed=0):
    """A matrix in a format, its columns, of very different sizes, and the matrix as it is meant."""
    rng = np.random.default_rng(seed)
    held = Held(word, scale=0.3)
    drawn = rng.normal(size=(2 * lockstep.CPU_BLOCK, dimension)).astype(np.float32)
    columns = rng.normal(size=(dimension, len(ROWS))) * 10.0 ** np.linspace(-25, 25, len(ROWS))
    matrix = held.hold(drawn, xp)
    return held, matrix, columns.astype(np.float32), 0.3 * matrix.astype(float)


def respond_for(xp):
    """f(u) = u/|u|_max-like responses of either size, zero where a column sees no row."""

    def respond(block, which, product):
        seen = np.arange(block.start, block.stop)[:, None] < ROWS[which]
        return xp.where(xp.asarray(seen), xp.asarray(1e-20, dtype=xp.float32) * product, 0.0)

    return respond


@pytest.fixture
def library(monkeypatch):
    """A namespace whose products go through the library's call."""
    fake, other = Library(), elsewhere()
    monkeypatch.setattr(device, "_cublas", fake.blas)
    monkeypatch.setattr(device, "is_cupy_namespace", lambda xp: xp is other)
    return fake, other


# Rounding -----------------------------------------------------------------------------------------


def test_tf32_is_half_where_half_has_all_its_digits():
    rng = np.random.default_rng(0)
    size = np.exp2(rng.uniform(-14, 15.9, 200_000))
    x = (size * rng.choice([-1, 1], len(size))).astype(np.float32)
    np.testing.assert_array_equal(round_to_tf32(x, anp), x.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(
        Held("half").hold(x, anp), x.astype(np.float16).astype(np.float32)
    )


def test_ties_go_to_even_and_what_is_no_number_stays():
    ulp = np.float32(EPS)
    ties = np.array([1 + ulp / 2, 1 + 3 * ulp / 2, -1 - ulp / 2, 2 - ulp / 2], np.float32)
    np.testing.assert_array_equal(round_to_tf32(ties, anp), [1, 1 + 2 * ulp, -1, 2])
    above = np.nextafter(ties, np.float32(np.inf), dtype=np.float32)
    np.testing.assert_array_equal(round_to_tf32(above, anp), [1 + ulp, 1 + 2 * ulp, -1, 2])
    odd = np.array([0x7FFFFFFF, 0x7FC00000, 0x7F800000, -0x800000, 0x7F7FFFFF, 0], np.int64)
    odd = odd.astype(np.int32).view(np.float32)
    np.testing.assert_array_equal(
        round_to_tf32(odd, anp), [np.nan, np.nan, np.inf, -np.inf, np.inf, 0]
    )
    exact = np.float32(2.0**-126) * np.array([1, 1 + EPS, 2.0**-10], np.float32)
    np.testing.assert_array_equal(round_to_tf32(exact, anp), exact)


def test_powers_of_two():
    size = np.array([0, 1e-45, 2.0**-126, 0.99, 1, 1.99, 3e38, np.inf, np.nan], np.float32)
    want = [1, 1, 2.0**-126, 0.5, 1, 1, 2.0**127, 1, 1]
    np.testing.assert_array_equal(power_of_two(size, anp), want)


@pytest.mark.parametrize("word", LOW)
def test_a_column_keeps_its_digits_whatever_its_size(word):
    held, _, columns, _ = problem(word, anp)
    (factors,), undo = held.lower(columns.T, anp)
    assert np.all((np.max(np.abs(factors), axis=1) >= 1) & (np.max(np.abs(factors), axis=1) <= 2))
    # Below 2^-14 of the largest a half has an absolute error.
    error = np.abs(factors * undo[:, None] / 0.3 - columns.T)
    np.testing.assert_array_less(error, 1.001 * EPS / 2 * np.abs(columns.T) + 1e-7 * undo[:, None])
    assert factors.dtype == np.float32
    zero, lost = held.lower(np.array([[0, 0], [np.nan, 1], [np.inf, 1]], np.float32), anp)[0][0][:2]
    np.testing.assert_array_equal(zero, 0)
    assert np.isnan(lost[0])


# Products -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", LOW)
def test_products_are_those_of_rounded_factors(word):
    held, matrix, columns, meant = problem(word, anp)
    (factors,), undo = held.lower(columns.T, anp)
    rounded = (factors.astype(float) * (undo / np.float32(0.3))[:, None]).T
    scale = np.abs(columns).max(axis=0)
    for block, which, product in lockstep.products(matrix, columns, ROWS, xp=anp, held=held):
        assert product.dtype == np.float32
        exact = meant[block] @ rounded[:, which]
        np.testing.assert_allclose(product / scale[which], exact / scale[which], atol=2e-5)
        plain = meant[block] @ columns[:, which].astype(float)
        error = np.sqrt(np.mean(((product - plain) / scale[which]) ** 2, axis=0))
        size = np.sqrt(np.mean((plain / scale[which]) ** 2, axis=0))
        assert np.all((error > 5e-5 * size) & (error < 3.5e-4 * size))


@pytest.mark.parametrize("where", ["cpu", "device"])
@pytest.mark.parametrize("word", LOW)
def test_accurate_products_round_the_matrix_alone(word, where):
    xp = anp if where == "cpu" else elsewhere()
    held, matrix, columns, meant = problem(word, xp)
    scale = np.abs(columns).max(axis=0)
    assert matrix.dtype == (np.float16 if (word, where) == ("half", "device") else np.float32)
    for block, which, product in lockstep.products(
        matrix, columns, ROWS, xp=xp, held=held, accurate=True
    ):
        exact = meant[block] @ columns[:, which].astype(float)
        np.testing.assert_allclose(product / scale[which], exact / scale[which], atol=2e-5)


@pytest.mark.parametrize("word", LOW)
def test_a_rounded_column_does_not_depend_on_the_others_to_the_last_bit(word):
    held, matrix, columns, _ = problem(word, anp)
    respond = respond_for(anp)
    whole = lockstep.read(matrix, columns, ROWS, respond, xp=anp, held=held)
    for some in ([0], [3, 1], [8, 2, 5, 6, 1]):
        part = lockstep.read(
            matrix,
            columns[:, some],
            ROWS[some],
            lambda block, which, product, some=some: respond(block, np.array(some)[which], product),
            xp=anp,
            held=held,
        )
        np.testing.assert_array_equal(part, whole[:, some])


@pytest.mark.parametrize("word", [*LOW, "plain"])
def test_a_device_gives_the_numbers_of_the_cpu(word, library, monkeypatch):
    """Through the library's call, in several blocks of rows that are no whole tiles."""
    fake, other = library
    monkeypatch.setattr(lockstep, "GPU_BLOCK", 82)
    answers = []
    for xp in (anp, elsewhere(), other):
        held, matrix, columns, _ = problem(word, xp)
        answers.append(lockstep.read(matrix, columns, ROWS, respond_for(xp), xp=xp, held=held))
        assert answers[-1].dtype == np.float32
    scale = np.abs(answers[0]).max(axis=0) + 1e-30
    for there in answers[1:]:
        # A product on the edge between two rounded numbers may fall on either side.
        np.testing.assert_allclose(
            there / scale, answers[0] / scale, atol=3e-6 if word == "plain" else 2e-5
        )
    compute = COMPUTE_32F_FAST_TF32 if word == "tf32" else COMPUTE_32F
    assert len(fake.calls) == 12
    assert set(fake.calls) == {compute}


def test_an_endless_column_spoils_no_other():
    held, matrix, columns, _ = problem("half", anp)
    whole = lockstep.read(matrix, columns, ROWS, respond_for(anp), xp=anp, held=held)
    columns[3, 4] = np.nan
    columns[3, 6] = np.inf
    with np.errstate(all="ignore"):
        spoilt = lockstep.read(matrix, columns, ROWS, respond_for(anp), xp=anp, held=held)
    others = [0, 1, 2, 3, 5, 7, 8]
    np.testing.assert_array_equal(spoilt[:, others], whole[:, others])
    assert not np.isfinite(spoilt[:, [4, 6]]).all(axis=0).any()


# The library's call -------------------------------------------------------------------------------


def stored(matrix, how):
    """The same numbers by rows, by columns, or inside a larger array of either order."""
    rows, columns = matrix.shape
    room = np.full((rows + 3, columns + 5), 7, matrix.dtype)
    room[2:-1, 1:-4] = matrix
    thin = np.full((2 * rows, 2 * columns), 7, matrix.dtype)
    thin[::2, ::2] = matrix
    return {
        "rows": np.ascontiguousarray(matrix),
        "columns": np.asfortranarray(matrix),
        "slice of rows": room[2:-1, 1:-4],
        "slice of columns": np.asfortranarray(room)[2:-1, 1:-4],
        "every second": thin[::2, ::2],
    }[how]


ORDERS = ["rows", "columns", "slice of rows", "slice of columns", "every second"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("right_order", ORDERS)
@pytest.mark.parametrize("left_order", ORDERS)
def test_the_library_is_asked_for_the_product(left_order, right_order, dtype):
    rng = np.random.default_rng(1)
    wide = np.float64 if dtype is np.float64 else np.float32
    for rows, inner, columns in [(5, 7, 3), (1, 4, 6), (6, 4, 1), (4, 1, 5), (1, 1, 1), (8, 8, 8)]:
        left = rng.normal(size=(rows, inner)).astype(dtype)
        right = rng.normal(size=(inner, columns)).astype(dtype)
        room = rng.normal(size=(rows + 2, columns + 4)).astype(wide)
        for add in (False, True):
            for out in (
                room[:rows, :columns].copy(),
                room[1:-1, 2:-2].copy(),
                room.copy()[1:-1, 2:-2],
            ):
                before, library = out.copy(), Library()
                around = None if out.base is None else out.base.copy()
                device.gemm(
                    stored(left, left_order), stored(right, right_order), out,
                    add=add, tf32=False, blas=library.blas(),
                )  # fmt: skip
                want = add * before + left.astype(wide) @ right.astype(wide)
                np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)
                assert library.calls == [COMPUTE_64F if dtype is np.float64 else COMPUTE_32F]
                if around is not None:  # nothing else is written
                    around[1:-1, 2:-2] = out
                    np.testing.assert_array_equal(out.base, around)


def test_products_of_other_types_are_refused():
    library, one = Library(), np.ones((2, 2), np.float32)
    for left, right, out in [
        (one.astype(np.float16), one, one.copy()),
        (one.astype(np.float16), one.astype(np.float16), one.astype(np.float16)),
        (one, one, np.asfortranarray(np.ones((2, 2), np.float32))),
        (one.astype(float), one.astype(float), one.copy()),
    ]:
        with pytest.raises(ValueError, match="no product of"):
            device.gemm(left, right, out, add=False, tf32=False, blas=library.blas())
    assert library.calls == []


def test_words_of_precision():
    assert Held.of("single") == Held.of("double") == PLAIN
    assert Held.of("half").eps(np.float32) == Held.of("tf32").eps(np.float32) == EPS
    assert PLAIN.eps(np.float32) == 2.0**-23
    assert PLAIN.eps(np.float64) == 2.0**-52

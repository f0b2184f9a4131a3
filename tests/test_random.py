"""The generator: known answers, prefixes, distributions, independence, and the portable twin."""

import array_api_compat.numpy as xpn
import numpy as np
import pytest
from scipy import stats

from solvers.numerics import philox, random
from solvers.numerics.random import Stream
from tests.namespaces import elsewhere

STREAM = Stream("test", 3, 50, "design")
DRAWS = ("normals", "signs", "uniforms")

# Random123 (Salmon et al. 2011), kat_vectors: philox4x32, 10 rounds: counter, key, result.
KNOWN = [
    ([0, 0, 0, 0], [0, 0], [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_philox_known_answers(counter, key, result):
    columns = [np.array([c], dtype=np.uint64) for c in counter]
    assert [int(w[0]) for w in philox.words(*columns, *key)] == result


@pytest.mark.parametrize("kind", range(3))
def test_kernel_words_are_philox_words(kind):
    """The compiled call and the portable one see the same counter, also for rows beyond 2^32."""
    row, key = 5 * 2**32 + 7, STREAM.key
    low, high = row & 0xFFFFFFFF, row >> 32
    x = np.empty((4, 24), dtype=np.uint32)
    philox.call_words(x, 8, kind, row, key & 0xFFFFFFFF, key >> 32)
    block = np.arange(8, 32, dtype=np.uint64)
    whole = np.zeros_like(block)
    expected = philox.words(
        block, whole + kind, whole + low, whole + high, key & 0xFFFFFFFF, key >> 32
    )
    assert np.array_equal(x, np.stack(expected).astype(np.uint32))


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [0, 1, 31, 32, 33, 511, 512, 545, 1100])
def test_rows_and_columns_are_addresses(draw, dtype, columns):
    """Any range of rows and any number of columns is cut out of the same endless matrix."""
    whole = getattr(STREAM, draw)(0, 12, 1200, dtype=dtype)
    part = getattr(STREAM, draw)(5, 12, columns, dtype=dtype)
    assert part.dtype == dtype
    assert np.array_equal(part, whole[5:, :columns])


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("start", [0, 2**32 - 3])
def test_float32_is_float64_rounded(draw, start):
    single = getattr(STREAM, draw)(start, start + 400, 700, dtype=np.float32)
    double = getattr(STREAM, draw)(start, start + 400, 700, dtype=np.float64)
    assert np.max(np.abs(single - double)) < 1.5e-6


@pytest.mark.parametrize("kind", range(3))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("start", [0, 2**32 - 3])
def test_portable_twin_equals_kernel(kind, dtype, start):
    twin = random._portable(kind, STREAM.key, start, start + 300, 333, xpn, np.dtype(dtype))
    kernel = STREAM._draw(kind, start, start + 300, 333, np, dtype)
    assert twin.dtype == dtype
    assert twin.shape == kernel.shape
    assert np.max(np.abs(twin - kernel)) < (1.5e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("draw", DRAWS)
def test_another_namespace_draws_the_same_in_pieces(draw, monkeypatch):
    """A namespace that is not NumPy takes the portable path, cut to a bounded amount of memory."""
    other = elsewhere()
    monkeypatch.setattr(random, "_PORTABLE_BYTES", 64 * 70 * 10)
    pieces = getattr(STREAM, draw)(3, 48, 70, xp=other)
    assert np.allclose(pieces, getattr(STREAM, draw)(3, 48, 70), rtol=0, atol=1e-14)
    assert getattr(STREAM, draw)(3, 3, 70, xp=other).shape == (0, 70)


@pytest.mark.parametrize("draw", DRAWS)
def test_float16_is_float32_rounded(draw, monkeypatch):
    """In pieces of any size, and by the portable path to the rounding of its float32."""
    single = getattr(STREAM, draw)(3, 48, 70, dtype=np.float32)
    whole = getattr(STREAM, draw)(3, 48, 70, dtype=np.float16)
    assert np.array_equal(whole, single.astype(np.float16))
    monkeypatch.setattr(random, "_HALF_NUMBERS", 70 * 8)
    assert np.array_equal(getattr(STREAM, draw)(3, 48, 70, dtype=np.float16), whole)
    assert getattr(STREAM, draw)(3, 3, 0, dtype=np.float16).shape == (0, 0)
    other = getattr(STREAM, draw)(3, 48, 70, dtype=np.float16, xp=elsewhere())
    assert other.dtype == np.float16
    assert np.allclose(other.astype(float), single, rtol=2.0**-11, atol=2.0**-24)


def test_box_muller_at_the_corners():
    """The polynomials against libm for the extreme words and every branch of the reduction."""
    special = [0, 1, 2, 3, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1]
    octants = [k * 2**29 + d for k in range(1, 8) for d in (-1, 0, 1)]
    folds = [int(2**32 * np.sqrt(0.5)) + d for d in (-1, 0, 1)]
    x = np.array(special + octants + folds, dtype=np.uint32)
    first, second = (grid.ravel() for grid in np.meshgrid(x, x))
    words = np.stack([first, second, second, first])
    u, v = ((w.astype(float) + 0.5) / 2.0**32 for w in (first, second))
    radius = np.sqrt(-2 * np.log(u))
    exact_log = np.where(u > 0.5, np.log1p(-(1 - u)), np.log(u))
    assert np.allclose(radius, np.sqrt(-2 * exact_log), rtol=1e-12)
    for size, dtype, bound in ((4, np.float32, 6e-7), (8, np.float64, 1e-14)):
        y = np.empty((4, words.shape[1]), dtype=dtype)
        philox.numbers(words, y, philox.NORMALS, philox.TABLES[size])
        assert np.max(np.abs(y[0] - radius * np.cos(2 * np.pi * v))) < 3 * bound
        assert np.max(np.abs(y[1] - radius * np.sin(2 * np.pi * v))) < 3 * bound
        # the radius is accurate relative to itself, down to the smallest
        assert np.max(np.abs(np.hypot(y[0], y[1]) / radius - 1)) < bound
    assert radius.max() < np.sqrt(66 * np.log(2)) * (1 + 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normals_are_normal(dtype):
    """Kolmogorov-Smirnov and the first six moments, each within five standard errors."""
    x = STREAM.normals(0, 500, 1000, dtype=dtype).astype(float).ravel()
    assert stats.kstest(x, "norm").pvalue > 1e-4
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs(np.mean(x**power) - moment) < 5 * np.sqrt(variance / x.size)


def test_uniforms_and_signs():
    u = STREAM.uniforms(0, 500, 1000)
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-4
    assert 0 < u.min() < u.max() < 1
    s = STREAM.signs(0, 500, 1000)
    assert set(np.unique(s)) == {-1.0, 1.0}
    assert abs(s.mean()) < 5 / np.sqrt(s.size)


def test_single_precision_uniforms_stay_below_one():
    x = np.full((4, 8), 2**32 - 1, dtype=np.uint32)
    y = np.empty((4, 8), dtype=np.float32)
    philox.numbers(x, y, philox.UNIFORMS, philox.TABLES[4])
    assert y.max() < 1


def correlation(x, y):
    """Sample correlation in standard errors."""
    return abs(np.mean(x * y)) * np.sqrt(x.size)


def test_rows_columns_and_lanes_are_independent():
    """Covariance between neighbours at every distance that the layout knows, and of the squares."""
    x = STREAM.normals(0, 1000, 512)
    for sample in (x, (x**2 - 1) / np.sqrt(2)):
        for shift in (1, 2, 7, 8, 16, 24, 32, 64):
            assert correlation(sample[:, shift:], sample[:, :-shift]) < 5
            assert correlation(sample[shift:], sample[:-shift]) < 5
    eigenvalues = np.linalg.eigvalsh(x.T @ x / 1000)
    edge = (1 + np.sqrt(0.512)) ** 2  # Marchenko-Pastur
    assert abs(eigenvalues.max() - edge) < 0.15


def test_streams_are_independent():
    base = STREAM.normals(0, 300, 300)
    others = [
        Stream("other", 3, 50, "design"),
        Stream("test", 4, 50, "design"),
        Stream("test", 3, 51, "design"),
        Stream("test", 3, 50, "teacher"),
    ]
    assert len({stream.key for stream in [STREAM, *others]}) == 5
    for other in others:
        assert correlation(base, other.normals(0, 300, 300)) < 5
    assert correlation(base, STREAM.signs(0, 300, 300)) < 5
    assert correlation(base, np.sqrt(12) * (STREAM.uniforms(0, 300, 300) - 0.5)) < 5


def test_the_instances_stay_what_they_are():
    """Golden numbers: a change here changes every stored simulation."""
    golden = Stream("golden", 0, 10, "design")
    assert golden.key == GOLDEN_KEY
    assert np.allclose(golden.normals(0, 2, 40)[:, [0, 9, 39]], GOLDEN_NORMALS, atol=1e-12)
    assert golden.key == Stream("golden", np.int64(0), np.int64(10), "design").key


GOLDEN_KEY = 12462860565194390022
GOLDEN_NORMALS = [
    [-0.3000985786968, -1.6914510670895, 0.3214649779176],
    [-1.0468313087986, -1.8986871417705, 1.4231329687692],
]


def test_bad_requests_are_refused():
    with pytest.raises(ValueError, match="float32 or float64, not int32"):
        STREAM.normals(0, 1, 1, dtype=np.int32)
    with pytest.raises(ValueError, match="rows 2 to 1"):
        STREAM.normals(2, 1, 1)

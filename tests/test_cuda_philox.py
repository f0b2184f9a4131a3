"""Random numbers of a device: the CUDA kernel, run thread after thread, against the CPU's."""

import ctypes

import numpy as np
import pytest

from solvers.numerics import philox
from solvers.numerics.cuda import philox as cuda_philox
from solvers.numerics.cuda import text
from solvers.numerics.random import Stream
from tests.cuda_host import WORDS, build, device, nvrtc

STREAM = Stream("test", 3, 50, "design")
DRAWS = ("normals", "signs", "uniforms")
TYPES = (np.float16, np.float32, np.float64)
FAR = 5 * 2**32 - 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cuda")


@pytest.fixture(scope="module")
def xp(folder):
    return device(folder)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("start", [0, FAR, 2**63 - 40])
@pytest.mark.parametrize("columns", [1, 7, 9, 32, 33, 129, 1000])
def test_a_device_draws_the_same_bits(draw, dtype, start, columns, xp):
    """Words, numbers, rounding: for rows on both sides of 2^32, and tiles that are cut anywhere."""
    found = getattr(STREAM, draw)(start, start + 39, columns, xp=xp, dtype=dtype)
    expected = getattr(STREAM, draw)(start, start + 39, columns, dtype=dtype)
    assert found.dtype == dtype
    assert np.array_equal(found, expected)


def test_nothing_is_launched_for_nothing(xp):
    before = len(xp.launches)
    assert STREAM.normals(3, 3, 70, xp=xp).shape == (0, 70)
    assert STREAM.normals(3, 5, 0, xp=xp).shape == (2, 0)
    assert len(xp.launches) == before


@pytest.mark.parametrize("dtype", TYPES)
def test_a_part_of_an_array_is_filled_and_nothing_else(dtype, xp):
    whole = xp.empty((12, 80), dtype=dtype)
    cuda_philox.fill(whole[2:9, 3:70], FAR, philox.NORMALS, STREAM.key, xp=xp)
    part = STREAM.normals(FAR, FAR + 7, 67, dtype=dtype)
    assert np.array_equal(whole[2:9, 3:70], part)
    whole[2:9, 3:70] = 77
    assert np.all(whole == 77)
    with pytest.raises(ValueError, match="not contiguous"):
        cuda_philox.fill(whole.T, 0, philox.NORMALS, STREAM.key, xp=xp)


def test_places_beyond_32_bits(tmp_path, xp):
    """Rows that lie 2^31 numbers apart, in a file that is mostly a hole."""
    whole = np.memmap(tmp_path / "rows", dtype=np.float16, mode="w+", shape=(3, 2**31))
    part = whole[:, :40].view(type(xp.empty(0)))
    cuda_philox.fill(part, 5, philox.NORMALS, STREAM.key, xp=xp)
    assert np.array_equal(part, STREAM.normals(5, 8, 40, dtype=np.float16))
    (tmp_path / "rows").unlink()


@pytest.mark.parametrize("rows", [1, 7, 300, 80_000, 3_000_000])
@pytest.mark.parametrize("columns", [1, 5, 8, 31, 33, 500, 40_000, 3_000_000])
def test_threads_cover_the_rows_and_few_more(rows, columns):
    (wide, high), (across, down) = cuda_philox.shape(rows, columns)
    calls = 8 * (columns // 32) + min(columns % 32, 8)
    assert calls <= wide * across < calls + 32
    assert high <= max(-(-rows // down), 1)
    assert across * down == 256
    assert high < 2**16
    assert wide * high < 2**17 or high == 1


def test_halves_are_rounded_to_nearest_even(folder):
    """Every ten-thousandth float that a half can hold, and both sides of every tie."""
    call = 'extern "C" void halves(const float* x, Half* y, int n)'
    body = "{ for (int i = 0; i < n; ++i) store(y + i, x[i]); }"
    library = build(WORDS + text("philox") + call + body, folder)
    some = np.arange(0, 0x477FE000, 9973, dtype=np.uint32)
    halves = np.arange(0x7BFF, dtype=np.uint16).view(np.float16).astype(np.float64)
    ties = (0.5 * (halves[1:] + halves[:-1])).astype(np.float32).view(np.uint32)
    bits = np.concatenate([some, ties - 1, ties, ties + 1])
    x = np.concatenate([bits, bits | np.uint32(2**31)]).view(np.float32)
    y = np.empty(x.shape, dtype=np.float16)
    library.halves(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), len(x))
    assert np.array_equal(y.view(np.uint16), x.astype(np.float16).view(np.uint16))


def test_it_compiles_for_a_device():
    """With IEEE operations only, and without double precision where it was not asked for."""
    ptx = nvrtc(text("philox"), "--fmad=false")
    assert ptx.count(".entry") == 9
    assert "fma." not in ptx
    single = ptx[ptx.index("normals_float32(") :].split(".entry")[0]
    assert {"mul.rn.f32", "div.rn.f32", "sqrt.rn.f32"} <= set(single.split())
    assert ".f64" not in single

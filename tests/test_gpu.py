"""The CUDA kernels on a GPU of this machine, if there is one, against the CPU."""

import importlib

import array_api_compat
import array_api_compat.numpy as anp
import numpy as np
import pytest

from solvers.numerics import channels, priors
from solvers.numerics.random import Stream

STREAM = Stream("test", 3, 50, "design")
TYPES = (np.float16, np.float32, np.float64)


@pytest.fixture(scope="module")
def xp():
    cupy = pytest.importorskip("cupy")
    if not cupy.cuda.is_available():
        pytest.skip("no GPU is found")
    return importlib.import_module("array_api_compat.cupy")


def host(array):
    return np.asarray(array_api_compat.to_device(array, "cpu"))


@pytest.mark.parametrize("draw", ["normals", "signs", "uniforms"])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_gpu_draws_the_same_bits(draw, dtype, xp):
    for start, rows, columns in ((0, 3000, 1), (2**32 - 3, 700, 1100), (7, 5, 100_003)):
        found = getattr(STREAM, draw)(start, start + rows, columns, xp=xp, dtype=dtype)
        expected = getattr(STREAM, draw)(start, start + rows, columns, dtype=dtype)
        assert np.array_equal(host(found), expected)


@pytest.mark.parametrize("name", channels.names())
@pytest.mark.parametrize("dtype", TYPES[1:])
def test_a_gpu_answers_as_the_channel_does(name, dtype, xp):
    """To 200 rounding errors of omega/√T."""
    channel = channels.load(name)
    omega = STREAM.normals(0, 500, 40)
    label = np.sign(np.abs(omega) - 0.6) if channel.LABELS == "sign" else np.abs(omega + 0.1)
    given = {"label": label, "omega": omega, "variance": np.geomspace(1e-5, 1, 40)}
    parameters = {"noise": np.tile([0.0, 1e-4, 0.1, 1.0], 10), "kappa": np.linspace(0, 1, 40)}
    given |= {key: parameters[key] for key in channel.PARAMETERS}
    given = {key: value.astype(dtype) for key, value in given.items()}
    expected = channel.denoise(xp=anp, **given)
    found = channel.denoise(xp=xp, **{k: xp.asarray(v) for k, v in given.items()})
    unit = 1 / np.sqrt(given["variance"] + given["noise"])
    size = (1 + np.abs(omega) * unit) * unit
    for power, a, b in zip((1, 2), found, expected, strict=True):
        assert a.dtype == dtype
        error = np.abs(host(a).astype(float) - b) / (np.abs(b) + size**power)
        assert np.max(error) < 200 * np.finfo(dtype).eps


@pytest.mark.parametrize("name", priors.names())
@pytest.mark.parametrize("dtype", TYPES[1:])
def test_a_gpu_answers_as_the_prior_does(name, dtype, xp):
    prior = priors.load(name)
    given = {"precision": np.geomspace(1e-3, 1e3, 40), "field": 3.0 * STREAM.normals(0, 500, 40)}
    given |= dict.fromkeys(prior.PARAMETERS, np.linspace(0.01, 1, 40))
    given = {key: value.astype(dtype) for key, value in given.items()}
    expected = prior.denoise(xp=anp, **given)
    found = prior.denoise(xp=xp, **{k: xp.asarray(v) for k, v in given.items()})
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(host(a), b, rtol=200 * np.finfo(dtype).eps)

"""The weights' half of an iteration in one kernel, against the same in array operations."""

from __future__ import annotations

import numpy as np
import pytest

from solvers.numerics import priors
from solvers.numerics.cuda import chunks, text, weights
from solvers.systems.glm_bayes import halves
from solvers.systems.glm_bayes.instance import Instance
from solvers.systems.glm_bayes.messages import State, compare
from solvers.systems.glm_bayes.model import Model
from tests.cuda_host import device, nvrtc, on_device

DIMENSION, POINTS = 331, 45


@pytest.fixture(scope="module")
def xp(tmp_path_factory):
    return device(tmp_path_factory.mktemp("cuda"))


def problem(name, dtype, order="C"):
    """A model and a state of many points, X^T g of some more columns, and columns of numbers."""
    rng = np.random.default_rng(0)
    columns = {
        "sparsity": rng.choice([0.1, 0.5, 1.0], POINTS), "noise": np.zeros(POINTS),
        "kappa": np.zeros(POINTS),
    }  # fmt: skip
    model = Model.of(prior=name, channel="sign", **columns)
    field, mean, gathered = (
        on_device(np.asarray(s * rng.normal(size=(DIMENSION, n)), dtype=dtype, order=order))
        for s, n in ((3, POINTS), (0.5, POINTS), (2, POINTS + 4))
    )
    precision = rng.gamma(1.0, 2.0, POINTS)
    onsager, keep = precision * rng.choice([-0.1, 1], POINTS), rng.choice([0, 0.1, 0.5], POINTS)
    nothing = np.zeros(POINTS)
    state = State(precision, field, mean, nothing, None, nothing)
    return model, state, gathered, onsager, keep


def advance(given, points, source, xp, dtype):
    """Sums, fields and means, of a copy."""
    model, state, gathered, onsager, keep = given
    field, mean = (on_device(np.array(x, order="K")) for x in (state.field, state.mean))
    here = State(state.precision, field, mean, state.variance, None, state.smallest)
    sums = halves.advance(
        model, here, points, gathered, source, onsager[points], keep[points], xp, dtype
    )
    return sums, field, mean


@pytest.mark.parametrize("name", priors.names())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_an_advance_is_that_in_arrays(name, dtype, order, count, xp, monkeypatch):
    """Messages to the last bit, of the points that were asked and of no other."""
    rng = np.random.default_rng(count)
    points = rng.permutation(POINTS)[:count]
    source = rng.permutation(POINTS + 4)[:count]
    given = problem(name, dtype, order)
    before = len(xp.launches)
    sums, *messages = advance(given, points, source, xp, dtype)
    names = [launch[0] for launch in xp.launches[before:]]
    assert names[0].startswith("update_")
    assert set(names[1:]) == {"fold"}
    monkeypatch.setattr(chunks, "applies", lambda xp: False)
    expected, *others = advance(given, points, source, xp, dtype)
    for found, other, old in zip(messages, others, (given[1].field, given[1].mean), strict=True):
        np.testing.assert_array_equal(found, other)
        rest = np.delete(np.arange(POINTS), points)
        np.testing.assert_array_equal(found[:, rest], old[:, rest])
        assert np.any(found[:, points] != old[:, points], axis=0).all()
    np.testing.assert_allclose(sums, expected, rtol=1e-12)


@pytest.mark.parametrize("name", priors.names())
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_does_not_depend_on_the_others_to_the_last_bit(name, dtype, xp):
    given, everyone = problem(name, dtype), np.arange(POINTS)
    sums, field, mean = advance(given, everyone, everyone, xp, dtype)
    for some in (np.array([0]), np.array([44, 3]), np.arange(5, 38)):
        alone, *messages = advance(given, some, some, xp, dtype)
        np.testing.assert_array_equal(alone, sums[:, some])
        for found, whole in zip(messages, (field, mean), strict=True):
            np.testing.assert_array_equal(found[:, some], whole[:, some])
    given[2][7, 8] = np.nan
    beside, *_ = advance(given, everyone, everyone, xp, dtype)
    others = np.delete(everyone, 8)
    np.testing.assert_array_equal(beside[:, others], sums[:, others])
    assert np.isnan(beside[:2, 8]).all()


@pytest.mark.parametrize("channel", ["sign", "abs"])
@pytest.mark.parametrize("teachers", [1, POINTS])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_estimates_are_compared_as_in_arrays(channel, teachers, dtype, xp, monkeypatch):
    """Either sign is the better one, where no label tells it; columns do not matter."""
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(DIMENSION, teachers)).astype(dtype)
    sign = rng.choice([-1, 1], POINTS)
    mean = (0.3 * sign * teacher + rng.normal(size=(DIMENSION, POINTS))).astype(dtype)
    instance = Instance(None, on_device(teacher), None, np.zeros(POINTS), DIMENSION)
    nothing = np.zeros(POINTS)
    model = Model.of(prior="gaussian", channel=channel, sparsity=nothing, noise=nothing)

    def compared(some):
        return compare(
            model=model, instance=instance, mean=on_device(mean[:, some]), points=some, xp=xp
        )

    everyone, before = np.arange(POINTS), len(xp.launches)
    found = compared(everyone)
    assert xp.launches[before][0] == f"compare_{np.dtype(dtype).name}"
    for some in (np.array([7]), np.array([40, 3, 5])):
        for key, values in compared(some).items():
            np.testing.assert_array_equal(values, found[key][some])
    monkeypatch.setattr(chunks, "applies", lambda xp: False)
    for key, values in compared(everyone).items():
        np.testing.assert_allclose(found[key], values, rtol=1e-12, err_msg=key)


def test_they_compile_for_a_device():
    for name in priors.names():
        for real in ("float32", "float64"):
            kernel, keys = weights.response(priors.load(name))
            ptx = nvrtc(weights.source(kernel, len(keys), real), "--fmad=false")
            assert ptx.count(".entry") == 1
            wide = {"div.rn.f64", "sqrt.rn.f64", "rcp.rn.f64"} & set(ptx.split())
            assert bool(wide) == (real == "float64")
    assert nvrtc(text("compare"), "--fmad=false").count(".entry") == 2

"""The compiled reading of a design: the numbers of the one in arrays, point by point to the bit."""

from __future__ import annotations

import array_api_compat.numpy as anp
import numpy as np
import pytest

from solvers.numerics import one_pass
from solvers.numerics.lockstep import TILE, whole_tiles
from solvers.systems.glm_bayes.gamp import _read
from solvers.systems.glm_bayes.instance import Instance
from solvers.systems.glm_bayes.messages import start
from solvers.systems.glm_bayes.model import Model

SAMPLES = np.array([0, 1, TILE - 1, TILE, 5 * TILE + 7, 310, 620, 40, 333])


def problem(channel, dimension=203):
    """A model, an instance and messages in the middle of a run; points see 0 to 620 samples."""
    rng = np.random.default_rng(0)
    points = len(SAMPLES)
    model = Model.of(
        prior="gaussian",
        channel=channel,
        sparsity=np.ones(points),
        kappa=np.zeros(points),
        noise=rng.choice([0.0, 1e-3, 0.5], points),
    )
    instance = Instance.draw(
        model=model,
        alpha=SAMPLES / dimension,
        dimension=dimension,
        seed=0,
        design="gaussian",
        xp=anp,
        dtype=anp.float32,
    )
    np.testing.assert_array_equal(instance.samples, SAMPLES)
    state = start(
        model=model,
        instance=instance,
        initialization=np.full(points, "uninformed"),
        seed=0,
        xp=anp,
        dtype=anp.float32,
    )
    state.mean[:] = rng.normal(size=state.mean.shape)
    state.output[:] = rng.normal(size=state.output.shape)
    state.variance[:] = 10.0 ** rng.uniform(-3, 0, points)
    return model, instance, state


def compiled(model, instance, state, points):
    """(X^T g, moments, g) of some points."""
    output = state.output.copy()
    gathered, moments = one_pass.read(
        *(model.channel, instance.design, instance.labels, output),
        points=points,
        samples=instance.samples[points],
        mean=state.mean[:, points],
        variance=state.variance[points],
        **model.take(points).channel_parameters,
    )
    return gathered, moments, output


@pytest.mark.parametrize("channel", ["sign", "linear"])
def test_it_gives_the_numbers_of_the_reading_in_arrays(channel):
    model, instance, state = problem(channel)
    everyone = np.arange(len(SAMPLES))
    gathered, moments, output = compiled(model, instance, state, everyone)
    there, sums = _read(model, instance, state, everyone, state.mean, anp, anp.float32)
    seen = np.arange(whole_tiles(620))[:, None] < SAMPLES
    scale = np.abs(state.output).max(axis=0, where=seen, initial=1.0)
    np.testing.assert_allclose(
        np.where(seen, output, 0) / scale, np.where(seen, state.output, 0) / scale, atol=3e-6
    )
    np.testing.assert_allclose(gathered / scale, there / scale, atol=1e-4)
    np.testing.assert_allclose(moments, sums, rtol=1e-5)
    np.testing.assert_array_equal(gathered[:, SAMPLES == 0], 0.0)


@pytest.mark.parametrize("channel", ["sign", "linear"])
def test_a_point_does_not_depend_on_the_others_to_the_last_bit(channel):
    model, instance, state = problem(channel)
    everyone = np.arange(len(SAMPLES))
    gathered, moments, output = compiled(model, instance, state, everyone)
    rng = np.random.default_rng(1)
    for some in (*everyone[:, None], rng.permutation(9)[:4], rng.permutation(9)[:7], everyone[5:7]):
        one, sums, g = compiled(model, instance, state, some)
        np.testing.assert_array_equal(one, gathered[:, some])
        np.testing.assert_array_equal(sums, moments[:, some])
        np.testing.assert_array_equal(g[:, some], output[:, some])
        others = np.setdiff1d(everyone, some)
        np.testing.assert_array_equal(g[:, others], state.output[:, others])


def test_it_is_taken_where_there_is_a_compiled_response(monkeypatch):
    single, double = np.zeros((2, 2), np.float32), np.zeros((2, 2))
    model, *_ = problem("sign")
    assert one_pass.applies(model.channel, single, anp)
    assert not one_pass.applies(model.channel, double, anp)
    other = Model.of(
        prior="gaussian",
        channel="abs",
        sparsity=np.ones(1),
        kappa=np.zeros(1),
        noise=np.zeros(1),
    )
    assert not one_pass.applies(other.channel, single, anp)

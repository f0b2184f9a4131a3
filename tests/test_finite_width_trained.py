"""Finite width: the trained network, its projectors, and networks that are trained."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import phasesweep
from solvers.contract import Status
from solvers.systems.finite_width.recursion import FOUR_INDICES, layers
from solvers.systems.finite_width.trained import correction, projectors
from solvers.systems.infinite_width.activations import slope, value
from solvers.systems.infinite_width.recursion import gram
from solvers.systems.infinite_width.trained import trained as infinite

RATES = {"c_b": 0.3, "c_w": 1.2, "lambda_b": 1.0, "lambda_w": 1.0}
INPUTS = np.array([[1.0, 0.6], [-0.5, 1.1], [0.9, -0.7]])  # two for training, one test


def last_layer(activation: str, depth: int) -> dict[str, np.ndarray]:
    columns = {name: np.array([rate]) for name, rate in RATES.items()}
    found = layers(activation, gram(INPUTS)[None], depth=depth, rates=columns)
    return {name: tensor[0, -1] for name, tensor in found.tensors.items()}


@pytest.mark.parametrize("step_size", [0.05, 0.4])
def test_projectors_are_sums_over_steps(step_size):
    rates, steps = np.array([0.8, 3.1]), 800
    power = (1.0 - step_size * rates) ** np.arange(steps)[:, None]  # (steps, modes)
    found = projectors(rates, step_size)
    earlier = np.concatenate([np.zeros((1, 2)), np.cumsum(power, axis=0)[:-1]])
    same = np.einsum("ta,tb->tab", power, power)
    earlier_same = np.concatenate([np.zeros((1, 2, 2)), np.cumsum(same, axis=0)[:-1]])
    earlier_two = np.concatenate(
        [np.zeros((1, 2, 2)), np.cumsum(np.einsum("sb,sc->sbc", power, earlier), axis=0)[:-1]]
    )
    square, cube = step_size**2, step_size**3
    z_a = square * np.einsum("ta,tb->ab", power, earlier)
    np.testing.assert_allclose(found["A"], z_a, rtol=1e-10)
    np.testing.assert_allclose(found["B"], z_a + 0.5 * square * same.sum(axis=0), rtol=1e-10)
    three = {
        "3": np.einsum("ta,tbc->abc", power, earlier_two),
        "21": np.einsum("ta,tbc->abc", power, earlier_same),
        "12": np.einsum("ta,tb,tc->abc", power, power, earlier),
        "111": np.einsum("ta,tb,tc->abc", power, power, power),
    }
    for name, expected in three.items():
        np.testing.assert_allclose(found[name], cube * expected, rtol=1e-10, err_msg=name)


def test_flow_is_the_limit_of_small_steps():
    rates = np.array([0.8, 3.1])
    flow, steps = projectors(rates, 0.0), projectors(rates, 1e-7)
    for name, expected in flow.items():
        np.testing.assert_allclose(steps[name], expected, rtol=1e-5, atol=1e-6, err_msg=name)


def test_cubic_part_is_that_of_iterated_steps():
    """Random small ddNTKs, K = 0: iterate (21) and (22) of the page of theory, and compare."""
    rng = np.random.default_rng(4)
    root = rng.normal(size=(3, 5))
    zero = np.zeros((3,) * 4)
    tensors = {"G": np.zeros((3, 3)), "G1": np.zeros((3, 3)), "H1": np.zeros((3, 3))}
    tensors |= {"H": root @ root.T / 5.0, **dict.fromkeys(FOUR_INDICES, zero)}
    r, s = rng.normal(size=(2, *[3] * 4))
    tensors["R"] = 0.5 * (r + r.transpose(0, 1, 3, 2))
    tensors["S"] = 0.5 * (s + s.transpose(1, 0, 3, 2))
    tensors["U"] = np.zeros((3,) * 4)
    t = rng.normal(size=(3,) * 4)
    tensors["T"] = 0.5 * (t + t.transpose(3, 2, 1, 0))
    r, s, t = tensors["R"], tensors["S"], tensors["T"]
    first = r + np.einsum("acdb->abcd", r) + np.einsum("adbc->abcd", r)
    second = s + np.einsum("acdb->abcd", t)
    np.testing.assert_allclose(second, second.transpose(1, 0, 3, 2), atol=1e-14)

    y, tiny = np.array([[0.7], [-1.2]]), 1e-6
    eta = 0.6 / np.linalg.eigvalsh(tensors["H"][:2, :2])[-1]
    z, h, dh = np.zeros(3), tensors["H"].copy(), zero[0] * 0.0
    d1, d2 = tiny * first, tiny * second
    turn = d1 + d2 + d2.transpose(0, 2, 1, 3)  # W
    both = d1 + d1.transpose(1, 0, 2, 3) + d2 + d2.transpose(0, 1, 3, 2)
    among = slice(2)
    for _ in range(4000):
        e = z[among] - y[:, 0]
        full = np.concatenate([e, [0.0]])  # steps are along training inputs
        move = -eta * h @ full + 0.5 * eta**2 * np.einsum("dab,a,b->d", dh, full, full)
        move -= eta**3 / 6.0 * np.einsum("dabc,a,b,c->d", d1, full, full, full)
        turned = -eta * np.einsum("dab,b->da", dh, full)
        turned = turned + turned.T
        h = h + turned + 0.5 * eta**2 * np.einsum("dabc,b,c->da", both, full, full)
        dh = dh - eta * np.einsum("dabc,c->dab", turn, full)
        z = z + move
    base = infinite(tensors["G"], tensors["H"], y, np.array([1.0])).mean[-1]
    found = correction(tensors, y, step_size=eta)
    assert z[2] - base.item() == pytest.approx(tiny * found.mean.item(), rel=1e-3)


def test_second_order_of_a_random_kernel_is_that_of_expansion():
    """Mean and variance of z - H H~^-1 (z - y) for Gaussian z and H: by samples, A and B alone."""
    rng = np.random.default_rng(6)
    tensors = last_layer("swish", 2)
    for name in "DFPQRSTU":
        tensors[name] = np.zeros_like(tensors[name])
    for name in ("G1", "H1"):
        tensors[name] = np.zeros_like(tensors[name])
    upper = np.array(list(itertools.combinations_with_replacement(range(3), 2)))
    a, b = upper.T
    covariance = (
        tensors["A"][a[:, None], b[:, None], a, b]
        + tensors["B"][a[:, None], a, b[:, None], b]
        + tensors["B"][a[:, None], b, b[:, None], a]
    )
    y, width, count = np.array([[0.8], [-0.6]]), 4e3, 400_000
    root = np.linalg.cholesky(covariance + 1e-12 * np.eye(6))
    change = np.zeros((count, 3, 3))
    change[:, a, b] = change[:, b, a] = rng.normal(size=(count, 6)) @ root.T / math.sqrt(width)
    z = rng.normal(size=(count, 3)) @ np.linalg.cholesky(tensors["G"]).T

    def end(h: np.ndarray) -> np.ndarray:
        solved = np.linalg.solve(h[:, :2, :2], (z[:, :2] - y[:, 0])[..., None])
        return z[:, 2] - (h[:, 2:, :2] @ solved)[:, 0, 0]

    plain = end(np.broadcast_to(tensors["H"], (count, 3, 3)))
    # Both signs of the fluctuation: what is odd in it cancels.
    ends = [end(tensors["H"] + s * change) for s in (1.0, -1.0)]
    found = correction(tensors, y)
    mean = width * (0.5 * (ends[0] + ends[1]) - plain)
    square = width * (0.5 * (ends[0] ** 2 + ends[1] ** 2) - plain**2)
    spread = square - 2.0 * plain.mean() * mean
    for samples, expected in ((mean, found.mean), (spread, found.covariance)):
        error = samples.std() / math.sqrt(count)
        assert abs(samples.mean() - expected.item()) < 4.0 * error + 0.02 * abs(expected.item())
        assert error < 0.1 * abs(expected.item())


def train(rng, *, width, count, targets, step_size, steps):
    """Test outputs of trained networks of two layers, and their part that training leaves alone."""
    fan = INPUTS.shape[1]
    first = rng.normal(size=(count, width, fan)) * math.sqrt(RATES["c_w"] / fan)
    last = rng.normal(size=(count, 1, width)) * math.sqrt(RATES["c_w"] / width)
    bias = rng.normal(size=(count, width, 1)) * math.sqrt(RATES["c_b"])
    end = rng.normal(size=(count, 1, 1)) * math.sqrt(RATES["c_b"])
    start = None
    for _ in range(steps + 1):
        field = first @ INPUTS.T + bias
        signal = value("tanh", field)
        z = last @ signal + end
        start = z if start is None else start
        error = np.zeros_like(z)
        error[:, 0, :2] = z[:, 0, :2] - targets
        back = last.swapaxes(1, 2) * error * slope("tanh", field)
        last = last - step_size / width * error @ signal.swapaxes(1, 2)
        end = end - step_size * error.sum(axis=2, keepdims=True)
        first = first - step_size / fan * back @ INPUTS
        bias = bias - step_size * back.sum(axis=2, keepdims=True)
    assert np.max(np.abs(error)) < 1e-2
    return z[:, 0, 2], start[:, 0]


def test_trained_networks_come_to_the_corrected_law():
    """The mean and variance beyond infinite width, with z_⊥ (known exactly) as control variate."""
    tensors, targets, width, count = last_layer("tanh", 2), np.array([0.8, -0.6]), 40, 4000
    theta = tensors["H"]
    off = np.append(-np.linalg.solve(theta[:2, :2], theta[:2, 2]), 1.0)
    law = infinite(tensors["G"], theta, targets[:, None], np.array([1.0]))
    found = correction(tensors, targets[:, None], step_size=0.3)
    ends, start = train(
        np.random.default_rng(8), width=width, count=count, targets=targets, step_size=0.3, steps=50
    )
    rest = start @ off
    shift = width * (ends - rest - law.mean[-1].item())
    spread = width * ((ends - ends.mean()) ** 2 - rest**2)
    for samples, expected, order in ((shift, found.mean, 0.4), (spread, found.covariance, 0.4)):
        error = samples.std() / math.sqrt(count)
        assert abs(samples.mean() - expected.item()) < 4.0 * error + order * abs(expected.item())
    assert abs(shift.mean()) > 6.0 * shift.std() / math.sqrt(count)


def test_only_finite_width_depends_on_the_algorithm():
    point = {"activation": "sin", "c_b": 0.3, "c_w": 1.2, "depth": 3}
    flow = phasesweep.solve("finite_width", "trained", **point)
    steps = phasesweep.solve(
        "finite_width", "trained", algorithm="gradient_descent", step_size=[1e-6, 0.1], **point
    )
    for name in ("mean", "variance"):
        np.testing.assert_allclose(
            steps[name].values.reshape(2, -1), np.tile(flow[name].values.reshape(1, -1), (2, 1))
        )
    change = steps["mean_correction"].values.reshape(2) - flow["mean_correction"].item()
    assert abs(change[0]) < 1e-4 < abs(change[1])
    large = phasesweep.solve(
        "finite_width", "trained", algorithm="gradient_descent", step_size=2.0, **point
    )
    assert large["status"].item() == Status.DIVERGED


def test_training_inputs_keep_their_targets(tmp_path):
    """At training inputs the mean is the target and neither it nor the variance is corrected."""
    file = tmp_path / "data.npz"
    np.savez(
        file, train_inputs=INPUTS[:2], targets=[[0.8, 0.1], [-0.6, 0.4]], test_inputs=INPUTS[:2]
    )
    point = {"activation": "sin", "c_b": 0.3, "c_w": 1.2, "depth": 2}
    answer = phasesweep.solve("finite_width", "trained", dataset=str(file), **point)
    np.testing.assert_allclose(
        answer["mean"].values.squeeze(), [[0.8, 0.1], [-0.6, 0.4]], atol=1e-9
    )
    for name in ("mean_correction", "variance_correction", "variance"):
        np.testing.assert_allclose(answer[name].values, 0.0, atol=1e-9, err_msg=name)

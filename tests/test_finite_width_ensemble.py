"""Ensembles of finite networks: exact laws, brute force on single networks, and the recursions."""

from __future__ import annotations

import math

import numpy as np
import pytest

import phasesweep
from phasesweep.errors import UserError
from solvers.contract import Status
from solvers.systems.finite_width.ensemble import directions, tangent, training, units
from solvers.systems.finite_width.ensemble.networks import raw_layer
from solvers.systems.infinite_width import activations

SEEDS = list(range(16))
SMOOTH = [name for name in activations.ACTIVATIONS if name not in ("step", "relu")]
FOURTH_ORDER = {1: 8 / 12, -1: -8 / 12, 2: -1 / 12, -2: 1 / 12}


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_units_are_the_activations(name):
    z = np.linspace(-6.0, 6.0, 48)
    found = units.derivatives(name, z, 3, np)
    np.testing.assert_allclose(found[0], activations.value(name, z), atol=1e-13)
    np.testing.assert_allclose(found[1], activations.slope(name, z), atol=1e-13)
    if name in SMOOTH:
        np.testing.assert_allclose(found[2], activations.curvature(name, z), atol=1e-13)
    step = 1e-5
    sides = [units.derivatives(name, z + s, 3, np)[2] for s in (step, -step)]
    np.testing.assert_allclose((sides[0] - sides[1]) / (2 * step), found[3], atol=1e-8)


class Small:
    """One small network as a function of its parameters, and derivatives by differences."""

    def __init__(self, activation, inputs, *, width, depth, seed=3):
        self.activation, self.inputs, self.depth = activation, inputs, depth
        self.point = tangent.Point(c_b=0.2, c_w=1.6, lambda_b=0.7, lambda_w=1.3, inputs=inputs)
        drawn = {"seed": seed, "width": width, "start": 0, "stop": 1, "xp": np}
        fans = [inputs.shape[1], *[width] * (depth - 1)]
        self.raw = [raw_layer(layer=k + 1, fan_in=fan, **drawn) for k, fan in enumerate(fans)]
        pieces, rates = [], []
        for (bias, normal), fan in zip(self.raw, fans, strict=True):
            pieces += [math.sqrt(0.2) * bias.ravel(), math.sqrt(1.6 / fan) * normal.ravel()]
            rates += [np.full(width, 0.7), np.full(width * fan, 1.3 / fan)]
        self.start, self.rates = np.concatenate(pieces), np.concatenate(rates)
        self.shapes = [(width, fan) for fan in fans]

    def __call__(self, parameters, layer):
        """Preactivations (width, inputs) of a layer."""
        signal, at = self.inputs.T, 0
        for out, fan in self.shapes[:layer]:
            bias = parameters[at : at + out, None]
            weight = parameters[at + out : at + out * (fan + 1)].reshape(out, fan)
            at += out * (fan + 1)
            fields = bias + weight @ signal
            signal = activations.value(self.activation, fields)
        return fields

    def gradient(self, layer, parameters=None, step=1e-3):
        """d z_i(x_a)/dθ, (parameters, width, inputs)."""
        origin = self.start if parameters is None else parameters
        rows = []
        for unit in np.eye(len(origin)):
            moved = [w * self(origin + s * step * unit, layer) for s, w in FOURTH_ORDER.items()]
            rows.append(sum(moved) / step)
        return np.array(rows)


def test_tangent_kernel_of_a_network_is_that_of_its_gradients():
    inputs = np.array([[0.8, -0.4, 0.5], [0.1, 0.9, -0.7]])
    small = Small("gelu", inputs, width=5, depth=4)
    drawn = {"seed": 3, "width": 5, "start": 0, "stop": 1, "xp": np}
    state, own = tangent._first(small.point, drawn), tangent.Sums.empty(1, 4, 2)
    for layer in range(1, 4):
        args = (small.point, own, small.raw[layer], slice(0, 1), layer, "gelu", np)
        state = tangent._step(state, *args)
    np.testing.assert_allclose(state[0][0], small(small.start, 4), rtol=1e-12)
    gradient = small.gradient(4)
    for (a, b), found in state[1].items():
        expected = np.einsum("pi,p,pj->ij", gradient[:, :, a], small.rates, gradient[:, :, b])
        np.testing.assert_allclose(found[0], expected, rtol=1e-8, atol=1e-9)


def test_averages_over_the_last_layer_are_those_of_samples():
    """Ĝ, ĥ and the terms of B and F of one lower network, against draws of the layer above."""
    inputs = np.array([[0.8, -0.4], [0.1, 0.9]])
    width, draws = 6, 40_000
    small = Small("tanh", inputs, width=width, depth=2)
    run = {"activation": "tanh", "depth": 3, "width": width, "networks": 1, "seed": 3, "xp": np}
    own = tangent.measure([small.point], **run)[0]
    fields = small(small.start, 2)
    signal, slope = units.derivatives("tanh", fields, 1, np)
    gradient = small.gradient(2)
    kernel = np.einsum("pia,p,pjb->ijab", gradient, small.rates, gradient)
    rng = np.random.default_rng(1)
    weight = math.sqrt(1.6 / width) * rng.normal(size=(2, draws, width))
    bias = math.sqrt(0.2) * rng.normal(size=(2, draws, 1))
    z = bias + weight @ signal
    inner = 0.7 + 1.3 * signal.T @ signal / width
    raised = np.einsum("udj,ja->udja", weight, slope)
    between = np.einsum("dja,jkab,dkb->dab", raised[0], kernel, raised[1])
    within = inner + np.einsum("dja,jkab,dkb->dab", raised[0], kernel, raised[0])

    def close(samples, expected):
        error = np.std(samples, axis=0) / math.sqrt(draws)
        assert np.all(np.abs(np.mean(samples, axis=0) - expected) < 5 * error + 1e-12)
        assert np.all(error < 0.1 * np.max(np.abs(expected)))

    close(z[0][:, :, None] * z[0][:, None, :], own.kernel[0, 2])
    close(within, own.tangent[0, 2])
    close(np.einsum("mac,mbd->mabcd", between, between), own.between[2])
    close(np.einsum("ma,mc,mbd->mabcd", z[0], z[1], between), own.crossed[2])


def test_derivatives_along_gradients_are_finite_differences():
    small = Small("gelu", np.array([[0.8, -0.4, 0.5]]), width=4, depth=3)
    layer, outputs, rates = 3, range(directions.OUTPUTS), small.rates
    network = directions._forward(small.point, small.raw, "gelu", np)
    found = directions._one_layer(network, layer, np)
    gradient = small.gradient(layer)[:, :, 0]
    along = [rates * gradient[:, u] for u in outputs]
    hessian = {}
    for w in outputs:
        moved = [
            weight * small.gradient(layer, small.start + 1e-2 * s * along[w])[:, :, 0]
            for s, weight in FOURTH_ORDER.items()
        ]
        for u in outputs:
            hessian[u, w] = sum(moved)[:, u] / 1e-2

    def derivative(unit, *which, step=3e-2):
        total = 0.0
        for s in np.ndindex(*[4] * len(which)):
            signs = [list(FOURTH_ORDER)[k] for k in s]
            weight = math.prod(FOURTH_ORDER[k] for k in signs)
            shift = sum(k * along[w] for k, w in zip(signs, which, strict=True))
            total += weight * small(small.start + step * shift, layer)[unit, 0]
        return total / step ** len(which)

    z = small(small.start, layer)[:, 0]
    terms = {letter: [] for letter in directions.LETTERS}
    for u in outputs:
        for w in outputs:
            if u == w:
                continue
            terms["P"].append(z[u] * derivative(u, w, w))
            terms["Q"].append(z[w] * derivative(u, u, w))
            terms["R"].append(derivative(u, u, w, w))
            terms["S"].append(hessian[u, w] @ (rates * hessian[u, w]))
            terms["T"].append(hessian[u, u] @ (rates * hessian[w, w]))
            terms["U"].append(hessian[u, w] @ (rates * hessian[w, u]))
    for letter, values in terms.items():
        assert found[letter] == pytest.approx(np.mean(values), rel=2e-3), letter


@pytest.mark.parametrize(("activation", "c_w", "rate"), [("relu", 2.0, 5.0), ("linear", 1.0, 2.0)])
def test_vertex_of_relu_and_linear_networks_is_exact_at_every_width(activation, c_w, rate):
    """V/K² = n [(1 + rate/n)^(l-1) - 1] at critical C_W."""
    width, depth = 16, 6
    answer = phasesweep.solve(
        "finite_width",
        "ensemble",
        activation=activation,
        c_w=c_w,
        depth=depth,
        width=width,
        networks=400,
        seed=SEEDS,
    )
    ratio = answer["V"].values.squeeze() / (c_w * 1.0) ** 2
    mean, error = ratio.mean(axis=0), ratio.std(axis=0, ddof=1) / 4
    exact = width * ((1 + rate / width) ** np.arange(depth) - 1)
    assert np.all(np.abs(mean - exact) <= 4 * error + 1e-12)
    assert np.all(error[1:] < 0.12 * exact[1:])
    np.testing.assert_allclose(answer["vertex_ratio"].values.squeeze(), ratio[:, -1], rtol=1e-12)
    told = answer["vertex_ratio_error"].values.mean() / 4
    assert told == pytest.approx(error[-1], rel=0.7)


def against(method, letters, *, widths, networks, slack, **point):
    """Two widths extrapolated to 1/width = 0, against the recursion."""
    theory = phasesweep.solve("finite_width", "vertices", **point)
    runs = [
        phasesweep.solve(
            "finite_width", method, width=width, networks=networks, seed=SEEDS, **point
        )
        for width in widths
    ]
    narrow, wide = widths
    for letter in letters:
        expected = theory[letter].values.squeeze()
        seeds = [run[letter].values.squeeze() for run in runs]
        mean, error = (
            [f(x) for x in seeds]
            for f in (lambda x: x.mean(axis=0), lambda x: x.std(axis=0, ddof=1) / 4)
        )
        weights = np.array([-narrow, wide]) / (wide - narrow)
        limit = weights[0] * mean[0] + weights[1] * mean[1]
        spread = np.hypot(weights[0] * error[0], weights[1] * error[1])
        size = np.max(np.abs(expected))
        assert np.all(np.abs(limit - expected) <= 4.5 * spread + slack * size + 1e-12), letter
        assert np.max(spread) < 0.25 * size, letter  # the check has teeth


@pytest.mark.parametrize(
    "point",
    [
        {"activation": "tanh", "c_w": 1.3, "c_b": 0.1},
        {"activation": "gelu", "c_w": 1.6, "c_b": 0.2, "lambda_b": 0.4, "lambda_w": 2.0},
        {"activation": "relu", "c_w": 2.0, "norm": 0.7},
    ],
    ids=lambda point: point["activation"],
)
def test_fluctuations_tend_to_the_recursions(point):
    against("ensemble", "GHVABDF", widths=(16, 32), networks=250, slack=0.02, depth=4, **point)


def test_fluctuations_of_two_inputs_tend_to_the_recursions(tmp_path):
    file = tmp_path / "inputs.npz"
    np.savez(file, inputs=np.array([[1.0, 0.2], [-0.3, 0.8]]))
    point = {"activation": "sin", "c_w": 1.2, "c_b": 0.1, "depth": 3, "inputs": str(file)}
    against("ensemble", "GHVABDF", widths=(16, 32), networks=200, slack=0.02, **point)


def test_derivatives_tend_to_the_recursions():
    point = {"activation": "tanh", "c_w": 1.2, "c_b": 0.1, "lambda_w": 0.8, "depth": 3}
    widths = (16, 32)
    against("derivative_ensemble", "PQRSTU", widths=widths, networks=150, slack=0.04, **point)


def test_a_training_step_goes_down_the_gradient():
    """Two steps on one network, against finite differences of the loss."""
    data = training.Data(
        train=np.array([[0.5, -1.0], [1.0, 0.3], [0.2, 0.9]]),
        targets=np.array([[0.3, -0.2], [1.0, 0.4], [-0.6, 0.1]]),
        test=np.array([[0.7, 0.7]]),
    )
    rates = training.Rates(c_b=0.2, c_w=1.6, lambda_b=0.7, lambda_w=1.3, step_size=0.05)
    run = training.train(
        [rates],
        data,
        activation="tanh",
        depth=2,
        width=5,
        networks=2,
        seed=3,
        steps=np.array([0, 1, 2]),
        xp=np,
    )[0]
    drawn = {"seed": 3, "width": 5, "start": 0, "stop": 2, "xp": np}
    layers = [raw_layer(layer=1, fan_in=2, **drawn), raw_layer(layer=2, fan_in=5, units=2, **drawn)]
    shapes = [(5, 1), (5, 2), (2, 1), (2, 5)]
    scales = [math.sqrt(0.2), math.sqrt(1.6 / 2), math.sqrt(0.2), math.sqrt(1.6 / 5)]
    arrays = [a[1] for pair in layers for a in pair]
    parameters = np.concatenate([s * a.ravel() for s, a in zip(scales, arrays, strict=True)])
    sizes = [math.prod(shape) for shape in shapes]
    speed = np.repeat([0.7, 1.3 / 2, 0.7, 1.3 / 5], sizes)

    def outputs(theta, inputs):
        parts = np.split(theta, np.cumsum(sizes)[:-1])
        b, w, c, v = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
        return (c + v @ np.tanh(b + w @ inputs.T)).T

    def loss(theta):
        return 0.5 * np.sum((outputs(theta, data.train) - data.targets) ** 2)

    for step in range(3):
        np.testing.assert_allclose(run.outputs[1, step], outputs(parameters, data.test), rtol=1e-8)
        assert run.loss[1, step] == pytest.approx(loss(parameters), rel=1e-8)
        slopes = [(loss(parameters + h) - loss(parameters - h)) / 2e-5 for h in 1e-5 * np.eye(27)]
        parameters = parameters - 0.05 * speed * np.array(slopes)


def test_wide_networks_train_as_the_theory_of_infinite_width_says():
    point = {"activation": "tanh", "c_w": 1.5, "c_b": 0.1, "depth": 2, "step_size": 0.04}
    point["times"] = [0, 2, 8, 20]
    theory = phasesweep.solve("infinite_width", "trained", algorithm="gradient_descent", **point)
    width, networks = 64, 24
    runs = phasesweep.solve(
        "finite_width",
        "trained_ensemble",
        dataset="circle",
        width=width,
        networks=networks,
        seed=SEEDS,
        **point,
    )
    assert np.all(runs["status"].values == Status.CONVERGED)
    for name in ("mean", "variance"):
        seeds, expected = runs[f"trained_{name}"].values.squeeze(), theory[name].values.squeeze()
        mean, error = seeds.mean(axis=0), seeds.std(axis=0, ddof=1) / 4
        allowed = 4.5 * error + 4 / width * np.max(np.abs(expected))
        assert np.all(np.abs(mean - expected) < allowed), name
    start, end = theory["variance"].values.squeeze()[[0, -1]]
    assert np.all(end < 0.2 * start)  # what is compared has changed in training


def test_growing_networks_are_told_and_left_out():
    point = {"activation": "linear", "c_w": 1.0, "depth": 3, "width": 8, "networks": 30}
    lost = phasesweep.solve("finite_width", "trained_ensemble", step_size=1.0, **point)
    assert lost["status"].item() == Status.DIVERGED
    assert lost["diverged_fraction"].item() == 1.0
    kept = phasesweep.solve("finite_width", "trained_ensemble", step_size=0.01, **point)
    assert kept["diverged_fraction"].item() == 0.0
    assert np.isfinite(kept["trained_mean"].values).all()


def test_a_deeper_or_larger_ensemble_contains_the_smaller_one():
    point = tangent.Point(c_b=0.1, c_w=1.5, lambda_b=1.0, lambda_w=1.0, inputs=np.array([[1.0]]))
    run = {"activation": "tanh", "width": 12, "seed": 5, "xp": np}
    small = tangent.measure([point], depth=3, networks=7, **run)[0]
    large = tangent.measure([point], depth=5, networks=20, **run)[0]
    np.testing.assert_allclose(large.kernel[:7, :3], small.kernel, rtol=1e-13)
    np.testing.assert_allclose(large.tangent[:7, :3], small.tangent, rtol=1e-13)


def test_kinks_are_refused_where_second_derivatives_are_asked():
    with pytest.raises(UserError, match="allowed: sigmoid"):
        phasesweep.solve(
            "finite_width", "derivative_ensemble", activation="relu", c_w=2.0, depth=3, width=8
        )
    step = phasesweep.solve(
        "finite_width", "ensemble", activation="step", c_w=2.0, depth=3, width=8, networks=20
    )
    assert np.isnan(step["H"].values).all()
    assert np.isfinite(step["V"].values).all()

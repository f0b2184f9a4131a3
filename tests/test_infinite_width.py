"""Wide networks: averages, kernels against finite networks, criticality, training."""

from __future__ import annotations

import json
import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad

import phasesweep
from phasesweep.errors import UserError
from solvers.contract import Status
from solvers.systems.infinite_width import averages, criticality, recursion, trained
from solvers.systems.infinite_width.activations import ACTIVATIONS, curvature, slope, value

KINKED = ("step", "relu")


def brute_force(function, name, first, second, cross):
    """E f(z_a) f(z_b) by nested adaptive quadrature with breaks where a field changes sign."""
    along = cross / math.sqrt(first)
    across = math.sqrt(max(0.0, second - along * along))

    def weight(t):
        return math.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)

    def inner(u):
        if across < 1e-9:
            return float(function(name, along * u))
        breaks = [-along * u / across] if abs(along * u / across) < 9 else None
        return quad(
            lambda v: float(function(name, along * u + across * v)) * weight(v),
            *(-9, 9),
            points=breaks,
            epsabs=1e-11,
            epsrel=1e-10,
        )[0]

    return quad(
        lambda u: float(function(name, math.sqrt(first) * u)) * inner(u) * weight(u),
        *(-9, 9),
        points=[0.0],
        epsabs=1e-10,
        epsrel=1e-9,
    )[0]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_pair_averages_agree_with_nested_quadrature(name):
    first, second, cross = 1.3, 0.7, -0.5
    got = averages.pair(name, first, second, cross)
    assert got[0] == pytest.approx(brute_force(value, name, first, second, cross), rel=1e-8)
    if name != "step":  # whose slope is a delta function
        expected = brute_force(slope, name, first, second, cross)
        assert got[1] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("variance", [1e-3, 1.0, 30.0, 1e4])
def test_slope_average_is_the_derivative_in_the_covariance(name, variance):
    """Price's theorem: d⟨σ_a σ_b⟩/dC = ⟨σ'_a σ'_b⟩, also where the graded rules take over."""
    cross, step = 0.6 * variance, 1e-4 * variance
    above, below = (averages.pair(name, variance, variance, cross + s)[0] for s in (step, -step))
    got = averages.pair(name, variance, variance, cross)[1]
    assert float(above - below) / (2 * step) == pytest.approx(float(got), rel=1e-5, abs=1e-12)


def test_arc_cosine_kernels_keep_their_digits_at_equal_and_opposite_inputs():
    """Orders 0 and 1 against 50 digits, also where they vanish like the cube of the angle."""
    with mpmath.workdps(50):
        for first, second, cross in (
            (2, 2, 2 - 1e-12),
            (1.5, 0.5, 0.2),
            (3, 3, -2.999),
            (7, 7, -7),
        ):
            root = mpmath.sqrt(mpmath.mpf(first) * mpmath.mpf(second))
            angle = mpmath.acos(mpmath.mpf(cross) / root)
            rest = mpmath.pi - angle
            order_zero = rest / (2 * mpmath.pi)
            order_one = root * (mpmath.sin(angle) + rest * mpmath.cos(angle)) / (2 * mpmath.pi)
            value_pair, slope_pair = averages.pair("relu", first, second, cross)
            assert float(value_pair) == pytest.approx(float(order_one), rel=1e-13)
            assert float(slope_pair) == pytest.approx(float(order_zero), rel=1e-13)
            step_pair = averages.pair("step", first, second, cross)[0]
            assert float(step_pair) == pytest.approx(float(order_zero), rel=1e-13)


def test_small_kernels_of_sine_keep_their_digits():
    got = averages.pair("sin", 2e-9, 3e-9, np.array([1e-9, -1e-9]))[0]
    np.testing.assert_allclose(got, [1e-9 * (1 - 2.5e-9), -1e-9 * (1 - 2.5e-9)], rtol=1e-14)


def test_tangent_kernels_in_closed_form():
    """Two layers of relu by arc-cosine kernels; every layer of linear networks by products."""
    inputs = np.array([[1.0, -0.4, 2.0], [0.3, 0.8, -0.5]])
    gram, rates = recursion.gram(inputs), {"lambda_b": 0.6, "lambda_w": 1.7}

    def layers(activation, depth, c_b, c_w):
        columns = {n: np.array([x]) for n, x in {"c_b": c_b, "c_w": c_w, **rates}.items()}
        return recursion.layers(activation, gram[None], depth=depth, **columns).ntk[0]

    norms = np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
    angle = np.arccos(np.clip(gram / norms, -1.0, 1.0))
    first = 0.6 + 1.7 * gram
    one = 1.3 * norms * (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / (2 * np.pi)
    second = 0.6 + 1.7 * one + 1.3 * (np.pi - angle) / (2 * np.pi) * first
    np.testing.assert_allclose(layers("relu", 2, 0.0, 1.3)[1], second, rtol=1e-7)
    # Linear: K^(l) = C_b (1 + ... + C_W^(l-1)) + C_W^l x·x/n_0, and Θ a sum over layers below.
    kernel = [0.2 * sum(1.3**k for k in range(n)) + 1.3**n * gram for n in range(1, 5)]
    signals = [gram, *kernel]
    for depth in range(1, 6):
        expected = sum(
            1.3 ** (depth - 1 - below) * (0.6 + 1.7 * signals[below]) for below in range(depth)
        )
        np.testing.assert_allclose(layers("linear", 5, 0.2, 1.3)[depth - 1], expected, rtol=1e-13)


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n not in KINKED])
def test_derivatives_of_activations_are_derivatives(name):
    z, step = np.linspace(-4, 4, 33), 1e-5
    for lower, higher in ((value, slope), (slope, curvature)):
        numeric = (lower(name, z + step) - lower(name, z - step)) / (2 * step)
        np.testing.assert_allclose(numeric, higher(name, z), atol=1e-9)
    at_zero = ACTIVATIONS[name].at_zero
    third = (curvature(name, step) - curvature(name, -step)) / (2 * step)
    given = [value(name, 0.0), slope(name, 0.0), curvature(name, 0.0), third]
    np.testing.assert_allclose(given, at_zero, atol=1e-9)


@pytest.mark.parametrize("name", ["softplus", "swish", "gelu"])
def test_units_like_relu_become_relu_at_large_kernels(name):
    for variance, rtol in ((1e6, 1e-5), (1e15, 1e-12), (1e18, 1e-12)):
        got = averages.pair(name, variance, variance, 0.3 * variance)[0]
        relu = averages.pair("relu", variance, variance, 0.3 * variance)[0]
        assert float(got) == pytest.approx(float(relu), rel=rtol)


def network_kernels(activation, inputs, rng, *, width, depth, c_b, c_w, lambda_b, lambda_w):
    """Mean square of the last layer's fields, and the tangent kernel by back-propagation."""
    n, size = inputs.shape
    weights = [
        rng.normal(size=(width, fan)) * math.sqrt(c_w / fan)
        for fan in (size, *[width] * (depth - 1))
    ]
    signals, fields = [inputs.T], []
    for matrix in weights:
        fields.append(matrix @ signals[-1] + math.sqrt(c_b) * rng.normal(size=(width, 1)))
        signals.append(value(activation, fields[-1]))
    # The tangent kernel of the first unit of the last layer.
    back = np.zeros((width, n))
    back[0] = 1.0
    tangent = np.zeros((n, n))
    for layer in range(depth - 1, -1, -1):
        fan = signals[layer].shape[0]
        inner = lambda_b + lambda_w * signals[layer].T @ signals[layer] / fan
        tangent += (back.T @ back) * inner
        if layer:
            back = (weights[layer].T @ back) * slope(activation, fields[layer - 1])
    return fields[-1].T @ fields[-1] / width, tangent


@pytest.mark.parametrize("activation", ["tanh", "relu", "swish", "erf"])
def test_wide_networks_have_these_kernels(activation):
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(3, 5))
    rates = {"c_b": 0.2, "c_w": 1.4, "lambda_b": 0.7, "lambda_w": 1.3}
    depth, width, draws = 4, 400, 24
    found = [
        network_kernels(activation, inputs, rng, width=width, depth=depth, **rates)
        for _ in range(draws)
    ]
    theory = recursion.layers(
        activation,
        recursion.gram(inputs)[None],
        depth=depth,
        **{name: np.array([rate]) for name, rate in rates.items()},
    )
    pairs = zip(zip(*found, strict=True), (theory.nngp, theory.ntk), strict=True)
    for measured, expected in pairs:
        mean = np.mean(measured, axis=0)
        error = np.std(measured, axis=0) / math.sqrt(draws)
        assert np.max(np.abs(mean - expected[0, -1]) / (4 * error + 0.01 * np.abs(mean))) < 1
        assert np.max(error / np.abs(mean)) < 0.1  # the check has teeth


def test_relu_kernels_of_many_layers_in_closed_form():
    """Critical relu: K stays, Θ grows by λ_b + λ_W K/C_W a layer, cos θ -> arc-cosine map."""
    answer = phasesweep.solve(
        "infinite_width", "kernels", activation="relu", c_w=2.0, depth=30, angle=1.0, norm=1.5
    )
    nngp, ntk = answer["nngp"].values.squeeze(), answer["ntk"].values.squeeze()
    np.testing.assert_allclose(nngp[:, 0, 0], 2 * 1.5**2, rtol=1e-13)
    np.testing.assert_allclose(ntk[:, 0, 0], np.arange(1, 31) * (1 + 1.5**2), rtol=1e-12)
    angle = 1.0
    for layer in range(30):
        assert nngp[layer, 0, 1] / nngp[layer, 0, 0] == pytest.approx(math.cos(angle), rel=1e-10)
        angle = math.acos((math.sin(angle) + (math.pi - angle) * math.cos(angle)) / math.pi)


def test_vanishing_class_decays_as_one_over_depth():
    """K ~ 1/(-a_1 l): 1/(2 l) for tanh, 1/l for sin (chapter 5 of the source)."""
    for activation, first in (("tanh", -2.0), ("sin", -1.0)):
        answer = phasesweep.solve(
            "infinite_width", "kernels", activation=activation, c_w=1.0, depth=3000
        )
        kernel = answer["final_nngp"].item()
        assert kernel * 3000 == pytest.approx(-1 / first, rel=0.01)


def test_susceptibilities_are_what_perturbations_do():
    point = {"activation": "swish", "c_b": 0.3, "c_w": 1.7, "depth": 2, "angle": 0.0}
    base = phasesweep.solve("infinite_width", "kernels", norm=1.0, **point)
    moved = phasesweep.solve("infinite_width", "kernels", norm=1.0 + 1e-6, **point)
    change = (moved["nngp"] - base["nngp"]).values.squeeze()[:, 0, 0]
    parallel = base["chi_parallel"].values.squeeze()[0, 0]
    assert change[1] / change[0] == pytest.approx(parallel, rel=1e-5)
    apart = phasesweep.solve("infinite_width", "kernels", norm=1.0, **point | {"angle": 1e-3})
    gap = (base["nngp"] - apart["nngp"]).values.squeeze()[:, 0, 1]
    perp = base["chi_perp"].values.squeeze()[0, 0]
    assert gap[1] / gap[0] == pytest.approx(perp, rel=1e-5)


@pytest.mark.parametrize("activation", ["gelu", "swish", "tanh", "erf", "relu"])
def test_both_susceptibilities_are_one_at_criticality(activation):
    found = criticality.critical(activation)
    kernel = found.kernel if found.kernel > 0 else 1e-12
    assert found.c_w * float(averages.growth(activation, np.array(kernel))) == pytest.approx(1)
    assert found.c_w * float(averages.pair(activation, *[kernel] * 3)[1]) == pytest.approx(1)
    mapped = found.c_b + found.c_w * float(averages.pair(activation, *[kernel] * 3)[0])
    assert mapped == pytest.approx(kernel)


@pytest.mark.parametrize(
    ("activation", "universality_class"),
    [
        ("linear", "scale_invariant"),
        ("relu", "scale_invariant"),
        ("tanh", "vanishing"),
        ("sin", "vanishing"),
        ("erf", "vanishing"),
        ("gelu", "half_stable"),
        ("swish", "half_stable"),
        ("sigmoid", "none"),
        ("softplus", "none"),
        ("step", "none"),
    ],
)
def test_universality_classes(activation, universality_class):
    assert criticality.critical(activation).universality_class == universality_class


def test_phases_on_both_sides_of_the_order_to_chaos_transition():
    for c_w, phase in ((1.5, "ordered"), (2.5, "chaotic")):
        found = criticality.fixed_point("tanh", c_b=0.1, c_w=c_w, start=1.0)
        assert found.phase == phase
        kernel, cross = 3.0, 1.0  # iterate the map itself
        for _ in range(3000):
            g = averages.pair("tanh", kernel, kernel, cross)[0]
            kernel, cross = (
                0.1 + c_w * float(averages.pair("tanh", kernel, kernel, kernel)[0]),
                0.1 + c_w * float(g),
            )
        assert found.kernel == pytest.approx(kernel, rel=1e-9)
        assert found.correlation == pytest.approx(cross / kernel, rel=1e-6)


def test_exploding_kernels_are_told_and_never_not_a_number():
    answer = phasesweep.solve(
        "infinite_width", "kernels", activation="relu", c_w=1e4, depth=40, inputs="pair"
    )
    assert answer["status"].item() == Status.DIVERGED
    assert not np.isnan(answer["nngp"].values).any()
    assert math.isinf(answer["final_nngp"].item())
    for c_b, c_w, kernel in ((0.1, 2.0, math.inf), (0.0, 1.9, 0.0), (0.2, 1.0, 0.4)):
        found = criticality.fixed_point("relu", c_b=c_b, c_w=c_w, start=c_b + c_w)
        assert found.kernel == pytest.approx(kernel)


def test_trained_law_is_that_of_explicit_steps():
    """Iterate z <- z - η Θ (z~ - y) from Gaussian draws, and from the mean."""
    rng = np.random.default_rng(3)
    train, tests, steps, size = 4, 3, 25, 0.08
    kernel, tangent = (np.cov(rng.normal(size=(7, 30))) for _ in range(2))
    targets = rng.normal(size=(train, 2))
    linear = np.eye(train + tests)
    shift = np.zeros((train + tests, 2))
    for _ in range(steps):
        force = tangent[:, :train]
        linear, shift = (
            linear - size * force @ linear[:train],
            shift - size * force @ (shift[:train] - targets),
        )
    law = trained.trained(kernel, tangent, targets, np.array([steps]), step_size=size)
    np.testing.assert_allclose(law.mean[0], shift[train:], atol=1e-12)
    expected = (linear @ kernel @ linear.T)[train:, train:]
    np.testing.assert_allclose(law.covariance[0], expected, atol=1e-12)
    flow = trained.trained(kernel, tangent, targets, np.array([steps * size]))
    many = trained.trained(kernel, tangent, targets, np.array([1e5 * steps]), step_size=size / 1e5)
    np.testing.assert_allclose(flow.mean[0], many.mean[0], rtol=1e-4)


def test_steps_are_whole_and_may_overshoot():
    """(1 - ηθ)^s with ηθ on either side of 1 and of 2, and with a mode the kernel does not see."""
    rates = np.array([0.0, 0.3, 1.0, 1.7, 2.5])
    targets = np.array([[1.0], [-2.0], [0.5], [3.0], [1.5]])
    tangent = np.diag(np.append(rates, 1.0))
    tangent[5, :5] = tangent[:5, 5] = [0.1, 0.2, -0.3, 0.4, 0.5]
    times = np.array([0.0, 0.4, 1.0, 2.0, 4.9])
    law = trained.trained(np.eye(6), tangent, targets, times, step_size=1.0)
    for at, steps in enumerate((0, 0, 1, 2, 5)):
        moved, seen = 0.0, np.zeros(5)
        for _ in range(steps):
            moved -= float(tangent[5, :5] @ (seen - targets[:, 0]))
            seen -= rates * (seen - targets[:, 0])
        assert law.mean[at, 0, 0] == pytest.approx(moved, rel=1e-12)
    assert law.unseen == 1


def test_training_inputs_are_learned_at_infinite_time(tmp_path):
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(6, 4))
    targets = rng.normal(size=6)
    file = tmp_path / "data.npz"
    np.savez(file, train_inputs=inputs, targets=targets, test_inputs=inputs)
    answer = phasesweep.solve(
        "infinite_width", "trained", activation="gelu", c_b=0.1, c_w=1.5, depth=3, dataset=str(file)
    )
    np.testing.assert_allclose(answer["final_mean"].values.ravel(), targets, atol=1e-8)
    np.testing.assert_allclose(answer["final_variance"].values, 0.0, atol=1e-8)
    assert answer["status"].item() == Status.CONVERGED


def test_large_steps_are_told_with_the_stable_one():
    point = {"activation": "tanh", "c_w": 1.5, "depth": 2, "algorithm": "gradient_descent"}
    small = phasesweep.solve("infinite_width", "trained", step_size=0.01, **point)
    stable = small["stable_step_size"].item()
    large = phasesweep.solve("infinite_width", "trained", step_size=1.1 * stable, **point)
    assert large["status"].item() == Status.DIVERGED
    assert not np.isnan(large["mean"].values).any()
    near = phasesweep.solve("infinite_width", "trained", step_size=0.99 * stable, **point)
    last = near["mean"].values.squeeze()[-1]
    np.testing.assert_allclose(last, near["final_mean"].values.squeeze(), atol=1e-3)


def test_inputs_from_a_file_are_those_of_the_pair(tmp_path):
    angle = 0.7
    rows = math.sqrt(2.0) * np.array([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    file = tmp_path / "inputs.json"
    file.write_text(json.dumps({"inputs": rows.tolist()}))
    point = {"activation": "tanh", "c_w": 1.2, "c_b": 0.1, "depth": 5}
    pair = phasesweep.solve("infinite_width", "kernels", angle=angle, **point)
    read = phasesweep.solve("infinite_width", "kernels", inputs=str(file), **point)
    for name in ("nngp", "ntk", "chi_perp", "chi_parallel"):
        np.testing.assert_allclose(
            pair[name].values.squeeze(), read[name].values.squeeze(), rtol=1e-12
        )
    with pytest.raises(UserError, match="norm has a meaning only with inputs=pair"):
        phasesweep.solve("infinite_width", "kernels", inputs=str(file), norm=2.0, **point)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"inputs": np.ones(3)}, "one row an input"),
        ({"other": np.ones((2, 2))}, "needed: inputs"),
    ],
)
def test_bad_inputs_are_refused(tmp_path, arrays, words):
    file = tmp_path / "bad.npz"
    np.savez(file, **arrays)
    with pytest.raises(UserError, match=words):
        phasesweep.solve(
            "infinite_width", "kernels", activation="tanh", c_w=1.0, depth=2, inputs=str(file)
        )

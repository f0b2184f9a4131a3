"""Finite width: recursions against exact laws, against random networks, and as a person asks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from phasesweep import solve as solve_points
from phasesweep.errors import UserError
from solvers.contract import Status
from solvers.systems.finite_width.recursion import FOUR_INDICES, layers
from solvers.systems.infinite_width.recursion import gram
from tests.wide_networks import differentials, draw, tensors

RATES = {"c_b": 0.2, "c_w": 1.4, "lambda_b": 0.7, "lambda_w": 1.3}
INPUTS = np.array([[1.0, 0.3], [-0.4, 1.1]])


def recursion(activation: str, inputs: np.ndarray, depth: int, **rates: float):
    columns = {name: np.array([rate]) for name, rate in (RATES | rates).items()}
    found = layers(activation, gram(inputs)[None], depth=depth, rates=columns)
    return {name: tensor[0] for name, tensor in found.tensors.items()}


def solve(method: str = "vertices", **axes):
    return solve_points("finite_width", method, **axes)


@pytest.mark.parametrize(("activation", "c_w", "rate"), [("relu", 2.0, 5.0), ("linear", 1.0, 2.0)])
def test_scale_invariant_vertices(activation, c_w, rate):
    answer = solve(activation=activation, c_w=c_w, depth=12, norm=0.7)
    kernel = c_w * 0.49
    np.testing.assert_allclose(
        answer["V"].values.ravel(), rate * np.arange(12) * kernel**2, rtol=1e-12
    )
    widths = np.array([1e3, 1e4])
    exact = solve(
        "scale_invariant", activation=activation, c_w=c_w, depth=12, width=widths.tolist()
    )
    remainder = exact["exact_vertex_ratio"].values - 11 * rate
    np.testing.assert_allclose(remainder * widths, 11 * 10 / 2 * rate**2, rtol=0.03)


def test_exact_vertex_of_linear_networks_is_that_of_products_of_matrices():
    rng = np.random.default_rng(1)
    width, count = 4, 200_000
    variance = np.ones(count)
    for _ in range(3):
        variance *= np.mean(rng.normal(size=(count, width)) ** 2, axis=1)
    exact = solve("scale_invariant", activation="linear", c_w=1.0, depth=4, width=width)
    got = exact["exact_vertex_ratio"].item()
    error = width * np.std(variance**2) / np.sqrt(count)
    assert abs(width * (np.mean(variance**2) - 1.0) - got) < 4 * error
    assert error < 0.05 * got


@pytest.mark.parametrize(("activation", "c_w"), [("tanh", 1.0), ("sin", 1.0), ("erf", np.pi / 4)])
def test_vanishing_class_has_slope_two_thirds(activation, c_w):
    ratios = [
        solve(activation=activation, c_w=c_w, depth=depth)["vertex_ratio"].item() / (depth - 1)
        for depth in (60, 240)
    ]
    assert abs(ratios[1] - 2 / 3) < abs(ratios[0] - 2 / 3) < 0.03
    assert abs(ratios[1] - 2 / 3) < 0.01


def test_linear_networks_of_one_input_in_closed_form():
    """C_b = 0, C_W = 1, κ = λ_b + λ_W K: Θ_l = κ l, and every tensor is a sum over layers."""
    kernel, lam_b, lam_w, depth = 1.7, 0.6, 1.1, 9
    found = recursion(
        "linear", np.array([[kernel**0.5]]), depth, c_b=0.0, c_w=1.0, lambda_b=lam_b, lambda_w=lam_w
    )
    got = {name: tensor.reshape(depth) for name, tensor in found.items()}
    at = np.arange(1, depth + 1)
    kappa = lam_b + lam_w * kernel
    theta = kappa * at

    def before(terms: np.ndarray) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum(terms)[:-1]])

    v = 2.0 * (at - 1) * kernel**2
    f, b = kernel * before(theta), before(theta**2)
    d = lam_w * before(2.0 * kernel**2 + v)
    q = lam_w * before(kernel * theta + f)
    expected = {
        "V": v,
        "F": f,
        "B": b,
        "D": d,
        "A": before(lam_w**2 * (2.0 * kernel**2 + v) + 2.0 * lam_w * d),
        "Q": q,
        "S": lam_w * before(theta**2 + b),
        "T": before(lam_w**2 * (kernel * theta + f) + 2.0 * lam_w * q),
        **dict.fromkeys(("P", "R", "U", "G1", "H1"), 0.0 * at),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-12, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(got["H"], theta, rtol=1e-12)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu", "sin", "step"])
def test_equal_inputs_have_the_tensors_of_one(activation):
    one = recursion(activation, INPUTS[:1], 4)
    three = recursion(activation, np.repeat(INPUTS[:1], 3, axis=0), 4)
    for name, tensor in one.items():
        spread = np.broadcast_to(
            tensor.reshape(4, *[1] * (three[name].ndim - 1)), three[name].shape
        )
        np.testing.assert_allclose(three[name], spread, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("activation", ["relu", "swish"])
def test_tensors_have_their_symmetries(activation):
    found = recursion(activation, np.array([[1.0, 0.3], [-0.4, 1.1], [0.7, 0.9]]), 3)
    swaps = {
        "V": [(1, 0, 2, 3), (2, 3, 0, 1)],
        "A": [(1, 0, 2, 3), (2, 3, 0, 1)],
        "B": [(1, 0, 3, 2), (2, 3, 0, 1)],
        "D": [(1, 0, 2, 3), (0, 1, 3, 2)],
        "F": [(2, 3, 0, 1)],
        "P": [(0, 2, 1, 3)],
        "R": [(0, 1, 3, 2)],
        "S": [(1, 0, 3, 2)],
        "T": [(3, 2, 1, 0)],
        "U": [(2, 3, 0, 1)],
    }
    for name, orders in swaps.items():
        for order in orders:
            tensor = found[name]
            turned = tensor.transpose(0, *(1 + i for i in order))
            np.testing.assert_allclose(tensor, turned, rtol=1e-7, atol=1e-9, err_msg=name)


def test_random_networks_of_two_layers_have_these_tensors():
    """Layer 1 is exactly Gaussian, so that every tensor of layer 2 is exact at any width."""
    width, count = 5, 2500
    networks = draw(
        np.random.default_rng(2), "swish", INPUTS, width=width, depth=2, count=count, **RATES
    )
    measured = tensors(differentials(networks), width)
    theory = recursion("swish", INPUTS, 2)
    for name, (mean, error) in measured.items():
        expected = theory[name][-1]
        assert np.max(np.abs(mean - expected) / (error + 1e-4)) < 5.0, name
        assert np.median(error) < 0.1 * np.max(np.abs(expected)), name  # the check has teeth


def test_random_networks_of_three_layers_come_to_these_tensors():
    """Twice the estimate of width 2n less that of n: what is left is of order 1/n²."""
    theory = recursion("swish", INPUTS, 3)
    measured = []
    for width, count in ((10, 300), (20, 300)):
        networks = draw(
            np.random.default_rng(width),
            "swish",
            INPUTS,
            width=width,
            depth=3,
            count=count,
            **RATES,
        )
        measured.append(tensors(differentials(networks), width))
    for name in "BPQRSTU":
        (small, small_error), (large, large_error) = (found[name] for found in measured)
        error = np.hypot(small_error, 2.0 * large_error)
        expected = theory[name][-1]
        scale = np.max(np.abs(expected))
        assert np.max(np.abs(2.0 * large - small - expected) / (4.0 * error + 0.08 * scale)) < 1.0
        assert np.max(np.abs(large - expected)) < np.max(np.abs(small - expected)) + 4 * np.max(
            error
        )


def test_conditional_kernels_of_three_layers():
    """G1, H1, V, D, A as means and covariances of Ĝ and Ĥ given the last hidden layer."""
    from solvers.systems.infinite_width.activations import slope, value

    theory = recursion("swish", INPUTS, 3)
    first, rng = theory["G"][0], np.random.default_rng(5)
    rates, estimates = RATES, []
    for width, count in ((24, 5000), (48, 3000)):
        z = np.einsum("ab,snb->san", np.linalg.cholesky(first), rng.normal(size=(count, width, 2)))
        s, t = value("swish", z), slope("swish", z)
        weights = rng.normal(size=(count, width, width)) * np.sqrt(rates["c_w"] / width)
        bias = np.sqrt(rates["c_b"]) * rng.normal(size=(count, 1, width))
        z = s @ weights.swapaxes(1, 2) + bias
        h = np.einsum("snm,sam,sbm->sabn", weights**2, t, t) * theory["H"][0][..., None]
        h += (rates["lambda_b"] + rates["lambda_w"] * s @ s.swapaxes(1, 2) / width)[..., None]
        s, t = value("swish", z), slope("swish", z)
        g = s @ s.swapaxes(1, 2) / width
        ntk = rates["lambda_b"] + rates["lambda_w"] * g
        ntk += rates["c_w"] * np.einsum("san,sbn,sabn->sab", t, t, h) / width
        g = rates["c_b"] + rates["c_w"] * g
        dg, dh = g - g.mean(axis=0), ntk - ntk.mean(axis=0)
        samples = {"G1": g - theory["G"][-1], "H1": ntk - theory["H"][-1]}
        for name, (x, y) in {"V": (dg, dg), "D": (dg, dh), "A": (dh, dh)}.items():
            samples[name] = np.einsum("sab,scd->sabcd", x, y)
        estimates.append(
            {
                name: (width * x.mean(axis=0), width * x.std(axis=0) / np.sqrt(count))
                for name, x in samples.items()
            }
        )
    for name in estimates[0]:
        (small, small_error), (large, large_error) = (found[name] for found in estimates)
        error = np.hypot(small_error, 2.0 * large_error)
        expected = theory[name][-1]
        allowed = 4.0 * error + 0.03 * np.max(np.abs(expected))
        assert np.max(np.abs(2.0 * large - small - expected) / allowed) < 1.0, name


def test_relu_tells_what_is_infinite():
    found = recursion("relu", INPUTS, 3)
    assert np.isfinite(found["S"][-1, 0, 1, 0, 1])  # Hessians of different inputs
    assert np.isnan(found["S"][-1, 0, 0, 1, 1])
    for name in "VABDFPQ":
        assert np.isfinite(found[name]).all(), name
    alone = solve(activation="relu", c_w=2.0, depth=5)
    np.testing.assert_allclose(alone["P"].values, 0.0, atol=1e-14)
    assert alone["status"].item() == Status.CONVERGED


def test_relu_is_the_limit_of_sharp_softplus():
    """σ(z) = softplus(βz)/β: z scales by β, tensors by β⁴, and what is left falls as 1/β."""
    relu = recursion("relu", INPUTS, 3)
    found = []
    for sharp in (8.0, 16.0):
        rates = {"c_b": RATES["c_b"] * sharp**2, "lambda_b": RATES["lambda_b"] * sharp**2}
        found.append((sharp, recursion("softplus", INPUTS * sharp, 3, **rates)))
    for name in (*FOUR_INDICES, "G1", "H1"):
        power = 2 if name in ("G1", "H1") else 4
        blunt, sharp = (tensors[name][-1] / beta**power for beta, tensors in found)
        expected = relu[name][-1]
        exists = np.isfinite(expected)
        scale = np.max(np.abs(expected[exists]))
        left = np.abs(2.0 * sharp - blunt - expected)[exists]
        assert np.max(left) < 0.08 * scale, name
        if not exists.all():
            grown = np.abs(sharp / blunt)[~exists]
            assert np.min(grown) > 1.2, name  # infinite where they are said to be


def test_a_kernel_of_zero_sits_on_the_kink(tmp_path):
    file = tmp_path / "inputs.npz"
    np.savez(file, inputs=[[0.0, 0.0], [1.0, 2.0]])
    answer = solve(activation="relu", c_w=2.0, depth=3, inputs=str(file))
    assert answer["status"].item() == Status.NO_SOLUTION
    smooth = solve(activation="tanh", c_w=2.0, depth=3, inputs=str(file))
    assert np.isfinite(smooth["U"].values).all()
    biased = solve(activation="relu", c_w=2.0, c_b=0.1, depth=3, inputs=str(file))
    assert np.isfinite(biased["Q"].values).all()


def test_couplings_grow_as_depth_over_width():
    answer = solve("effective_coupling", activation="relu", c_w=2.0, depth=[6, 11], width=[50, 100])
    expected = 5.0 * np.array([[5 / 50, 5 / 100], [10 / 50, 10 / 100]])
    np.testing.assert_allclose(answer["coupling"].values.reshape(2, 2), expected, rtol=1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu", "swish"])
def test_equivalent_rates_give_every_layer_its_share(activation):
    point = {"activation": activation, "c_b": 0.1, "c_w": 1.6, "depth": 7, "norm": 1.3}
    answer = solve("learning_rates", lambda_b=0.5, lambda_w=2.0, **point)
    bias, weight = answer["bias_rate"].values.ravel(), answer["weight_rate"].values.ravel()
    kernels = solve_points("infinite_width", "kernels", angle=0.0, **point)
    perp = kernels["chi_perp"].values.squeeze()[:, 0]
    nngp = kernels["nngp"].values.squeeze()[:, 0, 0]
    theta = 0.0
    for layer in range(7):  # the recursion of Θ with a rate for every layer
        signal = 1.3**2 if layer == 0 else (nngp[layer] - 0.1) / 1.6
        own = bias[layer] + weight[layer] * signal
        theta = own + (perp[layer - 1] * theta if layer else 0.0)
    assert theta == pytest.approx(0.5 + 2.0 * 1.3**2, rel=1e-10)
    shares = answer["bias_share"].values.sum() + answer["weight_share"].values.sum()
    assert shares == pytest.approx(1.0, rel=1e-12)


def test_rates_of_critical_tanh_are_powers_of_depth():
    answer = solve("learning_rates", activation="tanh", c_w=1.0, depth=600)
    assert answer["rate_exponent"].item() == 1.0
    bias = answer["bias_rate"].values.ravel() * np.arange(1, 601)
    weight = answer["weight_rate"].values.ravel()
    assert bias[300] == pytest.approx(bias[-1], rel=0.01)
    assert weight[300] == pytest.approx(weight[-1], rel=0.01)


def test_the_command_prints_one_number_a_layer_for_one_input(phasesweep, tmp_path):
    file = tmp_path / "inputs.json"
    file.write_text(json.dumps({"inputs": [[1.0, -1.0]]}))
    words = "solve finite_width vertices activation=tanh c_w=1 c_b=0 depth=4 lambda_b=1 lambda_w=1"
    status, out, _ = phasesweep(*words.split(), f"inputs={file}", "--json")
    assert status == 0
    record = json.loads(out)
    alone = solve(activation="tanh", c_w=1.0, depth=4)
    for name in ("H", *FOUR_INDICES):
        assert record[name] == pytest.approx(alone[name].values.ravel().tolist()), name
    file.write_text(json.dumps({"inputs": INPUTS.tolist()}))
    out = phasesweep(*words.split(), f"inputs={file}", "--json")[1]
    assert np.shape(json.loads(out)["Q"]) == (4, 2, 2, 2, 2)


def test_bad_inputs_are_refused(tmp_path):
    file = tmp_path / "bad.npz"
    np.savez(file, inputs=np.ones(3))
    with pytest.raises(UserError, match="one row an input"):
        solve(activation="tanh", c_w=1.0, depth=2, inputs=str(file))
    with pytest.raises(UserError, match="smooth activation such as gelu"):
        solve("trained", activation="relu", c_w=2.0, depth=2)
    exploded = solve(activation="relu", c_w=1e4, depth=40)
    assert exploded["status"].item() == Status.DIVERGED

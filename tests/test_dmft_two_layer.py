"""Full-batch gradient descent: dynamical mean-field theory against integrals, limits, simulation."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf
from scipy.stats import qmc

import phasesweep
from phasesweep import describe
from solvers.contract import Status, load_system
from solvers.numerics.erf_integrals import three_fields
from solvers.numerics.random import Stream
from solvers.systems.dmft_two_layer import jumps
from solvers.systems.dmft_two_layer.paths import MOST_NORMALS
from solvers.systems.dmft_two_layer.units import loss_of_overlaps, pair_average, slope, value
from tests.namespaces import elsewhere

SYSTEM = load_system("dmft_two_layer")
FEW = {"paths": 1024, "randomisations": 4}


def solve(name, points=1, **chosen):
    """One batch; what is left out takes its default."""
    method = SYSTEM.methods[name]
    values = {}
    for axis, declared in method.axes.items():
        given = chosen.pop(axis, declared.default)
        column = axis in method.columns
        values[axis] = np.broadcast_to(np.asarray(given), (points,)).copy() if column else given
    assert not chosen
    return method(points, values)


def linear(**chosen):
    return solve("dmft", activation="linear", **chosen)


def spectrum(alpha, nodes=800):
    """Nodes and masses of the Marchenko-Pastur law of X^T X, and its mass at 0."""
    x, mass = np.polynomial.legendre.leggauss(nodes)
    angle = (x + 1) * np.pi / 2
    values = 1 + alpha + 2 * np.sqrt(alpha) * np.cos(angle)
    density = 4 * alpha * np.sin(angle) ** 2 / (2 * np.pi * values)
    return np.append(values, 0.0), np.append(mass * np.pi / 2 * density, max(0.0, 1 - alpha))


def regression(*, alpha, step_size, noise, scale, steps, momentum=0.0, weight_decay=0.0):
    """Training and test loss of linear regression: equation 13 and its twin for the residuals."""
    x, mass = spectrum(alpha)
    start, source = [np.ones_like(x)], [np.zeros_like(x)]
    for t in range(steps):
        for response, force in ((start, 0.0), (source, step_size)):
            now, before = response[t], response[max(t - 1, 0)]
            drift = -step_size * (x + weight_decay) * now + momentum * (now - before)
            response.append(now + drift + force)
    phi, chi = np.array(start), np.array(source)
    signal = scale**2 * phi**2 + (1 - x * chi) ** 2
    test = 0.5 * (signal + noise * x * chi**2) @ mass
    # ξ has as many components along X as X^T X has non-zero eigenvalues; the others stay.
    inside = np.where(x > 0, (1 - x * chi) ** 2, 0.0) @ mass
    train = 0.5 / alpha * ((x * signal) @ mass + noise * (inside + max(0.0, alpha - 1)))
    return train, test


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 6.0])
@pytest.mark.parametrize("scale", [0.0, 0.7])
@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.6, 0.0), (0.3, 0.4)])
def test_linear_units_are_marchenko_pastur_integrals(alpha, scale, momentum, weight_decay):
    chosen = {"alpha": alpha, "step_size": 0.2, "noise": 0.3, "steps": 40}
    chosen |= {"momentum": momentum, "weight_decay": weight_decay}
    answer = linear(initial_scale=scale, **chosen)
    train, test = regression(scale=scale, **chosen)
    rtol = 1e-8 if alpha == 1.0 else 1e-11  # at alpha = 1 the density diverges at 0
    np.testing.assert_allclose(answer["test_loss"][0], test, rtol=rtol)
    np.testing.assert_allclose(answer["training_loss"][0], train, rtol=rtol)
    assert answer["residual"][0] < 1e-12
    assert np.all(answer["test_loss_error"] == 0)


def test_the_unstable_case_of_the_documentation():
    chosen = {"alpha": 2.0, "step_size": 0.5, "noise": 0.1, "steps": 5}
    answer = linear(initial_scale=0.0, **chosen)
    train, test = regression(scale=0.0, **chosen)
    np.testing.assert_allclose(answer["test_loss"][0], test, rtol=1e-11)
    np.testing.assert_allclose(answer["training_loss"][0], train, rtol=1e-11)
    # From the moments alpha, alpha + alpha² of X^T X.
    assert answer["test_loss"][0, 1] == pytest.approx(0.5 * (1 - 2 + 0.25 * 6 + 0.1 * 0.25 * 2))


def test_published_values():
    """Interpolation and least squares are reached with momentum, which does not move the end."""
    path = Path(__file__).parents[1] / "data" / "published" / "dmft_two_layer.csv"
    for row in csv.DictReader(path.read_text().splitlines()):
        point = dict(entry.split("=") for entry in row["parameters"].split(";"))
        if point.pop("steps") == "infinity":
            run = {"steps": 600, "step_size": 0.3, "momentum": 0.9}
        else:
            run = {"steps": int(row["parameters"][-1])}
        assert (point.pop("activation"), point.pop("width")) == ("linear", "1")
        answer = linear(**{name: float(value) for name, value in point.items()}, **run)
        assert answer[row["quantity"]][0] == pytest.approx(float(row["value"]), rel=1e-9), row


@pytest.mark.parametrize("width", [2, 3])
def test_linear_units_act_through_their_mean(width):
    """f sees the mean of the w_i, which moves with step size/width and starts at scale/√width."""
    chosen = {"alpha": 1.5, "noise": 0.2, "momentum": 0.3, "steps": 12}
    wide = linear(width=width, step_size=0.6, initial_scale=0.9, **chosen)
    narrow = linear(step_size=0.6 / width, initial_scale=0.9 / np.sqrt(width), **chosen)
    for name in ("training_loss", "test_loss"):
        np.testing.assert_allclose(wide[name], narrow[name], rtol=1e-12)


def test_small_steps_of_linear_units_approach_gradient_flow_at_first_order():
    alpha, noise, time = 1.5, 0.2, 2.0
    x, mass = spectrum(alpha)
    left = np.exp(-time * x)
    inverse = np.divide(1 - left, x, out=np.full_like(x, time), where=x > 0)
    flow = 0.5 * (left**2 * (1 + 0.5**2) + noise * x * inverse**2) @ mass
    sizes = np.array([0.1, 0.05, 0.025, 0.0125])
    errors = [
        linear(alpha=alpha, noise=noise, initial_scale=0.5, step_size=h, steps=round(time / h))[
            "final_test_loss"
        ][0]
        - flow
        for h in sizes
    ]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert np.all(np.abs(orders - 1.0) < [0.3, 0.15, 0.08])


def test_small_steps_of_erf_units_converge_at_first_order():
    """At one time, each halving of the step changes the overlaps by half as much as the last."""
    runs = [
        solve(
            "dmft",
            activation="erf",
            alpha=2.0,
            noise=0.1,
            step_size=1.0 / n,
            steps=n,
            paths=8192,
            randomisations=2,
        )
        for n in (4, 8, 16)
    ]
    for name in ("teacher_overlap", "student_overlap"):
        coarse, middle, fine = (run[name][0, -1, 0, 0] for run in runs)
        assert (coarse - middle) / (middle - fine) == pytest.approx(2.0, abs=0.35), name


def population_descent(*, width, teacher_width, rate, scale, steps):
    """Gradient descent of erf units on the expected loss: w_i = C_i ζ with orthonormal ζ."""
    count = width + teacher_width
    student = np.hstack([scale * np.eye(width), np.zeros((width, teacher_width))])
    teacher = np.hstack([np.zeros((teacher_width, width)), np.eye(teacher_width)])
    overlaps = []
    for _ in range(steps + 1):
        overlaps.append((student[:, width:].copy(), student @ student.T))
        outputs = [(u, 1 / width) for u in student] + [(u, -1 / teacher_width) for u in teacher]
        gradient = np.zeros_like(student)
        for i, own in enumerate(student):
            for other, weight in outputs:
                for b in range(count):
                    gradient[i, b] += weight * three_fields(
                        own @ own, other @ other, own[b], own @ other, other[b]
                    )
        student = student - rate / width * gradient
    return [np.array(part) for part in zip(*overlaps, strict=True)]


def test_many_samples_are_descent_of_the_expected_loss():
    alpha, rate, steps = 1e5, 2.0, 6
    teacher, student = population_descent(
        width=2, teacher_width=2, rate=rate, scale=0.5, steps=steps
    )
    answer = solve(
        "dmft",
        activation="erf",
        width=2,
        teacher_width=2,
        alpha=alpha,
        step_size=rate / alpha,
        initial_scale=0.5,
        steps=steps,
        paths=8192,
        randomisations=4,
    )
    np.testing.assert_allclose(answer["teacher_overlap"][0], teacher, atol=3e-3)
    np.testing.assert_allclose(answer["student_overlap"][0], student, atol=6e-3)


@pytest.mark.parametrize("width", [1, 3])
def test_first_step_from_zero_in_closed_form(width):
    """F_0 = (η/p) √(2/π) y: M_1 = α E[F_0 z*], Q_1 = M_1² + α E[F_0²]."""
    alpha, eta, noise = 2.0, 0.6, 0.3
    answer = solve(
        "dmft",
        activation="erf",
        width=width,
        alpha=alpha,
        step_size=eta,
        noise=noise,
        initial_scale=0.0,
        steps=1,
        paths=8192,
        randomisations=4,
    )
    push = eta / width * np.sqrt(2 / np.pi)
    overlap = alpha * push / np.sqrt(np.pi)
    square = overlap**2 + alpha * push**2 * (1 / 3 + noise)
    np.testing.assert_allclose(answer["teacher_overlap"][0, 1], overlap, rtol=5e-4)
    np.testing.assert_allclose(answer["student_overlap"][0, 1], square, rtol=1e-3)


def test_relu_units_at_zero_stay_there():
    answer = solve(
        "dmft",
        activation="relu",
        width=2,
        alpha=2.0,
        step_size=0.5,
        initial_scale=0,
        steps=3,
        **FEW,
    )
    assert np.all(answer["student_overlap"] == 0)
    assert np.ptp(answer["test_loss"]) == 0


@pytest.mark.parametrize("activation", ["erf", "relu"])
def test_second_response_against_brute_force(activation):
    """α ∂E[F_1]/∂r_0 by a finite difference of independent samples of the two-step process."""
    alpha, eta, noise = 2.0, 1.5, 0.1
    answer = solve(
        "dmft",
        activation=activation,
        alpha=alpha,
        step_size=eta,
        noise=noise,
        steps=1,
        paths=8192,
        randomisations=4,
    )
    count = 400_000
    normals = np.random.default_rng(5).normal(size=(4, count))
    teacher, start, fresh, disturbance = np.concatenate([normals, -normals], axis=1)
    labels = value(activation, teacher) + np.sqrt(noise) * disturbance

    def force(field):
        return -eta * (value(activation, field) - labels) * slope(activation, field)

    first = force(start)
    overlap, kept = alpha * np.mean(first * teacher), 1 + alpha * np.mean(first * start)
    field = overlap * teacher + kept * start + np.sqrt(alpha * np.mean(first**2)) * fresh
    step = 0.1
    change = (force(field + force(start + step)) - force(field + force(start - step))) / (2 * step)
    error = alpha * change.std() / np.sqrt(len(change))
    found = answer["gradient_response"][0, 1, 0, 0, 0]
    assert found == pytest.approx(alpha * change.mean(), abs=4 * error + 0.01 * abs(found))
    assert abs(found) > 20 * error
    assert answer["teacher_overlap"][0, 1, 0, 0] == pytest.approx(overlap, abs=0.01)


def test_responses_of_relu_do_not_depend_on_the_bandwidth(monkeypatch):
    chosen = {"alpha": 1.0, "step_size": 1.0, "noise": 0.3, "width": 2, "steps": 12}
    answers = []
    for width in (0.1, 0.3):
        monkeypatch.setattr(jumps, "BANDWIDTH", width)
        answers.append(solve("dmft", activation="relu", paths=4096, randomisations=4, **chosen))
    for name in ("test_loss", "teacher_overlap"):
        error = np.hypot(*(answer[f"{name}_error"] for answer in answers))
        gap = np.abs(answers[0][name] - answers[1][name])
        assert np.all(gap <= 5 * error + 1e-3), name


CASES = {
    "linear, second layer, momentum": {
        "activation": "linear",
        "width": 2,
        "teacher_width": 2,
        "second_layer": "trained",
        "momentum": 0.3,
        "weight_decay": 0.1,
        "step_size": 0.3,
    },
    "erf": {"activation": "erf", "width": 1, "step_size": 0.5},
    "erf, symmetric units from zero": {
        "activation": "erf",
        "width": 3,
        "teacher_width": 2,
        "initial_scale": 0.0,
        "second_layer": "trained",
        "momentum": 0.4,
        "weight_decay": 0.05,
        "step_size": 1.0,
    },
    "tanh, momentum": {
        "activation": "tanh",
        "width": 2,
        "momentum": 0.5,
        "step_size": 0.8,
        "alpha": 0.8,
    },
    "relu": {"activation": "relu", "width": 2, "teacher_width": 2, "step_size": 1.0},
    "relu, second layer": {
        "activation": "relu",
        "width": 3,
        "second_layer": "trained",
        "weight_decay": 0.1,
        "step_size": 1.0,
        "alpha": 1.0,
    },
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_theory_is_the_mean_of_simulations(case):
    chosen = {"alpha": 2.0, "noise": 0.2, "steps": 10} | case
    theory = solve("dmft", paths=2048, randomisations=4, **chosen)
    seeds, dimension = 48, 250
    found = solve("gradient_descent", seeds, seed=np.arange(seeds), dimension=dimension, **chosen)
    for name in (
        "training_loss",
        "test_loss",
        "teacher_overlap",
        "student_overlap",
        "second_layer_weights",
    ):
        mean = found[name].mean(axis=0)
        error = np.hypot(
            found[name].std(axis=0, ddof=1) / np.sqrt(seeds), theory[f"{name}_error"][0]
        )
        finite = 2.0 * np.max(np.abs(mean)) / dimension
        gap = np.abs(mean - theory[name][0])
        assert np.all(gap <= 4.5 * error + finite + 1e-12), name
        # The tolerance can fail: it is small beside what is compared.
        assert np.max(error) < 0.12 * np.max(np.abs(mean)), name
    assert theory["residual"][0] < 0.05


def test_weights_move_along_the_gradient_of_the_stated_loss():
    """One step of the simulation against finite differences of Σ (f - y)²/2 + (λ/2) |W|²."""
    dimension, width, eta, decay, noise, scale = 6, 2, 0.3, 0.2, 0.1, 0.8
    chosen = {"alpha": 2.0, "step_size": eta, "noise": noise, "weight_decay": decay, "steps": 1}
    chosen |= {"width": width, "second_layer": "trained", "initial_scale": scale}
    answer = solve("gradient_descent", activation="tanh", seed=3, dimension=dimension, **chosen)

    def draw(name, rows, columns):
        return Stream("dmft_two_layer", 3, dimension, name).normals(0, rows, columns)

    samples = 2 * dimension
    design = draw("design", samples, dimension) / np.sqrt(dimension)
    teacher = draw("teacher", 1, dimension)
    start = scale * draw("student", width, dimension)
    labels = np.tanh(design @ teacher.T)[:, 0]
    labels = labels + np.sqrt(noise) * draw("noise", samples, 1)[:, 0]

    def loss(weights, second):
        outputs = np.tanh(design @ weights.T) @ second / width
        return 0.5 * np.sum((outputs - labels) ** 2)

    step, ones = 1e-6, np.ones(width)
    moved, second = start * (1 - eta * decay), ones * (1 - eta * decay)
    for i in range(width):
        unit = np.eye(width)[i]
        slopes = (loss(start, ones + step * unit) - loss(start, ones - step * unit)) / (2 * step)
        second[i] -= eta / samples * slopes
        for j in range(dimension):
            change = step * np.outer(unit, np.eye(dimension)[j])
            slopes = (loss(start + change, ones) - loss(start - change, ones)) / (2 * step)
            moved[i, j] -= eta * slopes
    np.testing.assert_allclose(
        answer["student_overlap"][0, 1], moved @ moved.T / dimension, rtol=1e-7
    )
    np.testing.assert_allclose(
        answer["teacher_overlap"][0, 1], moved @ teacher.T / dimension, rtol=1e-6
    )
    np.testing.assert_allclose(answer["second_layer_weights"][0, 1], second, rtol=1e-8)
    np.testing.assert_allclose(
        answer["training_loss"][0, 0], loss(start, ones) / samples, rtol=1e-12
    )


def test_single_precision_is_the_same_run():
    chosen = {"alpha": 1.5, "step_size": 0.5, "dimension": 60, "seed": 1, "steps": 8, "width": 2}
    double, single = (
        solve("gradient_descent", precision=word, **chosen) for word in ("double", "single")
    )
    np.testing.assert_allclose(single["test_loss"], double["test_loss"], rtol=1e-4)
    assert not np.array_equal(single["test_loss"], double["test_loss"])


@pytest.mark.parametrize("activation", ["linear", "erf", "tanh", "relu"])
def test_the_array_namespace_is_the_one_given(activation):
    """Two instances, three points of different alpha, all at once and each by itself."""
    method = SYSTEM.methods["gradient_descent"]
    values = {"width": 2, "teacher_width": 1, "steps": 4, "dimension": 30, "precision": "double"}
    values |= {"activation": activation, "second_layer": "trained"}
    columns = {name: np.full(3, 0.3) for name in method.columns}
    columns |= {"alpha": np.array([0.5, 2.0, 1.0]), "seed": np.array([1, 0, 1])}
    together = method(3, values | columns, xp=elsewhere())
    for i in range(3):
        alone = method(1, values | {n: column[i : i + 1] for n, column in columns.items()}, xp=np)
        for name in method.gives:
            np.testing.assert_allclose(together[name][i], alone[name][0], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize(("activation", "width"), [("erf", 1), ("relu", 3), ("tanh", 9)])
def test_a_point_does_not_depend_on_the_others_to_the_last_bit(activation, width, precision):
    """Several instances of different numbers of points, samples and steps of different size."""
    alpha, seed = np.array([0.5, 5.0, 1.0, 0.1, 2.0]), np.array([1, 1, 0, 1, 2])
    chosen = {"activation": activation, "width": width, "teacher_width": 2, "steps": 6}
    chosen |= {"dimension": 203, "precision": precision, "second_layer": "trained"}
    columns = {"alpha": alpha, "seed": seed, "step_size": 0.1 + 0.05 * np.arange(5)}
    together = solve("gradient_descent", 5, **chosen, **columns)
    for i in range(5):
        one = {n: column[i] for n, column in columns.items()}
        alone = solve("gradient_descent", **chosen, **one)
        for name in SYSTEM.methods["gradient_descent"].gives:
            np.testing.assert_array_equal(together[name][i], alone[name][0], name)


def test_an_axis_called_steps_is_told_once(data):
    """The engine's own `steps` of a point give way to the axis, in datasets and in tables."""
    chosen = {"activation": "linear", "step_size": 0.1, "steps": 3}
    found = phasesweep.solve("dmft_two_layer", "dmft", data=data, alpha=[1, 2], **chosen)
    assert found["test_loss"].dims == ("alpha", "step")
    assert found.sizes["step"] == 4
    assert "steps" in found.coords
    assert int(found["steps"]) == 3
    table = phasesweep.points("dmft_two_layer", "dmft", data=data)
    assert table["steps"].values.tolist() == [3, 3]
    for form in ("csv", None):
        text = describe.query("dmft_two_layer", "dmft", {}, form, str(data))
        assert text.splitlines()[0].count("steps") == 1


def test_runs_that_overflow_are_told():
    for name, size in (("dmft", {}), ("gradient_descent", {"dimension": 20, "seed": 0})):
        answer = solve(name, activation="linear", alpha=4.0, step_size=1e9, steps=40, **size)
        assert answer["status"][0] == Status.DIVERGED
        assert "smaller step_size" in answer["message"][0]
        assert 0 < answer["steps"][0] < 40


def test_the_net_has_the_dimensions_that_are_checked():
    assert qmc.Sobol.MAXDIM == MOST_NORMALS


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"paths": 1000}, "power of two"),
        ({"paths": 16}, "at least 128"),
        ({"randomisations": 1}, "no standard error"),
        ({"steps": 30_000}, "take fewer steps"),
    ],
)
def test_paths_that_give_no_estimate_are_refused(chosen, words):
    method = SYSTEM.methods["dmft"]
    single = {n: axis.default for n, axis in method.axes.items() if n in method.single}
    with pytest.raises(ValueError, match=words):
        method.check(**{**single, "activation": "erf", "width": 2, **chosen})


@pytest.mark.parametrize("activation", ["erf", "tanh", "relu"])
def test_pair_averages_and_test_loss_by_quadrature(activation):
    nodes, mass = np.polynomial.hermite_e.hermegauss(180)
    mass = mass / mass.sum()
    a, b, c = 0.7, 1.3, 0.4
    u = np.sqrt(a) * nodes[:, None]
    v = c / a * u + np.sqrt(b - c * c / a) * nodes[None, :]
    brute = mass @ (value(activation, u) * value(activation, v)) @ mass
    rtol = 2e-3 if activation == "relu" else 1e-9  # a kink costs the brute force its digits
    found = pair_average(activation, *np.array([[a], [b], [c]]))
    assert found[0] == pytest.approx(brute, rel=rtol)
    loss = loss_of_overlaps(
        activation, np.array([[a]]), np.array([[c]]), np.array([[b]]), np.array([0.8])
    )
    brute = mass @ (0.8 * value(activation, u) - value(activation, v)) ** 2 @ mass / 2
    assert loss == pytest.approx(brute, rel=rtol)
    same = loss_of_overlaps(activation, *np.full((3, 1, 1), a), np.ones(1))
    assert same == pytest.approx(0.0, abs=1e-15)


def test_tanh_averages_at_the_ends():
    large = pair_average("tanh", *np.array([[400.0], [400.0], [0.0]]))
    assert large[0] == pytest.approx(0.0, abs=1e-12)
    equal = pair_average("tanh", *np.full((3, 1), 1e4))
    width = np.sqrt(2 / np.pi) / 100  # 1 - tanh² has area 2 and density 1/√(2π·1e4) at 0
    assert equal[0] == pytest.approx(1 - width, rel=1e-5)
    assert pair_average("tanh", *np.array([[0.0], [1.0], [0.0]]))[0] == 0
    assert value("erf", np.array(0.3)) == pytest.approx(erf(0.3 / np.sqrt(2)), rel=1e-15)

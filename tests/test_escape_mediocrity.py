"""Escape on the sphere: one step against brute force, equations, SDE and SGD, exit times, limits."""

import csv
import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.special import roots_gegenbauer

from solvers.axes import FileContent
from solvers.contract import Status, load_system
from solvers.numerics.random import Stream
from solvers.systems.escape_mediocrity.averages import (
    draw_starts,
    mean_log_overlap,
    mean_log_shifted,
    mean_log_start,
)
from solvers.systems.escape_mediocrity.diffusion import _project, _semidefinite_root
from solvers.systems.escape_mediocrity.formula import diffusion, escape_rate
from solvers.systems.escape_mediocrity.moments import (
    ORDER,
    covariance,
    mean_step,
    pack,
    risk,
    risk_of,
    unpack,
)
from solvers.systems.escape_mediocrity.starts import start_states, start_weights

METHODS = load_system("escape_mediocrity").methods


def solve(method, **given):
    """One batch; scalars given for column axes are repeated, everything else has its default."""
    declared = METHODS[method]
    values = {name: given.get(name, axis.default) for name, axis in declared.axes.items()}
    for name in {"initial", "times"} & set(values):
        values[name] = declared.axes[name].parse(values[name])
    points = max(np.size(values[name]) for name in declared.columns)
    columns = {n: np.broadcast_to(values[n], points) for n in declared.columns}
    return declared(points, values | columns)


def random_overlaps(width, seed):
    weights = np.random.default_rng(seed).normal(size=(width + 1, width + 3))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    joint = weights @ weights.T
    return joint[:width, :width], joint[:width, width]


def closed_forms(student, teacher, *, ratio, noise):
    """Drift and covariance of `moments`."""
    p = len(teacher)
    state = pack(student, teacher)
    powers = np.empty((ORDER + 1, p + 1, p + 1))
    mean, spread = np.empty_like(state), np.empty((len(state), len(state)))
    mean_step(state, ratio, noise, p, powers, mean)
    covariance(state, mean, ratio, noise, p, powers, spread)
    return mean, spread


def fields_and_noise(student, teacher, nodes, noise_nodes):
    """Students' and the teacher's fields and ξ, with weights: a tensor Gauss-Hermite rule."""
    p = len(teacher)
    joint = np.block([[student, teacher[:, None]], [teacher[None], np.ones((1, 1))]])
    rules = []
    for n in [nodes] * (p + 1) + [noise_nodes]:
        x, w = np.polynomial.hermite_e.hermegauss(n)
        rules.append((x, w / w.sum()))
    normal = np.stack(np.meshgrid(*[x for x, _ in rules], indexing="ij")).reshape(p + 2, -1)
    weight = np.prod(np.meshgrid(*[w for _, w in rules], indexing="ij"), axis=0).ravel()
    return np.linalg.cholesky(joint) @ normal[:-1], normal[-1], weight, normal[:-1]


def moments_of(increments, weight):
    mean = increments @ weight
    return mean, (increments * weight) @ increments.T - np.outer(mean, mean)


@pytest.mark.parametrize(("width", "nodes"), [(1, 9), (2, 8), (3, 7)])
def test_drift_covariance_and_risk_are_averages_over_fields(width, nodes):
    """Gauss-Hermite rules are exact here: the increments are polynomials of degree six."""
    ratio, noise = 0.7, 0.3
    for seed in range(2):
        q, m = random_overlaps(width, seed)
        fields, xi, weight, _ = fields_and_noise(q, m, nodes, 5)
        own, target = fields[:-1], fields[-1]
        bare = target**2 - np.mean(own**2, axis=0)
        e = bare + math.sqrt(noise) * xi
        increments = list(
            e * (2 * own * target - 2 * m[:, None] * own**2)
            - ratio * e**2 * 2 * m[:, None] * own**2
        )
        for i in range(width):
            for j in range(i + 1, width):
                tangent = 4 * own[i] * own[j] - 2 * q[i, j] * (own[i] ** 2 + own[j] ** 2)
                increments.append((e + ratio * e**2) * tangent)
        expected = moments_of(np.array(increments), weight)
        found = closed_forms(q, m, ratio=ratio, noise=noise)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12 * np.max(np.abs(b)))
        assert risk(pack(q, m), width) == pytest.approx(weight @ bare**2 / 2, rel=1e-12)
        assert risk_of(q, m) == pytest.approx(weight @ bare**2 / 2, rel=1e-12)


def one_projected_step(student, teacher, *, ratio, noise, dimension):
    """Mean and covariance of the increments of the SGD update itself, in `dimension` dimensions.

    x has its component in the span of the weights from the fields, and a chi-square length
    orthogonal to it, integrated by a Gauss-Laguerre rule from the recurrence of the polynomials.
    """
    p = len(teacher)
    fields, xi, weight, normal = fields_and_noise(student, teacher, 13, 7)
    n, alpha = np.arange(6), (dimension - p - 1) / 2 - 1
    off = np.sqrt(n[1:] * (n[1:] + alpha))
    nodes, vectors = np.linalg.eigh(np.diag(2 * n + 1 + alpha) + np.diag(off, 1) + np.diag(off, -1))
    eta = ratio / dimension
    own, target = fields[:-1], fields[-1]
    g = 2 * eta * (target**2 - np.mean(own**2, axis=0) + math.sqrt(noise) * xi) * own
    parts, weights = [], []
    for length, share in zip(2 * nodes, vectors[0] ** 2, strict=True):
        square = np.sum(normal**2, axis=0) + length
        norm = np.sqrt(1 + 2 * g * own + g**2 * square)
        rows = list((teacher[:, None] + g * target) / norm - teacher[:, None])
        for i in range(p):
            for j in range(i + 1, p):
                new = student[i, j] + g[i] * own[j] + g[j] * own[i] + g[i] * g[j] * square
                rows.append(new / (norm[i] * norm[j]) - student[i, j])
        parts.append(np.array(rows) / eta)
        weights.append(weight * share)
    return moments_of(np.concatenate(parts, axis=1), np.concatenate(weights))


@pytest.mark.parametrize(
    ("width", "ratio", "noise"), [(1, 0.15, 0.0), (1, 0.05, 0.4), (2, 0.1, 0.2)]
)
def test_closed_forms_are_the_limit_of_the_projected_update(width, ratio, noise):
    """Differences fall as 1/d; extrapolated from three dimensions, they vanish to 1e-6."""
    q, m = random_overlaps(width, 5)
    found = closed_forms(q, m, ratio=ratio, noise=noise)
    steps = [
        one_projected_step(q, m, ratio=ratio, noise=noise, dimension=d)
        for d in (100_000, 200_000, 400_000)
    ]
    for part in range(2):
        one, two, four = (step[part] for step in steps)
        scale = np.max(np.abs(four))
        assert np.max(np.abs(one - found[part])) > 1e-6 * scale
        np.testing.assert_allclose(
            np.max(np.abs(one - found[part])) / np.max(np.abs(two - found[part])), 2, rtol=0.1
        )
        limit = (8 * four - 6 * two + one) / 3
        np.testing.assert_allclose(found[part], limit, rtol=1e-6, atol=1e-6 * scale)


def test_growth_and_diffusion_at_the_start_are_those_of_the_formula():
    """At orthogonal units m grows at Λ/2; and the variance of a step there is V."""
    for width in (1, 2, 5):
        ratio, noise, tiny = 0.2, 0.7, 1e-6
        m = tiny * np.arange(1, width + 1)
        mean, spread = closed_forms(np.eye(width), m, ratio=ratio, noise=noise)
        rate = escape_rate(width=width, step_size=ratio * width, noise=noise)
        np.testing.assert_allclose(mean[:width], rate / 2 * m, rtol=1e-9)
        omega = diffusion(width=width, step_size=ratio * width, noise=noise)
        expected = np.eye(width) * omega * rate / ratio
        np.testing.assert_allclose(spread[:width, :width], expected, atol=1e-4)


def test_a_teacher_found_up_to_signs_is_at_rest():
    m = np.array([1.0, -1.0, 1.0])
    q = np.outer(m, m)
    mean, spread = closed_forms(q, m, ratio=0.8, noise=0.0)
    assert risk_of(q, m) == 0.0
    np.testing.assert_allclose(mean, 0, atol=1e-14)
    np.testing.assert_allclose(spread, 0, atol=1e-12)


def test_root_and_projection():
    student, teacher = random_overlaps(3, 0)
    _, spread = closed_forms(student, teacher, ratio=0.3, noise=0.1)
    spread[-1] = spread[0] + spread[1]  # a dependent row: semidefinite
    spread[:, -1] = spread[:, 0] + spread[:, 1]
    spread[-1, -1] = spread[0, 0] + spread[1, 1] + 2 * spread[0, 1]
    root = np.full_like(spread, np.nan)
    _semidefinite_root(spread, root)
    np.testing.assert_allclose(root @ root.T, spread, atol=1e-12 * np.max(spread))
    state = np.array([0.9, 0.9, 0.2])  # units both near the teacher and apart: impossible
    _project(state, np.empty((3, 3)), 2)
    q, m = unpack(state, width=2)
    joint = np.block([[q, m[:, None]], [m[None], np.ones((1, 1))]])
    assert abs(np.linalg.eigvalsh(joint)[0]) < 1e-14
    kept = pack(*random_overlaps(2, 3))
    state = kept.copy()
    _project(state, np.empty((3, 3)), 2)
    np.testing.assert_array_equal(state, kept)


def slope_of(state, *, width, ratio, noise):
    mean = np.empty_like(state)
    mean_step(state, ratio, noise, width, np.empty((3, width + 1, width + 1)), mean)
    return mean


def test_equations_and_exit_agree_with_scipy():
    p, step, noise, fraction, times = 3, 0.5, 0.1, 0.3, (0.5, 1.0, 2.0, 4.0)
    seeds = np.arange(3)
    starts = start_states("random", width=p, dimension=np.full(3, 400), seed=seeds)
    given = {"width": p, "step_size": step, "noise": noise, "dimension": 400, "seed": seeds}
    found = solve("ode", **given, exit_fraction=fraction, times=times)
    assert np.all(found["status"] == Status.CONVERGED)
    for start, seed in zip(starts, seeds, strict=True):
        level = (1 - fraction) * risk(start, p)
        reference = solve_ivp(
            lambda _, y: slope_of(y, width=p, ratio=step / p, noise=noise),
            (0, times[-1]),
            start,
            "DOP853",
            times,
            events=lambda _, y, level=level: risk(y, p) - level,
            rtol=1e-12,
            atol=1e-14,
        )
        q, m = unpack(reference.y.T, width=p)
        np.testing.assert_allclose(found["teacher_overlap"][seed], m, atol=1e-8)
        np.testing.assert_allclose(found["risk"][seed], risk_of(q, m), rtol=1e-7)
        np.testing.assert_allclose(found["exit_time"][seed], reference.t_events[0][0], rtol=1e-7)


def test_tolerance_is_the_accuracy_of_risk_and_exit():
    given = {"width": 2, "step_size": 0.1, "dimension": 10**4, "seed": np.arange(6)}
    given["times"] = (0.5, 1.0, 3.0)
    fine = solve("ode", **given, tolerance=1e-12)
    found = solve("ode", **given, tolerance=1e-6)
    np.testing.assert_allclose(found["risk"], fine["risk"], rtol=1e-6)
    np.testing.assert_allclose(found["exit_time"], fine["exit_time"], rtol=1e-5)
    assert np.all(found["steps"] < fine["steps"])


@pytest.mark.parametrize("width", [1, 3])
def test_the_formula_is_the_linearised_flow(width):
    """Start by start; the difference is of order T and falls with it."""
    d, seeds = 10**5, np.arange(4)
    start = start_states("random", width=width, dimension=np.full(4, d), seed=seeds)
    mu = d * np.sum(start[:, :width] ** 2, axis=1)
    tau = 2 * d * np.sum(start[:, width:] ** 2, axis=1)
    differences = []
    for fraction in (0.01, 0.1):
        argument = fraction * width * (width + 1) * d + (1 - fraction) * (2 * width * mu - tau)
        rate = escape_rate(width=width, step_size=0.1 * width, noise=0.3)
        expected = np.log(argument / (2 * width * mu)) / rate
        found = solve(
            "ode",
            width=width,
            step_size=0.1 * width,
            noise=0.3,
            dimension=d,
            exit_fraction=fraction,
            seed=seeds,
            times=(6.0,),
        )["exit_time"]
        differences.append(found - expected)
    assert np.all(np.abs(differences[0]) < 0.01)
    assert np.all((differences[1] > 5 * differences[0]) & (differences[1] < 0.1))


@pytest.mark.parametrize("dimension", [2, 3, 50, 3000])
def test_averages_over_one_unit_are_integrals(dimension):
    d = mpmath.mpf(dimension)
    cuts = [c / math.sqrt(dimension) for c in (0, 0.1, 1, 3, 8)]
    cuts = [c for c in cuts if c < 0.9] + [1]
    norm = 2 / mpmath.beta(0.5, (d - 1) / 2)

    def average(function):
        return float(
            norm
            * mpmath.quad(lambda u: function(u) * (1 - u * u) ** ((d - 3) / 2), cuts, maxdegree=8)
        )

    for fraction in (1e-3, 0.1, 0.9):
        expected = average(lambda u, t=fraction: mpmath.log(t + (1 - t) * u * u))
        found = mean_log_shifted(np.array([fraction]), dimension)[0]
        assert found == pytest.approx(expected, rel=1e-7)
    expected = average(lambda u: mpmath.log(d * u * u))
    assert mean_log_overlap(1, dimension) == pytest.approx(expected, rel=1e-7)


def test_average_logarithm_of_overlaps():
    """Two units by a double integral; d -> ∞ is the chi-square law."""
    u, w = np.polynomial.legendre.leggauss(300)
    u, w = (u + 1) / 2, w / 2
    # Nodes crowd at the origin, where the logarithm is singular.
    angle, w = np.pi / 2 * u**4, w * u**3
    for d in (2, 30):
        weight = np.cos(angle) ** (d - 2) * w / np.sum(np.cos(angle) ** (d - 2) * w)
        square = np.sin(angle) ** 2
        expected = weight @ np.log(d * (square[:, None] + square[None])) @ weight
        assert mean_log_overlap(2, d) == pytest.approx(expected, abs=1e-8)
    for width in (2, 5, 40):
        limit = mpmath.digamma(width / 2) + mpmath.log(2)
        assert mean_log_overlap(width, 10**9) == pytest.approx(float(limit), abs=1e-8)


@pytest.mark.parametrize(("dimension", "fraction"), [(10, 0.5), (200, 0.3)])
def test_quenched_average_over_two_units_is_a_triple_integral(dimension, fraction):
    """u_1·v, u_2·v and the cosine of the rest of u_1 and u_2 are independent sphere coordinates."""
    x, w = roots_gegenbauer(60, dimension / 2 - 1)
    y, v = roots_gegenbauer(60, (dimension - 1) / 2 - 1)
    w, v = w / w.sum(), v / v.sum()
    one, two, rest = np.meshgrid(x, x, y, indexing="ij")
    between = one * two + np.sqrt((1 - one**2) * (1 - two**2)) * rest
    deviation = dimension * (4 * (one**2 + two**2) - 2 * between**2)
    logs = np.log(6 * fraction * dimension + (1 - fraction) * deviation)
    expected = np.einsum("a,b,c,abc", w, w, v, logs)
    mean, error, lost = mean_log_start(
        np.array([6 * fraction * dimension]),
        np.array([1 - fraction]),
        width=2,
        dimension=dimension,
        draws=50_000,
    )
    assert lost[0] == 0
    assert abs(mean[0] - expected) < 4 * error[0] < 1e-4


@pytest.mark.parametrize(("width", "dimension"), [(2, 2), (5, 4), (4, 300)])
def test_drawn_starts_have_the_exact_moments(width, dimension):
    count = 40_000
    mu, tau = draw_starts(width, dimension, count)
    spread = 2 * (dimension - 1) / (dimension + 2)
    assert np.all((mu > 0) & (tau >= 0))
    for sample, mean, variance in (
        (mu, width, spread * width),
        (tau, width * (width - 1), 2 * spread * width * (width - 1)),
        (np.log(mu), mean_log_overlap(width, dimension), None),
    ):
        error = sample.std() / math.sqrt(count)
        assert abs(sample.mean() - mean) < 4 * error
        if variance is not None:
            kurtosis = np.mean((sample - mean) ** 4) / variance**2
            assert abs(sample.var() / variance - 1) < 4 * math.sqrt(kurtosis / count)
    assert abs(np.corrcoef(mu, tau)[0, 1]) < 0.02


def test_drawn_starts_have_the_law_of_the_starts_of_runs():
    seeds = np.arange(3000)
    start = start_states("random", width=3, dimension=np.full(3000, 20), seed=seeds)
    mu, tau = draw_starts(3, 20, 3000)
    for drawn, run in (
        (mu, 20 * np.sum(start[:, :3] ** 2, axis=1)),
        (tau, 40 * np.sum(start[:, 3:] ** 2, axis=1)),
    ):
        levels = np.quantile(drawn, [0.1, 0.5, 0.9])
        fractions = np.mean(run[:, None] < levels, axis=0)
        np.testing.assert_allclose(fractions, [0.1, 0.5, 0.9], atol=0.04)


def test_the_expansion_takes_out_the_error_of_the_draws():
    """Means of different draws agree within the stated errors, and with plain averages."""
    shift, slope = np.array([600.0]), np.array([0.9])
    fine, error, lost = mean_log_start(shift, slope, width=3, dimension=200, draws=100_000)
    coarse, coarse_error, _ = mean_log_start(shift, slope, width=3, dimension=200, draws=1000)
    assert lost[0] == 0
    assert abs(fine[0] - coarse[0]) < 4 * coarse_error[0]
    assert error[0] < coarse_error[0] < 1e-4
    mu, tau = draw_starts(3, 200, 100_000)
    plain = np.log(shift + slope * (6 * mu - tau))
    assert abs(plain.mean() - fine[0]) < 4 * plain.std() / math.sqrt(100_000)


def exit_times(**given):
    given = {"dimension": 500, "exit_fraction": 0.1, "step_size": 0.05, "width": 1} | given
    return solve("exit_time", **{"average": "annealed", **given})


def test_annealed_and_quenched_differ_by_a_third_at_one_unit():
    annealed = exit_times()["exit_time"][0]
    quenched = exit_times(average="quenched")["exit_time"][0]
    assert annealed == pytest.approx(math.log(50.9) / 5.6, rel=1e-12)
    assert 1.28 < quenched / annealed < 1.36
    far = {"dimension": 10**8, "width": [1, 2, 6]}
    difference = exit_times(**far, average="quenched")["exit_time"] - exit_times(**far)["exit_time"]
    half = np.array([1, 2, 6]) / 2
    rate = escape_rate(width=2 * half, step_size=0.05, noise=0)
    gap = [float(mpmath.log(h) - mpmath.digamma(h)) for h in half]
    np.testing.assert_allclose(difference, gap / rate, rtol=1e-6)


def test_noise_delays_and_width_has_a_ceiling():
    delayed = exit_times(noise=[0, 1, 4], average="quenched")["exit_time"]
    assert np.all(np.diff(delayed) > 0)
    widths = np.array([1, 2, 4, 16, 256])
    found = exit_times(width=widths, step_size=0.1 * widths)
    assert np.all(np.diff(found["exit_time"]) < 0)
    narrow = exit_times(width=1, step_size=1e-9)["exit_time"]
    wide = exit_times(width=10**6, step_size=1e-9)["exit_time"]
    # Without steps' own noise width gains log 2 / 8 and no more: p = 1 and p -> ∞ differ by that.
    np.testing.assert_allclose(narrow - wide, math.log(2) / 8, rtol=1e-5)


def test_no_escape_is_a_sentence():
    critical = 1 / 6
    found = exit_times(step_size=[critical - 1e-6, critical + 1e-6, 0.3], average="quenched")
    assert found["status"].tolist() == [Status.CONVERGED, Status.NO_SOLUTION, Status.NO_SOLUTION]
    assert found["exit_time"][0] > 1e4
    assert np.isnan(found["exit_time"][1:]).all()
    assert "step_size is too large" in found["message"][1]
    found = exit_times(width=4, dimension=100, exit_fraction=1e-4, average="quenched")
    assert found["status"][0] == Status.NO_SOLUTION
    assert "random starts" in found["message"][0]
    found = exit_times(width=4, dimension=100, exit_fraction=1e-4)
    assert found["status"][0] == Status.NO_SOLUTION
    assert "annealed formula does not hold" in found["message"][0]


def slow_sgd(*, width, step_size, noise, dimension, seed, steps):
    """The update rule as it is written, in NumPy, from the same samples; overlaps of every step."""
    w, teacher = start_weights("random", width=width, dimension=dimension, seed=seed)
    rows = Stream("escape_mediocrity", seed, dimension, "samples").normals(
        0, steps, dimension + 1, dtype=np.float32
    )
    states = [pack(w @ w.T, w @ teacher)]
    for row in rows.astype(float):
        x, y = row[:-1], (teacher @ row[:-1]) ** 2 + math.sqrt(noise) * row[-1]
        fields = w @ x
        gradient = (np.mean(fields**2) - y) * 2 / width * np.outer(fields, x)
        w = w - step_size / dimension * gradient
        w /= np.linalg.norm(w, axis=1, keepdims=True)
        states.append(pack(w @ w.T, w @ teacher))
    return np.array(states)


@pytest.mark.parametrize(("width", "step_size"), [(1, 0.08), (3, 0.4), (2, 30.0)])
def test_simulation_follows_the_update_rule(width, step_size):
    given = {"width": width, "step_size": step_size, "noise": 0.1, "dimension": 30, "seed": 3}
    unit, steps = step_size / (width * 30), 2500
    reference = slow_sgd(**given, steps=steps)
    times = (0.0, 150.4 * unit, steps * unit)
    found = solve("sgd", **given, exit_fraction=0.4, times=times)
    q, m = unpack(reference[[0, 150, steps]], width=width)
    np.testing.assert_allclose(found["student_overlap"][0], q, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["teacher_overlap"][0], m, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(found["recorded_time"][0], [0, 150 * unit, steps * unit], rtol=1e-12)
    risks = risk_of(*unpack(reference, width=width))
    below = np.flatnonzero(risks <= 0.6 * risks[0])
    expected = below[0] * unit if len(below) else np.nan
    np.testing.assert_allclose(found["exit_time"][0], expected, rtol=1e-12)
    assert found["status"][0] == (Status.CONVERGED if len(below) else Status.MAX_STEPS)
    if len(below):
        stopped = solve("sgd", **given, exit_fraction=0.4, times=times, after_exit="stop")
        assert stopped["exit_time"][0] == found["exit_time"][0]
        assert stopped["steps"][0] == below[0]
        assert stopped["recorded_time"][0, -1] == pytest.approx(expected)
        assert stopped["final_risk"][0] == pytest.approx(risks[below[0]], rel=1e-7)


def test_a_longer_run_goes_on_where_a_shorter_one_ended():
    given = {"width": 2, "step_size": [0.1, 0.4], "noise": 0.2, "seed": [4, 4], "dimension": 40}
    short = solve("sgd", **given, times=(0.2, 0.5))
    long = solve("sgd", **given, times=(0.2, 0.3, 0.5, 1.0))
    np.testing.assert_allclose(long["risk"][:, [0, 2]], short["risk"], rtol=1e-9)


def test_all_methods_start_alike_and_a_file_is_a_start():
    q, m = random_overlaps(2, 8)
    for initial in ("random", {"M": m, "Q": q}):
        given = {
            "width": 2,
            "step_size": 0.1,
            "dimension": 50,
            "seed": [0, 7],
            "times": (0.0, 1e-9),
        }
        found = [solve(method, **given, initial=initial) for method in ("ode", "sde", "sgd")]
        for name in ("student_overlap", "teacher_overlap", "risk"):
            for other in found[1:]:
                np.testing.assert_allclose(other[name], found[0][name], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found[2]["teacher_overlap"][0, 0], m, rtol=1e-12)
    narrow = start_weights("random", width=1, dimension=50, seed=7)[0]
    wide = start_weights("random", width=3, dimension=50, seed=7)[0]
    np.testing.assert_allclose(wide[:1], narrow, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"M": np.zeros(3)}, r"array M has shape \(3,\); width=2"),
        ({"Q": [[1.0, 0.2], [0.3, 1.0]]}, "must be symmetric"),
        ({"Q": [[2.0, 0.0], [0.0, 1.0]]}, "diagonal of Q must be 1"),
        ({"M": [0.9, 0.9]}, "negative eigenvalue"),
    ],
)
def test_overlaps_that_are_none_are_refused(change, message):
    arrays = FileContent.of({"M": np.zeros(2), "Q": np.eye(2)} | change)
    for method in ("ode", "sde", "sgd"):
        given = {"width": 2, "step_size": 0.1, "dimension": 20, "seed": 0, "initial": arrays}
        with pytest.raises(ValueError, match=message):
            solve(method, **given)


@pytest.fixture(scope="module")
def from_one_state():
    """Overlaps of runs from one state: SGD and SDE (seeds, times) at three dimensions, and ODE."""
    q = np.array([[1.0, 0.1], [0.1, 1.0]])
    given = {"width": 2, "step_size": 0.4, "noise": 0.1, "times": (0.1, 0.3, 0.6)}
    given["initial"] = {"M": [0.3, -0.2], "Q": q}
    found = {"ode": solve("ode", **given, dimension=10, seed=0)["teacher_overlap"][0]}
    for dimension in (50, 200, 800):
        for method in ("sde", "sgd"):
            count = 400 if dimension == 200 else 64
            if method == "sde" and dimension != 200:
                continue
            answer = solve(method, **given, dimension=dimension, seed=np.arange(count))
            found[method, dimension] = answer["teacher_overlap"]
    return found


def test_sgd_follows_the_equations_as_dimension_grows(from_one_state):
    """Means within four standard errors and a bias c/d; deviations fall as 1/√d."""
    spreads = []
    for dimension in (50, 200, 800):
        difference = from_one_state["sgd", dimension] - from_one_state["ode"]
        error = difference.std(axis=0, ddof=1) / math.sqrt(len(difference))
        assert np.all(np.abs(difference.mean(axis=0)) < 4 * error + 5 / dimension)
        spreads.append(math.sqrt(np.mean(difference**2)))
    assert 1.6 < spreads[0] / spreads[1] < 2.5
    assert 1.6 < spreads[1] / spreads[2] < 2.5


def test_the_diffusion_is_that_of_sgd(from_one_state):
    """Means and covariances of (m_1, m_2) over 400 runs of each, at every recorded time."""
    sde, sgd = (from_one_state[method, 200] for method in ("sde", "sgd"))
    for time in range(sde.shape[1]):
        a, b = sde[:, time], sgd[:, time]
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a))
        assert np.all(np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4 * error + 1 / 200)
        one, two = np.cov(a.T), np.cov(b.T)
        scale = np.sqrt(np.outer(np.diag(two), np.diag(two)))
        # A relative error of √(2/400) each, and a correction of order 1/d.
        np.testing.assert_array_less(np.abs(one - two) / scale, 4 * math.sqrt(4 / 400) + 0.05)


@pytest.fixture(scope="module")
def exits():
    """Exit times of 500 starts, one unit in 100 dimensions."""
    given = {"width": 1, "step_size": 0.05, "dimension": 100, "exit_fraction": 0.2}
    given |= {"seed": np.arange(500), "times": (8.0,)}
    found = {"ode": solve("ode", **given), "sgd": solve("sgd", **given, after_exit="stop")}
    found["sde"] = solve("sde", **given | {"seed": np.arange(250)}, time_step=0.005)
    times = {name: answer["exit_time"] for name, answer in found.items()}
    assert all(np.isfinite(time).all() for time in times.values())
    return times


def test_exit_times_of_sgd(exits):
    """Quenched formula plus what it leaves out: the diffusion, and the slowing down of order T.

    The slowing down is measured where it is exact: ODE minus formula over the same starts. So SGD
    must be within four standard errors of the diffusive formula, corrected so, and 0.03 (1/√d² terms).
    """
    given = {"width": 1, "step_size": 0.05, "dimension": 100, "exit_fraction": 0.2}
    start = start_states("random", width=1, dimension=np.full(500, 100), seed=np.arange(500))
    mu = 100 * start[:, 0] ** 2
    linear = np.log((0.4 * 100 + 1.6 * mu) / (2 * mu)) / 5.6
    slow = exits["ode"] - linear
    assert np.all((slow > 0.02) & (slow < 0.06))
    formula = solve("exit_time", **given, average="quenched")
    error = exits["sgd"].std() / math.sqrt(500)
    expected = formula["diffusive_exit_time"][0] + slow.mean()
    assert abs(exits["sgd"].mean() - expected) < 4 * error + 0.03
    annealed = solve("exit_time", **given, average="annealed")["exit_time"][0]
    assert exits["sgd"].mean() - annealed > 4 * error  # the annealed one is another quantity


def test_fluctuations_make_exits_earlier(exits):
    """SGD and SDE exit before the flow from the same starts, by log(1 + ω)/Λ = 0.064 or so."""
    early = exits["ode"] - exits["sgd"]
    error = early.std() / math.sqrt(len(early))
    assert early.mean() > 2 * error
    omega = diffusion(width=1, step_size=0.05, noise=0.0)
    assert abs(early.mean() - math.log1p(omega) / 5.6) < 4 * error
    difference = exits["sgd"].mean() - exits["sde"].mean()
    error = math.hypot(
        exits["sgd"].std() / math.sqrt(500), exits["sde"].std() / math.sqrt(len(exits["sde"]))
    )
    assert abs(difference) < 4 * error


def test_runs_that_do_not_exit_say_so():
    given = {"width": 1, "step_size": 0.3, "dimension": 400, "seed": 0, "times": (0.5, 2.0)}
    for method, status in (
        ("ode", Status.CONVERGED),
        ("sde", Status.MAX_STEPS),
        ("sgd", Status.MAX_STEPS),
    ):
        found = solve(method, **given, exit_fraction=0.5)
        assert found["status"][0] == status
        assert np.isnan(found["exit_time"][0])
        assert "no exit before t = 2" in found["message"][0]
        assert np.all(np.isfinite(found["risk"]))


def test_overflow_and_long_euler_steps_are_statuses():
    times = tuple(1e200 * step / 30 for step in (1, 2, 3))
    found = solve("sgd", width=1, step_size=1e200, dimension=30, seed=0, times=times)
    assert found["status"][0] == Status.DIVERGED
    assert "diverged at t = 0" in found["message"][0]
    assert np.all(np.isfinite(found["risk"]))
    assert found["recorded_time"][0, -1] == 0
    found = solve("sde", width=1, step_size=1.0, dimension=30, seed=0, time_step=0.1)
    assert found["status"][0] == Status.DIVERGED
    assert "time_step" in found["message"][0]
    found = solve("ode", width=1, step_size=0.1, dimension=30, seed=0, max_steps=5)
    assert found["status"][0] == Status.MAX_STEPS
    assert found["recorded_time"][0, -1] < 4


_TABLE = Path(__file__).parents[1] / "data" / "published" / "escape_mediocrity.csv"
PUBLISHED = list(csv.DictReader(_TABLE.read_text().splitlines()))


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["parameters"])
def test_published_values(row):
    given = dict(pair.split("=") for pair in row["parameters"].split(";"))
    average = given.pop("average")
    numbers = {name: int(v) if v.isdigit() else float(v) for name, v in given.items()}
    found = solve("exit_time", **numbers, average=average)[row["quantity"]][0]
    np.testing.assert_allclose(found, float(row["value"]), rtol=1e-11)

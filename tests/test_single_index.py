"""Single-index models, one unit: drifts against brute force, both simulations, exponents."""

import csv
import math
from itertools import pairwise
from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import ks_2samp, kstest

from solvers.contract import Status
from solvers.systems.single_index.descent import walk_reduced
from solvers.systems.single_index.flow import drift, time_to
from solvers.systems.single_index.links import (
    INFORMATION_EXPONENT,
    LINKS,
    alignment,
    fluctuation,
    slope,
    value,
)
from solvers.systems.single_index.scaling import fit_line
from solvers.systems.single_index.units import paper_unit, start_at, step_of
from tests.single_index import agree, solve

every_link = pytest.mark.parametrize("link", LINKS)


# --- drift of one unit ---------------------------------------------------------------------------


@every_link
@pytest.mark.parametrize("m", [-0.6, 0.0, 0.3, 0.97])
def test_averages_against_quadrature_in_polar_coordinates(link, m):
    # λ = r cos t, λ* = r cos(t - arccos m): the kinks are at fixed angles.
    code, shift = LINKS.index(link), math.acos(m)
    kinks = sorted({-math.pi, -math.pi / 2, math.pi / 2, math.pi, shift - math.pi / 2})
    kinks = sorted({*kinks, shift + math.pi / 2 if shift < math.pi / 2 else shift - 1.5 * math.pi})
    x, w = np.polynomial.legendre.leggauss(40)
    radius, weight = 5.5 * (1 + x), 5.5 * w
    total = np.zeros(3)
    for low, high in pairwise(kinks):
        for t, angle in zip(
            0.5 * (low + high) + 0.5 * (high - low) * x, 0.5 * (high - low) * w, strict=True
        ):
            for r, dr in zip(radius, weight, strict=True):
                lam, star = r * math.cos(t), r * math.cos(t - shift)
                p = angle * dr * r * math.exp(-r * r / 2) / (2 * math.pi)
                rate = slope.py_func(code, lam)
                gap = value.py_func(code, star) - value.py_func(code, lam)
                total += (
                    p * rate * slope.py_func(code, star),
                    p * gap * gap * rate * rate,
                    p * rate * rate,
                )
    np.testing.assert_allclose(alignment(link, m), total[0], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(
        fluctuation(link, m, 0.7), total[1] + 0.7 * total[2], rtol=1e-9, atol=1e-9
    )


@every_link
def test_information_exponent_is_the_power_of_the_signal_at_the_equator(link):
    small = 1e-4
    power = math.log(alignment(link, 2 * small) / alignment(link, small)) / math.log(2)
    assert power == pytest.approx(INFORMATION_EXPONENT[link] - 1, abs=1e-3)


@every_link
def test_mean_step_in_many_dimensions_is_the_drift(link):
    # The reduced step at d = 1e6 from fixed m: (mean change of m) · d/γ, with the γ term.
    d, m, gamma, noise, n = 1e6, 0.4, 0.3, 0.5, 200_000
    rng = np.random.default_rng(1)
    change = np.empty(n)
    records, state = np.array([10**9]), np.zeros(3, dtype=np.int64)
    normals, uniforms = rng.normal(size=(n, 6)), rng.uniform(size=(n, 3))
    for s in range(0, n):
        change[s] = walk_reduced(
            LINKS.index(link),
            d,
            m,
            normals[s : s + 1],
            uniforms[s : s + 1],
            gamma / d,
            noise**0.5,
            2.0,
            False,
            records,
            state,
            np.zeros(1),
        )
    rate = (change - m) * d / gamma
    agree(rate.mean(), float(drift(link, m, gamma, noise)), rate.std() / n**0.5, floor=1e-5)


@every_link
def test_recovery_time_against_an_integrator(link):
    gamma = 0.02
    solution = solve_ivp(
        lambda _, m: drift(link, m, gamma, 0.2),
        (0, 500),
        [0.03 if link != "hermite3" else 0.4],
        events=lambda _, m: m[0] - 0.6,
        method="DOP853",
        rtol=1e-12,
        atol=1e-14,
    )
    start = float(solution.y[0, 0])
    np.testing.assert_allclose(
        time_to(link, start, 0.6, gamma, 0.2, 0.01), solution.t_events[0][0], rtol=1e-9
    )


def test_flow_records_the_path_through_its_threshold():
    one = solve("flow", link="hermite2", dimension=1000, step_size=0.1, noise=0.3)
    again = solve(
        "flow",
        link="hermite2",
        dimension=1000,
        step_size=0.1,
        noise=0.3,
        times=(float(one["recovery_time"][0]),),
    )
    assert again["overlap"][0, 0] == pytest.approx(0.5, abs=1e-7)


def test_too_large_a_step_never_recovers_and_says_so():
    # hermite2 grows at the equator at the rate 2 - γΨ(0)/2.
    critical = 4.0 / float(fluctuation("hermite2", 0.0, 0.1))
    steps = np.array([0.98, 1.02]) * critical
    answer = solve(
        "flow", link="hermite2", dimension=10**6, step_size=steps, noise=0.1, threshold=0.01
    )
    assert answer["status"].tolist() == [Status.CONVERGED, Status.NO_SOLUTION]
    assert np.isnan(answer["recovery_steps"][1])
    assert answer["message"][1]


def test_wrong_hemisphere_of_an_odd_link_is_never_left_by_the_flow():
    given = {"dimension": 100, "step_size": 0.001, "start": "sphere", "quantile": 0.2}
    assert solve("flow", link="hermite3", **given)["status"][0] == Status.NO_SOLUTION
    assert solve("flow", link="hermite2", **given)["status"][0] == Status.CONVERGED
    assert solve("flow", link="hermite1", **given)["status"][0] == Status.CONVERGED


@pytest.mark.parametrize("d", [4, 30, 10**6])
def test_quantiles_of_the_start(d):
    for q in (1e-6, 0.3, 0.999):
        m = mpmath.mpf(float(start_at(q, d, "half_sphere", 0.0)))
        density = [mpmath.quad(lambda u: (1 - u * u) ** (mpmath.mpf(d - 3) / 2), r) for r in
                   ([0, m], [0, min(1, 12 / mpmath.sqrt(d)), 1])]  # fmt: skip
        assert float(density[0] / density[1]) == pytest.approx(q, rel=1e-9)
    both = start_at(np.array([0.2, 0.8]), d, "sphere", 0.0)
    assert both[1] > 0
    assert both[0] == pytest.approx(-both[1], rel=1e-12)


# --- simulations of one unit ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "d", "gamma"), [("hermite1", 12, 0.3), ("hermite2", 20, 0.2), ("relu", 6, 0.5)]
)
def test_chain_has_the_law_of_sgd(link, d, gamma):
    given = {
        "link": link,
        "dimension": d,
        "step_size": gamma,
        "noise": 0.1,
        "times": (300.0,),
        "after_recovery": "stop",
        "seed": np.arange(600),
    }
    real, reduced = solve("sgd", **given), solve("chain", **given)
    for name in ("recovery_steps", "start_value"):
        assert ks_2samp(real[name], reduced[name]).pvalue > 1e-4


def test_length_of_the_reduced_input_is_chi_squared():
    # One step at m = 0 of hermite1 without a field: n² - 1 = a² (z² + χ²) with a known.
    d, n = 7, 4000
    rng = np.random.default_rng(5)
    normals, uniforms = rng.normal(size=(n, 6)), rng.uniform(size=(n, 3))
    normals[:, 0], normals[:, 1], normals[:, 2] = 0.0, 1e-3, 1.0
    state = np.zeros(3, dtype=np.int64)
    moved = np.array(
        [
            walk_reduced(0, float(d), 0.0, a[None], b[None], 1.0, 1.0, 2.0, False,
                         np.array([10**9]), state, np.zeros(1))
            for a, b in zip(normals, uniforms, strict=True)
        ]
    )  # fmt: skip
    a = 1.0 + 1e-3
    square = ((a * 1e-3 / moved) ** 2 - 1.0) / a**2 - 1e-6
    assert kstest(square, "chi2", args=(d - 2,)).pvalue > 1e-3


def test_sgd_approaches_the_flow_with_dimension():
    times = (0.1, 0.3, 0.6, 1.0)
    given = {"link": "hermite2", "step_size": 0.05, "noise": 0.2, "start": "fixed"}
    worst = []
    for d in (50, 200, 800):
        scaled = tuple(t / (0.05 * math.log(d)) for t in times)
        flow = solve("flow", dimension=d, start_overlap=0.4, times=scaled, **given)
        run = solve(
            "sgd", dimension=d, start_overlap=0.4, times=scaled, seed=np.arange(24), **given
        )
        gap = run["overlap"] - flow["overlap"]
        worst.append(float(np.sqrt(np.mean(gap**2))))
        agree(gap.mean(0)[1], 0.0, gap.std(0)[1] / 24**0.5, floor=4.0 / d)
    # deviations fall as d^(-1/2)
    assert 0.3 < worst[1] / worst[0] < 0.75
    assert 0.3 < worst[2] / worst[1] < 0.75


def test_a_stopped_run_is_the_beginning_of_one_that_goes_on():
    given = {"link": "abs", "dimension": 60, "step_size": 0.2, "seed": np.arange(8)}
    for method in ("sgd", "chain"):
        on = solve(method, after_recovery="continue", times=(0.3, 30.0), **given)
        off = solve(method, after_recovery="stop", times=(0.3, 30.0), **given)
        np.testing.assert_array_equal(on["recovery_steps"], off["recovery_steps"])
        both = off["recorded_time"][:, 0] == on["recorded_time"][:, 0]
        assert both.sum() >= 4
        np.testing.assert_array_equal(on["overlap"][both, 0], off["overlap"][both, 0])
        assert np.all(np.abs(off["overlap"][:, 1]) >= 0.5)


def test_a_run_that_is_too_short_has_no_recovery_time():
    answer = solve("chain", link="hermite2", dimension=100, step_size=0.1, times=(0.1,), seed=3)
    assert answer["status"][0] == Status.MAX_STEPS
    assert np.isnan(answer["recovery_time"][0])
    assert answer["message"][0]


# --- exponents -----------------------------------------------------------------------------------


def test_fit_of_a_line_against_polyfit():
    rng = np.random.default_rng(0)
    x, y, error = rng.normal(size=7), rng.normal(size=7), rng.uniform(0.5, 1, size=7)
    coefficients, covariance = np.polyfit(x, y, 1, w=1 / error, cov="unscaled")
    found = fit_line(x, y, error**-2)
    np.testing.assert_allclose(found[:2], (coefficients[0], covariance[0, 0] ** 0.5))
    np.testing.assert_allclose(
        found[2], np.sum(((y - np.polyval(coefficients, x)) / error) ** 2), rtol=1e-10
    )


@pytest.mark.parametrize(
    ("link", "gamma", "low", "runs", "floor"),
    [("hermite1", 0.1, 50, 32, 0.04), ("hermite2", 0.1, 50, 48, 0.0), ("abs", 0.2, 40, 48, 0.0)],
)
def test_exponent_of_sgd_is_that_of_the_flow_over_a_decade(link, gamma, low, runs, floor):
    given = {"link": link, "step_size": gamma, "dimension": low, "span": 10.0, "sizes": 5}
    flow, chain = solve("fitted_flow", **given), solve("fitted_chain", runs=runs, seed=0, **given)
    error = float(chain["exponent_error"][0])
    assert error < 0.06
    for name in ("exponent", "reduced_exponent"):
        agree(chain[name][0], flow[name][0], error, floor=floor)
    agree(chain["reduced_exponent"][0], 0.0, error, floor=0.06)


def test_exponent_three_needs_the_square_of_the_dimension():
    given = {"link": "hermite3", "step_size": 0.06, "dimension": 12, "span": 10.0, "sizes": 4}
    chain = solve("fitted_chain", runs=16, seed=0, **given)
    error = float(chain["exponent_error"][0])
    assert error < 0.25
    agree(chain["exponent"][0], 2.0, error, floor=0.3)
    assert chain["exponent"][0] > 1.3 + 2 * error


def test_local_exponents_tend_to_the_published_powers():
    path = Path(__file__).parents[1] / "data" / "published" / "single_index.csv"
    with path.open() as file:
        rows = {r["parameters"]: float(r["value"]) for r in csv.DictReader(file)}
    for k in (1, 2, 3):
        given = {"link": f"hermite{k}", "dimension": 10**8, "step_size": 0.01}
        local = solve("flow", **given)["exponent"][0]
        # For k = 2 the logarithm adds 1/(log d + constant).
        expected = rows[f"information_exponent={k}"] + (k == 2) / math.log(1e8)
        assert local == pytest.approx(expected, abs=0.01)


def test_a_constant_step_is_too_large_for_exponent_three_in_high_dimension():
    given = {"link": "hermite3", "step_size": 0.01, "times": (1e-3,)}
    constant = solve("flow", dimension=10**6, step_scaling="constant", **given)
    matched = solve("flow", dimension=10**6, step_scaling="matched", **given)
    assert constant["status"][0] == Status.NO_SOLUTION
    assert matched["status"][0] == Status.CONVERGED
    assert step_of(0.01, 10**6, 3, "matched") == pytest.approx(1e-5)
    assert paper_unit(100, 3) == 1e4
    assert paper_unit(100, 1) == 100

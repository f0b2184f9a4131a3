"""The exit time in closed form: averages over starts, limits, refusals, published values."""

import csv
import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
from scipy.special import roots_gegenbauer

from solvers.contract import Status
from solvers.systems.escape_mediocrity.averages import (
    draw_starts,
    mean_log_overlap,
    mean_log_shifted,
    mean_log_start,
)
from solvers.systems.escape_mediocrity.formula import escape_rate
from solvers.systems.escape_mediocrity.starts import start_states
from tests.escape import solve


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


_TABLE = Path(__file__).parents[1] / "data" / "published" / "escape_mediocrity.csv"
PUBLISHED = list(csv.DictReader(_TABLE.read_text().splitlines()))


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: row["parameters"])
def test_published_values(row):
    given = dict(pair.split("=") for pair in row["parameters"].split(";"))
    average = given.pop("average")
    numbers = {name: int(v) if v.isdigit() else float(v) for name, v in given.items()}
    found = solve("exit_time", **numbers, average=average)[row["quantity"]][0]
    np.testing.assert_allclose(found, float(row["value"]), rtol=1e-11)

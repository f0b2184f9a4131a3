"""Thresholds and scaling: known answers come back within their own error bars, as often as they claim.

Synthetic instances are nested like real ones: a seed has one threshold, and succeeds at every alpha
below it, so that the points of a curve are fully correlated.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, stats

from phasesweep import scaling
from phasesweep.scaling.curves import fit_curve
from phasesweep.scaling.regression import fit_probit
from phasesweep.scaling.samples import resampled_totals

ALPHA_C = 0.8


def steps(x, thresholds):
    """Success of every seed at every abscissa."""
    return (x[None, :] < thresholds[:, None]).astype(float)


def assert_covers(pulls, *, low=0.0, high=0.0):
    """Fractions within one and two standard errors are those of a normal, within 3 binomial errors.

    `low` and `high` widen the bounds where the error is known to be a little off.
    """
    pulls = np.asarray(pulls)
    for sigmas in (1, 2):
        expected = stats.norm.cdf(sigmas) - stats.norm.cdf(-sigmas)
        slack = 3 * np.sqrt(expected * (1 - expected) / len(pulls))
        found = np.mean(np.abs(pulls) < sigmas)
        assert expected - slack - low <= found <= expected + slack + high, (sigmas, found)


LAWS = {
    "normal": (stats.norm(), np.linspace(-3, 3, 15)),
    "logistic": (stats.logistic(scale=0.55), np.linspace(-3, 3, 15)),
    "gumbel": (stats.gumbel_r(), np.linspace(-3, 5, 15)),
}


@pytest.mark.parametrize("seeds", [40, 400])
@pytest.mark.parametrize("law", LAWS)
def test_level_crossing_covers(law, seeds):
    """The median of a law of thresholds, also of a skewed one that no probit line fits."""
    law, window = LAWS[law]
    x = ALPHA_C + 0.1 * window
    rng = np.random.default_rng(seeds)
    pulls = []
    for draw in range(150):
        thresholds = ALPHA_C + 0.1 * law.rvs(size=seeds, random_state=rng)
        found = scaling.level_crossing(
            x=x, y=steps(x, thresholds), level=0.5, resamples=200, bootstrap_seed=draw
        )
        assert found.status == "ok"
        pulls.append((found.value - ALPHA_C - 0.1 * law.median()) / found.error)
    assert_covers(pulls, low=0.03)
    assert abs(np.mean(pulls)) < 0.4


@pytest.mark.parametrize("level", [0.2, 0.9])
def test_other_levels_are_quantiles(level):
    x = np.linspace(-4, 4, 33)
    thresholds = stats.norm.ppf((np.arange(20000) + 0.5) / 20000)
    found = scaling.level_crossing(x=x, y=steps(x, thresholds), level=level, resamples=30)
    assert found.value == pytest.approx(stats.norm.ppf(1 - level), abs=5e-3)
    assert found.error == pytest.approx(
        np.sqrt(level * (1 - level) / 20000) / stats.norm.pdf(found.value), rel=0.5
    )


def test_level_crossing_of_a_mean_covers():
    """A real observable whose seeds carry a common offset and noise of their own."""
    x = np.linspace(0, 2, 15)
    rng = np.random.default_rng(5)
    pulls = []
    for draw in range(150):
        offset = 0.1 * rng.normal(size=(40, 1))
        y = np.tanh(2 * (x - 0.9)) + offset + 0.1 * rng.normal(size=(40, len(x)))
        found = scaling.level_crossing(x=x, y=y, level=0.0, resamples=200, bootstrap_seed=draw)
        assert found.status == "ok"
        pulls.append((found.value - 0.9) / found.error)
    assert_covers(pulls, low=0.03)


def test_bootstrap_error_is_the_spread_of_repeated_experiments():
    x = np.linspace(-3, 3, 15)
    rng = np.random.default_rng(2)
    found = [
        scaling.level_crossing(x=x, y=steps(x, rng.normal(size=100)), level=0.5, resamples=200)
        for _ in range(150)
    ]
    spread = np.std([f.value for f in found])
    assert np.mean([f.error for f in found]) == pytest.approx(spread, rel=0.2)


def test_points_taken_as_independent_would_claim_too_little():
    """The error must be that of 100 thresholds, not of 1500 coin tosses."""
    x = np.linspace(-1, 1, 200)
    y = steps(x, np.random.default_rng(1).normal(size=100))
    found = scaling.level_crossing(x=x, y=y, level=0.5)
    assert 0.9 / np.sqrt(100) < found.error < 1.6 / np.sqrt(100)


def test_a_jump_of_a_mean_is_known_to_the_grid_only():
    x = np.linspace(0, 1, 11)
    y = np.where(x < 0.55, 0.2, 0.9) + 0.001 * np.random.default_rng(0).normal(size=(30, 11))
    found = scaling.level_crossing(x=x, y=y, level=0.5)
    assert 0.5 < found.value < 0.6
    assert found.error >= 0.099 / np.sqrt(12)
    assert "resolution" in found.note


def test_a_sharp_transition_is_known_to_the_grid_only():
    x = np.linspace(0, 1, 11)
    found = scaling.level_crossing(x=x, y=steps(x, np.full(50, 0.43)), level=0.5)
    assert found.value == pytest.approx(0.45, abs=0.01)
    assert found.error == pytest.approx(0.1 / np.sqrt(12), rel=0.05)
    assert "resolution" in found.note


def test_what_is_not_bracketed_is_not_a_number():
    x = np.linspace(0, 1, 11)
    y = steps(x, np.random.default_rng(0).normal(2.0, 0.5, size=50))
    for level, values in ((0.5, y), (0.5, np.ones_like(y)), (3.0, y + 0.1 * x)):
        found = scaling.level_crossing(x=x, y=values, level=level)
        assert np.isnan(found.value)
        assert found.status.startswith("not bracketed: ")
    empty = scaling.level_crossing(x=x, y=np.full((3, 11), np.nan), level=0.5)
    assert np.isnan(empty.value)
    assert "at least 2" in empty.status


def test_a_crossing_at_the_end_of_the_grid_says_so():
    x = np.linspace(-2, 0.05, 9)
    y = steps(x, stats.norm.ppf((np.arange(40) + 0.5) / 40))
    found = scaling.level_crossing(x=x, y=y, level=0.5)
    assert found.status.startswith("too near the end of the grid")
    one = scaling.level_crossing(x=np.linspace(-2, 2, 9), y=steps(x, np.zeros(1)), level=0.5)
    assert "1 seeds give no error" in one.status


def test_missing_values_and_repeated_abscissas():
    """NaN columns are not asked cells; equal realised alphas are one measurement, not two."""
    rng = np.random.default_rng(3)
    x = np.linspace(-2, 2, 9)
    y = steps(x, rng.normal(size=60))
    plain = scaling.level_crossing(x=x, y=y, level=0.5)
    twice = scaling.level_crossing(x=np.repeat(x, 2), y=np.repeat(y, 2, axis=1), level=0.5)
    holes = np.insert(y, 4, np.nan, axis=1)
    holed = scaling.level_crossing(
        x=np.insert(x, 4, 0.1), y=np.vstack([holes, holes[:1] * np.nan]), level=0.5
    )
    assert plain == twice == holed
    shuffled = scaling.level_crossing(x=x[::-1], y=y[::-1, ::-1], level=0.5)
    assert shuffled.value == pytest.approx(plain.value, rel=1e-9)
    assert shuffled.error == pytest.approx(plain.error, rel=0.2)


def test_same_data_same_errors():
    y = steps(np.linspace(-2, 2, 9), np.random.default_rng(3).normal(size=60))
    sample = scaling.make_sample(x=np.linspace(-2, 2, 9), y=y, size=20)
    first = resampled_totals(sample, resamples=50, bootstrap_seed=1)
    again = resampled_totals(sample, resamples=50, bootstrap_seed=1)
    other = resampled_totals(sample, resamples=50, bootstrap_seed=2)
    assert np.array_equal(first[1], again[1])
    assert not np.array_equal(first[1], other[1])
    assert np.all(first[0] == 60)


def test_probit_fit_maximises_its_likelihood():
    rng = np.random.default_rng(0)
    u, trials = np.linspace(-1, 1, 9), np.full((4, 9), 30.0)
    successes = rng.binomial(30, stats.norm.cdf(0.3 - 2 * u), size=(4, 9)).astype(float)
    successes[3] = 30.0 * (u < 0.1)
    prior = np.array([np.inf, 16.0, 2.0])
    found, gradient = fit_probit(u=u, successes=successes, trials=trials, order=2, prior=prior)
    assert np.all(gradient < 1e-6 * trials.sum(axis=1))

    def loss(beta, k, n):
        eta = beta[0] + beta[1] * u + beta[2] * u**2
        data = k * stats.norm.logcdf(eta) + (n - k) * stats.norm.logsf(eta)
        return -data.sum() + 0.5 * np.sum((beta / prior) ** 2)

    for row in range(4):
        best = optimize.minimize(loss, [0, -1, 0], (successes[row], trials[row]), method="BFGS")
        assert found[row] == pytest.approx(best.x, rel=2e-3, abs=2e-3)


@pytest.mark.parametrize("level", [0, -0.5, 1.5])
def test_bad_levels_are_refused(level):
    x = np.linspace(-2, 2, 9)
    with pytest.raises(ValueError, match="between 0 and 1"):
        scaling.level_crossing(x=x, y=steps(x, np.linspace(-1, 1, 20)), level=level)


def family(rng, *, seeds, sizes=(20, 40, 80, 160), nu=2.0, law=None, shift=0.0, shift_power=1.0):
    """Samples with threshold alpha_c + shift N^(-power) + width N^(-1/nu) times a law."""
    law = law or stats.norm()
    samples = []
    for size in sizes:
        scale = size ** (-1 / nu)
        x = ALPHA_C + np.linspace(-3, 3.5, 17) * scale
        thresholds = ALPHA_C + shift * size**-shift_power
        thresholds = thresholds + 0.9 * scale * law.rvs(size=seeds, random_state=rng)
        samples.append(scaling.make_sample(x=x, y=steps(x, thresholds), size=size))
    return samples


def test_crossings_cover():
    """Without corrections all curves cross at alpha_c, at the height of the law there."""
    rng = np.random.default_rng(4)
    pulls, heights = [], []
    for draw in range(100):
        samples = family(rng, seeds=200, sizes=(20, 160))
        (found,) = scaling.curve_crossings(samples, level=0.5, resamples=200, bootstrap_seed=draw)
        assert found.status == "ok"
        pulls.append((found.value - ALPHA_C) / found.error)
        heights.append(found.height)
    assert_covers(pulls, low=0.03)
    assert np.mean(heights) == pytest.approx(0.5, abs=0.02)


def test_curves_that_do_not_cross_say_so():
    rng = np.random.default_rng(4)
    samples = family(rng, seeds=100, sizes=(20, 40), shift=-30.0, shift_power=1.0)
    (found,) = scaling.curve_crossings(samples, level=0.5)
    assert found.status != "ok"
    assert np.isnan(found.value)


@pytest.mark.parametrize(("nu", "law"), [(2.0, stats.norm()), (2.5, stats.gumbel_r(scale=0.8))])
def test_collapse_covers(nu, law):
    """alpha_c and nu come back, chi-squared is about one per degree of freedom."""
    rng = np.random.default_rng(7)
    pulls, nu_pulls, qualities = [], [], []
    for draw in range(60):
        found = scaling.collapse(
            family(rng, seeds=150, nu=nu, law=law), level=0.5, correction=False, resamples=150,
            bootstrap_seed=draw,
        )  # fmt: skip
        pulls.append((found.value - ALPHA_C) / found.error)
        nu_pulls.append((found.nu - nu) / found.nu_error)
        qualities.append(found.quality)
    assert_covers(pulls, low=0.04, high=0.04)
    assert_covers(nu_pulls, low=0.04, high=0.04)
    assert np.mean(qualities) == pytest.approx(1.0, abs=0.2)
    # Nearly all of them: a poor fit is one of probability 0.003.
    assert np.mean(np.array(qualities) < stats.chi2.isf(0.003, 7) / 7) > 0.95


def separability(rng, *, seeds, sizes=(20, 50, 100, 200)):
    """Thresholds by Cover's counting.

    P(n points separable in N dimensions) = P(Bin(n-1, 1/2) <= N-1) (Cover, IEEE Trans. Electron. Comput.
    EC-14, 326 (1965)): the threshold of a seed is the trial of its N-th success.
    """
    samples = []
    for size in sizes:
        asked = np.unique(np.round((2 + np.linspace(-4, 4, 25) * size**-0.5) * size))
        last = stats.nbinom.rvs(size, 0.5, size=seeds, random_state=rng) + size
        samples.append(
            scaling.make_sample(
                x=asked / size, y=(asked[None] - 1 < last[:, None]) * 1.0, size=size
            )
        )
    return samples


def test_collapse_of_separability_covers():
    """Cover's curve: alpha_c = 2, nu = 2, height 1/2, with a bend that shrinks as N^(-1/2)."""
    rng = np.random.default_rng(8)
    found = [
        scaling.collapse(
            separability(rng, seeds=200), level=0.5, resamples=150, bootstrap_seed=draw
        )
        for draw in range(60)
    ]
    good = [f for f in found if f.status == "ok"]
    assert len(good) >= 55
    assert_covers([(f.value - 2) / f.error for f in good], low=0.05, high=0.05)
    assert_covers([(f.nu - 2) / f.nu_error for f in good], low=0.05, high=0.05)
    assert np.median([f.height for f in good]) == pytest.approx(0.5, abs=0.1)


def test_many_seeds_need_the_correction_and_get_it():
    """With small errors the plain collapse of Cover's curve is poor; the correction repairs it."""
    samples = separability(np.random.default_rng(9), seeds=20000)
    plain = scaling.collapse(samples, level=0.5, correction=False, resamples=100)
    assert stats.chi2.sf(plain.chi2, plain.degrees_of_freedom) < 0.05
    found = scaling.collapse(samples, level=0.5, resamples=100)
    assert found.corrected
    assert stats.chi2.sf(found.chi2, found.degrees_of_freedom) > 0.05
    assert found.status == "ok"
    assert abs(found.value - 2) < 3 * found.error < 0.1
    assert abs(found.nu - 2) < 3 * found.nu_error < 0.2


def test_curves_of_different_shape_do_not_collapse():
    rng = np.random.default_rng(10)
    samples = family(rng, seeds=2000, sizes=(20, 80), law=stats.gumbel_r())
    samples += family(rng, seeds=2000, sizes=(40, 160), law=stats.gumbel_l())
    found = scaling.collapse(samples, level=0.5)
    assert found.status.startswith("poor fit")
    assert found.quality > 3
    few = scaling.collapse(samples[:2], level=0.5)
    assert "3 are needed" in few.status
    assert np.isnan(few.value)


def test_extrapolation_with_a_given_exponent_is_the_weighted_line():
    sizes, values, errors = [10, 20, 50, 100], [1.3, 1.22, 1.1, 1.09], [0.02, 0.01, 0.02, 0.01]
    t = np.array(sizes) ** -0.5
    line, covariance = np.polyfit(t, values, 1, w=1 / np.array(errors), cov="unscaled")
    found = scaling.extrapolate(sizes=sizes, values=values, errors=errors, exponent=0.5)
    assert found.value == pytest.approx(line[1], rel=1e-12)
    assert found.amplitude == pytest.approx(line[0], rel=1e-12)
    assert found.error == pytest.approx(np.sqrt(covariance[1, 1]), rel=1e-12)
    residuals = (np.polyval(line, t) - values) / np.array(errors)
    assert found.chi2 == pytest.approx(np.sum(residuals**2), rel=1e-9)


def test_fitted_exponent_error_is_that_of_the_profile():
    """The interval of chi2 <= min + 1 by brute force: a fixed, b and w minimised."""
    sizes = np.array([20.0, 40, 80, 160, 320])
    errors = np.full(5, 0.002)
    values = 0.8 + 0.5 * sizes**-0.6 + errors * np.array([0.4, -0.8, 0.7, 0.1, -0.5])
    found = scaling.extrapolate(sizes=sizes, values=values, errors=errors)
    assert found.status == "ok"

    def chi2(a):
        powers = np.geomspace(0.2, 3, 4001)
        t = sizes[None] ** -powers[:, None]
        b = (t @ (values - a)) / np.sum(t**2, axis=1)
        return np.min(np.sum((values - a - b[:, None] * t) ** 2, axis=1)) / 0.002**2

    assert chi2(found.value) == pytest.approx(found.chi2, abs=1e-3)
    arms = [
        abs(
            optimize.brentq(lambda a: chi2(a) - found.chi2 - 1, found.value, found.value + far)
            - found.value
        )
        for far in (-0.1, 0.05)
    ]
    assert found.error == pytest.approx(max(arms), rel=1e-2)


@pytest.mark.parametrize("exponent", [0.5, None])
def test_extrapolation_covers(exponent):
    rng = np.random.default_rng(11)
    sizes = np.array([20, 40, 80, 160, 320])
    pulls = []
    for _ in range(500):
        values = 0.8 + 0.5 * sizes**-0.5 + 0.002 * rng.normal(size=5)
        found = scaling.extrapolate(
            sizes=sizes, values=values, errors=np.full(5, 0.002), exponent=exponent
        )
        pulls.append((found.value - 0.8) / found.error)
    # The error of a fitted exponent is the longer arm of an asymmetric interval: it covers more.
    assert_covers(pulls, high=0.0 if exponent else 0.12)


def test_extrapolation_is_honest():
    few = scaling.extrapolate(sizes=[10, 20], values=[1, 2], errors=[0.1, 0.1])
    assert "3 are needed" in few.status
    assert np.isnan(few.value)
    flat = scaling.extrapolate(sizes=[10, 20, 40], values=[1.0, 1.01, 1.0], errors=[0.01] * 3)
    assert flat.status.startswith("the exponent is not determined")
    poor = scaling.extrapolate(
        sizes=[10, 20, 40], values=[1.0, 2.0, 1.0], errors=[0.01] * 3, exponent=1.0
    )
    assert poor.status.startswith("poor fit")
    with pytest.raises(ValueError, match="above 0"):
        scaling.extrapolate(sizes=[1, 2], values=[1, 2], errors=[0.1, 0.0], exponent=1)
    with pytest.raises(ValueError, match="exponent"):
        scaling.extrapolate(sizes=[1, 2], values=[1, 2], errors=[0.1, 0.1], exponent=-1)
    exact = scaling.extrapolate(sizes=[10, 20, 40, 80], values=[1.1, 1.05, 1.025, 1.0125])
    assert exact.value == pytest.approx(1.0, abs=1e-5)
    assert exact.exponent == pytest.approx(1.0, abs=2e-3)
    assert np.isnan(exact.error)


def test_whole_path_from_instances_to_infinity_covers():
    """Levels per size, then the extrapolation of a 1/N drift: as a sweep does it."""
    rng = np.random.default_rng(12)
    pulls = []
    for draw in range(100):
        samples = family(rng, seeds=100, sizes=(12, 24, 48), shift=1.5)
        levels = [
            scaling.level_crossing(
                x=s.x, y=s.y, level=0.5, resamples=150, bootstrap_seed=3 * draw + i
            )
            for i, s in enumerate(samples)
        ]
        found = scaling.extrapolate(
            sizes=[s.size for s in samples], values=[e.value for e in levels],
            errors=[e.error for e in levels], exponent=1.0,
        )  # fmt: skip
        pulls.append((found.value - ALPHA_C) / found.error)
    assert_covers(pulls, low=0.04)


def test_computed_curves_are_interpolated():
    x = np.linspace(0, 3, 31)
    found = scaling.curve_level(x=x, y=np.exp(-x), level=0.25)
    assert found.value == pytest.approx(np.log(4), abs=1e-4)
    assert np.isnan(found.error)
    assert found.status == "ok"
    jump = scaling.curve_level(x=x, y=np.where(x < 1.45, 0.1 * x, 0.9 + 0.01 * x), level=0.5)
    assert jump.value == pytest.approx(1.45)
    assert jump.error == pytest.approx(0.05)
    assert "jumps" in jump.note
    assert scaling.curve_level(x=x, y=np.exp(-x), level=2).status.startswith("not bracketed")
    wave = scaling.curve_level(x=x, y=np.sin(2 * np.pi * x), level=0.5)
    assert "crosses 6 times" in wave.note


def test_the_window_follows_the_transition():
    """A long plateau far from the level does not enter the fit."""
    x = np.linspace(0, 10, 201)
    y = steps(x, np.random.default_rng(1).normal(5, 0.3, size=400))
    fit = fit_curve(scaling.make_sample(x=x, y=y), level=0.5)
    assert 4 < fit.low < 5 < fit.high < 6

"""The law of first-order iterations: closed forms, exact integrals, invariances, and its errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from solvers.numerics import gfom
from solvers.numerics.gfom.rules import Linear, Paths, Quadrature

U = {"u": gfom.Normal()}


def power(function, steps, **more):
    return gfom.symmetric(function, steps=steps, side=U, start=lambda past: past.side["u"], **more)


def normal_average(function, variance=1.0):
    """E f(√variance Z) by adaptive quadrature."""
    density = lambda x: math.exp(-x * x / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    return quad(lambda x: function(math.sqrt(variance) * x) * density(x), -12, 12, epsabs=1e-13)[0]


def test_powers_of_a_symmetric_matrix_have_catalan_moments():
    law = gfom.solve(power(lambda t, past: past[t - 1], 14, affine=True), Linear())
    catalan = [math.comb(2 * k, k) / (k + 1) for k in range(15)]
    for t in range(15):
        for s in range(t + 1):
            moment = law.expect(lambda past, t=t, s=s: past[t] * past[s]).value
            expected = 0.0 if (t + s) % 2 else catalan[(t + s) // 2]
            assert float(moment) == pytest.approx(expected, rel=1e-11, abs=1e-9), (t, s)
    # b_ts is the mean derivative of z_{t-1} in r_s: paths from s to t - 1.
    assert law.response(4, 1).value == pytest.approx(1.0)
    assert law.response(7, 2).value == pytest.approx(2.0)
    assert law.response(4, 2).value == 0


def test_powers_by_paths_are_exact_too():
    """Normals are whitened: second moments of an affine iteration have no Monte Carlo error."""
    law = gfom.solve(power(lambda t, past: past[t - 1], 8), Paths(paths=64, replicates=3))
    estimate = law.expect(lambda past: past[0] * past[8])
    assert estimate.value == pytest.approx(14.0, rel=1e-9)
    assert estimate.error < 1e-9


@pytest.mark.parametrize("alpha", [0.4, 1.0, 2.5])
def test_rectangular_powers_have_marchenko_pastur_moments(alpha):
    iteration = gfom.rectangular(
        to_rows=lambda t, past: past[t],
        to_columns=lambda t, past: past[t],
        alpha=alpha,
        steps=7,
        side_columns=U,
        start=lambda past: past.side["u"],
        affine=True,
    )
    law = gfom.solve(iteration, Linear())
    for k in range(8):
        narayana = sum(
            math.comb(k, r) * math.comb(k, r - 1) / k * alpha**r for r in range(1, k + 1)
        )
        moment = law.expect(lambda past, k=k: past[0] * past[k], "columns").value
        assert float(moment) == pytest.approx(narayana or 1.0, rel=1e-11)


def marchenko_pastur(alpha, nodes=2000):
    """Nodes and weights for the spectrum of X^T X, entries of variance 1/d; the atom at 0 too."""
    low, high = (1 - alpha**0.5) ** 2, (1 + alpha**0.5) ** 2
    angle = (np.arange(nodes) + 0.5) * np.pi / nodes
    x = (low + high) / 2 + (high - low) / 2 * np.cos(angle)
    weight = np.pi / nodes * ((high - low) / 2 * np.sin(angle)) ** 2 / (2 * np.pi * x)
    return np.append(x, 0.0), np.append(weight, max(0.0, 1 - alpha))


@pytest.mark.parametrize("momentum", [0.0, 0.6])
@pytest.mark.parametrize("alpha", [0.5, 1.7])
def test_ridge_descent_agrees_with_marchenko_pastur_integrals(alpha, momentum):
    from solvers.systems.gfom.theory import law

    steps, eta, penalty, noise = 12, 0.3, 0.2, 0.4
    x, weight = marchenko_pastur(alpha)
    signal, error = [np.zeros_like(x)], [np.zeros_like(x)]
    for t in range(steps):
        more = [(a[t] - a[t - 1]) * momentum * (t > 0) for a in (signal, error)]
        gradient = x * (signal[t] - 1) + penalty * signal[t]
        signal.append(signal[t] - eta * gradient + more[0])
        error.append(error[t] - eta * ((x + penalty) * error[t] - np.sqrt(x)) + more[1])
    point = {
        "alpha": np.array([alpha]),
        "step_size": np.array([eta]),
        "momentum": np.array([momentum]),
        "regularization": np.array([penalty]),
        "noise": np.array([noise]),
        "gain": np.ones(1),
        "sparsity": np.ones(1),
    }
    settings = {"nodes": 11, "paths": 16, "replicates": 2, "path_seed": 0}
    iteration = "momentum" if momentum else "gradient_descent"
    answer = law(iteration=iteration, steps=steps, averages="exact", **point, **settings)
    risk = [
        np.sum(weight * ((a - 1) ** 2 + noise * b**2)) for a, b in zip(signal, error, strict=True)
    ]
    np.testing.assert_allclose(answer["risk"][0], risk, rtol=1e-9)
    overlap = [np.sum(weight * a) for a in signal]
    np.testing.assert_allclose(answer["moment"][0], overlap, rtol=1e-9, atol=1e-12)
    for t, s in ((3, 3), (7, 4), (12, 11)):
        product = np.sum(weight * (signal[t] * signal[s] + noise * error[t] * error[s]))
        np.testing.assert_allclose(answer["covariance"][0, t, s], product, rtol=1e-9)
    # The response of z_t to a field added at step s: the trace of a polynomial of X^T X.
    if momentum == 0:
        shrink = 1 - eta * (x + penalty)
        for t, s in ((2, 1), (5, 2), (12, 12)):
            expected = np.sum(weight * shrink ** (t - s))
            np.testing.assert_allclose(answer["response"][0, t, s], expected, rtol=1e-9)


def test_first_steps_of_tanh_in_closed_form():
    g = 1.3
    f, slope = lambda x: math.tanh(g * x), lambda x: g / math.cosh(g * x) ** 2
    law = gfom.solve(power(lambda t, past: past.xp.tanh(g * past[t - 1]), 2), Quadrature())
    first = normal_average(lambda x: f(x) ** 2)
    second = normal_average(lambda x: f(x) ** 2, first)
    response = normal_average(slope, first)
    exact = {"rel": 1e-10}
    assert law.gaussian_covariance(1, 1).value == pytest.approx(first, **exact)
    assert law.gaussian_covariance(2, 2).value == pytest.approx(second, **exact)
    assert law.gaussian_covariance(1, 2).value == pytest.approx(0, abs=1e-15)
    assert law.response(2, 1).value == pytest.approx(response, **exact)
    assert law.covariance(2, 2).value == pytest.approx(second + response**2 * first, **exact)
    start = normal_average(lambda x: x * f(x))
    assert law.covariance(2, 0).value == pytest.approx(response * start, **exact)
    assert law.covariance(1, 1).error == 0


def test_amp_follows_scalar_state_evolution():
    g, steps = 1.5, 9
    law = gfom.solve(
        power(lambda t, past: past.xp.tanh(g * past[t - 1]), steps, subtract_memory=True),
        Quadrature(nodes=121),
    )
    variance = 1.0
    for t in range(1, steps + 1):
        previous, variance = variance, normal_average(lambda x: math.tanh(g * x) ** 2, variance)
        assert law.covariance(t, t).value == pytest.approx(variance, rel=1e-10)
        if t > 1:
            slope = normal_average(lambda x: g / math.cosh(g * x) ** 2, previous)
            assert law.response(t, t - 1).value == pytest.approx(slope, rel=1e-9)
    # Two times: E f(r_3) f(r_2) with the correlation of r_3 and r_2 found before.
    low, high = law.covariance(2, 2).value, law.covariance(3, 3).value
    rho = law.covariance(3, 2).value / math.sqrt(low * high)
    inner = lambda x: normal_average(  # noqa: E731
        lambda y: math.tanh(g * (math.sqrt(high) * (rho * x + math.sqrt(1 - rho**2) * y)))
    )
    expected = normal_average(lambda x: math.tanh(g * math.sqrt(low) * x) * inner(x))
    assert law.covariance(4, 3).value == pytest.approx(expected, rel=1e-9, abs=1e-14)
    assert law.gaussian_covariance(4, 3).value == law.gaussian_covariance(3, 4).value


def test_amp_of_the_identity_has_no_memory():
    law = gfom.solve(
        power(lambda t, past: past[t - 1], 6, affine=True, subtract_memory=True), Linear()
    )
    for t in range(1, 7):
        assert law.covariance(t, t).value == pytest.approx(1.0, rel=1e-12)
        assert law.covariance(t, 0).value == pytest.approx(0.0, abs=1e-12)


def coupled(steps, derivative=None, **more):
    """Two columns that talk to each other, through three past iterates at once."""

    def function(t, past):
        x = past[t - 1] + (0.3 * past[t - 2] if t > 1 else 0.0)
        other = past.xp.flip(past[t - 1], axis=-1)
        return past.xp.sin(x) + 0.2 * past[t - 1] * past.xp.tanh(other)

    return gfom.symmetric(
        function,
        local=lambda t, past: 0.1 * past[t - 1] ** 2,
        steps=steps,
        derivative=derivative,
        side={"u": gfom.Normal(2)},
        start=lambda past: past.side["u"],
        columns=2,
        **more,
    )


def coupled_derivative(t, s, past):
    xp, z = past.xp, past[t - 1]
    other = xp.flip(z, axis=-1)
    lag = 0.3 * past[t - 2] if t > 1 else 0.0
    cosine = xp.cos(z + lag)
    eye, swap = np.eye(2), np.eye(2)[::-1]
    if s == t - 2:
        return 0.3 * cosine
    own = cosine + 0.2 * xp.tanh(other)
    across = 0.2 * z / xp.cosh(other) ** 2
    return own[..., None] * eye + across[..., None] * swap


def test_given_and_automatic_derivatives_agree():
    rule = Paths(paths=256, replicates=2)
    given, automatic = (
        gfom.solve(coupled(5, derivative), rule) for derivative in (coupled_derivative, None)
    )
    for t in range(2, 6):
        for s in range(1, t):
            np.testing.assert_allclose(
                automatic.response(t, s).value, given.response(t, s).value, rtol=1e-8, atol=1e-10
            )
    assert given.response(4, 1).value.shape == (2, 2)
    np.testing.assert_allclose(
        automatic.covariance(5, 4).value, given.covariance(5, 4).value, rtol=1e-8, atol=1e-10
    )


def test_automatic_derivatives_at_a_kink():
    relu = lambda t, past: past.xp.where(past[t - 1] > 0.3, past[t - 1] - 0.3, 0.0)  # noqa: E731
    slope = lambda t, s, past: 1.0 * (past[s] > 0.3)  # noqa: E731
    laws = [
        gfom.solve(power(relu, 3, derivative=d), Paths(paths=2**13, replicates=4))
        for d in (None, slope)
    ]
    assert laws[0].response(3, 2).value == pytest.approx(
        float(laws[1].response(3, 2).value), rel=1e-3
    )


def test_paths_agree_with_quadrature_within_their_errors():
    rule = Quadrature(nodes=61)
    exact = gfom.solve(power(lambda t, past: past.xp.tanh(2 * past[t - 1]), 2), rule)
    paths = gfom.solve(power(lambda t, past: past.xp.tanh(2 * past[t - 1]), 2), Paths(1024, 32))
    for t, s in ((1, 1), (2, 1), (2, 2), (2, 0)):
        found = paths.covariance(t, s)
        assert 0 < found.error < 1e-3
        assert abs(found.value - exact.covariance(t, s).value) < 5 * found.error
    response = paths.response(2, 1)
    assert abs(response.value - exact.response(2, 1).value) < 5 * response.error


def test_rectangular_message_passing_by_quadrature_and_by_paths():
    """Memory subtracted: z_t and v_t are Gaussian, with the state evolution of two channels."""
    alpha = 0.6
    iteration = gfom.rectangular(
        to_rows=lambda t, past: past.xp.tanh(past[t]),
        to_columns=lambda t, past: past.xp.sin(past[t] + past.side["xi"]),
        alpha=alpha,
        steps=4,
        side_rows={"xi": gfom.Normal()},
        side_columns=U,
        start=lambda past: past.side["u"],
        subtract_memory=True,
    )
    exact = gfom.solve(iteration, Quadrature(nodes=61, dimensions=3))
    tau = 1.0
    for t in range(4):
        sigma = normal_average(lambda x: math.tanh(x) ** 2, tau)
        assert exact.covariance(t, t, "rows").value == pytest.approx(sigma, rel=1e-10)
        tau = alpha * normal_average(lambda x: math.sin(x) ** 2, sigma + 1)
        assert exact.covariance(t + 1, t + 1, "columns").value == pytest.approx(tau, rel=1e-10)
        response = alpha * normal_average(math.cos, sigma + 1)
        assert exact.response(t + 1, t, "columns").value == pytest.approx(response, rel=1e-10)
    paths = gfom.solve(iteration, Paths(512, 16))
    for block, t, s in (("rows", 3, 2), ("columns", 4, 2)):
        found = paths.covariance(t, s, block)
        assert abs(found.value - exact.covariance(t, s, block).value) < 5 * found.error + 1e-9


def test_standard_errors_are_honest():
    """Replicates of other path seeds scatter as the reported errors say."""
    runs = [
        gfom.solve(power(lambda t, past: past.xp.tanh(2 * past[t - 1]), 4), Paths(64, 8, seed=s))
        for s in range(24)
    ]
    found = [run.covariance(4, 4) for run in runs]
    scatter = np.std([e.value for e in found], ddof=1)
    reported = math.sqrt(np.mean([e.error**2 for e in found]))
    assert 0.6 < scatter / reported < 1.6


def test_points_side_by_side_are_the_points_alone():
    gains = np.array([0.5, 2.0])
    rule = Paths(paths=64, replicates=2)
    make = lambda g, points: power(  # noqa: E731
        lambda t, past: past.xp.tanh(g * past[t - 1]), 3, points=points
    )
    together = gfom.solve(make(gains.reshape(2, 1, 1, 1), 2), rule)
    for i, gain in enumerate(gains):
        alone = gfom.solve(make(gain, None), rule)
        assert alone.covariance(3, 1).value == pytest.approx(together.covariance(3, 1).value[i])
        assert alone.response(3, 2).error == pytest.approx(together.response(3, 2).error[i])
        run = gfom.simulate(make(gain, None), dimension=50, seed=3)
        pair = gfom.simulate(make(gains.reshape(2, 1, 1, 1), 2), dimension=50, seed=3)
        assert run.covariance(3, 1) == pair.covariance(3, 1)[i]


def test_samples_of_several_alphas_are_prefixes_of_one_matrix():
    def make(alpha, points):
        return gfom.rectangular(
            to_rows=lambda t, past: past[t],
            to_columns=lambda t, past: past.xp.tanh(past[t] + past.side["xi"]),
            local_columns=lambda t, past: 0.5 * past[t],
            alpha=alpha,
            steps=3,
            side_rows={"xi": gfom.Normal()},
            side_columns=U,
            start=lambda past: past.side["u"],
            points=points,
        )

    alphas = np.array([0.31, 1.2, 17.0, 0.8, 2.1])
    group = gfom.simulate(make(alphas.reshape(5, 1, 1, 1), 5), dimension=60, seed=1)
    np.testing.assert_allclose(group.alpha * 60, [19, 72, 1020, 48, 126])
    for i, alpha in enumerate(alphas):
        alone = gfom.simulate(make(alpha, None), dimension=60, seed=1)
        for t in (1, 3):
            np.testing.assert_array_equal(
                group.iterate(t, "columns")[i], alone.iterate(t, "columns")
            )
        np.testing.assert_array_equal(
            group.covariance(2, 1, "rows")[i], alone.covariance(2, 1, "rows")
        )


def test_mistakes_are_told():
    with pytest.raises(ValueError, match="not affine"):
        gfom.solve(power(lambda t, past: past[t - 1] ** 2, 2, affine=True), Linear())
    with pytest.raises(ValueError, match="declared affine"):
        gfom.solve(power(lambda t, past: past[t - 1], 2), Linear())
    with pytest.raises(gfom.TooManyDimensionsError, match="take Paths"):
        gfom.solve(power(lambda t, past: past.xp.tanh(past[t - 1]), 5), Quadrature())
    with pytest.raises(ValueError, match="is not made yet"):
        gfom.solve(power(lambda t, past: past[t], 2), Paths(16, 2))
    with pytest.raises(ValueError, match="no side information 'v'"):
        gfom.solve(power(lambda t, past: past.side["v"], 2), Paths(16, 2))
    with pytest.raises(ValueError, match="must broadcast"):
        gfom.solve(power(lambda t, past: np.zeros((1, 1, 1, 3)), 2), Paths(16, 2))
    law = gfom.solve(power(lambda t, past: past[t - 1], 2), Paths(16, 2))
    with pytest.raises(ValueError, match="no iterate 3"):
        law.gaussian_covariance(3, 3)
    with pytest.raises(ValueError, match="'rows' is not one of sites"):
        law.mean(1, "rows")

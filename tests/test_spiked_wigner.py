"""Spiked Wigner: the Bayes fixed point, its free energy, message passing, and the spectrum."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.integrate import quad

from phasesweep.batches import cut
from solvers.contract import Status, load_system
from solvers.numerics import gfom, priors
from solvers.systems.spiked_wigner.instance import Instance
from solvers.systems.spiked_wigner.lanczos import leading
from tests.demo import MEMORY, solve_all
from tests.namespaces import elsewhere

PRIORS = ("rademacher", "gaussian")


def points(method, **given):
    from phasesweep.grid import expand
    from phasesweep.sweepfile import single_method

    declared = load_system("spiked_wigner").methods[method]
    return expand(single_method(declared, given, "test"), lambda *_: np.zeros(1))


def theory(prior, signal, **more):
    return solve_all(points("state_evolution", prior=prior, signal=signal, **more))


def average(function):
    density = lambda z: math.exp(-z * z / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    return quad(lambda z: function(z) * density(z), -12, 12, epsabs=0, epsrel=1e-12, limit=200)[0]


@pytest.mark.parametrize("signal", [1.0001, 1.02, 1.3, 2.0, 4.0])
def test_binary_overlap_solves_its_equation(signal):
    answer = theory("rademacher", signal)
    q, mse = answer["overlap"][0], answer["mse"][0]
    snr = signal**2 * q
    again = average(lambda z: math.tanh(snr + math.sqrt(snr) * z))
    assert q == pytest.approx(again, rel=1e-9)
    # 1 - q = E (1 - tanh), with its own relative accuracy.
    lost = average(lambda z: 2 / (1 + math.exp(min(2 * (snr + math.sqrt(snr) * z), 700))))
    assert mse == pytest.approx(lost, rel=1e-7)
    log_cosh = average(
        lambda z: (
            abs(x := snr + math.sqrt(snr) * z) + math.log1p(math.exp(-2 * abs(x))) - math.log(2)
        )
    )
    free = log_cosh - snr / 2 - signal**2 * q**2 / 4
    assert answer["free_entropy"][0] == pytest.approx(free, rel=1e-8, abs=1e-13)
    assert answer["free_energy"][0] == -answer["free_entropy"][0]


def test_gaussian_spike_is_a_closed_form():
    signal = np.array([1.01, 1.5, 3.0, 50.0])
    answer = theory("gaussian", signal.tolist())
    np.testing.assert_allclose(answer["overlap"], 1 - signal**-2.0, rtol=1e-10)
    np.testing.assert_allclose(answer["mse"], signal**-2.0, rtol=1e-10)
    information = signal**-2.0 / 4 + np.log(signal)
    np.testing.assert_allclose(answer["mutual_information"], information, rtol=1e-12)
    np.testing.assert_allclose(answer["overlap"], answer["spectral_overlap"], rtol=1e-10)


@pytest.mark.parametrize("prior", PRIORS)
def test_free_entropy_and_information_have_the_derivatives_of_i_mmse(prior):
    signal, h = np.array([0.7, 1.0005, 1.1, 1.5, 2.5]), 1e-4
    grid = np.concatenate([signal - h, signal, signal + h])
    answer = theory(prior, sorted(grid.tolist()))
    order = np.argsort(np.argsort(grid))
    at = {
        n: answer[n][order].reshape(3, -1)
        for n in ("free_entropy", "mutual_information", "overlap", "matrix_mse")
    }
    rise = (at["free_entropy"][2] - at["free_entropy"][0]) / (2 * h)
    np.testing.assert_allclose(rise, signal * at["overlap"][1] ** 2 / 2, rtol=1e-5, atol=1e-8)
    gain = (at["mutual_information"][2] - at["mutual_information"][0]) / (2 * h)
    np.testing.assert_allclose(gain, signal * at["matrix_mse"][1] / 2, rtol=1e-6)


@pytest.mark.parametrize("prior", PRIORS)
def test_the_fixed_point_maximises_the_free_entropy(prior):
    law = priors.load(prior)
    signal = 1.4
    answer = theory(prior, signal)
    q = np.linspace(0, 1, 401)
    snr = signal**2 * q
    potential = snr / 2 - law.mutual_information(snr=snr) - signal**2 * q**2 / 4
    best = np.argmax(potential)
    assert abs(q[best] - answer["overlap"][0]) <= 1 / 400
    assert answer["free_entropy"][0] == pytest.approx(potential[best], abs=1e-5)
    assert answer["free_entropy"][0] >= potential[best]


def test_overlap_near_the_transition():
    for signal in (1.001, 1.01):
        e = 1 - signal**-2
        answer = theory("rademacher", signal)["overlap"][0]
        assert answer == pytest.approx(e + 2 * e**2 / 3, abs=2 * e**3)
    below = theory("rademacher", [0.0, 0.5, 0.999, 1.0])
    np.testing.assert_array_equal(below["overlap"], 0)
    np.testing.assert_array_equal(below["mse"], 1)
    np.testing.assert_array_equal(below["overlap_trajectory"], 0)
    np.testing.assert_allclose(below["free_entropy"], 0, atol=1e-15)
    for prior in PRIORS:  # the condition of linear stability, from the prior itself
        critical = solve_all(points("thresholds", prior=prior))["transition"][0]
        overlap = priors.load(prior).overlap(snr=np.array([1e-7]))[0][0]
        assert critical**2 * overlap / 1e-7 == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("signal", [1.2, 2.0])
def test_the_general_law_gives_the_same_state_evolution(signal):
    """Message passing on the spiked matrix as a first-order iteration with memory subtracted."""
    kept = 1 - signal**-2
    iteration = gfom.symmetric(
        lambda t, past: past.xp.tanh(signal * past[t - 1]),
        local=lambda t, past: signal * past.side["x"] * past.mean["overlap"][t],
        averages={"overlap": lambda t, past, value: past.side["x"] * value},
        side={"x": gfom.Atoms((-1.0, 1.0), (0.5, 0.5)), "u": gfom.Normal()},
        start=lambda past: signal * kept * past.side["x"] + math.sqrt(kept) * past.side["u"],
        steps=5,
        subtract_memory=True,
    )
    law = gfom.solve(iteration, gfom.Quadrature(nodes=141))
    trajectory = theory("rademacher", signal, iterations=4)["overlap_trajectory"][0]
    for t in range(5):
        assert law.average("overlap", t + 1).value == pytest.approx(trajectory[t], rel=1e-10)
        # Nishimori: the estimate has the size of its overlap.
        assert law.gaussian_covariance(t + 1, t + 1).value == pytest.approx(
            trajectory[t], rel=1e-10
        )


def within(values, expected, size, term):
    spread = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    gap = np.abs(values.mean(axis=0) - expected)
    assert np.all(gap <= 5 * spread + term / size), np.max(gap / (5 * spread + term / size))


@pytest.mark.parametrize("prior", PRIORS)
def test_message_passing_follows_state_evolution(prior):
    size, seeds, signals = 1000, 16, [1.4, 2.2]
    expected = theory(prior, signals, iterations=5)
    given = {"prior": prior, "signal": signals, "dimension": size, "seed": list(range(seeds))}
    passed = {"cosine": np.sqrt(expected["overlap"]), "self_overlap": expected["overlap"]}
    for method, names in (
        ("amp", ("overlap", "self_overlap", "cosine", "mse", "matrix_mse", "overlap_trajectory")),
        ("spectral", ("spectral_overlap", "eigenvalue")),
    ):
        more = {"iterations": 5} if method == "amp" else {}
        asked = points(method, **given, **more)
        runs = solve_all(asked)
        assert np.all(runs["status"] == Status.CONVERGED)
        at = np.array([asked.point(i)["signal"] for i in range(len(asked))])
        for place, signal in enumerate(signals):
            for name in names:
                exact = passed.get(name, expected.get(name))
                within(runs[name][at == signal], exact[place], size, 8)


def test_random_starts_grow_by_the_square_of_the_signal_and_end_alike():
    given = {"prior": "rademacher", "signal": 2.0, "dimension": 1000, "seed": [0, 1, 2]}
    random = solve_all(points("amp", **given, start="random", iterations=4))
    spectral = solve_all(points("amp", **given))
    np.testing.assert_allclose(random["overlap"], spectral["overlap"], atol=1e-4)
    # While all is small the norm of the estimate grows by λ² an iteration: 1/√n to λ²/√n.
    first = random["overlap_trajectory"][:, 0]
    assert np.all(first < 5 / 1000)


def test_below_the_transition_nothing_is_found_and_less_with_more_sites():
    overlaps = [
        solve_all(
            points("spectral", prior="gaussian", signal=0.5, dimension=n, seed=list(range(16)))
        )["spectral_overlap"].mean()
        for n in (100, 800)
    ]
    assert overlaps[1] < 0.4 * overlaps[0]
    run = solve_all(
        points("amp", prior="rademacher", signal=0.5, dimension=800, seed=list(range(4)))
    )
    assert np.all(run["overlap"] < 1e-4)


@pytest.mark.parametrize("signal", [0.0, 0.7, 1.0, 1.8])
def test_lanczos_finds_the_leading_eigenvector(signal):
    instance = Instance.draw(
        signal=np.array([signal]), prior="rademacher", dimension=150, seed=3, xp=np, dtype=float
    )
    matrix = instance.noise + signal / 150 * instance.spike @ instance.spike.T
    assert np.array_equal(instance.noise, instance.noise.T)
    values, vectors = np.linalg.eigh(matrix)
    found = leading(
        instance=instance,
        start=instance.normals("start", float),
        tolerance=np.array([1e-9]),
        max_steps=np.array([150]),
    )
    assert found.value[0] == pytest.approx(values[-1], rel=1e-10)
    assert abs(vectors[:, -1] @ found.vector[:, 0]) == pytest.approx(1, abs=1e-9)
    image = matrix @ found.vector[:, 0] - found.value[0] * found.vector[:, 0]
    assert np.linalg.norm(image) == pytest.approx(found.residual[0], abs=1e-10)


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize(
    ("method", "start"), [("amp", "spectral"), ("amp", "random"), ("spectral", None)]
)
def test_a_signal_does_not_depend_on_the_others_to_the_last_bit(method, start, precision):
    """Also where some end long before others."""
    given = {"start": start} if start else {}
    given |= {"prior": "rademacher", "dimension": 203, "seed": 0, "precision": precision}
    runs = points(method, signal=[2.5, 0.4, 1.05, 1.0, 1.6], **given)
    together = solve_all(runs)
    assert len(set(together["steps"])) > 2
    for i in range(len(runs)):
        alone = solve_all(runs.take(np.array([i])))
        for name in (*runs.method.gives, "residual", "steps"):
            np.testing.assert_array_equal(alone[name][0], together[name][i])


@pytest.mark.parametrize("method", ["amp", "spectral"])
def test_another_array_namespace_gives_the_same_numbers(method):
    given = {"signal": [0.8, 1.5], "prior": "gaussian", "dimension": 60, "seed": 0}
    (batch,) = cut(points(method, **given), memory=MEMORY)
    declared = load_system("spiked_wigner").methods[method]
    here, there = (declared(2, batch.values, xp=xp) for xp in (np, elsewhere()))
    for name in declared.gives:
        np.testing.assert_allclose(there[name], here[name], rtol=1e-6, atol=1e-9)


def test_the_noise_is_of_the_orthogonal_ensemble():
    """Variance 1/n off the diagonal, 2/n on it; the same noise whatever the prior."""
    size = 300
    draw = lambda prior: Instance.draw(  # noqa: E731
        signal=np.ones(1), prior=prior, dimension=size, seed=0, xp=np, dtype=float
    )
    noise = draw("gaussian").noise
    np.testing.assert_array_equal(noise, draw("rademacher").noise)
    above = noise[np.triu_indices(size, 1)]
    assert size * np.mean(above**2) == pytest.approx(1, abs=5 * math.sqrt(2 / len(above)))
    assert size * np.mean(np.diag(noise) ** 2) == pytest.approx(2, abs=5 * 2 * math.sqrt(2 / size))


def test_too_few_steps_are_a_status():
    given = {"prior": "gaussian", "signal": 1.0, "dimension": 200, "seed": 0}
    assert solve_all(points("spectral", **given, max_steps=5))["status"][0] == Status.MAX_STEPS
    assert solve_all(points("amp", **given, max_steps=1))["status"][0] == Status.MAX_STEPS


def test_the_command_of_the_docs(phasesweep):
    status, out, _ = phasesweep(
        "solve", "spiked_wigner", "state_evolution", "signal=1.5", "prior=rademacher", "--json"
    )
    assert status == 0
    assert json.loads(out)["overlap"] == pytest.approx(0.6922946549484443, rel=1e-9)
    status, _, message = phasesweep("solve", "spiked_wigner", "amp", "signal=-1", "prior=cauchy")
    assert status == 2
    assert message

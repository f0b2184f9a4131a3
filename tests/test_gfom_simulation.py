"""First-order iterations on matrices of finite dimension against their law."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from phasesweep.batches import cut
from solvers.contract import load_system
from solvers.numerics import gfom
from tests.demo import MEMORY, solve_all
from tests.namespaces import elsewhere

SIZES, SEEDS = (50, 200, 800), 16


def points(method, **given):
    from phasesweep.grid import expand
    from phasesweep.sweepfile import single_method

    declared = load_system("gfom").methods[method]
    return expand(single_method(declared, given, "test"), lambda *_: np.zeros(1))


CASES = {
    "identity": {"steps": 5},
    "identity_rectangular": {"steps": 3, "alpha": 0.7},
    "tanh": {"steps": 5, "gain": 1.8},
    "amp": {"steps": 5, "gain": 1.8},
    "gradient_descent": {"steps": 6, "alpha": 0.8, "step_size": 0.4},
    "momentum": {"steps": 6, "alpha": 1.5, "step_size": 0.3},
    "ista": {"steps": 6, "alpha": 0.6, "step_size": 0.4, "noise": 0.05},
}


@pytest.mark.parametrize("iteration", CASES)
def test_simulations_have_the_law_up_to_the_root_of_the_dimension(iteration):
    """Means, covariances between times, moments and risks; deviations fall as dimension^(-1/2)."""
    case = {"iteration": iteration, **CASES[iteration]}
    law = solve_all(points("law", **case))
    runs = points("iterate", **case, dimension=list(SIZES), seed=list(range(SEEDS)))
    measured = solve_all(runs)
    sizes = np.array([runs.point(i)["dimension"] for i in range(len(runs))])
    deviations = []
    for size in SIZES:
        here = sizes == size
        assert here.sum() == SEEDS
        parts = []
        for name in ("mean", "covariance", "moment", "risk"):
            theory, error = law[name][0], law[f"{name}_error"][0]
            values = measured[name][here]
            spread = values.std(axis=0, ddof=1)
            # The largest of some 60 numbers: five standard errors, and a finite-size term.
            scale = 1 + np.abs(theory)
            allowed = 5 * np.hypot(spread / SEEDS**0.5, error) + 6 / size * scale
            gap = np.abs(values.mean(axis=0) - theory)
            assert np.all(gap <= allowed), (name, size, np.max(gap / allowed))
            parts.append(((values - theory) / scale).reshape(SEEDS, -1))
        deviations.append(np.sqrt(np.mean(np.concatenate(parts, axis=1) ** 2)))
    slope = np.polyfit(np.log(SIZES), np.log(deviations), 1)[0]
    # Deviations of one instance hang together: the slope has a standard error of about 0.09.
    assert -0.72 < slope < -0.28, slope


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("iteration", CASES)
def test_a_point_does_not_depend_on_the_others_to_the_last_bit(iteration, precision):
    """Several values of one parameter, with their own numbers of rows where there are any."""
    case = {"iteration": iteration, "dimension": 203, "seed": 0, "precision": precision}
    case |= CASES[iteration]
    varied = next((n for n in ("alpha", "gain") if n in case), None)
    values = [5.3, 0.3, 1.0, 2.4, 0.7] if varied else [None]
    given = {varied: values} if varied else {}
    runs = points("iterate", **(case | given))
    together = solve_all(runs)
    for i in range(len(runs)):
        alone = solve_all(runs.take(np.array([i])))
        for name in ("mean", "covariance", "moment", "risk"):
            np.testing.assert_array_equal(alone[name][0], together[name][i])


@pytest.mark.parametrize("iteration", ["amp", "ista"])
def test_another_array_namespace_gives_the_same_numbers(iteration):
    case = {"iteration": iteration, "dimension": 60, "seed": 0}
    varied = {"gain" if iteration == "amp" else "alpha": [0.5, 1.4]}
    (batch,) = cut(points("iterate", **(CASES[iteration] | case | varied)), memory=MEMORY)
    method = load_system("gfom").methods["iterate"]
    here, there = (method(2, batch.values, xp=xp) for xp in (np, elsewhere()))
    for name in ("mean", "covariance", "moment", "risk"):
        np.testing.assert_allclose(there[name], here[name], rtol=1e-9, atol=1e-12)


def test_matrix_iterates_and_averages_have_their_law():
    """Two columns, coupled nonlinearly, driven by a spike through an average, and by the past."""
    signal, steps = 1.5, 4

    def function(t, past):
        turned = past.xp.flip(past[t - 1], axis=-1)
        return past.xp.tanh(past[t - 1] + 0.5 * turned)

    def local(t, past):
        return signal * past.side["x"] * past.mean["overlap"][t] + 0.3 * past[t - 1]

    iteration = gfom.symmetric(
        function,
        local=local,
        averages={"overlap": lambda t, past, value: past.side["x"] * value},
        side={"x": gfom.Atoms((-1.0, 2.0), (2 / 3, 1 / 3)), "u": gfom.Normal(2)},
        start=lambda past: 0.5 * past.side["x"] + past.side["u"],
        columns=2,
        steps=steps,
    )
    law = gfom.solve(iteration, gfom.Paths(512, 8))
    size = 600
    runs = [gfom.simulate(iteration, dimension=size, seed=seed) for seed in range(16)]
    for t, s in ((1, 1), (3, 2), (4, 4), (4, 1)):
        values = np.array([run.covariance(t, s) for run in runs])
        found = law.covariance(t, s)
        assert found.value.shape == (2, 2)
        allowed = 5 * np.hypot(values.std(axis=0, ddof=1) / 4, found.error) + 6 / size
        assert np.all(np.abs(values.mean(axis=0) - found.value) <= allowed), (t, s)
    overlaps = np.array([run.rows["sites"].mean["overlap"][4].ravel() for run in runs])
    found = law.average("overlap", 4)
    allowed = 5 * np.hypot(overlaps.std(axis=0, ddof=1) / 4, found.error) + 6 / size
    assert np.all(np.abs(overlaps.mean(axis=0) - found.value) <= allowed)


def test_rectangular_iteration_with_memory_on_both_sides_and_subtracted():
    """Every function reads two iterates, matrices of two columns; then the same as AMP."""

    def to_rows(t, past):
        before = past[t - 1] if t else 0.0
        return past.xp.tanh(past[t] + 0.5 * past.xp.flip(past[t], axis=-1)) + 0.3 * before

    def to_columns(t, past):
        before = past[t - 1] if t else 0.0
        return past.xp.sin(past[t] + past.side["xi"]) - 0.4 * before

    for subtract in (False, True):
        iteration = gfom.rectangular(
            to_rows=to_rows,
            to_columns=to_columns,
            local_rows=lambda t, past: 0.2 * past[t - 1] if t else 0.0,
            local_columns=lambda t, past: 0.5 * past.xp.tanh(past[t]),
            alpha=0.6,
            steps=3,
            side_rows={"xi": gfom.Normal()},
            side_columns={"u": gfom.Normal(2)},
            start=lambda past: past.side["u"],
            columns=2,
            subtract_memory=subtract,
        )
        law = gfom.solve(iteration, gfom.Paths(512, 8))
        size = 600
        runs = [gfom.simulate(iteration, dimension=size, seed=seed) for seed in range(16)]
        for block, t, s in (("rows", 2, 1), ("rows", 2, 2), ("columns", 3, 3), ("columns", 3, 1)):
            values = np.array([run.covariance(t, s, block) for run in runs])
            found = law.covariance(t, s, block)
            allowed = 5 * np.hypot(values.std(axis=0, ddof=1) / 4, found.error) + 8 / size
            gap = np.abs(values.mean(axis=0) - found.value)
            assert np.all(gap <= allowed), (subtract, block, t, s, gap / allowed)


def test_memory_coefficients_are_linear_responses():
    """b_ts is what a small random field on z_s, multiplied back, makes of f_t: measured by adding it."""
    gain, steps, size = 3.0, 6, 600
    shift = np.array([0.0, 1e-5]).reshape(2, 1, 1, 1)

    def function(t, past):
        return past.xp.tanh(gain * past[t - 1])

    def field(s, t, past):
        return shift * past.side["h"] * (t == s)

    for s in (1, 3):
        iteration = gfom.symmetric(
            function,
            local=lambda t, past, s=s: field(s, t, past),
            steps=steps,
            side={"u": gfom.Normal(), "h": gfom.Atoms((-1.0, 1.0), (0.5, 0.5))},
            start=lambda past: past.side["u"],
            points=2,
        )
        law = gfom.solve(iteration, gfom.Paths(512, 8))
        measured = []
        for seed in range(24):
            run = gfom.simulate(iteration, dimension=size, seed=seed)
            found = [
                run.expect(lambda past, t=t: past.side["h"] * function(t, past))
                for t in range(s + 1, steps + 1)
            ]
            measured.append([(f[1] - f[0]) / shift.ravel()[1] for f in found])
        measured = np.array(measured)
        expected = [law.response(t, s) for t in range(s + 1, steps + 1)]
        values = np.array([e.value[0] for e in expected])
        error = np.hypot(measured.std(axis=0, ddof=1) / 24**0.5, [e.error[0] for e in expected])
        assert np.all(np.abs(measured.mean(axis=0) - values) <= 5 * error + 6 / size)
        assert values[0] > 0.2


def test_ista_ends_at_the_lasso():
    """After many steps the risk is that of the minimiser, by its own replica equations."""
    from solvers.systems.sparse_recovery.lasso import lasso_fixed_point

    given = {"alpha": 0.8, "sparsity": 0.1, "noise": 0.02, "regularization": 0.25}
    columns = {name: np.array([value]) for name, value in given.items()}
    fixed = lasso_fixed_point(**columns)
    mse = given["alpha"] * fixed.tau**2 - given["noise"]
    case = {"iteration": "ista", **given, "step_size": 0.45, "steps": 25}
    answer = solve_all(points("law", **case, paths=512, replicates=8))
    gap = abs(answer["final_risk"][0] - mse[0])
    assert gap < 5 * answer["risk_error"][0, -1] + 1e-4 * mse[0]
    assert answer["risk_error"][0, -1] < 0.01 * mse[0]


def test_the_worked_example_of_the_page_runs(capsys):
    page = Path(__file__).parent.parent / "docs" / "theory" / "gfom.md"
    code = re.search(r"```python\n(.*?)```", page.read_text(), re.S)[1]
    names: dict = {}
    exec(compile(code, str(page), "exec"), names)
    assert "Estimate" in capsys.readouterr().out
    law, run = names["law"], names["run"]
    for t in (2, 6):
        assert float(run.covariance(t, t)) == pytest.approx(
            float(law.covariance(t, t).value), abs=0.2
        )
    assert law.average("overlap", 6).value > 0.3


def test_exact_averages_that_do_not_exist_are_refused(phasesweep):
    status, _, message = phasesweep(
        "solve", "gfom", "law", "iteration=tanh", "steps=3", "averages=exact"
    )
    assert status == 2
    assert "up to 2 steps" in message
    assert "averages=paths" in message
    status, _, message = phasesweep("solve", "gfom", "law", "iteration=tanh", "alpha=2")
    assert status == 2
    assert "alpha" in message


def test_a_diverging_iteration_is_a_status():
    case = {"iteration": "gradient_descent", "alpha": 2, "step_size": 1e9, "steps": 30}
    answer = solve_all(points("law", **case))
    assert answer["status"][0] == 3
    run = solve_all(points("iterate", **case, dimension=20, seed=0))
    assert run["status"][0] == 3

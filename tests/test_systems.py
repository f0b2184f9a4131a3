"""Every system and method keeps the contract: shapes, independence of the batch, limits, numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from phasesweep.batches import cut
from phasesweep.grid import Points
from solvers.contract import Status, load_system
from tests.demo import GOLDEN, MEMORY, METHODS, OWN, demo_answers, demo_points, sample, solve_all
from tests.write_golden import thin

RTOL = {"theory": 1e-7, "exact": 1e-11, "simulation": 1e-5}
every_method = pytest.mark.parametrize(
    ("system", "method"), METHODS, ids=[f"{system}-{method}" for system, method in METHODS]
)


def assert_same(actual: dict, expected: dict, names: list[str], rtol: float) -> None:
    for name in names:
        finite = expected[name][np.isfinite(expected[name].astype(float))]
        scale = np.max(np.abs(finite.astype(float)), initial=0.0)
        np.testing.assert_allclose(
            actual[name].astype(float),
            expected[name].astype(float),
            rtol=rtol,
            atol=rtol * 1e-2 * scale,
            equal_nan=True,
            err_msg=name,
        )


def compared(points: Points) -> list[str]:
    return [*points.method.gives, "status"]


@every_method
def test_demo_answers_are_finite_where_converged(system, method):
    points = demo_points(system)[method]
    answers = demo_answers(system, method)
    assert len(points) > 0
    assert np.all(answers["status"] != Status.FAILED)
    scalars = [n for n, o in points.method.observables.items() if not o.dims]
    for name in scalars or points.method.gives:
        values = answers[name].astype(float)
        assert np.isfinite(values).any() or np.all(answers["status"] != Status.CONVERGED), name


@every_method
def test_answer_does_not_depend_on_the_batch(system, method):
    points = demo_points(system)[method]
    together = demo_answers(system, method)
    chosen = sample(points, 6)
    expected = {n: together[n][chosen] for n in compared(points)}
    singly = [solve_all(points.take(np.array([i]))) for i in chosen]
    for position, answer in enumerate(singly):
        alone = {n: expected[n][position : position + 1] for n in expected}
        for name in alone:  # a point alone may have shorter further axes than the longest
            part = tuple(slice(n) for n in answer[name].shape)
            alone[name] = alone[name][part]
        assert_same(answer, alone, compared(points), RTOL[points.method.role])


@every_method
def test_answer_does_not_depend_on_the_order(system, method):
    points = demo_points(system)[method]
    together = demo_answers(system, method)
    order = np.random.default_rng(0).permutation(len(points))[:40]
    shuffled = solve_all(points.take(order))
    expected = {}
    for name in compared(points):
        part = tuple(slice(n) for n in shuffled[name].shape[1:])
        expected[name] = together[name][(order, *part)]
    assert_same(shuffled, expected, compared(points), RTOL[points.method.role])


VARYING = [pair for pair in METHODS if load_system(pair[0]).methods[pair[1]].varies]


@pytest.mark.parametrize(("system", "method"), VARYING, ids=["-".join(p) for p in VARYING])
def test_words_that_vary_share_a_batch(system, method):
    """Every word beside all the others, in any order, as in a batch of its own."""
    points = with_every_word(demo_points(system)[method])
    points = points.take(np.random.default_rng(1).permutation(len(points)))
    fixed = replace(points, method=replace(points.method, varies=()))
    assert points.keys == fixed.keys
    together, batches = solve_all(points), cut(fixed, memory=MEMORY)
    assert len(cut(points, memory=MEMORY)) < len(batches)
    for batch in batches:
        alone = solve_all(points.take(batch.index))
        expected = {n: together[n][batch.index] for n in compared(points)}
        # Some library functions round the last entries of an array differently.
        assert_same(alone, expected, compared(points), 1e-14)


def with_every_word(points: Points) -> Points:
    """A few of the points, with all the words of the choices that vary."""
    points = points.take(sample(points, 6))
    for name in points.method.varies:
        options = list(points.method.axes[name].options)
        many = points.take(np.repeat(np.arange(len(points)), len(options)))
        codes = np.tile(np.arange(len(options), dtype=np.int32), len(points))
        columns, values = {**many.columns, name: codes}, {**many.values, name: options}
        points = Points(points.method, columns, values, len(codes))
    return points


@every_method
def test_golden_numbers(system, method):
    points = demo_points(system)[method]
    path = GOLDEN / f"{system}.{method}.json"
    assert path.exists(), "write it: python -m tests.write_golden"
    golden = json.loads(path.read_text())
    assert golden["version"] == points.method.version, "raised version: write the golden file again"
    chosen = sample(points, 8)
    assert [points.keys[i].hex() for i in chosen] == golden["keys"], "the demo or the axes changed"
    answers = demo_answers(system, method)
    assert set(golden["values"]) == set(compared(points))
    for name, rows in golden["values"].items():
        expected = np.array([[np.nan if v is None else v for v in row] for row in rows])
        actual = thin(answers[name][chosen]).astype(float)
        rtol = RTOL[points.method.role]
        np.testing.assert_allclose(
            actual,
            expected,
            rtol=rtol,
            atol=rtol * 1e-2 * np.max(np.abs(expected[np.isfinite(expected)]), initial=0.0),
            err_msg=f"{name}: if numbers changed on purpose, raise the version of {system} {method}",
        )


LIMITS = [(name, limit) for name in OWN for limit in load_system(name).limits]


@pytest.mark.parametrize(
    ("system", "limit"), LIMITS, ids=[f"{name}-{limit.statement}" for name, limit in LIMITS]
)
def test_limits(system, limit):
    from phasesweep.grid import expand
    from phasesweep.sweepfile import single_method

    method = load_system(system).methods[limit.method]
    points = expand(single_method(method, limit.point, "limit"), lambda *_: np.zeros(1))
    assert len(points) == 1
    value = solve_all(points)[limit.observable][0]
    labels = method.observables[limit.observable].labels
    if labels:
        assert labels[int(value)] == limit.value
    else:
        np.testing.assert_allclose(float(value), limit.value, rtol=limit.rtol, atol=limit.atol)


@every_method
def test_declared_cost_is_finite_and_positive(system, method):
    batches = cut(demo_points(system)[method], memory=2**31)
    assert all(np.isfinite(b.seconds) and b.seconds > 0 for b in batches)
    assert all(np.isfinite(b.memory) and b.memory > 0 for b in batches)


@pytest.mark.parametrize("system", OWN)
def test_every_axis_and_observable_is_explained(system):
    declared = load_system(system)
    assert declared.source
    for name, axis in declared.axes.items():
        assert axis.description, name
        assert axis.symbol or not axis.numeric, name
    for name, observable in declared.observables.items():
        assert observable.description, name

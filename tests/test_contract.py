"""Declarations are checked at import, axes parse and refuse, solvers that break the contract are told."""

from __future__ import annotations

import json

import numpy as np
import pytest

from solvers.axes import Choice, File, FileContent, Integer, Real, Sequence, canonical_float
from solvers.contract import ContractError, Cost, DeclarationError, Observable, System

COST = Cost(flops=lambda **_: 1.0, memory=lambda **_: 8.0)


def make_system(**changes) -> System:
    declaration = {
        "title": "a toy",
        "axes": {
            "alpha": Real("load", low=0),
            "dimension": Integer("size"),
            "seed": Integer("seed"),
        },
        "observables": {
            "overlap": Observable("overlap"),
            "phase": Observable("phase", labels=("a", "b")),
        },
        "source": "none",
        "demo": {"methods": {"theory": {}}},
    }
    return System("toy", **(declaration | changes))


def declare_theory(system: System, answer=None, **changes):
    declaration = {"version": 1, "gives": ("overlap", "phase"), "cost": COST} | changes

    @system.theory(**declaration)
    def theory(*, alpha):
        """A toy."""
        good = {
            "overlap": alpha,
            "phase": ["a"] * len(alpha),
            "status": 0,
            "steps": 0,
            "residual": 0.0,
        }
        return good if answer is None else answer(good)

    return system.methods["theory"]


def test_a_batch_comes_back_as_typed_columns():
    method = declare_theory(make_system())
    answer = method(2, {"alpha": np.array([1.0, 2.0])})
    assert answer["overlap"].dtype == np.float64
    assert answer["phase"].tolist() == [0, 0]
    assert answer["status"].shape == answer["steps"].shape == answer["residual"].shape == (2,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gives": ("overlap", "energy")}, "observables energy unexpected"),
        ({"gives": ()}, "observables are missing"),
        ({"shares": ("seed",)}, "shared axes seed unexpected"),
        ({"varies": ("alpha",)}, "choices that vary, alpha unexpected"),
        ({"varies": ("phase",)}, "choices that vary, phase unexpected"),
        ({"devices": ("tpu",)}, "devices tpu unexpected"),
        ({"axes": {"kappa": Real()}}, "narrowed axes kappa unexpected"),
        ({"size": "dimension"}, "size axis dimension unexpected"),
    ],
)
def test_wrong_declarations_are_named(changes, message):
    with pytest.raises(DeclarationError, match=message):
        declare_theory(make_system(), **changes)


def test_a_choice_that_varies_is_a_column_of_words():
    system = make_system(axes={"alpha": Real("load"), "start": Choice("cold", "warm")})

    def declare(**changes):
        @system.theory(version=1, gives=("overlap",), cost=COST, **changes)
        def theory(*, alpha, start):
            """A toy."""
            given = np.where(start == "warm", alpha, 0.0)
            return {"overlap": given, "status": 0, "steps": 0, "residual": 0.0}

        return system.methods.pop("theory")

    assert declare().single == ("start",)
    method = declare(varies=("start",))
    assert (method.single, method.columns) == ((), ("alpha", "start"))
    values = {"alpha": np.array([1.0, 2.0]), "start": np.array(["cold", "warm"])}
    assert method(2, values)["overlap"].tolist() == [0.0, 2.0]
    with pytest.raises(DeclarationError, match="choices that vary, start unexpected"):
        declare(varies=("start",), shares=("start",))


def test_signatures_are_checked():
    system = make_system()
    add = system.theory(version=1, gives=("overlap",), cost=COST)

    def positional(alpha):
        """Doc."""

    def default(*, alpha=1.0):
        """Doc."""

    def unknown(*, temperature):
        """Doc."""

    def silent(*, alpha): ...

    for function, message in [
        (positional, "keyword-only"),
        (default, "defaults belong to the axes"),
        (unknown, "arguments temperature unexpected"),
        (silent, "docstring is missing"),
    ]:
        with pytest.raises(DeclarationError, match=message):
            add(function)


def test_a_simulation_needs_a_size_and_a_seed():
    add = make_system().simulation(version=1, gives=("overlap",), cost=COST)

    def measure(*, alpha):
        """Doc."""

    with pytest.raises(DeclarationError, match="size and seed is missing"):
        add(measure)


def test_whole_systems_are_checked():
    system = make_system()
    with pytest.raises(DeclarationError, match="methods are missing"):
        system.check()
    declare_theory(system)
    with pytest.raises(DeclarationError, match="axis dimension is used by no method"):
        system.check()


def test_an_observable_has_no_name_of_an_axis():
    """Of the system, or of one method alone."""
    for changes in ({}, {"axes": {"overlap": Real("overlap of the start")}}):
        system = make_system(
            axes={"alpha": Real("load"), **({} if changes else {"overlap": Real("start")})},
            observables={"overlap": Observable("overlap")},
        )

        @system.theory(version=1, gives=("overlap",), cost=COST, **changes)
        def theory(*, alpha, overlap):
            """A toy."""

        with pytest.raises(DeclarationError, match="observable overlap has the name of an axis"):
            system.check()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda good: {k: v for k, v in good.items() if k != "status"}, "must return"),
        (lambda good: good | {"extra": 1}, "must return"),
        (lambda good: good | {"overlap": np.zeros((2, 3))}, "must have shape"),
        (lambda good: good | {"overlap": np.zeros(5)}, "must have shape"),
        (lambda good: good | {"phase": ["c", "c"]}, "must be one of a, b"),
        (lambda good: None, "must return"),
    ],
)
def test_broken_answers_are_named(answer, message):
    method = declare_theory(make_system(), answer)
    with pytest.raises(ContractError, match=message):
        method(2, {"alpha": np.ones(2)})


def test_floats_meet_at_twelve_digits():
    assert canonical_float(0.1 + 0.2) == 0.3
    assert canonical_float(1.2e-3) != canonical_float(1e-3)
    assert str(canonical_float(-0.0)) == "0.0"
    assert Real().text(0.5) == Real().text(0.5000000000000001)


@pytest.mark.parametrize(
    ("axis", "good", "bad"),
    [
        (
            Real(low=0, open="low"),
            [1, "0.5", "1e-3"],
            [0, -1, "x", None, True, float("nan"), float("inf")],
        ),
        (Real(low=0, high=1), [0, 1], [1.1, -0.1]),
        (Integer(low=1), [1, 3.0, "7"], [0, 2.5, "x", True, None, 1e30]),
        (Choice("a", "b"), ["a"], ["c", 1, None]),
        (Sequence(low=0), [[0, 1, 2], (0.5, 1)], [[1, 1], [2, 1], [], [-1, 2], "x", 3]),
    ],
)
def test_axes_accept_and_refuse(axis, good, bad):
    for value in good:
        axis.parse(axis.parse(value))
    for value in bad:
        with pytest.raises(ValueError, match=r"."):
            axis.parse(value)


def test_files_are_their_content(tmp_path):
    axis = File("start", names=("M", "Q"), words=("random",))
    arrays = {"M": np.eye(2), "Q": np.ones((2, 2)) / 3}
    np.savez(tmp_path / "a.npz", **arrays)
    (tmp_path / "b.json").write_text(json.dumps({k: v.tolist() for k, v in arrays.items()}))
    first, second = axis.parse(tmp_path / "a.npz"), axis.parse(str(tmp_path / "b.json"))
    assert first == second
    assert axis.text(first) == axis.text(second)
    assert axis.parse("random") == "random"
    np.testing.assert_array_equal(first["Q"], arrays["Q"])
    changed = axis.parse({**arrays, "M": np.eye(2) * (1 + 1e-15)})
    assert changed != first


def test_bad_files_are_refused(tmp_path):
    axis = File("start", names=("M",), words=("random",))
    np.savez(tmp_path / "other.npz", Z=np.eye(2))
    np.savez(tmp_path / "pickled.npz", M=np.array([{}], dtype=object))
    (tmp_path / "broken.npz").write_bytes(b"not a zip")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "nan.json").write_text('{"M": [NaN]}')
    for name in (
        "other.npz",
        "pickled.npz",
        "broken.npz",
        "broken.json",
        "nan.json",
        "absent.npz",
        "x.csv",
    ):
        with pytest.raises(ValueError, match=r"."):
            axis.parse(tmp_path / name)
    with pytest.raises(ValueError, match=r"broken.npz cannot be read \(it is no .npz archive"):
        axis.parse(tmp_path / "broken.npz")
    assert isinstance(FileContent.of({"M": [1.0]}), FileContent)

"""Axes that have a meaning for some words of a choice only, and the sentences of solvers."""

from __future__ import annotations

import numpy as np
import pytest

from phasesweep.batches import cut
from phasesweep.errors import UserError
from phasesweep.grid import expand, points_for
from phasesweep.sweepfile import single_method
from phasesweep.worker import solve_batch
from solvers.axes import Choice, Real
from solvers.contract import Cost, DeclarationError, Observable, Status, System

COST = Cost(flops=lambda **_: 1e3)


def declare(**changes) -> System:
    system = System(
        "doors",
        title="Doors",
        axes={
            "channel": Choice("sign", "door"),
            "alpha": Real(low=0),
            "kappa": Real("width", low=0, when={"channel": ("door",)}, otherwise=0.0),
        },
        observables={"q": Observable("overlap")},
        source="made for tests",
        demo={"methods": {"theory": {}}},
    )

    @system.theory(version=1, gives=("q",), cost=COST, **changes)
    def theory(*, channel, alpha, kappa):
        """Something of alpha and kappa."""
        missing = alpha > 1
        if np.any((channel == "sign") & (kappa != 0)):
            raise ValueError("kappa of a sign")
        return {
            "q": np.where(missing, np.nan, alpha + kappa),
            "status": np.zeros(len(alpha)),
            "steps": 0,
            "residual": 0.0,
            "message": ["too much" if m else "" for m in missing],
        }

    @system.theory(version=1, gives=("q",), cost=COST)
    def line(*, channel, kappa):
        """Something of kappa alone."""
        return {"q": kappa, "status": np.zeros(len(kappa)), "steps": 0, "residual": 0.0}

    return system


def grid(method="theory", system=None, **axes):
    return single_method((system or declare()).methods[method], axes, "doors")


def points(method="theory", **axes):
    return expand(grid(method, **axes), lambda *_: np.zeros(1))


def test_it_takes_its_one_value_where_it_has_no_meaning():
    found = points(channel="sign", alpha=[0.1, 0.2])
    assert found.columns["kappa"].tolist() == [0.0, 0.0]


def test_it_is_required_where_it_has_one():
    with pytest.raises(UserError, match=r"needs the axis kappa .* with channel=door"):
        grid(channel="door", alpha=1)


def test_it_may_depend_on_a_choice_that_varies():
    """One batch of both words, with the one value where the axis has no meaning."""
    axes = {"channel": ["sign", "door"], "alpha": [0.1, 2.0], "kappa": [0.3, 0.7]}
    found = points(system=declare(varies=("channel",)), **axes)
    fixed = points(**axes)
    assert found.keys == fixed.keys
    (batch,) = cut(found, memory=1e9)
    assert len(cut(fixed, memory=1e9)) == 2
    words, kappas = batch.values["channel"], batch.values["kappa"]
    assert words.tolist() == [found.value("channel", i) for i in batch.index]
    assert set(zip(words.tolist(), kappas.tolist(), strict=True)) == {
        ("sign", 0.0),
        ("door", 0.3),
        ("door", 0.7),
    }
    answer = solve_batch(found.method, len(batch), batch.values, "cpu")
    assert sorted(answer.messages.values()) == ["too much"] * 3
    # Solved again point by point, each of a column of one word.
    broken = {**batch.values, "kappa": kappas + 0.1}
    alone = solve_batch(found.method, len(batch), broken, "cpu")
    assert (alone.status == Status.FAILED).tolist() == (words == "sign").tolist()


def test_giving_it_without_a_meaning_is_refused():
    with pytest.raises(UserError, match="only with channel=door; given channel=sign; leave kappa"):
        grid(channel="sign", alpha=1, kappa=0.5)


def test_points_without_a_meaning_fall_together():
    found = points(channel=["sign", "door"], alpha=[0.1, 0.2], kappa=[0.3, 0.7])
    shown = {(p["channel"], p["alpha"], p["kappa"]) for p in map(found.point, range(len(found)))}
    assert len(found) == len(shown) == len(set(found.keys)) == 6
    assert ("sign", 0.1, 0.0) in shown
    alone = points(channel="sign", alpha=[0.1, 0.2])
    assert set(alone.keys) < set(found.keys)


def test_points_of_another_method_keep_their_number():
    found = points(channel=["sign", "door"], alpha=[0.1, 0.2], kappa=[0.3, 0.7])
    other = points_for(declare().methods["line"], found)
    assert len(other) == len(found)
    assert other.columns["kappa"].tolist() == found.columns["kappa"].tolist()


def test_an_axis_can_depend_on_choices_of_its_method_only():
    system = declare()
    with pytest.raises(DeclarationError, match="choices that decide on kappa, channel"):

        @system.theory(version=1, gives=("q",), cost=COST)
        def wrong(*, kappa):
            """No channel."""


def test_a_sentence_is_stored_with_the_point():
    found = points(channel="door", alpha=[0.5, 2.0], kappa=0)
    answer = solve_batch(
        found.method,
        2,
        {"channel": "door", **{n: found.columns[n] for n in ("alpha", "kappa")}},
        "cpu",
    )
    assert answer.messages == {1: "too much"}

"""Sweep files become points and keys; every mistake in them is named."""

from __future__ import annotations

import json
from hashlib import blake2b

import numpy as np
import pytest
import yaml

from phasesweep.api import sweep_points
from phasesweep.batches import cut
from phasesweep.cache import Cache
from phasesweep.errors import UserError
from phasesweep.grid import expand
from phasesweep.sweepfile import parse_sweep, read_sweep, single_method
from solvers.contract import load_system

LINE = load_system("toy").methods["line"]
MEASURE = load_system("toy").methods["measure"]


def no_centres(*_):
    raise AssertionError("no window was asked for")


def points_of(method=LINE, **axes):
    return expand(single_method(method, axes, "test"), no_centres, "test")


def write(folder, text, name="sweep.yaml"):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("form", "values"),
    [
        (0.5, [0.5]),
        ([2, 0.5], [0.5, 2]),
        ({"values": [1, 1.0, "1e0"]}, [1]),
        ({"from": 0, "to": 1, "points": 3}, [0, 0.5, 1]),
        ({"from": 0, "to": 0.3, "step": 0.1}, [0, 0.1, 0.2, 0.3]),
        ({"from": 1, "to": 100, "points": 3, "spacing": "log"}, [1, 10, 100]),
        ({"count": 3}, [0, 1, 2]),
        ("1e-3", [0.001]),
    ],
)
def test_forms_of_an_axis(form, values):
    assert points_of(alpha=form).columns["alpha"].tolist() == values


def test_whole_numbers_from_log_spacing():
    form = {"from": 10, "to": 1000, "points": 5, "spacing": "log"}
    assert points_of(MEASURE, alpha=1, seed=0, dimension=form).columns["dimension"].tolist() == [
        10,
        32,
        100,
        316,
        1000,
    ]


def test_a_sequence_is_one_value():
    points = points_of(alpha=[0, 1], times=[0, 2.5, 7])
    assert len(points) == 2
    assert points.value("times", 1) == (0.0, 2.5, 7.0)
    assert len(points_of(alpha=1, times={"values": [[0, 1], [0, 2]]})) == 2
    assert points_of(alpha=1, times={"from": 1, "to": 100, "points": 3, "spacing": "log"}).value(
        "times", 0
    ) == (1, 10, 100)


def test_linspace_arange_and_typed_values_meet():
    typed = points_of(alpha=[0.1, 0.2, 0.3])
    spaced = points_of(alpha={"from": 0.1, "to": 0.3, "points": 3})
    stepped = points_of(alpha={"from": 0.1, "to": 0.3, "step": 0.1})
    assert typed.keys == spaced.keys == stepped.keys


def test_keys_tell_everything_apart():
    keys = set()
    for axes in (
        {"alpha": 1.2e-3},
        {"alpha": 1e-3},
        {"alpha": 1e-3, "width": 3},
        {"alpha": 1e-3, "times": [0, 1]},
        {"alpha": 1e-3, "start": {"x": [1.0]}},
        {"alpha": 1e-3, "start": {"x": [2.0]}},
        {"alpha": 1e-3, "fault": "raise"},
    ):
        keys.update(points_of(**axes).keys)
    keys.update(points_of(MEASURE, alpha=1e-3, dimension=1, seed=0).keys)
    assert len(keys) == 8
    assert all(len(key) == 16 for key in keys)


def test_a_key_joins_the_digests_of_its_values():
    """Written out for one point, with an axis of many values, of one, and of none numeric."""
    points = points_of(MEASURE, alpha=[0.5, 1], dimension=8, seed={"count": 3}, pause=[0.5, 1])
    for position in (0, len(points) - 1):
        texts = [
            "",
            *(f"{n}={points.method.axes[n].text(v)}" for n, v in points.point(position).items()),
        ]
        joined = 0
        for text in texts:
            digest = blake2b(
                f"toy/{points.method.name}/v1/{text}".encode(), digest_size=16
            ).digest()
            joined ^= int.from_bytes(digest, "little")
        assert points.keys[position] == joined.to_bytes(16, "little")
    # The same number on two axes, exchanged: two keys.
    assert len(set(points.keys)) == len(points) == 12


def test_distinct_points_stand_in_the_order_of_their_keys():
    points = points_of(alpha=np.linspace(0, 1, 50).tolist())
    twice = points.take(np.r_[3, 0:50, 7])
    keys = [twice.keys[i] for i in twice.distinct]
    assert keys == sorted(points.keys)
    assert twice.distinct[keys.index(points.keys[3])] == 0


def test_keys_do_not_depend_on_the_grid():
    grown = (
        points_of(alpha=[0.5, 1, 2], kappa=[0, 1])
        if "kappa" in LINE.axes
        else points_of(alpha=[0.5, 1, 2])
    )
    small = points_of(alpha=[1])
    assert set(small.keys) < set(grown.keys)


def test_a_window_lies_around_the_theory(tmp_path):
    sweep = read_sweep("toy")
    points = sweep_points(sweep, Cache(tmp_path / "cache"))["measure"]
    assert not (tmp_path / "cache").exists()
    for dimension in (16, 64):
        alphas = np.unique(points.columns["alpha"][points.columns["dimension"] == dimension])
        np.testing.assert_allclose(
            alphas, 1 + np.linspace(-2, 2, 9) / np.sqrt(dimension), rtol=1e-11
        )


def test_a_window_is_clipped_to_its_axis(tmp_path):
    demo = yaml.safe_load(json.dumps(dict(load_system("toy").demo)))
    demo["methods"]["measure"]["alpha"]["window"] = [-8, 8]
    sweep = parse_sweep({"system": "toy", **demo}, name="wide", where="wide")
    points = sweep_points(sweep, Cache(tmp_path))["measure"]
    assert points.clipped > 0
    assert points.columns["alpha"].min() >= 0
    assert len(points) + points.clipped == 2 * 20 * 9


def test_batches_have_one_value_of_what_is_shared():
    points = points_of(MEASURE, alpha=[0.5, 1, 1.5], dimension=[8, 16], seed={"count": 3})
    batches = cut(points, memory=1e9)
    assert len(batches) == 6
    assert sorted(np.concatenate([b.index for b in batches]).tolist()) == list(range(18))
    for batch in batches:
        assert np.ndim(batch.values["dimension"]) == np.ndim(batch.values["seed"]) == 0
        assert batch.values["alpha"].tolist() == [0.5, 1, 1.5]


def test_many_groups_are_cut_as_each_of_them_alone():
    """Seeds are cut alike; other sizes, other alphas and longer groups are not."""
    points = points_of(
        MEASURE,
        alpha=np.linspace(0, 1, 7).tolist(),
        dimension=[8, 16],
        seed={"count": 5},
        pause=[0.5, 2],
    )
    points = points.take(np.random.default_rng(0).permutation(len(points))[:120])
    batches = cut(points, memory=1e9, seconds=3)
    first: dict[tuple, list[int]] = {}
    for i in range(len(points)):
        group = tuple(points.value(n, i) for n in points.method.single)
        first.setdefault(group, []).append(i)
    alone = [(g, b) for g in first.values() for b in cut(points.take(g), memory=1e9, seconds=3)]
    assert len(batches) == len(alone) > len(first) == 10
    for batch, (group, expected) in zip(batches, alone, strict=True):
        np.testing.assert_array_equal(batch.index, np.array(group)[expected.index])
        assert (batch.seconds, batch.memory) == (expected.seconds, expected.memory)
        for name, value in expected.values.items():
            np.testing.assert_array_equal(batch.values[name], value)
            assert type(batch.values[name]) is type(value)


def test_no_points_make_no_batches():
    assert (
        cut(points_of(MEASURE, alpha=1.0, dimension=8, seed=0).take(np.empty(0, int)), memory=1e9)
        == []
    )


def test_batches_keep_to_time_and_memory():
    points = points_of(alpha=np.linspace(0, 1, 100).tolist(), pause=1)
    assert all(len(b) == 4 for b in cut(points, memory=1e9, seconds=4.5))
    points = points_of(alpha=np.linspace(0, 1, 100).tolist(), megabytes=10)
    assert max(b.memory for b in cut(points, memory=100e6)) <= 50e6


def test_a_million_keys_take_seconds():
    points = points_of(
        MEASURE, alpha=np.linspace(0, 1, 200).tolist(), dimension=[8, 16], seed={"count": 500}
    )
    assert len(set(points.keys)) == len(points) == 200_000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "system: toy\nmethods: {line: {alpha: 1}}\nsystem: toy",
            "line 3.*'system' is given twice",
        ),
        ("system: toy", "methods missing"),
        ("[1, 2]", "sweep.yaml"),
        ("system: [", "not valid YAML"),
        ("a: &a [*a]", "refers to itself"),
        ("", "allowed: a mapping"),
        (
            "system: toy\nfixed: 3\nmethods: {line: {alpha: 1}}",
            "fixed: given 3; allowed: a mapping",
        ),
        ("system: toi\nmethods: {line: {}}", "no system 'toi'.*did you mean toy"),
        ("system: toy\nmethods: {lime: {}}", "no method of toy 'lime'.*did you mean line"),
        ("system: toy\nmethods: {line: {}}", "line needs the axis alpha"),
        (
            "system: toy\nmethods: {line: {alpha: 1, betta: 2}}",
            "methods.line.*no axis of line 'betta'",
        ),
        (
            "system: toy\naxes: {gamma: 1}\nmethods: {line: {alpha: 1}}",
            "axes: there is no axis of toy 'gamma'",
        ),
        ("system: toy\naxes: {seed: 1}\nmethods: {line: {alpha: 1}}", "axes.seed is used by none"),
        (
            "system: toy\nmethods: {line: {alpha: -1}}",
            "methods.line.alpha: given -1; allowed: a number >= 0",
        ),
        ("system: toy\nmethods: {line: {alpha: .nan}}", "methods.line.alpha"),
        (
            "system: toy\nmethods: {line: {alpha: {from: 0, too: 1}}}",
            "methods.line.alpha: given .*allowed: a value, a list",
        ),
        (
            "system: toy\nmethods: {line: {alpha: {from: 0, to: 1, points: 0}}}",
            "methods.line.alpha",
        ),
        (
            "system: toy\nmethods: {line: {alpha: {from: 0, to: 1, step: -1}}}",
            "step must lead from 0 to 1",
        ),
        (
            "system: toy\nmethods: {line: {alpha: {from: 0, to: 1, points: 3, spacing: log}}}",
            "log spacing needs",
        ),
        ("system: toy\nmethods: {line: {alpha: 1, fault: bad}}", "allowed: none | raise | kill"),
        ("system: toy\nmethods: {line: {alpha: 1, times: [2, 1]}}", "strictly increasing"),
        (
            "system: toy\nmethods: {line: {alpha: 1, start: absent.npz}}",
            "there is no file .*absent.npz",
        ),
        (
            "system: toy\nfixed: {alpha: [1, 2]}\nmethods: {line: {}}",
            "fixed.alpha must have one value",
        ),
        (
            "system: toy\nfixed: {alpha: 1}\naxes: {alpha: 1}\nmethods: {line: {}}",
            "under both fixed and axes",
        ),
        (
            "system: toy\nmethods: {line: {alpha: {around: line.path, window: [0, 1], points: 2}}}",
            "scalar observable",
        ),
        (
            "system: toy\nmethods: {line: {alpha: {around: nobody.x, window: [0, 1], points: 2}}}",
            "no method of toy 'nobody'",
        ),
        (
            "system: toy\nmethods: {line: {alpha: {around: threshold.x, window: [0, 1], points: 2}}}",
            "no observable of threshold 'x'",
        ),
        (
            "system: toy\nmethods: {line: {alpha: {around: threshold.alpha_c, window: [0, 1], points: 2, exponent: 1}}}",
            "needs a method with a size axis",
        ),
        (
            "system: toy\nmethods: {line: {alpha: 1}}\nthreshold: []",
            "no field 'threshold'.*did you mean thresholds",
        ),
        ("system: toy\nmethods: {line: {alpha: 1}}\nthresholds: [{of: line}]", "thresholds.0.of"),
        (
            "system: toy\nmethods: {line: {alpha: 1}}\nthresholds: [{of: threshold.alpha_c}]",
            "thresholds.0.of: there is no method in this sweep 'threshold'",
        ),
        (
            "system: toy\nmethods: {line: {alpha: 1}}\nthresholds: [{of: line.paths}]",
            "thresholds.0.of.*did you mean path",
        ),
        (
            "system: toy\nmethods: {line: {alpha: 1}}\nthresholds: [{of: line.path, along: beta}]",
            "thresholds.0.along: there is no axis 'beta'",
        ),
        (
            "system: toy\nmethods: {line: {alpha: 1}}\nfigure: {y: [paths]}",
            "figure: there is no observable 'paths'",
        ),
        (
            "system: toy\nmethods: {line: {alpha: 1}}\nfigure: {x: beta}",
            "figure.x: there is no axis 'beta'",
        ),
        ("system: !!python/object/apply:os.system [echo]\nmethods: {}", "not valid YAML"),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(UserError, match=f"(?s){path.name}.*{message}|{message}") as caught:
        sweep_points(read_sweep(path), Cache(tmp_path / "cache"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "cache").exists()


def test_names_stay_in_the_data_folder(tmp_path):
    with pytest.raises(UserError, match="must consist of letters"):
        read_sweep(write(tmp_path, "system: toy\nmethods: {line: {alpha: 1}}", "a b.yaml"))
    with pytest.raises(UserError, match="no sweep file or system"):
        read_sweep("absent")
    with pytest.raises(UserError, match="there is no file"):
        read_sweep(tmp_path / "absent.yaml")

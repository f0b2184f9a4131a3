"""Malformed configurations, sweep files, cluster files and command lines: status 2, one sentence.

What hypothesis makes is either understood (status 0) or refused in one sentence without a
traceback; nothing is written in either case. What is certainly wrong must be refused.
"""

from __future__ import annotations

import copy
import json
import os
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from phasesweep import cli
from phasesweep.cluster import read_cluster
from phasesweep.errors import UserError
from phasesweep.outline import outline
from tests.faults.counts import counted, times

EXAMPLES = times("examples", short=40, long=500)
ROOT = Path(__file__).parent.parent.parent
COUNTS: Counter[str] = Counter()
CHECKED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

SWEEP = {
    "title": "A sweep",
    "system": "toy",
    "fixed": {"dimension": 16},
    "axes": {"kappa": [0, 0.5]},
    "methods": {
        "threshold": {},
        "line": {"alpha": {"from": 0, "to": 2, "points": 5}, "start": "zero", "times": [0, 1]},
        "measure": {
            "seed": {"count": 3},
            "alpha": {
                "around": "threshold.alpha_c",
                "window": [-1, 1],
                "points": 3,
                "exponent": 0.5,
            },
        },
    },
    "thresholds": [
        {"of": "measure.satisfiable", "along": "alpha", "level": 0.5, "beside": "threshold.alpha_c"}
    ],
    "figure": {"x": "alpha", "y": ["satisfiable"], "hue": "dimension"},
    "limits": {"seconds": 10, "attempts": 1},
}
CLUSTER = {"kind": "local", "workers": 2, "memory": "1GiB", "threads": 1, "encrypt": False}
CONFIG = {
    "sweeps": ["tests/toy_sweep.yaml"],
    "figures": ["toy_sweep"],
    "shards": {"toy_sweep": {"measure": 2}},
    "cluster": "config/clusters/local.yaml",
    "longest_job": 60,
}

WORDS = st.sampled_from(
    [
        *(
            "",
            " ",
            "toy",
            "line",
            "measure",
            "alpha",
            "nan",
            "inf",
            "-inf",
            "1e400",
            "1e-400",
            "...",
        ),
        *("../../etc/passwd", "/etc/passwd", "\x00", "alpha_c", "threshold.alpha_c", "a.b.c", "{}"),
        *("zero", "none", "raise", "!!python/object", "ünï", "０", "x" * 300, "1_000", "0x10"),
        *("~", "null", "config/config.yaml", "absent.npz", ".", "seed", "count"),
    ]
)
NUMBERS = st.one_of(
    st.integers(-10, 30),
    st.sampled_from([2**31, 2**63, -(2**63), 10**30, 10**400, 0.0, -0.0, 1e-300]),
    st.floats(allow_nan=True, allow_infinity=True),
)
LEAVES = st.one_of(st.none(), st.booleans(), NUMBERS, WORDS, st.text(max_size=5))
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def places(data, at=()):
    """The path of every node of plain data."""
    yield at
    if isinstance(data, dict):
        for name, value in data.items():
            yield from places(value, (*at, name))
    elif isinstance(data, list):
        for position, value in enumerate(data):
            yield from places(value, (*at, position))


@st.composite
def damaged(draw, base):
    """Plain data with one to three nodes replaced, removed, renamed or added."""
    data = copy.deepcopy(base)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(data))))
        how = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
        if not path:
            if how == "replace":
                data = draw(JUNK)
                return data
            if isinstance(data, dict):
                data[draw(WORDS)] = draw(JUNK)
            continue
        holder = data
        for step in path[:-1]:
            holder = holder[step]
        last = path[-1]
        if how == "replace" or (how == "rename" and isinstance(holder, list)):
            holder[last] = draw(JUNK)
        elif how == "remove":
            del holder[last]
        elif how == "rename":
            holder[draw(WORDS)] = holder.pop(last)
        elif isinstance(holder[last], dict):
            holder[last][draw(WORDS)] = draw(JUNK)
        else:
            holder[last] = [holder[last], draw(JUNK)]
    return data


def written_as(data, how: str) -> bytes:
    if how == "json":
        return json.dumps(data).encode()
    return yaml.safe_dump(data, allow_unicode=True, sort_keys=False).encode("utf-8", "replace")


def call(arguments: list[str]) -> tuple[int, str, str]:
    """The command line in this process, as `main` runs it."""
    import sys
    from unittest import mock

    def whole() -> None:
        with mock.patch.object(sys, "argv", ["phasesweep", *arguments]):
            cli.main()

    command = cli.click.command(context_settings={"ignore_unknown_options": True})(whole)
    result = CliRunner().invoke(command, [])
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        raise AssertionError(f"{arguments}: {error!r}") from error
    return result.exit_code, result.stdout, result.stderr


def understood_or_refused(kind: str, arguments: list[str], *, certain: bool = False) -> int:
    status, out, err = call(arguments)
    assert status in ((2,) if certain else (0, 2)), (arguments, status, out, err)
    if status:
        assert out == "", (arguments, out)
        assert err.startswith("Error: "), err
        assert err.rstrip("\n").count("\n") == 0, err
        assert "Traceback" not in err
    COUNTS[f"{kind}, {'refused' if status else 'understood'}"] += 1
    return status


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which nothing may be written but by the test."""
    folder = tmp_path_factory.mktemp("malformed")
    before = Path.cwd()
    os.chdir(folder)
    os.environ["PHASESWEEP_DATA"] = str(folder / "data")
    yield folder
    os.chdir(before)
    del os.environ["PHASESWEEP_DATA"]
    counted("malformed and understood", dict(COUNTS))


def fresh(folder: Path, name: str) -> Path:
    """A file to write; what a failed example left is removed."""
    for left in folder.iterdir():
        left.unlink()
    return folder / name


def nothing_written(folder: Path, *ours: str) -> None:
    assert {path.name for path in folder.iterdir()} <= set(ours)


@CHECKED
@given(
    data=damaged(SWEEP), how=st.sampled_from(["yaml", "json"]), command=st.sampled_from(["plan"])
)
def test_sweep_files(place, data, how, command):
    file = fresh(place, f"sweep.{how}")
    try:
        file.write_bytes(written_as(data, how))
    except (ValueError, RecursionError):
        assume(False)
    understood_or_refused("sweep files", [command, str(file)])
    file.unlink()
    nothing_written(place)


@CHECKED
@given(
    text=st.binary(max_size=60)
    | st.text(alphabet="{}[]:,-&*!|>%@'\"#? \n\tab1", max_size=60).map(str.encode)
)
def test_sweep_files_of_any_bytes(place, text):
    """Hardly ever even YAML; never a sweep."""
    file = fresh(place, "any.yaml")
    file.write_bytes(text)
    understood_or_refused("files of any bytes", ["run", str(file)], certain=True)
    file.unlink()
    nothing_written(place)


@CHECKED
@given(
    name=st.text(min_size=1, max_size=8),
    data=JUNK,
    where=st.sampled_from(["", "fixed", "axes", "methods", "figure", "limits"]),
)
def test_sweep_files_with_an_unknown_name(place, name, data, where):
    """Certainly wrong: a field, axis or method that there is not."""
    content = copy.deepcopy(SWEEP)
    holder = content[where] if where else content
    assume(
        name not in holder
        and name
        not in (
            "pause",
            "megabytes",
            "width",
            "fault",
            "attempts",
            "failed",
            "same",
            "statistic",
            "seconds",
        )
    )
    assume(name not in ("alpha", "seed", "times", "start", "dimension", "kappa"))
    holder[name] = data
    file = fresh(place, "wrong.yaml")
    try:
        file.write_bytes(written_as(content, "yaml"))
        if yaml.safe_load(file.read_bytes()) != content and data == data:
            assume(False)
    except (ValueError, yaml.YAMLError, RecursionError):
        assume(False)
    understood_or_refused("sweep files with a wrong name", ["run", str(file)], certain=True)
    file.unlink()
    nothing_written(place)


@CHECKED
@given(data=damaged(CLUSTER))
def test_cluster_files(place, data):
    file = fresh(place, "cluster.yaml")
    file.write_bytes(written_as(data, "yaml"))
    try:
        read_cluster(file)
    except UserError:
        understood_or_refused("cluster files", ["run", "toy", "--cluster", str(file)], certain=True)
    else:
        COUNTS["cluster files, understood"] += 1
    file.unlink()
    nothing_written(place)


@CHECKED
@given(data=damaged(CONFIG))
def test_configurations(place, data):
    """As the command line reads them, and as the Snakefile does: schema, then outline."""
    file = fresh(place, "config.yaml")
    file.write_bytes(written_as(data, "yaml"))
    understood_or_refused("configurations", ["summary", str(file)])
    understood_or_refused("configurations", ["plan", str(file)])
    file.unlink()
    nothing_written(place)
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    try:
        jsonschema.validate(data, schema)
        outline(data)
    except (jsonschema.ValidationError, UserError):
        pass


TOKENS = st.one_of(
    st.sampled_from(
        [
            *(
                "solve",
                "plan",
                "run",
                "query",
                "dataset",
                "thresholds",
                "figure",
                "summary",
                "cache",
            ),
            *("verify", "info", "export", "import", "watch", "systems", "toy", "line", "measure"),
            *(
                "alpha=1",
                "alpha=",
                "=1",
                "alpha=1:2",
                "alpha=1:2:3:log",
                "alpha=0:2:-1",
                "kappa=nan",
            ),
            *("alpha=1e999", "times=1,2", "times=2,1", "start=/etc", "start=", "fault=none"),
            *("--shard", "1/0", "0/1", "1/2", "--method", "--json", "--csv", "--cluster", "--once"),
            *("--time-limit", "-1", "0", "nan", "--attempts", "--data", "\x00", "../x", "--parent"),
            *("alpha=1:2:99999999999", "seed=1.5", "dimension=0", "seed=" + "9" * 400, "--since"),
        ]
    ),
    st.text(max_size=6),
)


@CHECKED
@given(tokens=st.lists(TOKENS, min_size=1, max_size=6))
def test_command_lines(place, tokens):
    """Whatever is typed; what would compute or write is left out."""
    first = tokens[0]
    assume(first not in ("run", "solve", "figure") or len(tokens) > 1)
    computing = {"run", "solve"} & set(tokens)
    if computing:
        # A word that is in no command, system, method or axis makes it certainly wrong.
        tokens = [*tokens, "no-such-axis=1" if "solve" in tokens else "no-such-argument"]
    assume("export" not in tokens and "--help" not in tokens and "-h" not in tokens)
    understood_or_refused("command lines", tokens, certain=bool(computing))
    nothing_written(place)

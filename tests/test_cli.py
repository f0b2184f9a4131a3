"""The command line: what it answers, and one sentence with status 2 for every kind of misuse."""

from __future__ import annotations

import json
import re

import pytest

LINE = ("solve", "toy", "line", "alpha=0:2:3")


def test_solve_prints_one_json_object_per_point(phasesweep, data):
    status, out, _ = phasesweep(*LINE, "--json")
    assert status == 0
    points = [json.loads(line) for line in out.splitlines()]
    assert [p["alpha"] for p in points] == [0, 1, 2]
    assert [p["phase"] for p in points] == ["solvable", "unsolvable", "unsolvable"]
    assert [p["status"] for p in points] == ["converged", "converged", "max_steps"]
    assert points[1]["path"] == [0, 1, 2]
    assert points[1]["times"] == [0, 1, 2]
    assert {"steps", "residual", "version", "seconds", "width", "start", "fault"} <= set(points[0])
    assert any((data / "cache").rglob("*.zip"))


def test_solve_answers_from_the_cache_the_second_time(phasesweep):
    first = phasesweep(*LINE, "--json")[1]
    assert phasesweep(*LINE, "--json")[1] == first


def test_solve_as_csv_and_as_a_table(phasesweep):
    status, out, _ = phasesweep(*LINE, "--csv")
    header, *rows = out.splitlines()
    assert status == 0
    assert header.startswith("alpha,")
    assert len(rows) == 3
    status, out, _ = phasesweep(*LINE)
    assert status == 0
    assert "unsolvable" in out


def test_query_reads_and_computes_nothing(phasesweep):
    assert phasesweep("query", "toy", "line")[:2] == (0, "no points\n")
    phasesweep(*LINE)
    status, out, _ = phasesweep("query", "toy", "line", "alpha=0.5:2", "--json")
    assert status == 0
    assert [json.loads(line)["alpha"] for line in out.splitlines()] == [1, 2]
    assert phasesweep("query", "toy", "line", "fault=raise")[1] == "no points\n"


def test_failed_points_are_told_stored_and_asked_again(phasesweep):
    status, out, err = phasesweep("solve", "toy", "line", "alpha=0,1", "fault=raise", "--json")
    assert status == 1
    good, bad = (json.loads(line) for line in out.splitlines())
    assert good["status"] == "converged"
    assert bad["status"] == "failed"
    assert "above one half" in bad["message"]
    assert "1 points failed" in err
    plan = json.loads(phasesweep("plan", "toy", "--json")[1])
    assert {p["method"]: p["missing"] for p in plan} == {"threshold": 1, "line": 5, "measure": 360}


def test_a_sweep_from_plan_to_table(phasesweep, data):
    assert "366 points, 366 missing" in phasesweep("plan", "toy")[1]
    assert not data.exists(), "plan must write nothing"
    assert phasesweep("run", "toy")[:2] == (
        0,
        "366 points asked, 0 found, 366 computed, 0 failed\n",
    )
    assert phasesweep("run", "toy")[1] == "366 points asked, 366 found, 0 computed, 0 failed\n"
    assert "366 points, 0 missing" in phasesweep("plan", "toy")[1]
    status, out, _ = phasesweep("dataset", "toy")
    assert status == 0
    assert str(data / "datasets" / "toy") in out
    status, out, _ = phasesweep("thresholds", "toy", "--csv", data / "toy.csv")
    assert status == 0
    assert "measure.satisfiable" in out
    assert (data / "toy.csv").read_text().count("\n") > 2
    status, out, _ = phasesweep("figure", "toy")
    assert status == 0
    assert all((data / "figures" / f"toy.{kind}").stat().st_size > 1000 for kind in ("png", "pdf"))


def test_growing_a_sweep_computes_only_the_new_points(phasesweep, tmp_path):
    sweep = tmp_path / "grown.yaml"
    text = "system: toy\nmethods: {measure: {dimension: [16], seed: {count: 4}, alpha: ALPHA}}"
    sweep.write_text(text.replace("ALPHA", "[0.5, 1]"))
    assert "8 computed" in phasesweep("run", sweep)[1]
    sweep.write_text(text.replace("ALPHA", "[0.5, 0.75, 1]"))
    assert "12 points asked, 8 found, 4 computed" in phasesweep("run", sweep)[1]


def test_shards_together_are_the_sweep(phasesweep):
    counts = []
    for shard in ("1/3", "2/3", "3/3"):
        out = phasesweep("run", "toy", "--method", "measure", "--shard", shard)[1]
        counts.append(int(out.split()[0]))
        assert "0 found" in out
    assert sum(counts) == 360
    assert min(counts) > 0
    assert "360 found, 0 computed" in phasesweep("run", "toy", "--method", "measure")[1]


def test_systems_are_listed_and_described(phasesweep):
    status, out, _ = phasesweep("systems")
    assert status == 0
    for name in ("perceptron_storage", "glm_bayes", "sgd_two_layer", "toy"):
        assert name in out
        assert phasesweep("systems", name)[0] == 0
    described = json.loads(phasesweep("systems", "toy", "--json")[1])
    assert described["methods"]["measure"]["role"] == "simulation"


@pytest.mark.parametrize("command", ["info", "verify", "compact", "gc"])
def test_cache_commands_on_an_empty_and_a_full_cache(phasesweep, command):
    assert phasesweep("cache", command)[0] == 0
    phasesweep(*LINE)
    status, out, _ = phasesweep("cache", command)
    assert status == 0
    assert out
    assert len(phasesweep("query", "toy", "line", "--csv")[1].splitlines()) == 4


def test_caches_merge(phasesweep, tmp_path):
    phasesweep(*LINE)
    status, _, err = phasesweep("cache", "export", tmp_path / "all.tar")
    assert status == 0, err
    other = tmp_path / "other"
    assert phasesweep("cache", "import", tmp_path / "all.tar", "--data", other)[0] == 0
    assert len(phasesweep("query", "toy", "line", "--csv", "--data", other)[1].splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["solve", "toi", "line"], "no system 'toi'.*did you mean toy"),
        (["solve", "toy", "lime"], "no method of toy 'lime'.*did you mean line"),
        (["solve", "toy", "line"], "needs the axis alpha"),
        (["solve", "toy", "line", "alpha"], "allowed: AXIS=VALUES"),
        (["solve", "toy", "line", "alpha=1", "alpha=2"], "given twice"),
        (["solve", "toy", "line", "beta=1"], "no axis of line 'beta'"),
        (["solve", "toy", "line", "alpha=-1"], "given '-1'; allowed: a number >= 0"),
        (["solve", "toy", "line", "alpha=x"], "given 'x'"),
        (["solve", "toy", "line", "alpha=0:1:x"], "whole number of points"),
        (["solve", "toy", "line", "alpha=0:x:3"], "alpha"),
        (["solve", "toy", "line", "alpha=1", "start=absent.npz"], "there is no file absent.npz"),
        (["solve", "toy", "line", "alpha=1", "--plot", "figure.txt"], "png"),
        (
            ["solve", "toy", "line", "alpha=1", "--cluster", "absent.yaml"],
            "there is no file absent.yaml",
        ),
        (["solve", "toy", "line", "alpha=1", "--bad"], "[Nn]o such option"),
        (["bad"], "[Nn]o such command"),
        (["plan", "toy", "--data", "/dev/null/x"], "/dev/null is not a folder"),
        (["systems", "toi"], "no system 'toi'"),
        (["plan", "absent.yaml"], "there is no file absent.yaml"),
        (["run", "absent"], "no sweep file or system 'absent'"),
        (["run", "toy", "--shard", "3/2"], "allowed: I/N"),
        (["run", "toy", "--method", "lime"], "lime"),
        (["dataset", "absent"], "absent"),
        (["thresholds", "absent"], "no dataset 'absent'"),
        (["figure", "absent"], "absent"),
        (["query", "toy", "line", "beta=1"], "no axis of line 'beta'"),
        (["query", "toy", "line", "alpha=1:x"], "allowed: FROM:TO"),
        (["query", "toy", "line", "alpha=x"], "alpha: given 'x'"),
        (["query", "toy", "line", "fault=1:2"], "fault is not numeric"),
        (["run", "toy", "--cluster", "tcp://"], "no scheduler answers at tcp://"),
        (["cache", "import", "absent.tar"], "absent.tar"),
        (["cache", "bad"], "[Nn]o such command"),
        (["summary", "absent.yaml"], "absent.yaml"),
    ],
)
def test_misuse_gets_one_sentence_and_status_2(
    phasesweep, data, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    status, out, err = phasesweep(*arguments)
    assert status == 2, err
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert re.search(message, err), err
    assert not data.exists()
    assert list(tmp_path.iterdir()) == []


def test_query_over_seeds_gives_means_medians_and_fractions(phasesweep):
    axes = ("dimension=16", "alpha=0.5,1", "seed=0,1,2,3,4")
    phasesweep("solve", "toy", "measure", *axes)
    status, out, _ = phasesweep("query", "toy", "measure", "--over-seeds", "--json")
    assert status == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [r["alpha"] for r in found] == [0.5, 1.0]
    assert "seed" not in found[0]
    assert found[0]["points"] == 5
    assert found[0]["statuses"] == {"converged": 1.0}
    assert found[0]["satisfiable"]["mean"] == 1.0
    assert "samples_median" in phasesweep("query", "toy", "measure", "--over-seeds")[1]
    _, text, _ = phasesweep("query", "toy", "measure", "--over-seeds", "--csv")
    assert "status_converged" in text.splitlines()[0]
    status, _, problem = phasesweep("query", "toy", "line", "--over-seeds")
    assert status == 2
    assert "has no seeds" in problem

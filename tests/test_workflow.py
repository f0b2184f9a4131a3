"""The quickstart through Snakemake, as `make run` does it: twice, grown, broken."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


def snakemake(data: Path, config: Path, *options: str) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "PHASESWEEP_DATA": str(data),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }
    profile = ROOT / "workflow" / "profiles" / "default"
    command = [BIN / "snakemake", "--profile", profile, "--configfile", config, *options]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900
    )


def phasesweep(data: Path, *arguments: object) -> str:
    command = [sys.executable, "-m", "phasesweep.cli", *map(str, arguments), "--data", str(data)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return answer.stdout


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """(data folder, the first run, when the second began, the second run)."""
    data = tmp_path_factory.mktemp("quickstart") / "data"
    config = ROOT / "config" / "quickstart" / "config.yaml"
    first = snakemake(data, config)
    assert first.returncode == 0, first.stderr[-4000:]
    between = time.time()
    return data, first, between, snakemake(data, config)


def test_quickstart_makes_figures_tables_and_datasets(quickstart):
    data, *_ = quickstart
    config = ROOT / "config" / "quickstart" / "config.yaml"
    text = phasesweep(data, "summary", config)
    paths = [Path(line.split(maxsplit=1)[1]) for line in text.splitlines()[:-1]]
    assert len([p for p in paths if p.suffix in (".png", ".pdf")]) == 6
    assert all(p.exists() for p in paths)
    for sweep in ("quick_perceptron", "quick_glm", "quick_sgd"):
        assert data / "datasets" / sweep in paths
        assert data / "tables" / f"{sweep}.csv" in paths
    assert text.splitlines()[-1].endswith(" 0 failed")


def test_quickstart_run_again_computes_nothing(quickstart):
    data, _, between, second = quickstart
    assert second.returncode == 0, second.stderr
    assert "Nothing to be done" in second.stderr + second.stdout
    text = phasesweep(
        data, "summary", ROOT / "config" / "quickstart" / "config.yaml", "--since", between
    )
    assert text.splitlines()[-1].startswith("0 points computed")
    assert "are whole" in phasesweep(data, "cache", "verify")
    plan = json.loads(
        phasesweep(data, "plan", ROOT / "config" / "quickstart" / "config.yaml", "--json")
    )
    assert sum(p["missing"] for p in plan) == 0
    assert sum(p["total"] for p in plan) > 1000


def test_quickstart_finds_its_transitions(quickstart):
    import phasesweep as ps

    data, *_ = quickstart
    table = ps.thresholds("quick_perceptron", data=data)
    extrapolated = table[table["kind"] == "extrapolated"]
    assert len(extrapolated) >= 1
    measured = ps.open("quick_glm", "gamp", data=data)
    theory = ps.open("quick_glm", "state_evolution", data=data)
    easy = measured.overlap.mean("seed").sel(dimension=measured.dimension.max())
    expected = theory.overlap.sel(initialization="uninformed")
    far = [a for a in measured.alpha.values if a < 1.2 or a > 1.75]
    for alpha in far:
        assert abs(easy.sel(alpha=alpha) - expected.sel(alpha=alpha, method="nearest")) < 0.05


@pytest.fixture
def toy_config(tmp_path):
    """A configuration of one sweep of the toy system, and the sweep's path."""
    sweep = tmp_path / "toy_sweep.yaml"
    sweep.write_text((ROOT / "tests" / "toy_sweep.yaml").read_text())
    config = tmp_path / "config.yaml"
    config.write_text(
        yaml.safe_dump(
            {"sweeps": [str(sweep)], "figures": [], "shards": {"toy_sweep": {"measure": 3}}}
        )
    )
    return config


def test_shards_dry_run_and_resuming(toy_config, tmp_path):
    data = tmp_path / "data"
    dry = snakemake(data, toy_config, "-n")
    assert dry.returncode == 0, dry.stderr
    assert "61 points, 61 missing" in dry.stderr
    assert not data.exists()
    done = snakemake(data, toy_config)
    assert done.returncode == 0, done.stderr
    shards = sorted((data / "manifests" / "toy_sweep").glob("run.measure.*.json"))
    assert [path.name for path in shards] == [f"run.measure.{i}-of-3.json" for i in (1, 2, 3)]
    assert sum(json.loads(path.read_text())["computed"] for path in shards) == 60
    assert "61 points, 0 missing" in snakemake(data, toy_config, "-n").stderr
    # Lost manifests cost a look at the cache, not a computation.
    for path in (shards[0], data / "manifests" / "toy_sweep" / "dataset.json"):
        path.unlink()
    assert snakemake(data, toy_config).returncode == 0
    assert json.loads(shards[0].read_text())["computed"] == 0
    # A longer axis: Snakemake sees that the sweep changed, and only the new points are computed.
    sweep = tmp_path / "toy_sweep.yaml"
    sweep.write_text(sweep.read_text().replace("[0.5, 1, 1.5]", "[0.5, 1, 1.25, 1.5]"))
    assert "81 points, 20 missing" in snakemake(data, toy_config, "-n").stderr
    assert snakemake(data, toy_config).returncode == 0
    reports = [json.loads(path.read_text()) for path in shards]
    assert sum(report["computed"] for report in reports) == 20
    assert sum(report["found"] for report in reports) == 60
    # Without the cache, the manifests describe nothing.
    shutil.rmtree(data / "cache")
    assert "81 points, 81 missing" in snakemake(data, toy_config, "-n").stderr
    assert snakemake(data, toy_config).returncode == 0
    assert sum(json.loads(path.read_text())["computed"] for path in shards) == 80
    assert "Nothing to be done" in snakemake(data, toy_config).stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"sweeps": ["config/sweeps/absent.yaml"]}, "there is no file"),
        (
            {"sweeps": ["tests/toy_sweep.yaml"], "figures": ["absent"]},
            "figures: absent draws the sweep absent",
        ),
        (
            {"sweeps": ["tests/toy_sweep.yaml"], "shards": {"other": {"a": 2}}},
            "shards: there is no sweep 'other'",
        ),
    ],
)
def test_mistakes_in_a_configuration_are_one_sentence(tmp_path, content, message):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"figures": [], "shards": {}} | content))
    answer = snakemake(tmp_path / "data", config, "-n")
    told = answer.stdout + answer.stderr
    assert answer.returncode != 0
    assert message in told
    assert "Traceback" not in told

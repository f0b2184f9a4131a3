"""Snakemake and Dask on a real SLURM of one node: placed by cost, cancelled, requeued, killed.

Not collected by `make test`: `make test-slurm` names this file. It takes a few minutes.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from phasesweep.cache import Cache
from phasesweep.cache.segment import read_keys
from solvers.contract import Status, load_system

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
# Every job of Snakemake starts an interpreter twice, on a machine with few cores.
PATIENCE = 600.0


def environment(data: Path) -> dict[str, str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PHASESWEEP_DATA": str(data), "PATH": path}


def until(true, run: Running | None = None, seconds: float = PATIENCE):
    """Wait until it is true, and return what it was; `run` must not end before."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"it did not come to pass\n{run and run.said()}"
        assert run is None or run.process.poll() is None, f"it ended before\n{run.said()}"
        time.sleep(0.2)
    return found


def sweep_file(folder: Path, name: str, *, seeds: int, pause: float, megabytes: int = 0) -> Path:
    path = folder / f"{name}.yaml"
    axes = {
        "dimension": 16,
        "alpha": [0.9, 1, 1.1],
        "seed": {"count": seeds},
        "pause": pause,
        "megabytes": megabytes,
    }
    path.write_text(yaml.safe_dump({"system": "toy", "methods": {"measure": axes}}))
    return path


def stored(data: Path, system: str = "toy", method: str = "measure") -> int:
    version = 1 if system == "toy" else load_system(system).methods[method].version
    return len(Cache(data / "cache").present(system, method, version))


def every_point_once(data: Path, expected: int) -> None:
    """Each key is in one row of one segment: nothing lost, nothing computed twice, none failed."""
    keys: list[bytes] = []
    for path in sorted((data / "cache" / "toy").rglob("*.zip")):
        held, status = read_keys(path)
        keys += [bytes(key) for key in held]
        assert not (status == Status.FAILED).any()
    assert len(keys) == len(set(keys)) == expected


class Running:
    """A command in a session of its own, with what it says in a file."""

    def __init__(self, folder: Path, data: Path, *command: object) -> None:
        self.log = folder / f"log.{time.monotonic_ns()}"
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                cwd=ROOT,
                env=environment(data),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)

    def finished(self, status: int = 0) -> str:
        """What it said, once it has ended with this status."""
        self.process.wait(PATIENCE)
        assert self.process.returncode == status, self.said()
        text = self.log.read_text(errors="replace")
        assert "Traceback" not in text, self.said()
        return text

    def said(self) -> str:
        """Its last words."""
        return self.log.read_text(errors="replace")[-6000:]


def snakemake(folder: Path, data: Path, config: Path, *options: object) -> Running:
    quick = {
        "slurm-status-command": "squeue",
        "slurm-init-seconds-before-status-checks": 2,
        "seconds-between-status-checks": 2,
        "latency-wait": 10,
        "slurm-logdir": folder / "slurm_logs",
    }
    words = [word for name, value in quick.items() for word in (f"--{name}", value)]
    profile = ROOT / "workflow" / "profiles" / "slurm"
    command = [BIN / "snakemake", "--profile", profile, "--configfile", config]
    return Running(folder, data, *command, "--slurm-no-account", *words, *options)


def configuration(folder: Path, sweeps: list[Path], shards: dict) -> Path:
    config = folder / "config.yaml"
    config.write_text(
        yaml.safe_dump({"sweeps": [str(s) for s in sweeps], "figures": [], "shards": shards})
    )
    return config


def asked(slurm) -> dict[str, dict[str, str]]:
    """What every computing job in the queue asked for, by its wildcards."""
    fields = {"partition": 12, "state": 14, "minmemory": 12, "timelimit": 14, "tres-per-job": 20}
    form = ",".join(f"{name}:{width}" for name, width in {"jobid": 12, **fields}.items())
    found = {}
    for line in slurm.call("squeue", "--noheader", "-O", f"{form},comment:120").splitlines():
        words = line.split()
        comment = words[-1]
        if comment.startswith("rule_run_wildcards_"):
            told = dict(zip(("job", *fields), words, strict=False))
            found[comment.removeprefix("rule_run_wildcards_")] = told
    return found


def test_snakemake_places_jobs_by_declared_cost_and_survives_what_happens_to_them(slurm, tmp_path):
    data = tmp_path / "data"
    slow = sweep_file(tmp_path, "slow", seeds=60, pause=0.5)
    large = sweep_file(tmp_path, "large", seeds=1, pause=0.001, megabytes=3000)
    onto_gpu = tmp_path / "onto_gpu.yaml"
    axes = {"sparsity": 0.2, "iterations": 0, "dimension": 100, "seed": [0, 1], "alpha": [0.4, 0.8]}
    onto_gpu.write_text(
        yaml.safe_dump({"system": "sparse_recovery", "methods": {"bayes_amp": axes}})
    )
    config = configuration(tmp_path, [slow, large, onto_gpu], {"slow": {"measure": 3}})
    threads = ("--set-threads", "run=1")
    with snakemake(tmp_path, data, config, *threads, "--config", "gpus=1") as run:
        until(lambda: len(asked(slurm)) == 5, run)
        jobs = asked(slurm)
        first = jobs["slow_measure_1_3"]
        assert {name: job["partition"] for name, job in jobs.items()} == {
            "slow_measure_1_3": "cpu",
            "slow_measure_2_3": "cpu",
            "slow_measure_3_3": "cpu",
            "large_measure_1_1": "cpu",
            "onto_gpu_bayes_amp_1_1": "gpu",
        }
        assert jobs["onto_gpu_bayes_amp_1_1"]["tres-per-job"] == "gres:gpu:1"
        # A point of 3 GB asks for more than three times as much as a batch of small ones.
        assert megabytes(jobs["large_measure_1_1"]) > 1.5 * megabytes(first)
        until(lambda: stored(data) > 5, run)
        # One job is cancelled by somebody, another is sent back to the queue by SLURM.
        cancelled, requeued = jobs["slow_measure_1_3"]["job"], jobs["slow_measure_2_3"]["job"]
        slurm.call("scancel", cancelled)
        slurm.call("scontrol", "requeue", requeued)
        until(lambda: len(again(slurm, cancelled)) == 1, run)
        assert minutes(again(slurm, cancelled)[0]) > minutes(first), "it gets more time"
        text = run.finished()
    assert "Auto-selected partition 'gpu' for job run" in text
    every_point_once(data, 180 + 3)
    assert stored(data, "sparse_recovery", "bayes_amp") == 4
    reports = [
        json.loads(path.read_text()) for path in (data / "manifests" / "slow").glob("run.*.json")
    ]
    assert [sum(r[n] for r in reports) for n in ("asked", "failed")] == [180, 0]
    assert sum(r["found"] for r in reports) > 0, "the jobs that were started again went on"
    with snakemake(tmp_path, data, config, *threads) as run:
        assert "Nothing to be done" in run.finished()


def again(slurm, cancelled: str) -> list[dict[str, str]]:
    """The job that took the place of a cancelled one."""
    jobs = asked(slurm)
    return [
        job for name, job in jobs.items() if name == "slow_measure_1_3" and job["job"] != cancelled
    ]


def megabytes(job: dict[str, str]) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([MG])", job["minmemory"]).groups()
    return float(number) * {"M": 1, "G": 1024}[unit]


def minutes(job: dict[str, str]) -> int:
    parts = [int(part) for part in job["timelimit"].split(":")]
    return sum(60**n * part for n, part in enumerate(reversed(parts))) // 60


def cluster_file(folder: Path, **fields: object) -> Path:
    path = folder / "cluster.yaml"
    content = {"kind": "slurm", "minimum": 1, "maximum": 3, "memory": "512MiB"}
    path.write_text(yaml.safe_dump(content | fields))
    return path


def phasesweep(folder: Path, data: Path, sweep: Path, cluster: Path) -> Running:
    return Running(folder, data, BIN / "phasesweep", "run", sweep, "--cluster", cluster)


def workers(slurm, *states: str) -> set[str]:
    return set(slurm.jobs(*states, name="phasesweep-worker"))


@pytest.mark.parametrize("encrypt", [False, True])
def test_a_dask_cluster_grows_and_replaces_workers_that_are_killed(slurm, tmp_path, encrypt):
    data = tmp_path / "data"
    sweep = sweep_file(tmp_path, "dask", seeds=80, pause=0.4)
    with phasesweep(tmp_path, data, sweep, cluster_file(tmp_path, encrypt=encrypt)) as run:
        until(lambda: len(workers(slurm, "RUNNING")) == 3, run)
        until(lambda: stored(data) > 0, run)
        victim = min(workers(slurm))
        slurm.call("scancel", "--signal=KILL", "--full", victim)
        until(lambda: len(workers(slurm, "RUNNING") - {victim}) == 3, run)
        text = run.finished()
    assert "1 to 3 SLURM workers" in text
    assert "240 computed, 0 failed" in text
    every_point_once(data, 240)
    until(lambda: not workers(slurm))
    assert not list((data / "cluster").iterdir() if encrypt else ())


def test_a_worker_that_is_cancelled_while_it_waits_is_replaced(slurm, tmp_path):
    data = tmp_path / "data"
    sweep = sweep_file(tmp_path, "waiting", seeds=8, pause=0.5)
    held = cluster_file(tmp_path, maximum=1, directives=["--begin=now+20"])
    with phasesweep(tmp_path, data, sweep, held) as run:
        (victim,) = until(lambda: workers(slurm, "PENDING"), run)
        slurm.call("scancel", victim)
        (other,) = until(lambda: workers(slurm) - {victim}, run)
        assert int(other) > int(victim)
        run.finished()
    every_point_once(data, 24)


def test_a_job_owns_a_cluster_of_workers_and_is_killed(slurm, tmp_path):
    data = tmp_path / "data"
    sweep = sweep_file(tmp_path, "owner", seeds=60, pause=0.4)
    cluster = cluster_file(tmp_path)
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\nexec {BIN}/phasesweep run {sweep} --cluster {cluster}\n")
    log = tmp_path / "job.log"

    def submit() -> str:
        words = ["--parsable", "--cpus-per-task=1", "--mem=1000", f"--output={log}"]
        answer = subprocess.run(
            ["sbatch", *words, "--job-name=owner", script],
            cwd=ROOT,
            env=environment(data),
            capture_output=True,
            text=True,
            check=True,
        )
        return answer.stdout.strip()

    owner = submit()
    until(lambda: workers(slurm, "RUNNING"))
    until(lambda: stored(data) > 0)
    slurm.call("scancel", "--signal=KILL", "--full", owner)
    # Nobody tells the workers: they notice.
    until(lambda: not slurm.jobs())
    kept = stored(data)
    assert 0 < kept < 180
    submit()
    until(lambda: not slurm.jobs())
    assert f"180 points asked, {kept} found, {180 - kept} computed, 0 failed" in log.read_text()
    every_point_once(data, 180)


def test_what_slurm_refuses_is_told_and_nothing_written(slurm, tmp_path):
    data = tmp_path / "data"
    sweep = sweep_file(tmp_path, "refused", seeds=60, pause=0.4)
    for fields, words in (
        ({"queue": "nowhere"}, "invalid partition specified: nowhere"),
        ({"memory": "100TiB"}, "Requested node configuration is not available"),
    ):
        with phasesweep(tmp_path, data, sweep, cluster_file(tmp_path, **fields)) as run:
            text = run.finished(2)
        assert "SLURM would not take a worker's job" in text
        assert words in text
    assert not data.exists()

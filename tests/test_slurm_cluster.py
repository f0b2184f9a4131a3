"""A Dask cluster of SLURM workers, with a sbatch, squeue and scancel that start local processes.

tests/slurm has the same on a real SLURM.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import dask
import psutil
import pytest

from phasesweep.cluster import ClusterFile, open_cluster, replacing, slurm
from phasesweep.errors import StoppedError, UserError

pytest.importorskip("dask_jobqueue")
pytest.importorskip("cryptography")

SBATCH = """#!/bin/sh
if [ "$1" = --test-only ]; then
    grep -q 'SBATCH -p nowhere' && { echo 'sbatch: error: invalid partition specified' >&2; exit 1; }
    exit 0
fi
number=1
while ! mkdir "ROOT/$number" 2> /dev/null; do number=$((number + 1)); done
cp "$1" "ROOT/$number/script"
if [ -e ROOT/hold ]; then
    sleep 600 & echo $! > "ROOT/$number/process"
else
    setsid sh "ROOT/$number/script" > "ROOT/$number/log" 2>&1 & echo $! > "ROOT/$number/process"
fi
echo "Submitted batch job $number"
"""
SQUEUE = """#!/bin/sh
for job in ROOT/[0-9]*; do
    [ -e "$job/process" ] && kill -0 "$(cat "$job/process")" 2> /dev/null && basename "$job"
done
exit 0
"""
SCANCEL = """#!/bin/sh
for number in "$@"; do
    process=$(cat "ROOT/$number/process")
    kill -s TERM -- "-$process" 2> /dev/null || kill -TERM "$process" 2> /dev/null
done
exit 0
"""


class Queue:
    """What the false SLURM was asked to do."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def jobs(self) -> set[int]:
        return {int(path.name) for path in self.root.iterdir() if path.name.isdigit()}

    def alive(self) -> set[int]:
        return {int(word) for word in subprocess.check_output("squeue").split()}

    def script(self, job: int) -> str:
        return (self.root / str(job) / "script").read_text()

    def cancel(self, job: int) -> None:
        subprocess.check_call(["scancel", str(job)])

    def hold(self, held: bool) -> None:
        (self.root / "hold").touch() if held else (self.root / "hold").unlink()


@pytest.fixture
def queue(tmp_path, monkeypatch):
    root, programs = tmp_path / "queue", tmp_path / "bin"
    for folder in (root, programs):
        folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL)):
        (programs / name).write_text(text.replace("ROOT", str(root)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "LOST_AFTER", "0.5s")
    monkeypatch.setattr(replacing, "ASK_EVERY_SECONDS", 0.5)
    found = Queue(root)
    with dask.config.set({"distributed.adaptive.interval": "200ms"}):
        yield found
    for job in found.alive():
        found.cancel(job)


def until(true, seconds=30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def test_jobs_that_are_lost_before_and_after_they_join_are_replaced(queue, data):
    cluster = ClusterFile(kind="slurm", minimum=2, memory=2**29, encrypt=True, queue="cpu")
    queue.hold(True)
    with open_cluster(cluster, data=data) as opened:
        until(lambda: len(queue.jobs()) == 2)
        assert opened.client.nthreads() == {}, "both jobs wait"
        queue.hold(False)
        for job in queue.alive():
            queue.cancel(job)
        opened.client.wait_for_workers(2, timeout=60)
        assert queue.jobs() == {1, 2, 3, 4}
        before = set(opened.client.nthreads())
        queue.cancel(3)
        until(lambda: len(queue.jobs()) == 5)
        until(lambda: len(opened.client.nthreads()) == 2)
        assert len(before & set(opened.client.nthreads())) == 1
        hosts = {
            connection.laddr.ip
            for job in queue.alive()
            for process in [psutil.Process(int((queue.root / str(job) / "process").read_text()))]
            for member in [process, *process.children(recursive=True)]
            for connection in member.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert hosts == {"127.0.0.1"}, "workers, their nannies and their pages"
        assert opened.client.scheduler.address.startswith("tls://127.0.0.1")
        assert opened.client.submit(sum, [1, 2]).result(30) == 3
        script = queue.script(1)
    assert "#SBATCH -p cpu" in script
    assert "#SBATCH --no-requeue" in script
    paths = re.findall(r"--tls-\S+ (\S+)", script)
    assert len(paths) == 3
    assert all(Path(path).parent.parent == data / "cluster" for path in paths)
    assert not any(Path(path).exists() for path in paths)
    until(lambda: not queue.alive(), 30)


def test_workers_come_and_go_with_the_work(queue, data):
    cluster = ClusterFile(kind="slurm", minimum=1, maximum=2, memory=2**29)
    with open_cluster(cluster, data=data) as opened:
        assert opened.workers == 2
        assert opened.label == "1 to 2 SLURM workers with 0.5 GiB each"
        opened.client.wait_for_workers(1, timeout=60)
        futures = opened.client.map(time.sleep, [0.2] * 2000, pure=False)
        until(lambda: len(opened.client.nthreads()) == 2)
        opened.client.cancel(futures)
        until(lambda: len(queue.alive()) == 1)
        assert len(queue.jobs()) <= 3


def test_a_network_interface_means_certificates(queue, data, monkeypatch):
    """Nothing is listened on: what dask-jobqueue would be given is looked at."""
    import dask_jobqueue

    asked = {}

    class Asked(Exception):  # noqa: N818
        pass

    def refuse(**options):
        asked.update(options)
        raise Asked

    refuse.job_cls = dask_jobqueue.SLURMCluster.job_cls
    monkeypatch.setattr(dask_jobqueue, "SLURMCluster", refuse)
    monkeypatch.setattr(slurm, "_check_interface", lambda name: None)
    for interface, encrypted in (("lo", False), ("ib0", True)):
        asked.clear()
        file = ClusterFile(kind="slurm", interface=interface)
        with pytest.raises(Asked), open_cluster(file, data=data):
            pass
        assert asked["interface"] == interface
        assert asked.get("protocol") == ("tls://" if encrypted else None)
        assert ("security" in asked) == encrypted
        # Pages are for this machine only, whatever the workers listen on.
        assert asked["scheduler_options"] == {"dashboard_address": "127.0.0.1:0"}
        assert asked["worker_extra_args"] == [
            "--no-dashboard",
            "--dashboard-address",
            "127.0.0.1:0",
        ]
    assert asked["security"].require_encryption


def test_a_queue_that_is_not_there_is_told_at_once(queue, data):
    cluster = ClusterFile(kind="slurm", queue="nowhere")
    with (
        pytest.raises(UserError, match=r"SLURM would not take a worker's job: .*invalid partition"),
        open_cluster(cluster, data=data),
    ):
        pass
    assert not data.exists()


def test_without_sbatch_it_is_told(data, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(UserError, match="needs the command sbatch"),
        open_cluster(ClusterFile(kind="slurm"), data=data),
    ):
        pass


def test_a_limit_on_submitted_jobs_leaves_those_that_work(
    queue, data, tmp_path, monkeypatch, caplog
):
    refused = tmp_path / "refused"
    limited = tmp_path / "bin" / "sbatch"
    limit = f'[ $number = 1 ] || {{ rmdir "$job"; echo 1 >> {refused}; exit 9; }}\n'
    made = f"; done\njob={queue.root}/$number\n"
    limited.write_text(limited.read_text().replace("; done\n", made + limit))
    monkeypatch.setattr(replacing, "ASK_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(replacing, "GIVE_UP_AFTER", 3)
    cluster = ClusterFile(kind="slurm", minimum=2, memory=2**29)
    with open_cluster(cluster, data=data) as opened:
        opened.client.wait_for_workers(1, timeout=60)
        tries = len(refused.read_text().split())
        until(lambda: len(refused.read_text().split()) > tries + 4)
        assert opened.client.submit(sum, [1, 2]).result(60) == 3
    assert queue.jobs() == {1}
    assert not caplog.records


def test_a_queue_that_takes_no_job_ends_the_run_with_its_words(queue, data, tmp_path, monkeypatch):
    closed = tmp_path / "bin" / "sbatch"
    refuse = "{ echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1; }\nnumber=1\n"
    closed.write_text(closed.read_text().replace("number=1\n", refuse))
    monkeypatch.setattr(replacing, "ASK_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(replacing, "GIVE_UP_AFTER", 3)
    with (
        pytest.raises(StoppedError, match=r"SLURM refused: sbatch: error: QOSMaxSubmitJobPer"),
        open_cluster(ClusterFile(kind="slurm", memory=2**29), data=data) as opened,
    ):
        opened.client.submit(sum, [1, 2]).result(60)


def test_jobs_that_never_join_end_the_run_with_a_sentence(queue, data, tmp_path, monkeypatch):
    # As on nodes where the environment is broken.
    broken = tmp_path / "bin" / "sbatch"
    broken.write_text(broken.read_text().replace("setsid sh", "setsid false"))
    monkeypatch.setattr(replacing, "ASK_EVERY_SECONDS", 0.1)
    monkeypatch.setattr(replacing, "GIVE_UP_AFTER", 4)
    cluster = ClusterFile(kind="slurm", minimum=2, memory=2**29)
    with (
        pytest.raises(StoppedError, match=r"\d+ worker jobs in a row ended .* needs `interface`"),
        open_cluster(cluster, data=data) as opened,
    ):
        # As a run waits for answers: the driver is woken.
        opened.client.submit(sum, [1, 2]).result(60)
    assert len(queue.jobs()) >= 4
    assert signal.getsignal(replacing.SIGNAL) == signal.SIG_DFL


def test_a_worker_has_one_task_at_a_time_whatever_its_threads():
    """Its memory is bounded for the whole process; `threads` are those of BLAS and numba."""
    from dask_jobqueue import SLURMCluster

    job = slurm._job(ClusterFile(kind="slurm", threads=4), 2**30)
    script = SLURMCluster.job_cls("tcp://scheduler", name="test", **job).job_script()
    assert "--nthreads 1 " in script
    assert "#SBATCH --cpus-per-task=4" in script
    assert "OMP_NUM_THREADS=4" in script

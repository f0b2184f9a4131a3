"""Cluster files, and what their clusters do: who may connect, on what they listen, what they share."""

from __future__ import annotations

import os
import socket
import stat
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from phasesweep import dispatch, sweep
from phasesweep.api import solve_points
from phasesweep.cache import Cache
from phasesweep.cluster import (
    Cluster,
    ClusterFile,
    available_cores,
    available_memory,
    local,
    open_cluster,
    read_cluster,
)
from phasesweep.cluster import address as addresses
from phasesweep.cluster.local import shares
from phasesweep.errors import UserError

ONE = {"workers": 1, "memory": 2**29}
GIB = 2**30


@dataclass(frozen=True)
class Opened:
    """A cluster of one local worker."""

    cluster: Cluster
    data: Path
    hosts: list[str]
    """What this process and its children listen on since it was opened."""

    def file(self, folder: Path) -> ClusterFile:
        """The cluster file of somebody who joins it."""
        text = f"kind: address\naddress: {self.cluster.client.scheduler.address}\n"
        if self.cluster.client.security.require_encryption:
            (made,) = (self.data / "cluster").iterdir()
            text += f"tls: {{ca: {made}/ca.pem, cert: {made}/cert.pem, key: {made}/key.pem}}\n"
        path = folder / "address.yaml"
        path.write_text(text)
        return read_cluster(path)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "encrypted"])
def opened(request, tmp_path_factory):
    """One cluster for many tests, with TLS and without; as under Snakemake, which sets threads."""
    if request.param:
        pytest.importorskip("cryptography")
    data = tmp_path_factory.mktemp("opened") / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "7")
        before = listening(psutil.Process())
        with open_cluster(ClusterFile(**ONE, encrypt=request.param), data=data) as cluster:
            hosts = listening(psutil.Process())
            for host in before:
                hosts.remove(host)
            yield Opened(cluster, data, hosts)
        assert os.environ["OMP_NUM_THREADS"] == "7"
    assert not list((data / "cluster").iterdir() if request.param else ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: locall", "kind: given 'locall'; allowed: local, gpu, slurm, address"),
        ("kind: local\nworker: 2", "no field 'worker'.*did you mean workers"),
        ("kind: local\nworkers: 0", "workers: given 0; allowed: a whole number >= 1"),
        ("kind: local\nworkers: true", "workers: given True; allowed: a whole number >= 1"),
        ("kind: local\nmemory: much", "memory: given 'much'; allowed: a size"),
        ("kind: local\nmemory: [1]", r"memory: given \[1\]; allowed: a size"),
        ("kind: local\nmemory: 1MiB", "memory: given '1MiB'; allowed: at least 64MiB"),
        ("kind: local\nfallback: local", "no field 'fallback'"),
        ("kind: local\nencrypt: 1", "encrypt: given 1; allowed: true or false"),
        ("kind: local\ntasks: 2", "no field 'tasks'"),
        ("kind: gpu\ntasks: 0", "tasks: given 0; allowed: a whole number >= 1"),
        ("kind: gpu\nfallback: cpu", "fallback: given 'cpu'; allowed: local"),
        ("kind: address\naddress: here", "allowed: tcp://"),
        ("kind: address", "address is missing"),
        ("kind: address\naddress: tls://127.0.0.1:1", "tls is missing"),
        ("kind: address\ntls: {ca: a}", "tls: .*allowed: the paths ca, cert and key"),
        ("kind: address\ntls: {ca: a, cert: b, key: c}", "tls: there is no file a"),
        ("kind: slurm\nworkers: 4", "no field 'workers'"),
        ("kind: slurm\nminimum: 3\nmaximum: 2", "maximum: given 2; allowed: at least minimum, 3"),
        (
            "kind: slurm\nwalltime: 24:00:00",
            "walltime: given 86400; allowed: HOURS:MINUTES:SECONDS",
        ),
        ("kind: slurm\nqueue: 'a b'", "queue: given 'a b'; allowed: a name"),
        ('kind: slurm\nqueue: "cpu\\nrm"', "queue: given .*; allowed: a name"),
        ("kind: slurm\ndirectives: '-x'", "directives: given '-x'; allowed: a list"),
        ('kind: slurm\ndirectives: ["--x=1\\nrm -rf ."]', "directives: .*; allowed: a list"),
        ("kind: slurm\ninterface: ib0\nencrypt: false", "encrypt: given false; allowed: true"),
        ("[]", "kind"),
    ],
)
def test_mistakes_in_a_cluster_file_are_named(tmp_path, text, message):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_cluster(path)


@pytest.mark.parametrize("name", ["local", "gpu", "slurm"])
def test_the_cluster_files_of_the_project_are_read(name):
    folder = Path(__file__).parent.parent / "config" / "clusters"
    assert read_cluster(folder / f"{name}.yaml").kind == name


def test_an_interface_that_is_not_there_is_told(data):
    pytest.importorskip("dask_jobqueue")
    cluster = ClusterFile(kind="slurm", interface="nowhere0")
    with pytest.raises(UserError, match="interface: 'nowhere0' is not a valid network interface"):
        list_workers(cluster, data)
    assert not data.exists()


def list_workers(cluster: ClusterFile, data: Path) -> list[str]:
    with open_cluster(cluster, data=data) as opened:
        return list(opened.client.nthreads())


# -- an address ------------------------------------------------------------------------------


def test_an_absent_scheduler_is_told(data, monkeypatch):
    monkeypatch.setattr(addresses, "ANSWER_SECONDS", 1)
    cluster = read_cluster("tcp://127.0.0.1:9")
    with pytest.raises(UserError, match=r"no scheduler answers at tcp://127.0.0.1:9"):
        solve_points("toy", "line", {"alpha": 1}, Cache(data / "cache"), cluster=cluster)


def test_an_encrypted_scheduler_needs_certificates():
    with pytest.raises(UserError, match="needs certificates; write a cluster file"):
        read_cluster("tls://127.0.0.1:9")


def versions(**others: str) -> dict:
    here = dict.fromkeys(addresses.PACKAGES, "1.0") | {"python": "3.11.7.final.0"}
    workers = {f"tcp://127.0.0.1:{n}": {"packages": here | others} for n in (1, 2)}
    return {
        "client": {"packages": here},
        "scheduler": {"packages": here},
        "workers": workers,
    }


def test_versions_that_differ_are_named_once():
    assert addresses.differences(versions()) == []
    assert addresses.differences(versions(python="3.11.9.final.0")) == []
    assert addresses.differences(versions(numpy="0.9")) == ["numpy 0.9 on a worker, 1.0 here"]
    assert addresses.differences(versions(python="3.12.0.final.0")) == [
        "python 3.12 on a worker, 3.11 here"
    ]
    found = versions(phasesweep=None)
    found["scheduler"] = {"packages": found["scheduler"]["packages"] | {"distributed": "0.1"}}
    assert addresses.differences(found) == [
        "distributed 0.1 on the scheduler, 1.0 here",
        "phasesweep none on a worker, 1.0 here",
    ]


def test_a_running_scheduler_is_joined(opened, data, tmp_path):
    axes = {"alpha": [0.5, 1.5], "dimension": 16, "seed": 0}
    joined = opened.file(tmp_path)
    _, _, report = solve_points("toy", "measure", axes, Cache(data / "cache"), cluster=joined)
    assert report.computed == 2
    assert len(opened.cluster.client.nthreads()) == 1, "it is left as it was"


def test_a_running_scheduler_of_another_version_is_refused(opened, data, tmp_path, monkeypatch):
    from distributed import Client

    real = Client.get_versions

    def other(self, *arguments, **options):
        found = real(self, *arguments, **options)
        worker = next(iter(found["workers"].values()))
        worker["packages"] = worker["packages"] | {"numpy": "1.2.3"}
        return found

    monkeypatch.setattr(Client, "get_versions", other)
    with pytest.raises(UserError, match=r"runs other software: numpy 1\.2\.3 on a worker"):
        list_workers(opened.file(tmp_path), data)


# -- who may connect ---------------------------------------------------------------------------


def listening(process: psutil.Process) -> list[str]:
    """The hosts that a process and its children listen on."""
    family = [process, *process.children(recursive=True)]
    return [
        connection.laddr.ip
        for member in family
        for connection in member.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]


def test_a_cluster_listens_on_loopback_only(opened):
    # A scheduler, its pages, a nanny, a worker and its pages.
    assert len(opened.hosts) >= 5
    assert set(opened.hosts) <= {"127.0.0.1", "::1"}
    assert opened.cluster.dashboard.startswith("http://127.0.0.1:")
    with urlopen(opened.cluster.dashboard) as page:
        told = page.read().decode()
    assert "127.0.0.1" in told
    assert "install" not in told.lower()


def connects(address: str, security: object = None) -> bool:
    """Whether somebody gets an answer from a scheduler, worker or nanny at an address."""
    import asyncio

    from distributed.core import rpc

    async def ask() -> bool:
        arguments = security.get_connection_args("client") if security else {}
        async with rpc(address, connection_args=arguments, timeout=3) as remote:
            answer = await asyncio.wait_for(remote.identity(), 3)
        return "id" in answer or "type" in answer

    def run() -> bool:
        try:
            return asyncio.run(ask())
        except (OSError, TimeoutError, TypeError, ValueError, RuntimeError):
            return False

    with ThreadPoolExecutor(1) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pool.submit(run).result(30)


def test_nobody_without_the_certificate_of_the_run_is_answered(opened):
    from distributed.security import Security

    client = opened.cluster.client
    info = client.scheduler_info(n_workers=-1)
    nannies = [worker["nanny"] for worker in info["workers"].values()]
    everybody = [client.scheduler.address, *info["workers"], *nannies]
    assert len(everybody) == 3
    if not client.security.require_encryption:
        # What certificates refuse below is given here: the question is a real one.
        assert all(connects(address) for address in everybody)
        return
    (folder,) = (opened.data / "cluster").iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["ca.pem", "cert.pem", "key.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    stranger = Security.temporary()
    for address in everybody:
        assert address.startswith("tls://127.0.0.1:")
        assert connects(address, client.security), "with the certificate of the run"
        assert not connects(address, stranger), "with a certificate of somebody else"
        assert not connects(address.replace("tls://", "tcp://")), "without any"
    assert client.submit(sum, [1, 2]).result(30) == 3


def test_certificates_of_a_killed_run_are_removed_by_the_next(data):
    pytest.importorskip("cryptography")
    from phasesweep.cluster.tls import certificates

    dead = data / "cluster" / f"{socket.gethostname()}-999999999-x"
    other = data / "cluster" / "another-machine-1-x"
    for folder in (dead, other):
        folder.mkdir(parents=True)
    with certificates(data):
        assert not dead.exists()
        assert other.exists()
        assert len(list((data / "cluster").iterdir())) == 2


# -- what is shared ----------------------------------------------------------------------------


def test_workers_have_the_threads_of_the_cluster_file(opened):
    inside = opened.cluster.client.run(lambda: os.environ["OMP_NUM_THREADS"])
    assert set(inside.values()) == {"1"}


def test_a_job_uses_what_it_asked_for(monkeypatch):
    machine = available_memory()
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1000")
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")
    assert available_memory() == min(machine, 1000 * 2**20)
    assert available_cores() == 1


def test_points_that_need_more_memory_get_fewer_and_larger_workers(monkeypatch):
    monkeypatch.setattr(local, "available_cores", lambda: 8)
    monkeypatch.setattr(local, "available_memory", lambda: 40 * GIB)
    assert shares(ClusterFile(), 0.0) == (8, 2 * GIB)
    assert shares(ClusterFile(), 1.0 * GIB) == (8, 2 * GIB)
    assert shares(ClusterFile(), 6.4 * GIB) == (4, 8 * GIB)
    workers, memory = shares(ClusterFile(), 100 * GIB)
    assert (workers, memory) == (1, 32 * GIB)
    assert shares(ClusterFile(workers=8, memory=GIB), 6.4 * GIB) == (8, GIB)
    monkeypatch.setattr(local, "available_memory", lambda: 10 * GIB)
    assert shares(ClusterFile(), 0.0) == (8, GIB)


def test_a_large_point_gets_its_worker_without_being_asked_for(data, monkeypatch):
    monkeypatch.setattr(local, "available_cores", lambda: 1)
    monkeypatch.setattr("phasesweep.sweep.SMALL_SECONDS", 0)
    axes = {"alpha": 0.5, "dimension": 16, "seed": 0, "megabytes": 2500}
    _, _, report = solve_points("toy", "measure", axes, Cache(data / "cache"))
    assert (report.computed, report.failed) == (1, 0)


def test_enough_is_in_flight_for_the_workers_that_a_cluster_may_grow_to(opened, data, monkeypatch):
    growing = replace(opened.cluster, workers=10)
    monkeypatch.setattr(sweep, "open_cluster", lambda *_, **__: nullcontext(growing))
    monkeypatch.setattr(dispatch, "TASK_SECONDS", 0)
    submitted, first = [], []
    client = opened.cluster.client
    submit, add = client.submit, sweep._Collector.add

    def counted(*arguments, **options):
        submitted.append(arguments)
        return submit(*arguments, **options)

    def noted(*arguments):
        first.append(len(submitted))
        return add(*arguments)

    monkeypatch.setattr(client, "submit", counted)
    monkeypatch.setattr(sweep._Collector, "add", noted)
    axes = {"alpha": 0.5, "dimension": 16, "seed": {"count": 40}}
    somewhere = ClusterFile(kind="address")
    _, _, report = solve_points("toy", "measure", axes, Cache(data / "cache"), cluster=somewhere)
    assert report.computed == len(submitted) == 40
    assert first[0] == 10 * dispatch.IN_FLIGHT_PER_WORKER


def test_workers_of_a_job_find_the_systems_of_their_driver(monkeypatch):
    from phasesweep.cluster.slurm import _environment

    monkeypatch.setenv("PYTHONPATH", "/some where/it's")
    assert _environment(ClusterFile(kind="slurm"))["PYTHONPATH"] == "'/some where/it'\"'\"'s'"

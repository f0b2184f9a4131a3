"""From a cluster file to a Dask client; a context manager.

Four kinds: `local` (processes on this machine), `gpu` (one worker per device), `slurm` (workers
that SLURM starts, through dask-jobqueue) and `address` (a scheduler that runs already).
Everything listens on loopback, except `slurm` with a network interface, which uses TLS with
certificates of its own.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasesweep.errors import UserError, unknown
from phasesweep.paths import data_root
from phasesweep.plain import read_plain

KINDS = ("local", "gpu", "slurm", "address")
FIELDS = {
    "local": ("workers", "memory", "threads"),
    "gpu": ("memory", "threads", "fallback"),
    "slurm": (
        "workers",
        "memory",
        "threads",
        "queue",
        "account",
        "walltime",
        "interface",
        "directives",
    ),
    "address": ("address", "memory", "tls"),
}
LOOPBACK = "127.0.0.1"
DEFAULT_WORKER_MEMORY = 2 * 2**30


@dataclass(frozen=True)
class ClusterFile:
    """A validated cluster file."""

    kind: str = "local"
    workers: int = 0
    """Worker processes; 0 means one per core (local)."""
    memory: int = 0
    """Bytes of one worker; 0 means an equal part of the machine, at most 2 GiB (local)."""
    threads: int = 1
    """Threads of BLAS and numba inside a worker."""
    fallback: str = ""
    queue: str = ""
    account: str = ""
    walltime: str = "01:00:00"
    interface: str = "lo"
    directives: tuple[str, ...] = ()
    address: str = ""
    tls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cluster:
    """An open cluster."""

    client: Any
    memory: int
    device: str
    dashboard: str
    label: str


def read_cluster(source: str | Path | None) -> ClusterFile:
    """Read a cluster file, or take the address of a scheduler (tcp://..., tls://...) as one."""
    if source is None:
        return ClusterFile()
    if str(source).startswith(("tcp://", "tls://")):
        return ClusterFile(kind="address", address=str(source))
    data = read_plain(Path(source))
    where = str(source)
    if not isinstance(data, Mapping) or data.get("kind") not in KINDS:
        given = data.get("kind") if isinstance(data, Mapping) else data
        raise UserError(f"{where}: kind: given {given!r}; allowed: {', '.join(KINDS)}")
    kind = data["kind"]
    for name in data:
        if name != "kind" and name not in FIELDS[kind]:
            raise unknown("field", name, ("kind", *FIELDS[kind]), where)
    return ClusterFile(**{name: _field(name, value, where) for name, value in data.items()})


def _field(name: str, value: Any, where: str) -> Any:
    from dask.utils import parse_bytes

    at = f"{where}: {name}: given {value!r}; allowed:"
    if name in ("workers", "threads"):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"{at} a whole number >= 1")
    elif name == "memory":
        try:
            value = parse_bytes(value)
        except (ValueError, TypeError):
            raise UserError(f"{at} a size such as 2GiB") from None
        if value < 64 * 2**20:
            raise UserError(f"{at} at least 64MiB")
    elif name == "fallback":
        if value != "local":
            raise UserError(f"{at} local")
    elif name == "directives":
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise UserError(f"{at} a list of texts, such as ['--gres=gpu:1']")
        value = tuple(value)
    elif name == "tls":
        if not isinstance(value, Mapping) or set(value) != {"ca", "cert", "key"}:
            raise UserError(f"{at} the paths ca, cert and key")
    elif name == "address" and not str(value).startswith(("tcp://", "tls://")):
        raise UserError(f"{at} tcp://HOST:PORT or tls://HOST:PORT")
    elif not isinstance(value, str):
        raise UserError(f"{at} text")
    return value


@contextmanager
def open_cluster(file: ClusterFile) -> Iterator[Cluster]:
    """Start (or join) the cluster, and stop what was started."""
    import dask
    import distributed  # noqa: F401 - sets the defaults that are changed below

    # A lost worker is a normal event; its story belongs to the manifest, not to the terminal.
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    limits = thread_limits(file.threads)
    with (
        _environment(limits),
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ": limits,
                "distributed.scheduler.allowed-failures": 3,
                "distributed.worker.memory.spill": False,
                "distributed.worker.memory.target": False,
                "distributed.worker.daemon": True,
                "distributed.worker.preload": ["phasesweep.worker"],
            }
        ),
    ):
        opener = {"local": _local, "gpu": _gpu, "slurm": _slurm, "address": _address}[file.kind]
        with opener(file) as cluster:
            yield cluster


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while: Dask prefers them to its configuration.

    Snakemake, for one, sets OMP_NUM_THREADS to the threads of the job, which would be those of
    every worker.
    """
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def thread_limits(threads: int) -> dict[str, str]:
    """Environment that pins the threads of BLAS and numba: workers do not fight over cores."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {name: str(threads) for name in names}


def available_memory() -> int:
    """Bytes this process may use: the machine's, or what its control group leaves."""
    from distributed.system import MEMORY_LIMIT

    return int(MEMORY_LIMIT)


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _local(file: ClusterFile, workers: int = 0) -> Iterator[Cluster]:
    from distributed import Client, LocalCluster

    workers = file.workers or max(1, available_cores() // file.threads)
    memory = file.memory or min(DEFAULT_WORKER_MEMORY, int(0.8 * available_memory() / workers))
    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=memory,
            host=LOOPBACK,
            dashboard_address=f"{LOOPBACK}:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        label = f"{workers} local workers with {memory / 2**30:.1f} GiB each"
        yield Cluster(client, memory, "cpu", cluster.dashboard_link, label)


@contextmanager
def _gpu(file: ClusterFile) -> Iterator[Cluster]:
    """One worker per device, each seeing its own device only, so that no two share one."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    devices = _visible_devices()
    if not devices:
        if file.fallback == "local":
            with _local(ClusterFile()) as cluster:
                yield cluster
            return
        raise UserError(
            "the cluster file asks for GPUs and none is visible (it takes cupy and a CUDA device); "
            "use another cluster file, or put `fallback: local` in this one"
        )
    memory = file.memory or min(8 * 2**30, int(0.8 * available_memory() / len(devices)))
    workers = {
        f"gpu-{device}": {
            "cls": Nanny,
            "options": {
                "nthreads": 1,
                "memory_limit": memory,
                "resources": {"GPU": 1},
                "host": LOOPBACK,
                "env": {"CUDA_VISIBLE_DEVICES": device, **thread_limits(file.threads)},
            },
        }
        for device in devices
    }
    scheduler = {
        "cls": Scheduler,
        "options": {"host": LOOPBACK, "dashboard_address": f"{LOOPBACK}:0"},
    }
    with SpecCluster(workers=workers, scheduler=scheduler) as cluster, Client(cluster) as client:
        label = f"{len(devices)} GPU workers"
        yield Cluster(client, _device_memory(), "gpu", cluster.dashboard_link, label)


def _visible_devices() -> list[str]:
    try:
        import cupy

        count = cupy.cuda.runtime.getDeviceCount() if cupy.cuda.is_available() else 0
    except Exception:  # noqa: BLE001 - a broken CUDA stack raises many types; all mean "no GPU"
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",") if named else [str(n) for n in range(count)]


def _device_memory() -> int:
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    return int(free)


@contextmanager
def _slurm(file: ClusterFile) -> Iterator[Cluster]:
    from distributed import Client

    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise UserError("a slurm cluster needs dask-jobqueue; install phasesweep[slurm]") from None
    workers = file.workers or 1
    memory = file.memory or DEFAULT_WORKER_MEMORY
    options: dict[str, Any] = {}
    if file.interface != "lo":
        from distributed.security import Security

        # Without certificates anybody on the network could run code as the user.
        shared = data_root() / "cluster"
        shared.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = {
            "security": Security.temporary(),
            "protocol": "tls://",
            "shared_temp_directory": str(shared),
        }
    with SLURMCluster(
        queue=file.queue or None,
        account=file.account or None,
        cores=file.threads,
        processes=1,
        memory=f"{memory} B",
        walltime=file.walltime,
        interface=file.interface,
        job_extra_directives=list(file.directives),
        log_directory=str(data_root() / "logs" / "slurm"),
        job_script_prologue=[f"export {k}={v}" for k, v in thread_limits(file.threads).items()],
        scheduler_options={"dashboard_address": f"{LOOPBACK}:0"},
        **options,
    ) as cluster:
        # adapt() replaces lost workers; scale() does not.
        cluster.adapt(minimum=workers, maximum=workers)
        with Client(cluster) as client:
            label = f"{workers} SLURM workers with {memory / 2**30:.1f} GiB each"
            yield Cluster(client, memory, "cpu", cluster.dashboard_link, label)


@contextmanager
def _address(file: ClusterFile) -> Iterator[Cluster]:
    from distributed import Client
    from distributed.security import Security

    security = None
    if file.tls:
        security = Security(
            require_encryption=True,
            tls_ca_file=file.tls["ca"],
            tls_client_cert=file.tls["cert"],
            tls_client_key=file.tls["key"],
        )
    try:
        client = Client(file.address, security=security, timeout=10)
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"no scheduler answers at {file.address}: {error}") from None
    with client:
        try:
            client.get_versions(check=True)
        except ValueError as error:
            raise UserError(f"the cluster at {file.address} runs other versions: {error}") from None
        limits = [w["memory_limit"] for w in client.scheduler_info()["workers"].values()]
        memory = file.memory or (min(limits, default=0) or DEFAULT_WORKER_MEMORY)
        label = f"{len(limits)} workers of {file.address}"
        yield Cluster(client, memory, "cpu", client.dashboard_link, label)

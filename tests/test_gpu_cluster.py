"""GPU clusters, with devices that are names only: who gets which, and that nobody shares one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, nullcontext
from dataclasses import replace

import numpy as np
import pytest

from phasesweep import dispatch, lateness, sweep
from phasesweep.api import solve_points
from phasesweep.cache import Cache
from phasesweep.cluster import Cluster, ClusterFile, device, gpu, local, open_cluster
from phasesweep.cluster.device import DEVICE, LOCK, device_lock
from phasesweep.errors import UserError
from phasesweep.grid import expand
from phasesweep.limits import Limits
from phasesweep.sweepfile import single_method
from solvers.contract import load_system

GPU = ClusterFile(kind="gpu", memory=2**29, tasks=2)
visible_devices = gpu.visible_devices
AXES = {"alpha": 0.5, "dimension": 16, "seed": {"count": 3}}
HOLDER = (
    "import sys, time; from pathlib import Path; from phasesweep.cluster.device import Lock; "
    "lock = Lock(Path(sys.argv[1])); print(lock.take(), flush=True); time.sleep(60)"
)


def two_devices(monkeypatch, locks):
    """Two devices named 4 and 7, with 10 and 6 GB free; their locks lie in a folder of their own."""
    monkeypatch.setattr(device, "FOLDER", locks)
    found = [gpu.Device("4", "0000:04:00.0"), gpu.Device("7", "0000:07:00.0")]
    monkeypatch.setattr(gpu, "visible_devices", lambda: found)

    def free() -> int:
        import os

        return {"4": 10 * 10**9, "7": 6 * 10**9}[os.environ["CUDA_VISIBLE_DEVICES"]]

    monkeypatch.setattr(gpu, "free_memory", free)
    return found


@pytest.fixture
def devices(monkeypatch, tmp_path):
    return two_devices(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A cluster on both devices, for many tests."""
    folder = tmp_path_factory.mktemp("pair")
    with pytest.MonkeyPatch.context() as patch:
        devices = two_devices(patch, folder)
        with open_cluster(GPU, data=folder / "data") as cluster:
            yield cluster
        assert all(
            device_lock(d.identity, use).take() for d in devices for use in ("run", "worker")
        )


def what_workers_see(cluster) -> dict[str, tuple[str, str, int]]:
    def look():
        import os

        return os.environ["CUDA_VISIBLE_DEVICES"], os.environ["PHASESWEEP_DEVICE"], os.getpid()

    return {name: tuple(seen) for name, seen in cluster.client.run(look).items()}


def test_one_worker_per_device_which_sees_that_device_alone(pair):
    seen = sorted(what_workers_see(pair).values())
    assert [s[:2] for s in seen] == [("4", "0000:04:00.0"), ("7", "0000:07:00.0")]
    assert len({s[2] for s in seen}) == 2
    info = pair.client.scheduler_info(n_workers=-1)["workers"].values()
    assert [(w["nthreads"], w["resources"]) for w in info] == [(2, {"GPU": 1})] * 2
    assert pair.device == "gpu"
    # Batches are cut to what is free on the fuller device.
    assert pair.memory_for("gpu") == int(0.9 * 6e9)
    # A method that is written for CPUs only has the memory of the worker, not of its device.
    assert pair.memory_for("cpu") == GPU.memory


def points(devices: tuple[str, ...], megabytes: float):
    """40 points of a method that is written for `devices`, each of which declares so much memory."""
    method = load_system("toy").methods["measure"]
    alpha = np.linspace(0.5, 1.5, 40).tolist()
    axes = {"alpha": alpha, "dimension": 16, "seed": 0, "megabytes": megabytes}
    grid = single_method(method, axes, "test")
    found = expand(grid, lambda *_: np.zeros(0))
    return replace(found, method=replace(method, devices=devices))


def run_on(cluster, wanted, data, monkeypatch, **limits):
    monkeypatch.setattr(sweep, "open_cluster", lambda *_, **__: nullcontext(cluster))
    somewhere = ClusterFile(kind="address")
    cache = Cache(data / "cache")
    return sweep.run(wanted, cache, cluster=somewhere, quiet=True, limits=Limits(**limits))


@pytest.mark.parametrize(("devices", "together"), [(("cpu", "gpu"), 5), (("cpu",), 1)])
def test_batches_are_cut_to_where_they_are_solved(pair, data, monkeypatch, devices, together):
    class Cut(Exception):  # noqa: N818
        pass

    def tasks(batches, *_):
        raise Cut({len(batch) for batch in batches})

    monkeypatch.setattr(dispatch, "_tasks", tasks)
    with pytest.raises(Cut) as cut:
        run_on(pair, points(devices, megabytes=500), data, monkeypatch)
    assert cut.value.args == ({together},)


def test_a_point_that_no_device_holds_is_not_tried(pair, data, monkeypatch):
    report = run_on(pair, points(("cpu", "gpu"), megabytes=6000), data, monkeypatch)
    assert (report.computed, report.failed) == (0, 40)
    message = report.failures[0]["message"]
    assert "declares 5.59 GiB and a device has 5.03 GiB free" in message


def test_a_second_run_finds_no_device_that_is_free(pair, data):
    with (
        pytest.raises(UserError, match="all 2 of this machine are in use by other runs"),
        open_cluster(GPU, data=data),
    ):
        pass
    for found in gpu.visible_devices():
        assert not device_lock(found.identity, "worker").take(), "its worker holds it"


def test_a_worker_that_died_is_replaced_on_its_own_device(pair):
    before = {s[0]: s[2] for s in what_workers_see(pair).values()}
    os.kill(before["4"], signal.SIGKILL)
    deadline = time.monotonic() + 60
    after = before
    while time.monotonic() < deadline and (len(after) < 2 or after["4"] == before["4"]):
        time.sleep(0.2)
        after = {s[0]: s[2] for s in what_workers_see(pair).values()}
    assert after["7"] == before["7"]
    assert after["4"] != before["4"]


def test_a_device_in_use_is_left_alone(devices, data):
    first = device_lock(devices[0].identity, "run")
    assert first.take()
    with open_cluster(GPU, data=data) as cluster:
        assert [s[0] for s in what_workers_see(cluster).values()] == ["7"]
        assert cluster.label == (
            "GPU workers on 1 of 2 devices (other runs use the others), up to 2 tasks at once on each"
        )
    first.release()


def test_a_worker_of_a_killed_run_keeps_its_device_while_it_lives(devices, monkeypatch):
    monkeypatch.setattr(gpu, "LEFTOVER_SECONDS", 0.5)
    lock = device_lock(devices[0].identity, "worker")
    command = [sys.executable, "-c", HOLDER, str(lock.path)]
    with ExitStack() as stack, subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout.readline() == "True\n"
        assert [gpu._reserve(device, stack) for device in devices] == [False, True]
        held.kill()
    assert lock.take()


def test_a_second_process_on_a_device_refuses_to_start(devices, monkeypatch):
    monkeypatch.setattr(device, "WAIT_SECONDS", 0.2)
    monkeypatch.setenv(DEVICE, devices[0].identity)
    held = device_lock(devices[0].identity, "worker")
    monkeypatch.setenv(LOCK, str(held.path))
    assert held.take()
    with pytest.raises(RuntimeError, match=r"device 0000:04:00\.0 is in use by another process"):
        device.dask_setup(None)
    held.release()
    monkeypatch.setattr(device, "_HELD", [])
    device.dask_setup(None)
    assert not held.take()


def test_a_device_that_does_not_answer_is_told(devices, data, monkeypatch):
    def broken() -> int:
        raise RuntimeError("cudaErrorDevicesUnavailable: all CUDA-capable devices are busy")

    monkeypatch.setattr(gpu, "free_memory", broken)
    monkeypatch.setattr(gpu, "visible_devices", lambda: devices[:1])
    with (
        pytest.raises(UserError, match=r"a GPU does not say .*: cudaErrorDevicesUnavailable"),
        open_cluster(GPU, data=data),
    ):
        pass
    assert device_lock(devices[0].identity, "run").take()


def test_another_person_can_read_a_lock_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        lock = device.Lock(tmp_path / "lock")
        assert lock.take()
    finally:
        os.umask(before)
    assert lock.path.stat().st_mode & 0o777 == 0o644
    lock.release()


def test_without_a_gpu_a_sweep_says_so_or_falls_back(data, monkeypatch):
    monkeypatch.setattr(gpu, "visible_devices", list)
    cache = Cache(data / "cache")
    for small in (5.0, 0.0):  # in this process, or on a cluster
        monkeypatch.setattr("phasesweep.sweep.SMALL_SECONDS", small)
        with pytest.raises(UserError, match="asks for GPUs and none is visible"):
            solve_points("toy", "measure", AXES, cache, cluster=ClusterFile(kind="gpu"))
        assert not data.exists()
    cluster = ClusterFile(kind="gpu", fallback="local")
    monkeypatch.setattr(local, "available_cores", lambda: 1)
    _, _, report = solve_points("toy", "measure", AXES, cache, cluster=cluster)
    assert report.computed == 3


def test_devices_are_named_as_the_environment_names_them(monkeypatch):
    class Runtime:
        getDeviceCount = staticmethod(lambda: 2)  # noqa: N815
        deviceGetPCIBusId = staticmethod("0000:{:02d}:00.0".format)  # noqa: N815

    class Cupy:
        class cuda:  # noqa: N801
            runtime = Runtime
            is_available = staticmethod(lambda: True)

    monkeypatch.setitem(sys.modules, "cupy", Cupy)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    bus = ["0000:00:00.0", "0000:01:00.0"]
    assert [(d.name, d.identity) for d in visible_devices()] == [("0", bus[0]), ("1", bus[1])]
    # SLURM gives a job its devices by number or by UUID.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-8a2b")
    assert [d.name for d in visible_devices()] == ["5", "GPU-8a2b"]
    monkeypatch.setattr(Runtime, "getDeviceCount", staticmethod(lambda: 1 // 0))
    assert visible_devices() == []


# -- several tasks at once ---------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [1, 2, 3, 4, 7, 5000])
def test_shares_of_a_device_add_up_without_rounding(tasks):
    cluster = Cluster(None, 0, "gpu", "", "", device_memory=10**9, tasks=tasks)
    assert 0 < cluster.share(0.0) <= 1
    assert tasks * cluster.share(0.0) <= 1 or tasks > 1024
    assert cluster.share(0.9e9) >= 0.9
    assert cluster.share(1e9) == cluster.share(5e9) == 1.0
    free, rng = 1.0, np.random.default_rng(tasks)
    held = [cluster.share(m) for m in rng.uniform(0, 0.1e9, 10) if tasks > 9]
    for part in held:
        free -= part
    for part in rng.permutation(held):
        free += part
    assert free == 1.0


def false_device(folder, meeting: int, memory: float = 0.0):
    """A plugin that gives workers a CuPy of streams only, which log what is done with them.

    The first `meeting` computations wait for each other; `memory` bytes are held in the pool.
    """
    met = folder / "met"
    from distributed import WorkerPlugin

    class FalseDevice(WorkerPlugin):
        name = "false device"

        def setup(self, worker):
            import sys
            import threading
            import types

            import array_api_compat.numpy

            lock, barrier = threading.Lock(), threading.Barrier(max(1, meeting))
            worker.log = log = []
            worker.inside = inside = []

            class Stream:
                def __init__(self, non_blocking):
                    assert non_blocking
                    self.tell("made")

                def tell(self, what):
                    with lock:
                        log.append((threading.get_ident(), id(self), what, len(inside)))

                def __enter__(self):
                    inside.append(self)
                    self.tell("enter")
                    if meeting and not met.exists():
                        barrier.wait(timeout=30)
                        met.touch()

                def __exit__(self, *_):
                    self.tell("leave")
                    inside.remove(self)

                def synchronize(self):
                    self.tell("synchronize")

            class Pool:
                total_bytes = staticmethod(lambda: memory)
                free_all_blocks = staticmethod(lambda stream: stream.tell("free"))

            cupy = types.ModuleType("cupy")
            cupy.cuda = types.SimpleNamespace(Stream=Stream)
            cupy.get_default_memory_pool = Pool
            sys.modules["cupy"] = cupy
            sys.modules["array_api_compat.cupy"] = array_api_compat.numpy

    return FalseDevice()


@pytest.fixture
def one_device(devices, data, monkeypatch):
    """A cluster on one device of 5.4 GB, every batch a task of its own."""
    monkeypatch.setattr(gpu, "visible_devices", lambda: devices[1:])
    monkeypatch.setattr(dispatch, "TASK_SECONDS", 0.0)
    with open_cluster(GPU, data=data) as cluster:
        yield cluster


def instances(**axes):
    """Points of the toy's measure on a device: a batch for every seed."""
    method = load_system("toy").methods["measure"]
    grid = single_method(method, {"dimension": 16, **axes}, "test")
    found = expand(grid, lambda *_: np.zeros(0))
    return replace(found, method=replace(method, devices=("cpu", "gpu")))


def logs(cluster) -> list[tuple[int, int, str, int]]:
    (log,) = cluster.client.run(lambda dask_worker: dask_worker.log).values()
    return log


def test_small_instances_overlap_each_in_its_own_stream(one_device, data, monkeypatch):
    one_device.client.register_plugin(false_device(data.parent, meeting=2))
    report = run_on(one_device, instances(alpha=0.5, seed={"count": 6}), data, monkeypatch)
    assert (report.computed, report.failed) == (6, 0)
    log = logs(one_device)
    assert max(inside for *_, inside in log) == 2
    threads = {thread for thread, *_ in log}
    assert len(threads) == 2
    for thread in threads:
        streams, what = zip(*[(s, w) for t, s, w, _ in log if t == thread], strict=True)
        assert len(set(streams)) == 1
        assert what[0] == "made"
        # Nothing is answered before it is done.
        assert what[1:] == ("enter", "synchronize", "leave") * (len(what) // 3)


def test_a_large_instance_has_the_device_alone(one_device, data, monkeypatch):
    """And gives back what its stream keeps, since another thread will need it."""
    one_device.client.register_plugin(false_device(data.parent, meeting=0, memory=4e9))
    wanted = instances(alpha=0.5, seed={"count": 4}, megabytes=[10, 4000], pause=0.1)
    report = run_on(one_device, wanted, data, monkeypatch)
    assert (report.computed, report.failed) == (8, 0)
    log = logs(one_device)
    assert {what for *_, what, _ in log} == {"made", "enter", "synchronize", "leave", "free"}
    large = instances(alpha=0.5, seed={"count": 3}, megabytes=4000, pause=0.1, kappa=1)
    before = len(log)
    assert run_on(one_device, large, data, monkeypatch).computed == 3
    assert max(inside for *_, inside in logs(one_device)[before:]) == 1


def test_waiting_for_the_device_is_no_time_of_a_task(one_device, data, monkeypatch):
    """The last of six that have it alone waits longer than any of them may take."""
    one_device.client.register_plugin(false_device(data.parent, meeting=0))
    monkeypatch.setattr(lateness, "TELL_SECONDS", 0.5)
    monkeypatch.setattr(lateness, "GRACE_SECONDS", 0.5)
    wanted = instances(alpha=0.5, seed={"count": 6}, megabytes=4000, pause=0.5)
    report = run_on(one_device, wanted, data, monkeypatch, seconds=1.0)
    assert (report.computed, report.failed) == (6, 0)


def test_want_of_memory_in_company_is_tried_again_alone(one_device, data, monkeypatch):
    one_device.client.register_plugin(false_device(data.parent, meeting=2))

    def crowd(dask_worker):
        import toy_system

        def fail(fault, alpha):
            if len(dask_worker.inside) > 1 or np.any(alpha > 1):
                raise MemoryError("out of memory allocating 512 bytes")

        toy_system._fail = fail

    one_device.client.run(crowd)
    wanted = instances(alpha=[0.5, 2], seed={"count": 3})
    report = run_on(one_device, wanted, data, monkeypatch)
    assert (report.computed, report.failed) == (3, 3)
    assert {f["point"]["alpha"] for f in report.failures} == {2.0}
    assert "out of memory" in report.failures[0]["message"]


def test_a_point_that_dies_with_its_neighbour_is_not_blamed(one_device, data, monkeypatch):
    one_device.client.register_plugin(false_device(data.parent, meeting=2))
    one_device.client.cluster.scheduler.allowed_failures = 0
    wanted = instances(alpha=[0.4, 0.6], seed={"count": 2}, fault="kill", pause=0.5)
    # One that kills the worker, and beside it one that is still asleep then.
    chosen = (wanted.columns["alpha"] > 0.5) == (wanted.columns["seed"] == 0)
    report = run_on(one_device, wanted.take(np.flatnonzero(chosen)), data, monkeypatch)
    assert (report.computed, report.failed) == (1, 1)
    assert report.failures[0]["point"]["alpha"] == 0.6


def test_a_method_for_cpus_has_a_worker_of_gpus_for_itself(one_device, data, monkeypatch):
    """Its memory is bounded for the whole process."""

    def watch(dask_worker):
        import threading
        import time

        import toy_system

        seen = dask_worker.log = []
        lock = threading.Lock()

        def sleep(pause):
            taken = lock.acquire(blocking=False)
            seen.append(taken)
            time.sleep(0.05)
            if taken:
                lock.release()

        toy_system._sleep = sleep

    one_device.client.run(watch)
    wanted = instances(alpha=0.5, seed={"count": 4})
    wanted = replace(wanted, method=replace(wanted.method, devices=("cpu",)))
    assert run_on(one_device, wanted, data, monkeypatch).computed == 4
    assert logs(one_device) == [True] * 4

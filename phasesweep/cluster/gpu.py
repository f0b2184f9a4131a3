"""One worker per device, and never two processes of ours on one.

A worker sees its own device only (`CUDA_VISIBLE_DEVICES`) and holds the device's lock from its
start to its end, whoever started it; a run that finds a device locked leaves it alone. The memory
of the devices is asked before batches are cut; it is asked in the workers, since asking makes a
context on the device. A worker computes several tasks at once, each in a thread and a stream of its
own (`streams.py`), if the shares of the device that they ask for add up to no more than one
(`Cluster.share`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phasesweep.cluster.device import DEVICE, LOCK, device_lock
from phasesweep.cluster.file import Cluster, ClusterFile
from phasesweep.cluster.local import USABLE, encryption, open_local
from phasesweep.cluster.machine import LOOPBACK, available_memory, thread_limits
from phasesweep.errors import UserError

HOST_MEMORY = 8 * 2**30
"""Memory of the machine for one worker, at most; that of the device is asked."""
MEMORY_SHARE = 0.9
"""Part of a device's free memory that is promised to batches; the rest is the library's."""

LEFTOVER_SECONDS = 30.0
"""A worker of a run that was killed ends by itself; so long it is waited for."""


@dataclass(frozen=True)
class Device:
    """A GPU: how CUDA_VISIBLE_DEVICES names it, and an identity that every process agrees on."""

    name: str
    identity: str


@contextmanager
def open_gpu(file: ClusterFile, data: Path, needs: float) -> Iterator[Cluster]:
    """Workers on the devices that are visible and free."""
    from distributed import Client, Nanny, Scheduler, SpecCluster

    visible = visible_devices()
    with ExitStack() as stack:
        free = [device for device in visible if _reserve(device, stack)]
        if not free:
            if file.fallback == "local":
                # Threads and memory of the file are those of a GPU worker.
                yield stack.enter_context(
                    open_local(ClusterFile(encrypt=file.encrypt), data, needs)
                )
                return
            raise _nothing_free(len(visible))
        memory = file.memory or min(HOST_MEMORY, int(USABLE * available_memory() / len(free)))
        common = encryption(stack, file, data)
        security = common.get("security")
        workers = {
            f"gpu-{device.name}": {
                "cls": Nanny,
                "options": {
                    "nthreads": file.tasks,
                    "memory_limit": memory,
                    "resources": {"GPU": 1},
                    "host": LOOPBACK,
                    "preload": ["phasesweep.worker", "phasesweep.cluster.device"],
                    "env": {
                        "CUDA_VISIBLE_DEVICES": device.name,
                        DEVICE: device.identity,
                        LOCK: str(device_lock(device.identity, "worker").path),
                        **thread_limits(file.threads),
                    },
                    **common,
                },
            }
            for device in free
        }
        scheduler = {
            "cls": Scheduler,
            "options": {"host": LOOPBACK, "dashboard_address": f"{LOOPBACK}:0", **common},
        }
        cluster = stack.enter_context(
            SpecCluster(workers=workers, scheduler=scheduler, security=security)
        )
        client = stack.enter_context(Client(cluster, security=security))
        least = int(MEMORY_SHARE * min(_ask_memory(client).values()))
        label = f"GPU workers on {len(free)} of {len(visible)} devices"
        if len(free) < len(visible):
            label += " (other runs use the others)"
        if file.tasks > 1:
            label += f", up to {file.tasks} tasks at once on each"
        link = cluster.dashboard_link
        yield Cluster(client, memory, "gpu", link, label, device_memory=least, tasks=file.tasks)


def check_device(file: ClusterFile) -> None:
    """Say so if the file asks for a GPU and there is none, however small the work is."""
    if file.kind == "gpu" and not file.fallback and not visible_devices():
        raise _nothing_free(0)


def _nothing_free(visible: int) -> UserError:
    return UserError(
        "the cluster file asks for GPUs and "
        + (
            f"all {visible} of this machine are in use by other runs; wait for them, "
            if visible
            else "none is visible (it takes cupy and a CUDA device); "
        )
        + "use another cluster file, or put `fallback: local` in this one"
    )


def _reserve(device: Device, stack: ExitStack) -> bool:
    """Whether the device is ours for this run; a worker of a killed run is given time to end."""
    run = device_lock(device.identity, "run")
    if not run.take():
        return False
    stack.callback(run.release)
    worker = device_lock(device.identity, "worker")
    if not worker.take(seconds=LEFTOVER_SECONDS):
        return False
    worker.release()
    return True


def _ask_memory(client: Any) -> dict[str, int]:
    try:
        return client.run(free_memory)
    except Exception as error:  # noqa: BLE001 - whatever CUDA raises, the device cannot be used
        words = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"a GPU does not say how much of its memory is free: {words}; leave it out of "
            "CUDA_VISIBLE_DEVICES, or use another cluster file"
        ) from None


def visible_devices() -> list[Device]:
    """The GPUs of this machine that this process may see. Makes no context on them."""
    try:
        import cupy

        runtime = cupy.cuda.runtime
        count = runtime.getDeviceCount() if cupy.cuda.is_available() else 0
        buses = [runtime.deviceGetPCIBusId(number) for number in range(count)]
    except Exception:  # noqa: BLE001 - a broken CUDA stack raises many types; all mean "no GPU"
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    named = [name.strip() for name in given if name.strip()]
    names = named if len(named) >= count else [str(number) for number in range(count)]
    return [Device(name, str(bus)) for name, bus in zip(names, buses, strict=False)]


def free_memory() -> int:
    """Bytes free on this worker's device."""
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    return int(free)

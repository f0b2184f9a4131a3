"""A scheduler that runs already: its address is given, and it must have the same software."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from phasesweep.cluster.file import Cluster, ClusterFile
from phasesweep.cluster.machine import DEFAULT_WORKER_MEMORY
from phasesweep.errors import UserError

PACKAGES = ("phasesweep", "dask", "distributed", "cloudpickle", "numpy", "scipy", "numba")
"""What must agree: four so that tasks can be read, and the others so that numbers are ours."""

ANSWER_SECONDS = 10


@contextmanager
def join(file: ClusterFile, data: Path, needs: float) -> Iterator[Cluster]:
    """Connect to the scheduler; it is left as it was found."""
    from distributed import Client
    from distributed.versions import VersionMismatchWarning

    from phasesweep.cluster.tls import security

    try:
        with warnings.catch_warnings():
            # Dask's table of differing versions; the sentence below names those that matter.
            warnings.simplefilter("ignore", VersionMismatchWarning)
            client = Client(
                file.address,
                security=security(**file.tls) if file.tls else None,
                timeout=ANSWER_SECONDS,
            )
    except (OSError, TypeError, ValueError) as error:
        raise UserError(f"no scheduler answers at {file.address}: {_line(error)}") from None
    with client:
        differing = differences(cast(dict, client.get_versions(packages=list(PACKAGES))))
        if differing:
            raise UserError(
                f"the cluster at {file.address} runs other software: {'; '.join(differing)}; "
                "install the same on both, or start a cluster with `kind: local` or `kind: slurm`"
            )
        limits = [
            w["memory_limit"] for w in client.scheduler_info(n_workers=-1)["workers"].values()
        ]
        memory = file.memory or (min(limits, default=0) or DEFAULT_WORKER_MEMORY)
        label = f"{len(limits)} workers of {file.address}"
        if not limits:
            label += " (the run waits until it has some)"
        yield Cluster(client, memory, "cpu", client.dashboard_link, label)


def differences(found: Mapping[str, Any]) -> list[str]:
    """What differs between this process, the scheduler and the workers, a phrase for each package.

    `found` is what `Client.get_versions` returns. The scheduler only passes tasks on, so it needs
    Python and Dask alone.
    """
    here = found["client"]["packages"]
    others: list[tuple[str, Mapping[str, Any], tuple[str, ...]]]
    others = [("the scheduler", found["scheduler"]["packages"], ("dask", "distributed"))]
    others += [("a worker", worker["packages"], PACKAGES) for worker in found["workers"].values()]
    told: dict[str, None] = {}
    for who, packages, names in others:
        # A pickled function is bytecode of one minor version of Python.
        minor = [_minor(side.get("python")) for side in (packages, here)]
        if minor[0] != minor[1]:
            told[f"python {minor[0]} on {who}, {minor[1]} here"] = None
        for name in names:
            if packages.get(name) != here.get(name):
                there = packages.get(name) or "none"
                told[f"{name} {there} on {who}, {here.get(name) or 'none'} here"] = None
    return list(told)


def _minor(version: str | None) -> str:
    return ".".join((version or "unknown").split(".")[:2])


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""Cluster files: what may be written in one, and what is read from it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from phasesweep.errors import UserError, unknown
from phasesweep.plain import read_plain

FIELDS = {
    "local": ("workers", "memory", "threads", "encrypt"),
    "gpu": ("memory", "threads", "tasks", "fallback", "encrypt"),
    "slurm": (
        *("minimum", "maximum", "memory", "threads", "queue", "account", "walltime"),
        *("interface", "encrypt", "directives"),
    ),
    "address": ("address", "memory", "tls"),
}
KINDS = tuple(FIELDS)
WALLTIME = re.compile(r"(\d+-)?\d{1,2}:\d{2}:\d{2}")
SLURM_NAME = re.compile(r"[A-Za-z0-9_.,@+-]+")
DIRECTIVE = re.compile(r"-[^\x00-\x1f]+")
SHARES = 1024
"""A share of a device is so many parts of it: Dask adds and subtracts shares, and with the rounding
of decimal ones a task that asks for the whole device would in the end wait for ever."""


@dataclass(frozen=True)
class ClusterFile:
    """A validated cluster file."""

    kind: str = "local"
    workers: int = 0
    """Worker processes; 0 means one per core (local)."""
    minimum: int = 1
    """Worker jobs that are kept while the run lasts (slurm)."""
    maximum: int = 0
    """Worker jobs at most; 0 means `minimum` (slurm)."""
    memory: int = 0
    """Bytes of one worker; 0 means an equal part of the machine, at most 2 GiB (local)."""
    threads: int = 1
    """Threads of BLAS and numba inside a worker."""
    tasks: int = 4
    """Tasks that a worker computes at once, where the memory of its device allows it (gpu)."""
    fallback: str = ""
    queue: str = ""
    account: str = ""
    walltime: str = "01:00:00"
    interface: str = "lo"
    encrypt: bool = False
    """TLS on loopback too: for machines where other people could connect to it."""
    directives: tuple[str, ...] = ()
    address: str = ""
    tls: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cluster:
    """An open cluster."""

    client: Any
    memory: int
    """Bytes of a worker, on its machine."""
    device: str
    dashboard: str
    label: str
    workers: int = 0
    """Workers that it may grow to; 0 means those it has."""
    device_memory: int = 0
    """Bytes of a worker's device that batches may use, if it has one."""
    tasks: int = 1
    """Tasks that a worker computes at once on its device."""

    def memory_for(self, device: str) -> int:
        """Bytes that a worker has for a batch which is solved on `device`."""
        return self.device_memory if device == "gpu" else self.memory

    def share(self, memory: float) -> float:
        """The part of a device for a task whose largest batch declares so much memory.

        At least an equal part for each of `tasks`, and at most all of it.
        """
        held = math.ceil(SHARES * memory / max(1, self.device_memory))
        return min(max(held, SHARES // self.tasks, 1), SHARES) / SHARES


def read_cluster(source: str | Path | None) -> ClusterFile:
    """Read a cluster file, or take the address of a scheduler (tcp://..., tls://...) as one."""
    if source is None:
        return ClusterFile()
    if str(source).startswith("tcp://"):
        return ClusterFile(kind="address", address=str(source))
    if str(source).startswith("tls://"):
        raise UserError(
            f"{source}: an encrypted scheduler needs certificates; write a cluster file with "
            "`kind: address`, `address`, and the paths `tls: {ca, cert, key}`"
        )
    data = read_plain(Path(source))
    where = str(source)
    if not isinstance(data, Mapping) or data.get("kind") not in KINDS:
        given = data.get("kind") if isinstance(data, Mapping) else data
        raise UserError(f"{where}: kind: given {given!r}; allowed: {', '.join(KINDS)}")
    kind = data["kind"]
    for name in data:
        if name != "kind" and name not in FIELDS[kind]:
            raise unknown("field", name, ("kind", *FIELDS[kind]), where)
    file = ClusterFile(**{name: _field(name, value, where) for name, value in data.items()})
    _together(file, data, where)
    return file


def _together(file: ClusterFile, data: Mapping[str, Any], where: str) -> None:
    """What the fields of a file must satisfy between them."""
    if file.maximum and file.maximum < file.minimum:
        raise UserError(
            f"{where}: maximum: given {file.maximum}; allowed: at least minimum, {file.minimum}"
        )
    if file.interface != "lo" and data.get("encrypt") is False:
        raise UserError(
            f"{where}: encrypt: given false; allowed: true, since a cluster on the interface "
            f"{file.interface} lets anybody on that network run code as you without it"
        )
    if file.kind == "address" and not file.address:
        raise UserError(f"{where}: address is missing: tcp://HOST:PORT or tls://HOST:PORT")
    if file.address.startswith("tls://") and not file.tls:
        raise UserError(f"{where}: tls is missing: an encrypted scheduler needs ca, cert and key")


def _field(name: str, value: Any, where: str) -> Any:
    from dask.utils import parse_bytes

    at = f"{where}: {name}: given {value!r}; allowed:"
    if name in ("workers", "threads", "tasks", "minimum", "maximum"):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 100_000:
            raise UserError(f"{at} a whole number >= 1")
    elif name == "memory":
        try:
            value = parse_bytes(value)
        except (ValueError, TypeError, AttributeError, OverflowError):
            raise UserError(f"{at} a size such as 2GiB") from None
        if isinstance(value, bool) or not 64 * 2**20 <= value <= 2**60:
            raise UserError(f"{at} at least 64MiB")
    elif name == "fallback":
        if value != "local":
            raise UserError(f"{at} local")
    elif name == "encrypt":
        if not isinstance(value, bool):
            raise UserError(f"{at} true or false")
    elif name == "directives":
        if not isinstance(value, list) or not all(_matches(DIRECTIVE, v) for v in value):
            raise UserError(f"{at} a list of options of sbatch, such as ['--gres=gpu:1']")
        value = tuple(value)
    elif name == "tls":
        if (
            not isinstance(value, Mapping)
            or set(value) != {"ca", "cert", "key"}
            or not all(isinstance(path, str) for path in value.values())
        ):
            raise UserError(f"{at} the paths ca, cert and key")
        for path in value.values():
            if not Path(path).is_file():
                raise UserError(f"{where}: tls: there is no file {path}")
    elif name == "address":
        if not _matches(re.compile(r"(tcp|tls)://\S+"), value):
            raise UserError(f"{at} tcp://HOST:PORT or tls://HOST:PORT")
    elif name == "walltime":
        if not _matches(WALLTIME, value):
            raise UserError(f"{at} HOURS:MINUTES:SECONDS in quotes, such as '01:00:00'")
    elif name in ("queue", "account", "interface"):
        if not _matches(SLURM_NAME, value):
            raise UserError(f"{at} a name: letters, digits and . _ , @ + -")
    elif not isinstance(value, str):
        raise UserError(f"{at} text")
    return value


def _matches(pattern: re.Pattern, value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None

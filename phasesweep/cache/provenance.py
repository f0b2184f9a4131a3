"""Provenance: where and with what a row was computed, as the header of its segment says."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any


@cache
def host() -> str:
    """Name of this machine, as it stands in file names."""
    return re.sub(r"[^a-z0-9]+", "_", socket.gethostname().lower())[:40].strip("_") or "host"


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("phasesweep", "numpy", "scipy", "numba", "zarr"):
        with suppress(PackageNotFoundError):
            found[name] = package_version(name)
    return found


@cache
def _commit() -> str:
    """Commit of the checkout that this code runs from; empty when there is none to be told."""
    here = Path(__file__).resolve().parent
    ask = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(ask, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


def provenance(*, device: str = "cpu", **more: Any) -> dict[str, Any]:
    """A segment's header: versions, git commit, host, device, job; `more` is added as it stands."""
    return {
        "versions": dict(_versions()),
        "commit": _commit(),
        "host": host(),
        "device": device,
        "job": os.environ.get("SLURM_JOB_ID", ""),
        **more,
    }

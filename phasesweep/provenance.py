"""Where a number came from: code, packages, machine, job."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("phasesweep", "numpy", "scipy", "numba", "xarray", "zarr", "dask", "cupy-cuda13x")


def now() -> str:
    """The time as ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@cache
def git_commit() -> str:
    """The commit of the checkout this package runs from, with `+changes` if it was edited."""
    folder = Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty=+changes", "--abbrev=40"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()


@cache
def package_versions() -> dict[str, str]:
    """Versions of the packages that make the numbers."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def provenance(device: str) -> dict[str, Any]:
    """The header every segment and manifest carries."""
    return {
        "created": now(),
        "versions": package_versions(),
        "commit": git_commit(),
        "host": platform.node(),
        "machine": platform.machine(),
        "device": device,
        "job": os.environ.get("SLURM_JOB_ID", ""),
    }

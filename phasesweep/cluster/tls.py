"""Certificates made for one run: who does not hold them cannot speak to its scheduler or workers.

A Dask scheduler that answers anybody lets anybody run code as its user. With `require_encryption`
and a certificate that is its own authority, only holders of the run's key are answered.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import gethostname
from typing import Any

from phasesweep.cluster.machine import process_exists
from phasesweep.errors import UserError

FILES = {"ca_file": "ca.pem", "cert": "cert.pem", "key": "key.pem"}


@contextmanager
def certificates(data: Path) -> Iterator[Any]:
    """The `Security` of a run, as files (0600) in a folder (0700) that goes when the run ends."""
    from distributed.security import Security

    try:
        made = Security.temporary().get_tls_config_for_role("worker")
    except ImportError:
        raise UserError(
            "an encrypted cluster needs the package cryptography; install phasesweep[slurm]"
        ) from None
    parent = data / "cluster"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    remove_stale(parent)
    # mkdtemp makes a folder that nobody else can enter, whatever the umask.
    folder = Path(tempfile.mkdtemp(prefix=f"{gethostname()}-{os.getpid()}-", dir=parent))
    try:
        paths = {name: str(folder / file) for name, file in FILES.items()}
        for name, path in paths.items():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                out.write(made[name])
        yield security(ca=paths["ca_file"], cert=paths["cert"], key=paths["key"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def security(*, ca: str, cert: str, key: str) -> Any:
    """A `Security` of the same certificate for every role."""
    from distributed.security import Security

    roles = {f"tls_{role}_cert": cert for role in ("client", "scheduler", "worker")}
    roles |= {f"tls_{role}_key": key for role in ("client", "scheduler", "worker")}
    return Security(require_encryption=True, tls_ca_file=ca, **roles)


def remove_stale(parent: Path) -> None:
    """Remove the certificates of runs of this machine that were killed."""
    prefix = f"{gethostname()}-"
    for folder in parent.glob(f"{prefix}*-*"):
        process = folder.name.removeprefix(prefix).split("-")[0]
        if process.isdigit() and not process_exists(int(process)):
            shutil.rmtree(folder, ignore_errors=True)

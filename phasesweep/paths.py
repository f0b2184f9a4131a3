"""Where results live: --data, or PHASESWEEP_DATA, or `data/` of the checkout."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from phasesweep.errors import UserError

CHECKOUT = Path(__file__).resolve().parent.parent


def project_root() -> Path:
    """The checkout, or the working directory for an installed package."""
    return CHECKOUT if (CHECKOUT / "Snakefile").exists() else Path.cwd()


IDENTITY = "identity"
"""File in the root of a cache: a name that changes when points it held are gone."""


def cache_identity(root: Path) -> str:
    """The identity of the cache in a data folder, or a new one if there is none.

    Snakemake has it among the parameters of its jobs: with another cache they run again.
    """
    file = root / "cache" / IDENTITY
    return file.read_text().strip() if file.exists() else str(uuid4())


def keep_identity(root: Path, identity: str) -> None:
    """Write the identity of a cache that has none yet."""
    file = root / "cache" / IDENTITY
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{identity}\n")


def data_root(given: str | Path | None = None) -> Path:
    """The data folder; it is created by the first write, not here."""
    chosen = given or os.environ.get("PHASESWEEP_DATA")
    root = Path(chosen) if chosen else project_root() / "data"
    existing = next(path for path in (root, *root.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"the data folder {root} cannot be: {existing} is not a folder")
    return root

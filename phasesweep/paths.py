"""Where results live: --data, or PHASESWEEP_DATA, or `data/` of the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from phasesweep.errors import UserError

CHECKOUT = Path(__file__).resolve().parent.parent


def project_root() -> Path:
    """The checkout, or the working directory for an installed package."""
    return CHECKOUT if (CHECKOUT / "Snakefile").exists() else Path.cwd()


def data_root(given: str | Path | None = None) -> Path:
    """The data folder; it is created by the first write, not here."""
    chosen = given or os.environ.get("PHASESWEEP_DATA")
    root = Path(chosen) if chosen else project_root() / "data"
    existing = next(path for path in (root, *root.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"the data folder {root} cannot be: {existing} is not a folder")
    return root

"""A system from another package is on the path of every test, and of every process a test starts."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Small products: threads of BLAS would only wait for each other. NumPy is not imported yet.
os.environ.setdefault("OMP_NUM_THREADS", "1")
HERE = Path(__file__).parent
TOY = str(HERE / "toy_package")
if TOY not in sys.path:
    sys.path.insert(0, TOY)
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [TOY, str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    )


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty data folder."""
    folder = tmp_path / "data"
    monkeypatch.setenv("PHASESWEEP_DATA", str(folder))
    return folder


@pytest.fixture
def phasesweep(monkeypatch, capsys, data):
    """Run the command line in this process; returns (exit status, stdout, stderr)."""
    from phasesweep.cli import main  # after NumPy may be imported

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["phasesweep", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = int(stop.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call

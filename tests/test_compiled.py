"""Compiled code is kept until a file of compiled code changes, whichever function it holds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from solvers.numerics import compiled, philox

INNER = """
from solvers.numerics.compiled import jit
@jit
def inner(x):
    return x + {}
"""
OUTER = """
from solvers.numerics.compiled import jit
from solvers.inner import inner
@jit
def outer(x):
    return inner(x)
"""
ASK = "from solvers.outer import outer; print(outer(1), sum(outer.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path):
    """A package with the decorator and two files of compiled code."""
    source = Path(compiled.__file__)
    copy = tmp_path / "solvers" / "numerics" / source.name
    copy.parent.mkdir(parents=True)
    shutil.copy(source, copy)
    (tmp_path / "solvers" / "inner.py").write_text(INNER.format(1))
    (tmp_path / "solvers" / "outer.py").write_text(OUTER)
    return tmp_path


def ask(package, **environment):
    """What outer(1) is in a fresh process, and whether it was found compiled."""
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=package,
        env={"PYTHONPATH": str(package), "HOME": str(package / "home"), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_change_of_what_is_called_is_noticed(package):
    assert ask(package) == ["2", "0"]
    assert ask(package) == ["2", "1"]
    (package / "solvers" / "inner.py").write_text(INNER.format(10))
    assert ask(package) == ["11", "0"]
    (package / "solvers" / "other.py").write_text("plain = 1\n")
    assert ask(package) == ["11", "1"]


def test_it_is_kept_where_the_user_says(package):
    elsewhere = package / "elsewhere"
    assert ask(package, NUMBA_CACHE_DIR=str(elsewhere)) == ["2", "0"]
    assert ask(package, NUMBA_CACHE_DIR=str(elsewhere)) == ["2", "1"]
    assert [path.name for path in elsewhere.iterdir()] == [
        f"compiled-{compiled.digest(package / 'solvers')}"
    ]
    assert not (package / "solvers" / "__pycache__").exists() or not list(
        (package / "solvers" / "__pycache__").glob("compiled-*")
    )


def test_other_functions_are_kept_as_before():
    assert os.environ.get("NUMBA_CACHE_DIR", "") == numba.config.CACHE_DIR
    assert str(compiled.folder()) in philox.fill.stats.cache_path

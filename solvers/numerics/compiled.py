"""Compiled functions, kept on the disk as long as nothing they are made of has changed.

numba keeps what it compiled, and looks at the file of a function alone to see whether it still
holds: a function that calls a compiled one of another file would go on with its old numbers after
an upgrade. Here what is kept lies in a folder named after the content of all files of compiled
code, so that a change of one compiles all of them anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numba

_ROOT = Path(__file__).parents[1]
_SETTINGS = vars(numba.config)


def jit(function: Callable | None = None, **options: Any) -> Any:
    """`numba.njit` as everything here uses it: without Python's lock, 1/0 = inf, and kept.

    `options` are further ones of numba, such as `fastmath`; a decorator with or without them.
    """
    if function is None:
        return lambda function: jit(function, **options)
    given, _SETTINGS["CACHE_DIR"] = _SETTINGS["CACHE_DIR"], str(folder())
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
    finally:
        _SETTINGS["CACHE_DIR"] = given


@cache
def folder() -> Path:
    """Where it is kept: in NUMBA_CACHE_DIR, in the package, or with the caches of the user."""
    given = _SETTINGS["CACHE_DIR"]
    parent = Path(given) if given else _ROOT / "__pycache__"
    if not given and not os.access(parent if parent.exists() else _ROOT, os.W_OK):
        parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "phasesweep"
    return parent / f"compiled-{digest(_ROOT)}"


def digest(root: Path) -> str:
    """A hash of all the files under `root` that hold compiled code."""
    files = ((path, path.read_bytes()) for path in sorted(root.rglob("*.py")))
    content = hashlib.blake2b(digest_size=8)
    for path, text in files:
        if b"solvers.numerics.compiled import" in text:
            content.update(b"%s\0%s\0" % (os.fsencode(path.relative_to(root)), text))
    return content.hexdigest()

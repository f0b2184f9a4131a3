"""Compiled functions, kept on the disk as long as nothing they are made of has changed.

numba keeps what it compiled, and looks at the file of a function alone to see whether it still
holds: a function that calls a compiled one of another file would go on with its old numbers after
an upgrade. Here what is kept lies in a folder named after the content of all files of compiled
code, so that a change of one compiles all of them anew.

numba itself is imported, and a function compiled or found, when it is first called, or first called
by another: declarations are read far more often than anything is computed.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_one_at_a_time = threading.RLock()


def jit(function: Callable | None = None, **options: Any) -> Any:
    """`numba.njit` as everything here uses it: without Python's lock, 1/0 = inf, and kept.

    `options` are further ones of numba, such as `fastmath`; a decorator with or without them.
    """
    return Compiled(function, options) if function else lambda function: jit(function, **options)


class Compiled:
    """A function that numba gets when it is first used; it has all the attributes of numba's."""

    def __init__(self, function: Callable, options: dict[str, Any]) -> None:
        self._given = function, options
        update_wrapper(self, function)

    @cached_property
    def _function(self) -> Any:
        import numba

        function, options = self._given
        with _one_at_a_time:
            settings = vars(numba.config)
            given, settings["CACHE_DIR"] = settings["CACHE_DIR"], str(folder())
            try:
                return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
            finally:
                settings["CACHE_DIR"] = given

    def __call__(self, *values: Any) -> Any:
        """What numba's function answers."""
        return self._function(*values)

    def __getattr__(self, name: str) -> Any:
        """Compiled callers ask for `_numba_type_`, which is that of numba's function."""
        return getattr(self._function, name)


@cache
def folder() -> Path:
    """Where it is kept: in NUMBA_CACHE_DIR, in the package, or with the caches of the user."""
    import numba

    given = vars(numba.config)["CACHE_DIR"]
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

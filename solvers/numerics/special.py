"""Special functions for whichever array namespace a solver was given."""

from __future__ import annotations

import importlib
from typing import Any

import array_api_compat
import scipy


def special(xp: Any) -> Any:
    """`scipy.special` for NumPy, `cupyx.scipy.special` for CuPy."""
    if array_api_compat.is_cupy_namespace(xp):
        return importlib.import_module("cupyx.scipy.special")
    return scipy.special

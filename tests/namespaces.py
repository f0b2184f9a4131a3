"""An array namespace that is not NumPy: what a GPU runs, on the CPU."""

from __future__ import annotations

import types

import array_api_compat.numpy as anp


def elsewhere() -> types.ModuleType:
    """NumPy under another name: solvers take their portable paths."""
    other = types.ModuleType("elsewhere")
    other.__dict__.update({k: v for k, v in vars(anp).items() if not k.startswith("__")})
    return other

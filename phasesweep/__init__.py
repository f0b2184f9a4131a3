"""Distributed sweeps and a cache of results for the statistical physics of learning.

import phasesweep

# A lazy xarray.DataTree with a group per method; theory beside simulation; points from
# whichever sweep; points computed now, through the cache.
tree = phasesweep.open("binary_capacity")
table = phasesweep.thresholds("binary_capacity")
every = phasesweep.points("glm_bayes", "gamp", alpha=slice(1, 2))
curve = phasesweep.solve("perceptron_storage", "capacity", kappa=[0, 0.5], weights="binary")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phasesweep.api import open, points, solve, thresholds

__all__ = ["open", "points", "solve", "thresholds"]


def __getattr__(name: str) -> Any:
    """Import the API when it is first used, so that the command line answers at once."""
    if name in __all__:
        from phasesweep import api

        return getattr(api, name)
    raise AttributeError(f"module 'phasesweep' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

"""What the simulation of this system adds to its declaration: axes, observables, demo, limits.

`model` joins these with what the theory declares. The method itself stands in `ensemble`.
"""

from __future__ import annotations

from typing import Any

from solvers.axes import Axis
from solvers.contract import Limit, Observable

AXES: dict[str, Axis] = {}
OBSERVABLES: dict[str, Observable] = {}
DEMO: dict[str, dict[str, Any]] = {}
LIMITS: list[Limit] = []

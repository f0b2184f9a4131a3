"""z_t = z_{t-1} - step_size ∇L(z_{t-1}) on ridge regression: `momentum` with momentum 0."""

from __future__ import annotations

from typing import Any

from solvers.systems.gfom.iterations import Case
from solvers.systems.gfom.iterations.momentum import ridge_case

PARAMETERS: tuple[str, ...] = ("alpha", "step_size", "regularization", "noise")
EXACT_STEPS = None


def build(*, steps: int, points: int, xp: Any, **parameters: Any) -> Case:
    """The teacher w is the reference."""
    return ridge_case(steps=steps, points=points, xp=xp, momentum=None, **parameters)

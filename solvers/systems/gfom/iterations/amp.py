"""z_t = W f(z_{t-1}) - b_t f(z_{t-2}), f = tanh(gain ·): approximate message passing.

b_t is the mean of f'(z_{t-1}), measured on the instance in simulations. The memory being
subtracted, z_t is Gaussian of variance E f(z_{t-1})², the scalar state evolution.
"""

from __future__ import annotations

from typing import Any

from solvers.systems.gfom.iterations import Case
from solvers.systems.gfom.iterations.tanh import tanh_case

PARAMETERS: tuple[str, ...] = ("gain",)
EXACT_STEPS = None


def build(*, steps: int, points: int, xp: Any, gain: Any) -> Case:
    """The start u is the reference; averages over pairs of iterates take two dimensions."""
    return tanh_case(steps=steps, points=points, gain=gain, subtract_memory=True)

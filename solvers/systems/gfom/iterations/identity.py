"""z_t = W z_{t-1}: powers of a symmetric matrix, moments of the semicircle."""

from __future__ import annotations

from typing import Any

from solvers.numerics import gfom
from solvers.systems.gfom.iterations import Case

PARAMETERS: tuple[str, ...] = ()
EXACT_STEPS = None


def build(*, steps: int, points: int, xp: Any) -> Case:
    """The start u is the reference: E u z_t = E Tr W^t / n."""
    iteration = gfom.symmetric(
        lambda t, past: past[t - 1],
        derivative=lambda t, s, past: 1,
        steps=steps,
        side={"start": gfom.Normal()},
        start=lambda past: past.side["start"],
        columns=1,
        points=points,
        affine=True,
    )
    return Case(
        iteration=iteration,
        block="sites",
        iterate=lambda t, past: past[t],
        reference=lambda past: past.side["start"],
        response_block="sites",
    )

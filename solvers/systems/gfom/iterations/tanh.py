"""z_t = W tanh(gain z_{t-1}): a symmetric recurrent network in discrete time, memory included."""

from __future__ import annotations

from typing import Any

from solvers.numerics import gfom
from solvers.systems.gfom.iterations import Case

PARAMETERS: tuple[str, ...] = ("gain",)
EXACT_STEPS = 2


def build(*, steps: int, points: int, xp: Any, gain: Any) -> Case:
    """The start u is the reference; averages over z_1 ... z_t take t + 1 dimensions."""
    return tanh_case(steps=steps, points=points, gain=gain, subtract_memory=False)


def tanh_case(*, steps: int, points: int, gain: Any, subtract_memory: bool) -> Case:
    """With the memory, or without (`amp`)."""

    def derivative(t: int, s: int, past: gfom.Past) -> Any:
        value = past.xp.tanh(gain * past[t - 1])
        return gain * (1.0 - value * value)

    iteration = gfom.symmetric(
        lambda t, past: past.xp.tanh(gain * past[t - 1]),
        derivative=derivative,
        steps=steps,
        side={"start": gfom.Normal()},
        start=lambda past: past.side["start"],
        columns=1,
        points=points,
        subtract_memory=subtract_memory,
    )
    return Case(
        iteration=iteration,
        block="sites",
        iterate=lambda t, past: past[t],
        reference=lambda past: past.side["start"],
        response_block="sites",
    )

"""z_t = X^T X z_{t-1}: moments of the Marchenko-Pastur law by Hutchinson's trick."""

from __future__ import annotations

from typing import Any

from solvers.numerics import gfom
from solvers.systems.gfom.iterations import Case

PARAMETERS: tuple[str, ...] = ("alpha",)
EXACT_STEPS = None


def build(*, steps: int, points: int, xp: Any, alpha: Any) -> Case:
    """The start u is the reference: E u z_t = E Tr (X^T X)^t / d = Σ_r N(t, r) alpha^r."""
    iteration = gfom.rectangular(
        to_rows=lambda t, past: past[t],
        to_rows_derivative=lambda t, s, past: 1,
        to_columns=lambda t, past: past[t],
        to_columns_derivative=lambda t, s, past: 1,
        alpha=alpha,
        steps=steps,
        last_product=True,
        side_columns={"start": gfom.Normal()},
        start=lambda past: past.side["start"],
        columns=1,
        points=points,
        affine=True,
    )
    return Case(
        iteration=iteration,
        block="columns",
        iterate=lambda t, past: past[t],
        reference=lambda past: past.side["start"],
        response_block="rows",
    )

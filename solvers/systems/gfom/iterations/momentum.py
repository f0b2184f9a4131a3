"""Gradient descent with heavy-ball momentum on ridge regression, as a rectangular iteration.

With g_t = z_t - w and f_t = -step_size (X g_t - √noise ξ), the gradient step is

    z_{t+1} = X^T f_t + (1 - step_size·regularization) z_t + momentum (z_t - z_{t-1}).
"""

from __future__ import annotations

from typing import Any

from solvers.numerics import gfom
from solvers.systems.gfom.iterations import Case

PARAMETERS: tuple[str, ...] = ("alpha", "step_size", "momentum", "regularization", "noise")
EXACT_STEPS = None


def build(*, steps: int, points: int, xp: Any, **parameters: Any) -> Case:
    """The teacher w is the reference."""
    return ridge_case(steps=steps, points=points, xp=xp, **parameters)


def ridge_case(
    *,
    steps: int,
    points: int,
    xp: Any,
    alpha: Any,
    step_size: Any,
    momentum: Any,
    regularization: Any,
    noise: Any,
) -> Case:
    """Affine throughout; without momentum (None) one iterate back is enough."""
    shrink = 1.0 - step_size * regularization
    amplitude = xp.sqrt(noise)

    def local(t: int, past: gfom.Past) -> Any:
        kept = shrink * past[t]
        if t == 0 or momentum is None:
            return kept
        return kept + momentum * (past[t] - past[t - 1])

    def local_derivative(t: int, s: int, past: gfom.Past) -> Any:
        if momentum is None:
            return shrink
        return shrink + momentum if s == t else -momentum

    iteration = gfom.rectangular(
        to_rows=lambda t, past: past[t] - past.side["teacher"],
        to_rows_derivative=lambda t, s, past: 1,
        to_columns=lambda t, past: -step_size * (past[t] - amplitude * past.side["noise"]),
        to_columns_derivative=lambda t, s, past: -step_size,
        local_columns=local,
        local_columns_derivative=local_derivative,
        alpha=alpha,
        steps=steps,
        last_product=True,
        side_rows={"noise": gfom.Normal()},
        side_columns={"teacher": gfom.Normal()},
        start=lambda past: 0.0 * past.side["teacher"],
        columns=1,
        points=points,
        affine=True,
    )
    return Case(
        iteration=iteration,
        block="columns",
        iterate=lambda t, past: past[t],
        reference=lambda past: past.side["teacher"],
        response_block="rows",
    )

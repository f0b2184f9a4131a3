"""Iterative soft thresholding: proximal gradient descent on l1-penalised least squares.

The iterate of the rectangular form is v_t, before the threshold: z_t = η(v_t), z_0 = 0, and

    g_t = z_t - w,   f_t = -step_size (X g_t - √noise ξ),   v_{t+1} = X^T f_t + z_t.
"""

from __future__ import annotations

from typing import Any

from solvers.numerics import gfom
from solvers.systems.gfom.iterations import Case

PARAMETERS: tuple[str, ...] = ("alpha", "step_size", "regularization", "noise", "sparsity")
EXACT_STEPS = 0
"""Averages have kinks, at which quadrature is poor."""


def build(
    *,
    steps: int,
    points: int,
    xp: Any,
    alpha: Any,
    step_size: Any,
    regularization: Any,
    noise: Any,
    sparsity: Any,
) -> Case:
    """The sparse teacher w is the reference; z_t is recorded after the threshold."""
    threshold = step_size * regularization
    amplitude = xp.sqrt(noise)

    def teacher(past: gfom.Past) -> Any:
        return past.side["support"] * past.side["size"]

    def estimate(t: int, past: gfom.Past) -> Any:
        if t == 0:
            return 0.0 * past.side["size"]
        size = xp.abs(past[t]) - threshold
        return xp.sign(past[t]) * xp.where(size > 0, size, xp.zeros_like(size))

    def active(t: int, s: int, past: gfom.Past) -> Any:
        return xp.astype(xp.abs(past[t]) > threshold, past[t].dtype)

    iteration = gfom.rectangular(
        to_rows=lambda t, past: estimate(t, past) - teacher(past),
        to_rows_derivative=active,
        to_columns=lambda t, past: -step_size * (past[t] - amplitude * past.side["noise"]),
        to_columns_derivative=lambda t, s, past: -step_size,
        local_columns=estimate,
        local_columns_derivative=active,
        alpha=alpha,
        steps=steps,
        last_product=True,
        side_rows={"noise": gfom.Normal()},
        side_columns={
            "size": gfom.Normal(),
            "support": gfom.Atoms((0.0, 1.0), (1.0 - sparsity, sparsity)),
        },
        columns=1,
        points=points,
    )
    return Case(
        iteration=iteration,
        block="columns",
        iterate=estimate,
        reference=teacher,
        response_block="rows",
    )

"""Fixed points x = F(x) of many points at once, each frozen when it has converged.

Anderson acceleration (Anderson 1965; Walker and Ni, SIAM J. Numer. Anal. 49, 1715 (2011), the
least-squares form of type II). With residual f_k = F(x_k) - x_k and the last m differences
ΔX = (x_{j+1} - x_j), ΔF = (f_{j+1} - f_j),

    x_{k+1} = x_k + b·f_k - (ΔX + b·ΔF) γ,      γ = argmin |f_k - ΔF γ|,      b = 1 - damping,

which needs no derivative and turns the linear convergence of state-evolution and saddle-point
iterations into a superlinear one. Points do not interact: each has its own history, and points that
have ended are taken out of the work. Where several fixed points coexist, the accelerated iteration
may leave the basin of the plain one; `monotone.py` is for maps where that matters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from solvers.contract import Status

_RIDGE = 1e-14
"""Relative Tikhonov term of the least squares: above rounding, below any useful direction."""

_GROWTH = 10.0
"""A residual this many times the best one so far starts a new history: the model was wrong."""


def fixed_point(
    update: Callable[[np.ndarray, np.ndarray], np.ndarray],
    start: np.ndarray,
    *,
    tolerance: float | np.ndarray,
    max_steps: int | np.ndarray,
    memory: int = 5,
    damping: float | np.ndarray = 0.0,
    floor: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Solve x = F(x) for every row of `start`.

    Parameters
    ----------
    update
        `update(x, points)` gives F for the rows still at work: `x` has shape (active, k), `points`
        (active,) holds their positions in `start`, by which parameters are looked up.
    start
        Shape (points, k).
    tolerance, max_steps, damping
        One number, or one per point. `max_steps` counts evaluations of F.
    memory
        How many differences are kept; 0 is the plain (damped) iteration.
    floor
        Components smaller than this are compared absolutely: the residual of a point is
        max over components of |F(x) - x| / max(|F(x)|, floor).

    Returns
    -------
    x, status, steps, residual
        `x` is the last F(x), shape (points, k); the others have shape (points,). CONVERGED:
        residual at or below tolerance; NOT_FINITE: F gave something else than a finite number.
    """
    x = np.array(start, dtype=float)
    points, size = x.shape
    tolerance, max_steps, damping = (
        np.broadcast_to(np.asarray(value), (points,)) for value in (tolerance, max_steps, damping)
    )
    status = np.full(points, Status.MAX_STEPS, dtype=np.int8)
    steps = np.zeros(points, dtype=np.int64)
    residual = np.full(points, np.inf)
    answer = x.copy()

    active = np.flatnonzero(max_steps > 0)
    past_x = np.zeros((len(active), memory, size))  # newest last, filled from the end
    past_f = np.zeros((len(active), memory, size))
    held = np.zeros(len(active), dtype=np.int64)
    best = np.full(len(active), np.inf)
    x = x[active]
    before: tuple[np.ndarray, np.ndarray] | None = None
    while len(active):
        new = np.asarray(update(x, active), dtype=float)
        finite = np.all(np.isfinite(new), axis=1)
        new = np.where(finite[:, None], new, x)
        f = new - x
        now = relative_change(f, new, floor=floor)
        now[~finite] = np.nan
        steps[active] += 1
        residual[active] = now
        answer[active] = new
        done = now <= tolerance[active]
        status[active[done]] = Status.CONVERGED
        status[active[~finite]] = Status.NOT_FINITE
        keep = ~done & finite & (steps[active] < max_steps[active])
        if memory and before is not None:
            past_x = np.concatenate([past_x[:, 1:], (x - before[0])[:, None]], axis=1)
            past_f = np.concatenate([past_f[:, 1:], (f - before[1])[:, None]], axis=1)
            held = np.minimum(held + 1, memory)
        active, x, f, now = active[keep], x[keep], f[keep], now[keep]
        past_x, past_f, held, best = past_x[keep], past_f[keep], held[keep], best[keep]
        if not len(active):
            break
        wrong = now > _GROWTH * best
        held = np.where(wrong, 0, held)
        best = np.where(wrong, now, np.minimum(best, now))
        mixing = (1.0 - damping[active])[:, None]
        before = (x, f)
        x = x + mixing * f - _correction(past_x, past_f, held, f, mixing)
    return answer, status, steps, residual


def relative_change(change: np.ndarray, value: np.ndarray, *, floor: float = 0.0) -> np.ndarray:
    """Largest |change| / max(|value|, floor) over the last axis; 0/0 counts as 0."""
    scale = np.maximum(np.abs(value), floor)
    size = np.abs(change)
    ratio = np.divide(size, scale, out=np.where(size > 0, np.inf, 0.0), where=scale > 0)
    return np.max(ratio, axis=-1)


def _correction(
    past_x: np.ndarray,
    past_f: np.ndarray,
    held: np.ndarray,
    f: np.ndarray,
    mixing: np.ndarray,
) -> np.ndarray:
    """(ΔX + b ΔF) γ for every point, zero where no history is held."""
    memory = past_x.shape[1]
    if not memory or not held.any():
        return np.zeros_like(f)
    used = np.arange(memory) >= memory - held[:, None]
    differences = np.where(used[..., None], past_f, 0.0)
    # Unit columns: differences shrink by orders of magnitude from one step to the next.
    length = np.sqrt(np.sum(differences**2, axis=2))
    length = np.where(length > 0, length, 1.0)
    unit = differences / length[..., None]
    gram = np.einsum("pik,pjk->pij", unit, unit)
    empty = np.einsum("pii->pi", gram) == 0.0
    diagonal = np.where(empty, 1.0, _RIDGE)
    gram = gram + diagonal[..., None] * np.eye(memory)
    projection = np.einsum("pik,pk->pi", unit, f)
    weights = np.linalg.solve(gram, projection[..., None])[..., 0] / length
    weights = np.where(used, weights, 0.0)
    return np.einsum("pi,pik->pk", weights, past_x + mixing[:, None] * past_f)

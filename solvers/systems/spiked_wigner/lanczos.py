"""The leading eigenvector of Y for many signals at once, by the Lanczos method.

All points start from one random vector and build their Krylov spaces side by side, so that a step
is one product of W with as many columns as there are signals. Every new vector is orthogonalised
against the whole basis. The residual |Y v - θ v| of the leading Ritz pair is |β_k s_k|, s the
eigenvector of the small tridiagonal matrix; it is looked at every few steps, and a point is done
when it is at most `tolerance`. With an eigenvalue outside the bulk by δ the error falls by about
exp(-2√δ) a step; at the edge of the bulk, where gaps are of the order of n^(-2/3), it takes
n^(1/3) times as many steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.systems.spiked_wigner.instance import Instance, to_host

Array = Any

_EVERY = 10


@dataclass(frozen=True)
class Leading:
    """Unit eigenvectors (n, points), eigenvalues, residuals and steps (points,)."""

    vector: Array
    value: np.ndarray
    residual: np.ndarray
    steps: np.ndarray


def leading(
    *, instance: Instance, start: Array, tolerance: np.ndarray, max_steps: np.ndarray
) -> Leading:
    """The largest eigenvalue of each point and its eigenvector; `start` (n, 1)."""
    xp, n = instance.xp, instance.dimension
    points = instance.signal.shape[0]
    vectors = [xp.zeros((n,), dtype=start.dtype)] * points
    value, residual = np.zeros(points), np.full(points, np.inf)
    steps = np.zeros(points, dtype=int)
    active, part = np.arange(points), instance
    unit = start / xp.sqrt(xp.sum(start * start))
    last = xp.broadcast_to(unit.T, (points, n))
    basis = xp.zeros((points, 2 * _EVERY, n), dtype=start.dtype)
    # Diagonal and off-diagonal of the tridiagonal matrices, one row a step.
    alpha, beta = np.zeros((0, points)), np.zeros((0, points))
    while len(active):
        count = len(alpha) + 1
        if count > basis.shape[1]:
            basis = xp.concat([basis, xp.zeros_like(basis)], axis=1)
        basis[:, count - 1, :] = last
        # A vector of a point is contiguous: its sums do not depend on how many points there are.
        image = xp.empty((len(active), n, 1), dtype=start.dtype)
        image[:, :, 0] = part.product(last.T).T
        known = basis[:, :count, :]
        along = known @ image
        image = (image - xp.matrix_transpose(known) @ along)[:, :, 0]
        size = xp.sqrt(xp.sum(image * image, axis=1))
        alpha = np.concatenate([alpha, to_host(along[:, -1, 0])[None]])
        beta = np.concatenate([beta, to_host(size)[None]])
        ended = count >= np.minimum(max_steps[active], n)
        if count % _EVERY == 0 or np.any(ended):
            ritz, states = _tridiagonal(alpha, beta)
            error = beta[-1] * np.abs(states[:, -1])
            done = ended | (error <= tolerance[active])
            for place in np.flatnonzero(done):
                weights = xp.asarray(states[place], dtype=start.dtype)
                found = weights @ known[int(place)]
                vectors[active[place]] = found / xp.sqrt(xp.sum(found * found))
            at = active[done]
            value[at], residual[at], steps[at] = ritz[done], error[done], count
            keep = np.flatnonzero(~done)
            if len(keep) < len(active):
                columns = xp.asarray(keep)
                active, part = active[keep], part.take(keep)
                alpha, beta, basis = alpha[:, keep], beta[:, keep], basis[columns]
                image, size = image[columns], size[columns]
        last = image / xp.where(size > 0, size, xp.ones_like(size))[:, None]
    return Leading(xp.stack(vectors, axis=1), value, residual, steps)


def _tridiagonal(alpha: np.ndarray, beta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalue and its eigenvector of the tridiagonal matrix of every point."""
    count, points = alpha.shape
    matrices = np.zeros((points, count, count))
    i = np.arange(count)
    matrices[:, i, i] = alpha.T
    matrices[:, i[1:], i[:-1]] = matrices[:, i[:-1], i[1:]] = beta[:-1].T
    values, vectors = np.linalg.eigh(matrices)
    return values[:, -1], vectors[:, :, -1]

r"""Square and logistic loss: Newton's method, and the certificates of its result.

For f convex with conjugate f*, and the dual point a = -f'(z) that belongs to w,

    objective(w) - dual(a) = sum_mu [f(z_mu) + f*(-a_mu) + a_mu z_mu] + |λw - X^T a|²/(2λ)
                           = |g|²/(2λ),

because the bracket vanishes (Fenchel's equality): the squared gradient is a duality gap. It is
pessimistic where the loss itself is much more curved than the penalty; there Newton's decrement
g·H^-1 g/2 is the gap to leading order (exactly, for the square loss).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import to_device

from solvers.contract import Status
from solvers.systems.glm_erm.solving.answer import Answer, settled
from solvers.systems.glm_erm.solving.gram import Gram
from solvers.systems.glm_erm.solving.instance import Rows
from solvers.systems.glm_erm.solving.margin import max_margin
from solvers.systems.glm_erm.solving.newton import Iterate, minimise, norm
from solvers.systems.glm_erm.solving.ridge import Ridge

_REFINEMENTS, _REFINEMENT = 6, 1e-8
"""Most refinements of least squares, and what each is asked to reduce its equations by."""

_DECREMENT = 1e-3
"""Share of the tolerance that the decrement has to meet: it is an estimate, not a bound."""

_ROUNDING = 1e-17
"""A relative fall of the objective that is lost to rounding, however accurate w is."""

SEPARABLE = (
    "the samples are separable: without a penalty the norm diverges, in the direction of"
    " loss=max_margin, whose classification_error is given"
)
FLAT = (
    "the samples do not determine all weights, and the penalty is none or too weak for double"
    " precision; take a larger regularization"
)


def logistic(
    *, rows: Rows, regularization: float, tolerance: float, max_steps: int, xp: Any
) -> Answer:
    """Minimum of sum_mu log(1 + exp(-z_mu)) + λ|w|²/2.

    The residual is min(|g|²/(2λ), 1000·decrement)/objective; the iteration goes on until the same
    holds in units of w·H w/2, so that √tolerance bounds the relative error of w, whatever λ. For
    λ = 0 there is a minimum only if the samples are not separable, which `max_margin` decides.
    """
    samples, dimension = rows.inputs.shape
    start = xp.zeros(dimension, dtype=xp.float64)
    if samples == 0:
        return Answer(start, Status.CONVERGED, 0, 0.0)
    separable, steps = math.nan, 0
    if regularization == 0:
        widest = max_margin(rows=rows, tolerance=tolerance, max_steps=max_steps, xp=xp)
        separable, steps = widest.separable, widest.steps
        if separable == 1.0:
            return Answer(
                None,
                Status.NO_SOLUTION,
                steps,
                widest.residual,
                separable,
                SEPARABLE,
                widest.weights,
            )
        if math.isnan(separable):
            return widest

    def law(z):
        small = xp.exp(-xp.abs(z))
        share = small / (1.0 + small)
        return xp.where(z > 0, share, 1.0 - share), share / (1.0 + small)

    def gap(at: Iterate) -> float:
        if regularization > 0:
            return min(norm(at.gradient) ** 2 / (2.0 * regularization), at.decrement / _DECREMENT)
        return at.decrement / _DECREMENT

    def objective(at: Iterate) -> float:
        loss = float(xp.sum(logistic_loss(at.z, xp)))
        return loss + 0.5 * regularization * float(at.w @ at.w)

    def done(at: Iterate) -> bool:
        energy = 0.5 * (regularization * float(at.w @ at.w) + float(at.curvature @ (at.z * at.z)))
        value = objective(at)
        return gap(at) <= tolerance * min(energy, value) or at.decrement <= _ROUNDING * value

    try:
        at = minimise(
            rows=rows,
            start=start,
            law=law,
            c=regularization,
            done=done,
            max_steps=max_steps,
            xp=xp,
        )
    except np.linalg.LinAlgError:
        # A penalty lost to rounding; or none, and rows of signs that do not span all directions.
        return Answer(None, Status.NOT_FINITE, steps, math.nan, separable, FLAT)
    residual = gap(at) / objective(at)
    return Answer(at.w, settled(residual, tolerance), steps + at.steps, residual, separable)


def square(
    *, rows: Rows, regularization: float, tolerance: float, max_steps: int, xp: Any
) -> Answer:
    """Minimum of sum_mu (y_mu - x_mu·w)²/2 + λ|w|²/2; for λ = 0 the one of least norm.

    Of the two forms of the solution, w = (λ + X^T X)^-1 X^T y and w = X^T b with
    b = (λ + X X^T)^-1 y, the one with the smaller matrix is taken, with iterative refinement.
    Residual, relative to the objective: |g|²/(2λ) in the first form, and in the second the gap
    |y - Xw - λb|²/2 to the dual point λb. For λ = 0, in both: |δw|²/|w|² of the last refinement,
    which is the limit of the relative gap if X w = y has solutions.
    """
    inputs, labels = rows.inputs, rows.labels
    samples, dimension = inputs.shape
    weights = xp.zeros(dimension, dtype=xp.float64)
    if not bool(xp.any(labels != 0)):
        return Answer(weights, Status.CONVERGED, 0, 0.0)
    wide = samples < dimension or (samples == dimension and regularization == 0)
    matrix = inputs.T if wide else inputs
    unknown = xp.zeros(matrix.shape[1], dtype=xp.float64)
    ridge = Ridge(
        rows=matrix,
        weight=xp.ones(matrix.shape[0], dtype=xp.float64),
        c=regularization,
        xp=xp,
        gram=Gram(inputs=matrix, xp=xp),
    )
    residual, steps = math.inf, 0
    for steps in range(1, min(max_steps, _REFINEMENTS) + 1):
        try:
            change = ridge.solve(
                _missing(rows, weights, unknown, regularization, wide), tolerance=_REFINEMENT
            )
        except np.linalg.LinAlgError:
            break
        move = change @ inputs if wide else change
        unknown, weights = unknown + change, weights + move
        if regularization > 0:
            rest = labels - rows.forward(weights)
            missing = _missing(rows, weights, unknown, regularization, wide)
            gap = float(missing @ missing) / (1.0 if wide else regularization)
            residual = gap / (norm(rest) ** 2 + regularization * norm(weights) ** 2)
        elif steps > 1:
            residual = (norm(move) / norm(weights)) ** 2
        if residual <= tolerance:
            break
    if regularization == 0 and not residual <= tolerance:
        weights, residual = _least_norm(inputs, labels, xp)
    return Answer(weights, settled(residual, tolerance), steps, residual)


def _missing(rows: Rows, weights: Any, unknown: Any, regularization: float, wide: bool) -> Any:
    """What the linear equations of either form still lack."""
    rest = rows.labels - rows.inputs @ weights
    if wide:
        return rest - regularization * unknown
    return rest @ rows.inputs - regularization * weights


def _least_norm(inputs: Any, labels: Any, xp: Any) -> tuple[Any, float]:
    """By singular values, for linearly dependent rows or columns; (weights, residual).

    Happens for rows of signs, two of which are equal with probability 2^-dimension.
    """
    matrix, target = (np.asarray(to_device(a, "cpu")) for a in (inputs, labels))
    weights, *_, singular = np.linalg.lstsq(matrix, target)
    gradient = matrix.T @ (target - matrix @ weights)
    smallest = np.min(singular[singular > 1e-10 * singular[0]])
    size = np.linalg.norm(weights)
    return xp.asarray(weights), float((np.linalg.norm(gradient) / (smallest**2 * size)) ** 2)


def logistic_loss(z: Any, xp: Any) -> Any:
    """log(1 + exp(-z)) without overflow."""
    return xp.log1p(xp.exp(-xp.abs(z))) - xp.where(z < 0, z, 0.0)

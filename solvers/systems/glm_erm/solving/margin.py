r"""Hinge loss and largest margin: a method of multipliers with Newton steps, and its certificates.

Both are one problem with a bound C on the multipliers (hinge: C = 1/λ; largest margin: C = ∞):

    primal   P(w) = |w|²/2 + C sum_mu max(0, 1 - z_mu),   z_mu = y_mu x_mu·w
    dual     D(b) = sum_mu b_mu - |X^T b|²/2,             0 <= b <= C,   w = X^T b.

**Method** (augmented Lagrangian: R. T. Rockafellar, Math. Oper. Res. 1, 97 (1976); with
semismooth Newton steps: X. Li, D. Sun, K.-C. Toh, SIAM J. Optim. 28, 433 (2018)). Given multipliers
b and a stiffness σ, w minimises a smooth convex function whose force is

    clip(b + σ (1 - z), 0, C),

which is then the next b. The force is piecewise linear, with slope σ for the samples strictly
inside the bounds, those that end on the margin z = 1, so that a Newton step is a ridge regression
on these alone. σ grows when few steps were needed; when the sets of samples have settled, the
result is exact up to rounding.

**Certificate, hinge.** Every term of

    P(w) - D(b) = sum_mu [C max(0, 1 - z) - b (1 - z)] + |w - X^T b|²/2

is >= 0. If all z > 0, w/min z is tried too: it violates no constraint, and has the lower P where C
is large.

**Certificate, largest margin.** For every w and every b >= 0

    min_mu z_mu/|w|  <=  largest margin/√dimension  <=  |X^T b|/sum b.

If the samples are not separable, both b and its increments δb diverge, and X^T δb/sum δb goes to
zero: by Farkas' lemma the certificate that no w has all z > 0.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from array_api_compat import to_device

from solvers.contract import Status
from solvers.systems.glm_erm.solving.answer import Answer, settled
from solvers.systems.glm_erm.solving.gram import Gram
from solvers.systems.glm_erm.solving.instance import Rows
from solvers.systems.glm_erm.solving.newton import Iterate, minimise, norm

_STIFFEST = 1e10
"""Largest stiffness, in units of the larger of 1 and (up to 1e8) the bound on the multipliers."""

_FARKAS = 1e-10
"""An upper bound on the margin, √dimension |X^T b|/sum b, that counts as zero."""

INSEPARABLE = "no weights give every sample its label, so there is no largest margin"


def multipliers(
    *, rows: Rows, bound: float, tolerance: float, max_steps: int, xp: Any
) -> tuple[Answer, Any]:
    """The solution for C = `bound` (which may be infinite) with its multipliers b.

    Ends when the relative gap is at most `tolerance`, and is so as well in units of |w|²/2 (then
    √tolerance bounds the relative error of w) or no longer falls.
    """
    samples, dimension = rows.inputs.shape
    w = xp.zeros(dimension, dtype=xp.float64)
    b = xp.zeros(samples, dtype=xp.float64)
    if samples == 0:
        return Answer(w, Status.CONVERGED, 0, 0.0), b
    gram, direct = Gram(inputs=rows.inputs, xp=xp), False
    best, best_b, residual = w, b, math.inf
    stiffness, steps, outer = min(1.0, bound), 0, 0
    stiffest = _STIFFEST * max(1.0, min(bound, 1e8))
    while steps < max_steps and stiffness <= stiffest:
        try:
            at = _inner(rows, gram, direct, w, b, stiffness, bound, outer, max_steps - steps, xp)
        except np.linalg.LinAlgError:  # equal rows, at a stiffness beyond what the numbers carry
            break
        w, inner, steps, outer = at.w, at.steps, steps + at.steps, outer + 1
        direct = at.direct
        z = rows.forward(w)
        new = xp.clip(b + stiffness * (1.0 - z), 0.0, bound)
        if math.isinf(bound):
            least = _farkas(rows, new - b, xp)
            if least < _FARKAS:
                return Answer(None, Status.NO_SOLUTION, steps, least, 0.0, INSEPARABLE), new
            candidate, gap, share = w, _margin_gap(rows, w, z, new, xp), 1.0
        else:
            candidate, gap, share = _hinge_gap(rows, w, z, new, bound, xp)
        b, falls = new, gap < 0.5 * residual
        if gap < residual:
            best, best_b, residual = candidate, b, gap
        if residual <= tolerance and (residual <= tolerance * share or not falls):
            break
        stiffness *= 10.0 if inner <= 3 else 3.0
    return Answer(best, settled(residual, tolerance), steps, residual), best_b


def _inner(rows, gram, direct, w, b, stiffness, bound, outer, max_steps, xp) -> Iterate:
    """Newton's method for fixed multipliers and stiffness."""
    pattern: list[Any] = [None, math.inf]

    def law(z):
        free = b + stiffness * (1.0 - z)
        inside = (free > 0) & (free < bound)
        return xp.clip(free, 0.0, bound), xp.where(inside, stiffness, 0.0)

    def done(at: Iterate) -> bool:
        """Small gradient; or the same pieces as before, and nothing left but rounding."""
        if math.isfinite(at.decrement):
            return False
        length = norm(at.gradient)
        rounding = 2e-15 * norm(at.force)
        if length <= max(rounding, 0.1 ** min(outer + 2, 30) * norm(at.w)):
            return True
        pieces = xp.where(at.curvature > 0, 0.5, xp.where(at.force > 0, 1.0, 0.0))
        before, shortest = pattern
        pattern[:] = pieces, length
        return before is not None and length > 0.1 * shortest and bool(xp.all(before == pieces))

    return minimise(
        rows=rows,
        start=w,
        law=law,
        c=1.0,
        done=done,
        max_steps=max_steps,
        xp=xp,
        gram=gram,
        direct=direct,
        forcing=0.01,
    )


def _hinge_gap(rows, w, z, b, bound, xp):
    """(w or w/min z, the smaller relative gap of the two, share of |w|²/2 in the objective)."""
    dual_w = rows.backward(b)
    short = bound * float(xp.sum(xp.clip(1.0 - z, 0.0, math.inf)))
    energy = 0.5 * float(w @ w)
    gap = abs(short - float(b @ (1.0 - z)) + 0.5 * norm(w - dual_w) ** 2) / (energy + short)
    smallest = float(xp.min(z))
    if smallest > 0:
        scaled = energy / smallest**2
        other = abs(scaled - float(xp.sum(b)) + 0.5 * float(dual_w @ dual_w)) / scaled
        if other < gap:
            return w / smallest, other, 1.0
    return w, gap, energy / (energy + short)


def _margin_gap(rows, w, z, b, xp):
    """Upper bound on the margin over the margin of w, minus 1."""
    length, total = norm(w), float(xp.sum(b))
    lower = float(xp.min(z)) / length if length > 0 else 0.0
    if lower <= 0 or total <= 0:
        return math.inf
    return max(norm(rows.backward(b)) / (total * lower) - 1.0, 0.0)


def _farkas(rows, change, xp):
    """Upper bound on the margin from an increment of the multipliers."""
    change = xp.clip(change, 0.0, math.inf)
    total = float(xp.sum(change))
    if total <= 0:
        return math.inf
    return rows.inputs.shape[1] ** 0.5 * norm(rows.backward(change)) / total


def max_margin(*, rows: Rows, tolerance: float, max_steps: int, xp: Any) -> Answer:
    """min |w|²/2 with all z >= 1, from weights whose smallest z is scaled to 1.

    The residual is the upper bound on the margin over the margin, minus 1.
    """
    answer, _ = multipliers(
        rows=rows, bound=math.inf, tolerance=tolerance, max_steps=max_steps, xp=xp
    )
    if answer.status == Status.NO_SOLUTION:
        return answer
    if not rows.inputs.shape[0]:
        return replace(answer, separable=1.0)
    if math.isinf(answer.residual):
        return replace(answer, weights=None, status=Status.UNDECIDED)
    smallest = float(xp.min(rows.forward(answer.weights)))
    return replace(answer, weights=answer.weights / smallest, separable=1.0)


def hinge(
    *, rows: Rows, regularization: float, tolerance: float, max_steps: int, xp: Any
) -> Answer:
    """min of sum_mu max(0, 1 - z_mu) + λ|w|²/2; the residual is the relative duality gap.

    The limit λ = 0+ is the solution of largest margin if the samples are separable. Otherwise it
    solves a linear programme and is reached at a finite λ (O. L. Mangasarian, R. R. Meyer, SIAM J.
    Control Optim. 17, 745 (1979)): λ is lowered until the dual certificate of the programme exists.
    """
    settings: Any = {"rows": rows, "tolerance": tolerance, "xp": xp}
    if regularization > 0:
        return multipliers(bound=1.0 / regularization, max_steps=max_steps, **settings)[0]
    answer = max_margin(max_steps=max_steps, **settings)
    if answer.status != Status.NO_SOLUTION:
        return answer
    steps = answer.steps
    for bound in (1e2, 1e4, 1e6, 1e8):
        answer, b = multipliers(bound=bound, max_steps=max(max_steps - steps, 1), **settings)
        steps += answer.steps
        gap = _programme_gap(rows, answer.weights, b, bound, xp)
        if gap <= tolerance or steps >= max_steps:
            break
    return Answer(answer.weights, settled(gap, tolerance), steps, gap, 0.0)


def _programme_gap(rows, w, b, bound, xp):
    """Relative gap of w in the linear programme; infinite if b does not lead to a dual point.

    The dual is max sum a over 0 <= a <= 1 with X^T a = 0. The multipliers a = λ b of the penalised
    problem have X^T a = λ w; the least correction on the samples strictly inside the bounds puts
    this right if λ is small enough for it to stay there.
    """
    inside = xp.nonzero((b > 0) & (b < bound))[0]
    held = xp.take(rows.labels, inside)[:, None] * xp.take(rows.inputs, inside, axis=0)
    a = b / bound
    matrix, target = (np.asarray(to_device(v, "cpu")) for v in (held.T, -rows.backward(a)))
    change = xp.asarray(np.linalg.lstsq(matrix, target)[0])
    a[inside] = xp.take(a, inside) + change
    if bool(xp.any((a < 0) | (a > 1))):
        return math.inf
    short = 1.0 - rows.forward(w)
    loss = float(xp.sum(xp.clip(short, 0.0, math.inf)))
    return abs(loss - float(a @ short) + abs(float(w @ rows.backward(a)))) / loss

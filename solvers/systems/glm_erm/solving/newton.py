r"""Newton's method for min over w of sum_mu f(z_mu) + c|w|^2/2, z = X w, f convex and smooth.

With the force a = -f'(z) and the curvature D = f''(z) >= 0 the gradient is g = c w - X^T a and the
step s solves (c + X^T D X) s = -g (`ridge`). The step length is the zero of the slope of the
objective along s, a function of one variable that costs O(samples); by convexity the objective then
falls at every step. f' may have kinks (f'' is then any element of its subdifferential): for f' that
is piecewise linear the method ends after finitely many steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from solvers.systems.glm_erm.solving.gram import Gram
from solvers.systems.glm_erm.solving.instance import Rows
from solvers.systems.glm_erm.solving.ridge import Ridge

_REFRESH = 10
"""Steps after which z = X w is computed anew instead of being carried along."""


@dataclass
class Iterate:
    """Where a minimisation stands: w, z = X w, force a and curvature D at z, gradient g.

    `decrement` = -g·s/2 is the fall of the objective that the quadratic model of the step promises,
    infinite before a step has been computed. `direct`: linear systems are factorised by now.
    """

    w: Any
    z: Any
    force: Any
    curvature: Any
    gradient: Any
    steps: int = 0
    decrement: float = math.inf
    direct: bool = False


def minimise(
    *,
    rows: Rows,
    start: Any,
    law: Callable[[Any], tuple[Any, Any]],
    c: float,
    done: Callable[[Iterate], bool],
    max_steps: int,
    xp: Any,
    gram: Gram | None = None,
    direct: bool = False,
    forcing: float = 0.1,
) -> Iterate:
    """Newton steps from `start` until `done`, which is asked before and after a step is computed.

    `law` gives force and curvature at z. The linear systems are solved to a relative residual of
    `forcing`·min(1, √(|g|/|g_start|)), so that convergence is superlinear.
    """
    gram = gram or Gram(inputs=rows.inputs, xp=xp)
    at = _at(start, rows.forward(start), law, c, rows)
    first = norm(at.gradient)
    while not done(at) and at.steps < max_steps:
        tolerance = forcing * min(1.0, math.sqrt(norm(at.gradient) / first))
        ridge = Ridge(rows=rows.inputs, weight=at.curvature, c=c, xp=xp, gram=gram, direct=direct)
        s, direct = ridge.solve(-at.gradient, tolerance=tolerance), ridge.direct
        fall = -0.5 * float(at.gradient @ s)
        if not fall >= 0.0:  # the solution of the system is nothing but rounding
            break
        at.decrement = fall
        if done(at):
            break
        dz = rows.forward(s)
        length = _length(at, s, dz, law, c)
        w = at.w + length * s
        steps = at.steps + 1
        z = rows.forward(w) if steps % _REFRESH == 0 else at.z + length * dz
        at = _at(w, z, law, c, rows, steps)
    at.direct = direct
    return at


def norm(v: Any) -> float:
    """Euclidean length."""
    return math.sqrt(float(v @ v))


def _at(w, z, law, c, rows, steps=0):
    force, curvature = law(z)
    return Iterate(w, z, force, curvature, c * w - rows.backward(force), steps)


def _length(at, s, dz, law, c):
    """Where the slope along s has fallen to a hundredth: Newton's method, bisected if need be."""
    ws, ss, squares = float(at.w @ s), float(s @ s), dz * dz
    start = c * ws - float(at.force @ dz)
    low, high, length = 0.0, math.inf, 1.0
    for _ in range(100):
        force, curvature = law(at.z + length * dz)
        slope = c * (ws + length * ss) - float(force @ dz)
        if abs(slope) <= 1e-2 * abs(start):
            break
        if slope > 0:
            high = length
        else:
            low = length
        bend = c * ss + float(curvature @ squares)
        new = length - slope / bend if bend > 0 else math.inf
        if not low < new < high:
            new = 2.0 * length if high == math.inf else 0.5 * (low + high)
        length = new
    return length

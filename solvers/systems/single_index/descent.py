"""Compiled steps of projected SGD with one unit, in d dimensions and reduced to three numbers.

**Step**, with η = γ/d, λ = w·x, y = f(w*·x) + √Δ ξ, g = (y - f(λ)) f'(λ), a = ηg:

    w <- ((1 - aλ) w + a x)/n,   n² = (1-aλ)²|w|² + 2aλ(1-aλ) + a²|x|².

The inputs are isotropic: w* is taken as the first basis vector, so that w*·x and m cost nothing.
Update, length and the field of the next sample take one pass through w. Dividing by the measured
length keeps rounding errors of |w| from growing, as they would by (1-aλ)²/n² a step.

**Exact reduction** (`walk_reduced`). Given w and w*, the fields λ and z of w*·x = mλ + √(1-m²) z
are independent N(0, 1), and |x|² - λ² = z² + χ² with an independent χ² of d-2 degrees of freedom:
m is a Markov chain, with the law of m in d dimensions for every d >= 4, at a cost that does not
depend on d. χ² comes from G. Marsaglia and W. W. Tsang, ACM Trans. Math. Softw. 26, 363 (2000):
with a = d/2 - 1 - 1/3 and v = (1 + n/√(9a))³, 2av is accepted if log u < n²/2 + a - av + a log v.
A step owns three attempts, and keeps its last without asking: a first attempt fails with
probability below 0.05 at d = 4, 0.0003 at d = 100, so that one step in 10^4 at worst, in 10^10 at
d = 100, carries the law of the proposal.
"""

from __future__ import annotations

import math

import numpy as np

from solvers.numerics.compiled import jit
from solvers.systems.single_index.links import slope, value

NORMALS, UNIFORMS = 6, 3
"""Numbers that a step of the reduced walk takes: λ, z, ξ and three attempts."""

_fast = jit(fastmath={"reassoc", "contract", "nsz"})


@_fast
def dot(a, b):
    """a·b, in double precision."""
    total = 0.0
    for c in range(len(a)):
        total += a[c] * b[c]
    return total


@_fast
def square(x):
    """|x|², in double precision."""
    total = 0.0
    for c in range(len(x)):
        entry = np.float64(x[c])
        total += entry * entry
    return total


@_fast
def shift_dot(weights, keep, update, old, new):
    """weights <- keep · weights + update · old, its product with `new` and its square."""
    total, own = 0.0, 0.0
    for c in range(len(weights)):
        entry = keep * weights[c] + update * old[c]
        weights[c] = entry
        total += entry * new[c]
        own += entry * entry
    return total, own


@jit
def factors(a, lam, own, long):
    """Factors of w and x in a step; `own` and `long` are |w|² and |x|²."""
    scale = max(abs(a), 1.0)  # no overflow of a² where a step is absurdly large
    rest, a = (1.0 - a * lam) / scale, a / scale
    length = math.sqrt(rest * rest * own + 2.0 * a * lam * rest + a * a * long)
    return rest / length, a / length


@jit
def pull(code, lam, target, noise):
    """g = (y - f(λ)) f'(λ), with `target` w*·x and `noise` √Δ ξ."""
    return (value(code, target) + noise - value(code, lam)) * slope(code, lam)


@jit
def walk(code, weights, block, step, noise, level, stops, records, state, overlaps):
    """Take the steps of a block (rows, d + 1); its last column is ξ.

    `step` is γ/d; `state` holds steps done, next record, step of recovery (or -1). Returns the last
    overlap. A run that `stops` ends at recovery, every run with its last record.
    """
    d = len(weights)
    keep, update, m = 1.0, 0.0, weights[0]
    old = block[0, :d]
    for s in range(len(block)):
        new = block[s, :d]
        lam, own = shift_dot(weights, keep, update, old, new)
        a = step * pull(code, lam, np.float64(new[0]), noise * block[s, d])
        keep, update = factors(a, lam, own, square(new))
        m = keep * weights[0] + update * new[0]
        old = new
        if note(m, level, stops, records, state, overlaps):
            break
    shift_dot(weights, keep, update, old, old)
    return m


@jit
def walk_reduced(
    code, d, m, normals, uniforms, step, noise, level, stops, records, state, overlaps
):
    """The same in law, from NORMALS and UNIFORMS numbers a step."""
    shape = 0.5 * d - 1.0 - 1.0 / 3.0
    spread = 1.0 / math.sqrt(9.0 * shape)
    for s in range(len(normals)):
        lam, z = normals[s, 0], normals[s, 1]
        v = 0.0
        for attempt in range(UNIFORMS):
            n = normals[s, 3 + attempt]
            v = max(1.0 + spread * n, 0.0) ** 3
            if v <= 0.0:
                continue
            limit = 0.5 * n * n + shape * (1.0 - v + math.log(v))
            if math.log(uniforms[s, attempt]) < limit:
                break
        target = m * lam + math.sqrt((1.0 - m) * (1.0 + m)) * z
        a = step * pull(code, lam, target, noise * normals[s, 2])
        scale = max(abs(a), 1.0)
        m, a = m / scale, a / scale
        m += a * math.sqrt((1.0 - m * scale) * (1.0 + m * scale)) * z
        m /= math.sqrt(1.0 / (scale * scale) + a * a * (z * z + 2.0 * shape * v))
        if abs(m) > 1.0:
            m = math.copysign(1.0, m)
        if note(m, level, stops, records, state, overlaps):
            break
    return m


@jit
def note(m, level, stops, records, state, overlaps):
    """Count a step and record what is due; True if the run is over."""
    state[0] += 1
    while state[1] < len(records) and records[state[1]] == state[0]:
        overlaps[state[1]] = m
        state[1] += 1
    if state[2] < 0 and abs(m) >= level:
        state[2] = state[0]
    return (stops and state[2] >= 0) or state[0] >= records[-1]

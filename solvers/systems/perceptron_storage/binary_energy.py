r"""Ground-state energy of the binary perceptron with step constraint, above capacity.

Krauth and Mézard (1989). At inverse temperature β, the energy being the number of violated
constraints, the replica-symmetric free entropy per weight is

    φ(β) = extr -q̂(1-q)/2 + ∫Dt log 2cosh(√q̂ t) + alpha ∫Dt log[e^{-β} + (1 - e^{-β}) H(u)],

u = (kappa - √q t)/√(1-q), with energy e = -φ' and entropy s = φ + β e. Low-energy configurations
are isolated, so in one-step breaking the inner overlap is 1 and the free entropy at (β, m) is that
of replica symmetry at mβ, divided by m: below the temperature of s(β_c) = 0 the system is frozen,
as in the random energy model, and the ground-state energy is e(β_c), the maximum over β of
-φ(β)/β. (One-step breaking with inner overlap below 1 is not considered.)

For given (q̂, β) the saddle-point equations give q and alpha without iteration (`saddle`). The curve
s(q̂, β) = 0 is tabulated from capacity (β -> ∞) down in β, once for each kappa; an alpha between
two of its points is then found on it by nested roots in log β and log q̂.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solvers.numerics.elementwise import find_root
from solvers.numerics.gaussian import Array
from solvers.systems.perceptron_storage.averages import binary_weight, step_pattern
from solvers.systems.perceptron_storage.energy import Energy

LARGEST_KAPPA = 5.0
"""Beyond it violations cost so much more than alpha resolves in double precision; not computed."""
LARGEST_ALPHA = 1e7
_SPACING = 0.5
_LOWEST_LOG_BETA = -9.0
_MARGIN = 0.3
"""How far log q̂ may leave the interval between two points of the curve."""


@dataclass(frozen=True)
class _Frozen:
    """State at given (log q̂, log β): the alpha that belongs to it, entropy, energy, stability."""

    alpha: Array
    entropy: Array
    energy: Array
    stability: Array


def _state(log_field: Array, log_beta: Array, kappa: float, *, nodes: int, reach: float) -> _Frozen:
    beta = np.exp(log_beta)
    weight = binary_weight(log_field, nodes=nodes)
    pattern = step_pattern(
        q=weight.q,
        v=weight.v,
        kappa=np.full_like(log_field, kappa),
        nodes=nodes,
        log_x=-beta,
        reach=reach,
    )
    field = np.exp(log_field)
    alpha = field * weight.v / pattern.force
    entropy = -0.5 * field * weight.v + weight.log_weight
    return _Frozen(
        alpha=alpha,
        entropy=entropy + alpha * (pattern.log_weight + beta * pattern.violated),
        energy=alpha * pattern.violated,
        stability=alpha * pattern.curvature * weight.replicon / weight.v**2,
    )


def frozen_energy(alpha: Array, kappa: float, *, log_field_c: float, nodes: int) -> Energy:
    """Energies at one kappa for alpha above capacity, where log q̂ is `log_field_c`.

    Between capacity and the first point of the curve (a relative distance below 1e-10) the energy
    is zero to 1e-12. NaN for kappa > 5 and for alpha > 1e7, which takes in the capacities of all
    kappa < -5.3.
    """
    points = len(alpha)
    energy, stability = np.full(points, np.nan), np.full(points, np.nan)
    residual, steps = np.full(points, np.nan), np.zeros(points, dtype=np.int64)
    if kappa > LARGEST_KAPPA:
        return Energy(energy, stability, steps, residual)
    at_capacity = binary_weight(np.array([log_field_c]), nodes=nodes)
    reach = float(((max(kappa, 0.0) + 9.0 * np.sqrt(at_capacity.q)) / np.sqrt(at_capacity.v))[0])
    x, y, curve = _curve(kappa, log_field_c, nodes=nodes, reach=reach)

    if len(curve) < 2:
        return Energy(energy, stability, steps, residual)
    here = np.flatnonzero(alpha <= min(curve[-1], LARGEST_ALPHA))
    target = np.log(np.maximum(alpha[here], curve[0]))
    right = np.clip(np.searchsorted(np.log(curve), target), 1, len(curve) - 1)
    low = np.minimum(x[right - 1], x[right]) - _MARGIN
    high = np.maximum(x[right - 1], x[right]) + _MARGIN

    def at_zero_entropy(log_beta: Array, low: Array, high: Array) -> tuple[_Frozen, Array]:
        root = find_root(
            lambda x, y: _state(x, y, kappa, nodes=nodes, reach=reach).entropy,
            (low, high),
            args=(log_beta,),
            tolerances={"xatol": 1e-14},
        )
        return _state(root.x, log_beta, kappa, nodes=nodes, reach=reach), root.success

    def miss(log_beta: Array, target: Array, low: Array, high: Array) -> Array:
        return np.log(at_zero_entropy(log_beta, low, high)[0].alpha) - target

    root = find_root(
        miss, (y[right], y[right - 1]), args=(target, low, high), tolerances={"xatol": 1e-12}
    )
    # Next to capacity alpha hardly depends on β, and both ends may miss it by rounding.
    log_beta = np.where(np.isfinite(root.x), root.x, y[right - 1])
    state, success = at_zero_entropy(log_beta, low, high)
    energy[here] = np.where(success, state.energy, np.nan)
    stability[here] = state.stability
    residual[here] = np.hypot(np.log(state.alpha) - target, state.entropy)
    steps[here] = root.nit
    return Energy(energy, stability, steps, residual)


def _curve(
    kappa: float, log_field_c: float, *, nodes: int, reach: float
) -> tuple[Array, Array, Array]:
    """log q̂, log β and alpha along s = 0, from β = reach²/2 + 50 down to alpha ~ LARGEST_ALPHA."""
    y = np.arange(np.log(0.5 * reach**2 + 50.0), _LOWEST_LOG_BETA, -_SPACING)

    def entropy(log_field: Array, log_beta: Array) -> Array:
        return _state(log_field, log_beta, kappa, nodes=nodes, reach=reach).entropy

    # With the temperature the field grows weaker, or, for kappa < 0, stronger.
    highest = log_field_c + 0.5 if kappa >= 0 else 8.0
    root = find_root(
        entropy,
        (np.full_like(y, log_field_c - 15.0), np.full_like(y, highest)),
        args=(y,),
        tolerances={"xatol": 1e-14},
    )
    x = np.where(root.success, root.x, log_field_c)
    alpha = _state(x, y, kappa, nodes=nodes, reach=reach).alpha
    # Far above LARGEST_ALPHA rounding drowns the entropy: the curve ends before.
    usable = root.success & (alpha < 1e2 * LARGEST_ALPHA) & np.isfinite(alpha)
    length = len(y) if usable.all() else int(np.argmin(usable))
    return x[:length], y[:length], np.maximum.accumulate(alpha[:length])

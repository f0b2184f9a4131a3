"""The exit time in closed form: growth from a random start, at the rate of the linearised drift."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.contract import Cost, Status
from solvers.systems.escape_mediocrity.averages import (
    mean_log_overlap,
    mean_log_shifted,
    mean_log_start,
)
from solvers.systems.escape_mediocrity.model import system


def escape_rate(*, width: Any, step_size: Any, noise: Any) -> Any:
    """Λ = 8 [1 - (γ/p)(1 + 1/p + 4/p² + Δ/2)], the growth rate of Σ m_i² at the start.

    From the drift in `moments` at m -> 0 and orthogonal units: S_i* = m_i (1 - 1/p), S_ii = -1/p,
    U_ii = 1/p², R = 1 + 1/p.
    """
    return 8.0 * (1.0 - step_size / width * (1.0 + 1.0 / width + 4.0 / width**2 + noise / 2.0))


def diffusion(*, width: Any, step_size: Any, noise: Any) -> Any:
    """ω: by how much the diffusion of SGD enlarges the random start, E m_i² -> (1 + ω) E m_i².

    At the start dm_i = (Λ/2) m_i dt + √(γV/(pd)) dB_i, independent for the units, with
    V = 4 E[e² λ_i² λ*²] = 4 (10 - 6/p + 8/p² + Δ). For Λt >> 1 the noise adds a Gaussian of
    variance γV/(pdΛ) to m_i(0), whose own variance is 1/d. So ω = γV/(pΛ).
    """
    variance = 4.0 * (10.0 - 6.0 / width + 8.0 / width**2 + noise)
    return step_size * variance / width / escape_rate(width=width, step_size=step_size, noise=noise)


def _flops(*, width: Any, average: str, draws: Any, **_: Any) -> Any:
    """Starts of one width are drawn once for a batch; counted for every point."""
    if average == "annealed":
        return 2e4 + 0.0 * width
    drawn = draws * (200.0 + 30.0 * width + 8.0 * width**2 + 0.2 * width**3)
    return np.where(np.asarray(width) == 1, 1e6, 1e7 + drawn)


@system.theory(
    version=1,
    gives=("exit_time", "diffusive_exit_time", "escape_rate", "standard_error"),
    cost=Cost(
        flops=_flops,
        memory=lambda *, draws, **_: 64 + 40 * draws,
        shared_memory=lambda **_: 2**27,
    ),
)
def exit_time(
    *,
    width: np.ndarray,
    step_size: np.ndarray,
    noise: np.ndarray,
    dimension: np.ndarray,
    exit_fraction: np.ndarray,
    average: str,
    draws: np.ndarray,
) -> dict[str, Any]:
    """Exit time from a random start, annealed or quenched (arXiv:2305.18502).

    With p = width, γ = step_size, Δ = noise, d = dimension, T = exit_fraction, and, for units u_j
    and a teacher v that are random unit vectors,

        μ_0 = d Σ_j (u_j·v)²,   τ_0 = 2d Σ_{j<l} (u_j·u_l)²,

    the risk is R = 1 + 1/p + τ/(p²d) - 2μ/(pd). **Derivation.** Near the start μ = μ_0 e^{Λt} with
    Λ of `escape_rate`, and τ, which decays at the rate 16/p for small γ, is set to zero at the exit
    (its share of the risk is of order 1/d whether it has decayed or not). R = (1-T) R(0) then gives

        t(μ_0, τ_0) = log{[T p(p+1)d + (1-T)(2pμ_0 - τ_0)]/(2pμ_0)} / Λ.

    `annealed` puts E μ_0 = p and E τ_0 = p(p-1) in: log{[T(p+1)d + (p+1)(1-T)]/(2p)}/Λ. `quenched`
    averages t over the law of the start, by quadrature at width 1 (exact to rounding); for more
    units E log μ_0 is a quadrature, and the rest an average over `draws` draws relative to its
    second-order expansion, whose `standard_error` is far below 1/√draws. The two differ by about
    1.27/Λ at width 1 (30 % at d = 500), because log μ_0 fluctuates. These are the published
    formulae: the re-derivation agrees with them, including the factor 2 in τ_0.

    **Validity.** The argument of the logarithm is positive for every start only if
    T > (p-1)/(2p); below, the average leaves out starts whose weight is exponentially small in T·d,
    and is refused if a draw is among them. T·d >> 1 is needed anyway.

    The formulae are linear in m²: the flow of `ode` exits later by a term of order T, for one unit
    and small γ by -log(1-T)/8, because growth slows down (logit m² grows as 8t there).

    The diffusion of SGD is left out of `exit_time`. It enlarges the start while that grows, and for
    large d the mean exit is earlier by log(1+ω)/Λ (ω of `diffusion`, about 6γ for one unit and
    small γ): `diffusive_exit_time` includes it. Fluctuations help to leave the start, while through
    Λ they slow down the growth.

    Status: no_solution, with the reason in words, where Λ <= 0 (too large a step: no escape; the
    outputs except `escape_rate` are NaN), or where the loss of the overlaps τ_0 between units alone
    lets the risk exit, so that the argument of the logarithm is below 1 on average or not positive
    for some starts. `steps` counts draws, `residual` is the standard error.
    """
    points = len(width)
    rate = escape_rate(width=width, step_size=step_size, noise=noise)
    logs, errors, lost = np.empty(points), np.zeros(points), np.zeros(points)
    if average == "annealed":
        shifted = exit_fraction * (width + 1.0) * dimension + (width + 1.0) * (1.0 - exit_fraction)
        logs[:] = np.log(shifted / (2.0 * width))
    else:
        groups: dict[tuple[int, int, int], list[int]] = {}
        for point, group in enumerate(
            zip(width.tolist(), dimension.tolist(), draws.tolist(), strict=True)
        ):
            groups.setdefault(group, []).append(point)
        for (p, d, count), members in groups.items():
            fraction = exit_fraction[members]
            start = mean_log_overlap(p, d)
            if p == 1:
                logs[members] = mean_log_shifted(fraction, d) - (start - np.log(d))
                continue
            mean, errors[members], lost[members] = mean_log_start(
                fraction * (p * (p + 1.0) * d), 1.0 - fraction, width=p, dimension=d, draws=count
            )
            logs[members] = mean - np.log(2.0 * p) - start
    messages = [
        _refusal(rate=rate[point], log=logs[point], lost=lost[point], average=average)
        for point in range(points)
    ]
    exists = np.array([not message for message in messages])
    with np.errstate(all="ignore"):
        time = np.where(exists, logs / rate, np.nan)
        omega = diffusion(width=width, step_size=step_size, noise=noise)
        diffusive = np.where(exists, (logs - np.log1p(omega)) / rate, np.nan)
        error = np.where(exists, errors / rate, np.nan)
    return {
        "exit_time": time,
        "diffusive_exit_time": np.where(diffusive > 0.0, diffusive, np.nan),
        "escape_rate": rate,
        "standard_error": error,
        "status": np.where(exists, Status.CONVERGED, Status.NO_SOLUTION),
        "steps": np.where((width > 1) & (average == "quenched"), draws, 0),
        "residual": np.where(exists, error, 0.0),
        "message": messages,
    }


def _refusal(*, rate: float, log: float, lost: float, average: str) -> str:
    """Why a point has no exit time; empty if it has one."""
    if not rate > 0.0:
        return (
            "no escape: step_size is too large, because "
            "(step_size/width)(1 + 1/width + 4/width^2 + noise/2) is not below 1"
        )
    if lost > 0.0:
        return (
            f"the formula does not hold: for a fraction {lost:.2g} of random starts the overlaps "
            "between units exceed what must be lost; take a larger exit_fraction or dimension"
        )
    if not log > 0.0:
        return (
            f"the {average} formula does not hold: the decay of the overlaps between units alone "
            "loses exit_fraction of the risk; take a larger exit_fraction or dimension"
        )
    return ""

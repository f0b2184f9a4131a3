"""The spectral estimate on random instances: the leading eigenvector."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import Integer, Real
from solvers.contract import Cost, Status
from solvers.numerics.lockstep import column_sums
from solvers.systems.spiked_wigner.instance import Instance
from solvers.systems.spiked_wigner.lanczos import leading
from solvers.systems.spiked_wigner.model import system


def wide(precision: Any) -> Any:
    """Size of a number over that of a single one."""
    return np.where(np.asarray(precision) == "double", 2.0, 1.0)


def lanczos_cost(*, dimension: Any, signal: Any, precision: Any) -> Any:
    """Nanoseconds of a point among some ten, with a share of drawing W."""
    n = np.asarray(dimension, dtype=float)
    steps = np.where(np.asarray(signal) > 1.05, 50.0, 12.0 * n ** (1 / 3))
    return 1e6 + 2.0 * n**2 + steps * (0.12 * wide(precision) * n**2 + steps * 1.0 * n)


def lanczos_memory(*, dimension: Any, precision: Any, **_: Any) -> Any:
    """The basis of a point."""
    n = np.asarray(dimension, dtype=float)
    return 4.0 * wide(precision) * n * (40.0 * n ** (1 / 3) + 40.0)


def matrix_memory(*, dimension: Any, precision: Any, **_: Any) -> Any:
    """W, twice while it is made symmetric."""
    return 9.0 * wide(precision) * np.asarray(dimension, dtype=float) ** 2 + 1e6


@system.simulation(
    version=2,
    gives=("spectral_overlap", "cosine", "eigenvalue"),
    size="dimension",
    shares=("dimension", "seed"),
    devices=("cpu", "gpu"),
    axes={
        "tolerance": Real(
            "residual |Y v - theta v| of the eigenvector",
            low=1e-12,
            high=1e-1,
            default=1e-6,
            symbol=r"\epsilon",
        ),
        "max_steps": Integer("most Lanczos steps", low=1, default=1000, symbol="n_{max}"),
    },
    cost=Cost(
        flops=lambda *, dimension, signal, precision, **_: lanczos_cost(
            dimension=dimension, signal=signal, precision=precision
        ),
        memory=lanczos_memory,
        shared_memory=matrix_memory,
    ),
)
def spectral(*, signal, prior, dimension, seed, tolerance, max_steps, precision, xp):
    """Leading eigenvector of Y by the Lanczos method (`lanczos`), all signals on one W.

    `spectral_overlap` = (v·x)²/|x|² of the unit eigenvector v, `cosine` its root. At and below the
    transition it is small but not zero: of the order of n^(-1/3) at λ = 1 and 1/n below.
    CONVERGED when the residual is at most `tolerance` (single precision reaches some 1e-6).
    """
    real = xp.float64 if precision == "double" else xp.float32
    instance = Instance.draw(
        signal=signal, prior=prior, dimension=dimension, seed=seed, xp=xp, dtype=real
    )
    found = leading(
        instance=instance,
        start=instance.normals("start", real),
        tolerance=tolerance,
        max_steps=max_steps,
    )
    along = column_sums(found.vector * instance.spike, xp)
    square = along**2 / float(column_sums(instance.spike**2, xp)[0])
    # A Krylov space that has become the whole space gives the eigenvector, whatever its residual.
    done = (found.residual <= tolerance) | (found.steps >= dimension)
    return {
        "spectral_overlap": square,
        "cosine": np.sqrt(square),
        "eigenvalue": found.value,
        "status": np.where(done, Status.CONVERGED, Status.MAX_STEPS),
        "steps": found.steps,
        "residual": found.residual,
    }

"""The built-in iterations on random matrices of finite dimension."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from solvers.contract import Cost, Status
from solvers.numerics import gfom
from solvers.systems.gfom import iterations
from solvers.systems.gfom.model import system
from solvers.systems.gfom.theory import build


def _wide(precision: Any) -> Any:
    return np.where(np.asarray(precision) == "double", 2.0, 1.0)


def _square(iteration: Any) -> bool:
    return "alpha" not in iterations.load(str(iteration)).PARAMETERS


def _entries(*, dimension: Any, alpha: Any, iteration: Any, **_: Any) -> Any:
    """Entries of the matrix."""
    columns = np.asarray(dimension, dtype=float)
    return columns**2 * (1.0 if _square(iteration) else np.asarray(alpha))


def _flops(*, dimension: Any, steps: Any, precision: Any, **axes: Any) -> Any:
    """Drawing the matrix once for some ten points, then its products; nanoseconds.

    Three times what a core took that multiplies single-precision matrices at 110 Gflop/s.
    """
    entries = _entries(dimension=dimension, **axes)
    reads = 1.0 if _square(axes["iteration"]) else 2.5
    products = 0.1 * _wide(precision) * reads * entries * (steps + 1)
    averages = 4e4 * (steps + 3) + dimension * (30.0 * steps + 0.6 * steps**2)
    return 0.7 * entries + products + averages


@system.simulation(
    version=2,
    gives=(
        "mean",
        "covariance",
        "moment",
        "risk",
        "final_moment",
        "final_risk",
        "final_variance",
        "samples",
    ),
    size="dimension",
    shares=("dimension", "seed", "steps"),
    devices=("cpu", "gpu"),
    cost=Cost(
        flops=_flops,
        memory=lambda *, dimension, alpha, steps, **_: (
            32.0 * (steps + 4) * dimension * (1 + np.asarray(alpha))
        ),
        shared_memory=lambda *, dimension, precision, **axes: (
            10.0 * _wide(precision) * _entries(dimension=dimension, **axes) + 1e6
        ),
    ),
)
def iterate(
    *,
    iteration,
    steps,
    alpha,
    gain,
    step_size,
    momentum,
    regularization,
    noise,
    sparsity,
    dimension,
    seed,
    precision,
    xp,
):
    """Run the iteration on one matrix, a function of (dimension, seed); averages over rows.

    All points of a batch advance in lockstep on the matrix: their iterates are the columns of one
    product, and on a CPU what a point gets does not depend on the others, to the last bit. A point
    of the rectangular cases sees the first `samples` = round(alpha·dimension) rows of one endless
    X. For amp the memory coefficient is the mean derivative on the instance. `moment`, `risk` and
    `covariance` are means over the rows of the instance; they differ from
    `law` by O(1/√dimension). Status NOT_FINITE where numbers overflow.
    """
    real = xp.float64 if precision == "double" else xp.float32
    given = {
        "alpha": alpha,
        "gain": gain,
        "step_size": step_size,
        "momentum": momentum,
        "regularization": regularization,
        "noise": noise,
        "sparsity": sparsity,
    }
    columns = {name: xp.asarray(column, dtype=real) for name, column in given.items()}
    case = build(iteration, steps, columns, xp)
    z, reference, block = case.iterate, case.reference, case.block
    with np.errstate(over="ignore", invalid="ignore"):
        run = gfom.simulate(case.iteration, dimension=dimension, seed=seed, xp=xp, dtype=real)
        answer = {
            name: np.stack(
                [run.expect(partial(function, t), block)[:, 0] for t in range(steps + 1)],
                axis=1,
            )
            for name, function in {
                "mean": z,
                "moment": lambda t, past: z(t, past) * reference(past),
                "risk": lambda t, past: (z(t, past) - reference(past)) ** 2,
            }.items()
        }
        products = run.second_moment(
            lambda past: _stacked([z(t, past) for t in range(steps + 1)], xp), block
        )
        covariance = products - answer["mean"][:, :, None] * answer["mean"][:, None, :]
    finite = np.isfinite(covariance[:, -1, -1])
    square = case.iteration.blocks.keys() == {"sites"}
    return {
        **answer,
        "covariance": covariance,
        "final_moment": answer["moment"][:, -1],
        "final_risk": answer["risk"][:, -1],
        "final_variance": covariance[:, -1, -1],
        "samples": np.full(len(alpha), dimension) if square else run.alpha * dimension + 0.5,
        "status": np.where(finite, Status.CONVERGED, Status.NOT_FINITE),
        "steps": steps,
        "residual": 0.0,
    }


def _stacked(iterates: list[Any], xp: Any) -> Any:
    """The iterates of all steps as columns."""
    return xp.concat(xp.broadcast_arrays(*iterates), axis=-1)

"""The law of the built-in iterations."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from solvers.contract import Cost, Status
from solvers.numerics import gfom
from solvers.numerics.gfom import Estimate, Law, Past
from solvers.systems.gfom import iterations
from solvers.systems.gfom.iterations import Case
from solvers.systems.gfom.model import PARAMETERS, system

Array = np.ndarray

_MEMORY = 2.5e8
"""Bytes of the process of the points that are solved together."""


def _exact(iteration: str, steps: int) -> bool:
    most = iterations.load(iteration).EXACT_STEPS
    return most is None or steps <= most


def _check(**axes: Any) -> None:
    iteration, steps = axes["iteration"], int(np.max(axes["steps"]))
    if axes["averages"] == "exact" and not _exact(iteration, steps):
        most = iterations.load(iteration).EXACT_STEPS
        reach = f"up to {most} steps" if most else "at no number of steps"
        raise ValueError(
            f"averages: exact, with iteration {iteration} and steps {steps}; exact averages reach "
            f"{reach} there; try averages=automatic or averages=paths"
        )


def _rows(*, iteration: Any, steps: Any, averages: Any, paths: Any, replicates: Any, **_: Any):
    """Rows on which the process of a point is held, at least."""
    sampled = averages == "paths" or not _exact(str(iteration), int(np.max(steps)))
    atoms = 2.0 if iteration == "ista" else 1.0
    held = atoms * 1.4 * np.asarray(paths, dtype=float) * np.asarray(replicates)
    return held if sampled else 4.0 * np.asarray(steps, dtype=float) + 8.0


def _flops(*, steps: Any, nodes: Any, **axes: Any) -> Any:
    rows = _rows(steps=steps, **axes)
    work = rows * (20.0 * steps**2 + 1.5 * steps**3) + 4e5 * steps**2 + 2e7
    if axes["iteration"] in ("tanh", "amp") and axes["averages"] != "paths":
        reach = steps**2 if axes["iteration"] == "amp" else np.minimum(steps, 3) ** 2
        work = work + 300.0 * reach * np.asarray(nodes, dtype=float) ** 2
    return work


def _memory(*, steps: Any, nodes: Any, **axes: Any) -> Any:
    grid: Any = 0.0
    if axes["iteration"] in ("tanh", "amp") and axes["averages"] != "paths":
        grid = 100.0 * np.asarray(nodes, dtype=float) ** (2 if axes["iteration"] == "amp" else 3)
    return 8.0 * _rows(steps=steps, **axes) * (steps + 4.0) ** 2 + grid + 1e4 * steps


@system.theory(
    version=1,
    gives=(
        "mean",
        "mean_error",
        "covariance",
        "covariance_error",
        "gaussian_covariance",
        "gaussian_covariance_error",
        "response",
        "response_error",
        "moment",
        "moment_error",
        "risk",
        "risk_error",
        "final_moment",
        "final_risk",
        "final_variance",
    ),
    shares=("steps", "nodes", "paths", "replicates", "path_seed"),
    cost=Cost(flops=_flops, memory=_memory, shared_memory=lambda **_: 5e7),
    check=_check,
)
def law(
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
    averages,
    nodes,
    paths,
    replicates,
    path_seed,
):
    """Law of the iterates as the dimension goes to infinity (docs/theory/gfom.md).

    `averages` = automatic: exact for the affine iterations (identity, identity_rectangular,
    gradient_descent, momentum) and to the precision of quadrature for amp, and for tanh up to two
    steps; over `paths` quasi-random paths in each of `replicates` replicates elsewhere. The
    standard errors are those of the mean over replicates, each of which follows a law of its own
    from start to end, so that errors of early steps are in those of late ones; they are zero where
    averages are exact. Errors of exact averages are in `residual`: the largest change of a
    covariance of Gaussian parts, over the largest one, when a quadrature has half the nodes (far
    larger than the error of the full one), and zero for affine iterations. For paths `residual` is
    the largest standard error of such a covariance over the largest one. Rows and columns of step 0
    in `response` and `gaussian_covariance` are zero: the start has no such part.

    Status NOT_FINITE where an iteration overflows, which takes a step size far beyond the stable
    ones and many steps; an iteration that grows has a law as good as any other.
    """
    given = {
        "alpha": alpha,
        "gain": gain,
        "step_size": step_size,
        "momentum": momentum,
        "regularization": regularization,
        "noise": noise,
        "sparsity": sparsity,
    }
    axes = {"iteration": iteration, "averages": averages, "paths": paths, "replicates": replicates}
    each = float(np.max(_memory(steps=float(steps), nodes=nodes, **axes)))
    number = max(1, int(_MEMORY / each))
    exact = averages != "paths" and _exact(iteration, steps)
    answers = []
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(alpha), number):
            part = {name: column[start : start + number] for name, column in given.items()}
            case = build(iteration, steps, part, np)
            if not exact:
                rule: Any = gfom.Paths(paths=paths, replicates=replicates, seed=path_seed)
            else:
                rule = gfom.Linear() if case.iteration.affine else gfom.Quadrature(nodes=nodes)
            solved = gfom.solve(case.iteration, rule)
            answer = _observe(case, solved, steps)
            sizes = np.max(np.abs(answer["gaussian_covariance"]), axis=(1, 2))
            error = np.max(answer["gaussian_covariance_error"], axis=(1, 2))
            if isinstance(rule, gfom.Quadrature):
                coarse = gfom.solve(case.iteration, gfom.Quadrature(nodes=(nodes + 1) // 2))
                change = _gaussian(case, coarse, steps)[0] - answer["gaussian_covariance"]
                error = np.max(np.abs(change), axis=(1, 2))
            residual = np.divide(error, sizes, out=np.zeros_like(error), where=sizes > 0)
            answers.append({**answer, "residual": residual})
    columns = {name: np.concatenate([a[name] for a in answers]) for name in answers[0]}
    finite = np.isfinite(columns["final_variance"]) & np.isfinite(columns["residual"])
    status = np.where(finite, Status.CONVERGED, Status.NOT_FINITE)
    return {**columns, "status": status, "steps": steps}


def build(iteration: str, steps: int, parameters: dict[str, Any], xp: Any) -> Case:
    """The case of some points, given columns of all parameters."""
    module = iterations.load(iteration)
    points = len(parameters["alpha"])
    used = {
        name: xp.reshape(xp.asarray(parameters[name]), (points, 1, 1, 1))
        for name in PARAMETERS
        if name in module.PARAMETERS
    }
    return module.build(steps=steps, points=points, xp=xp, **used)


def _observe(case: Case, solved: Law, steps: int) -> dict[str, Array]:
    """All observables, each of shape (points, ...)."""
    z, reference, block = case.iterate, case.reference, case.block
    answer: dict[str, Array] = {}

    def over_steps(name: str, function: Any) -> None:
        estimates = [solved.expect(partial(function, t), block) for t in range(steps + 1)]
        answer[name], answer[f"{name}_error"] = _stacked(estimates)

    over_steps("mean", z)
    over_steps("moment", lambda t, past: z(t, past) * reference(past))
    over_steps("risk", lambda t, past: (z(t, past) - reference(past)) ** 2)
    points = len(answer["mean"])
    value, error = (np.zeros((points, steps + 1, steps + 1)) for _ in range(2))
    for t in range(steps + 1):
        for s in range(t + 1):
            found = solved.expect(partial(_product, z, t, s), block)
            product = answer["mean"][:, t] * answer["mean"][:, s]
            value[:, t, s] = value[:, s, t] = found.value[:, 0] - product
            error[:, t, s] = error[:, s, t] = found.error[:, 0]
    answer["covariance"], answer["covariance_error"] = value, error
    answer["gaussian_covariance"], answer["gaussian_covariance_error"] = _gaussian(
        case, solved, steps
    )
    value, error = (np.zeros((points, steps + 1, steps + 1)) for _ in range(2))
    for t, s in case.response_pairs(steps):
        found = solved.response(t, s, case.response_block)
        value[:, t, s], error[:, t, s] = found.value[:, 0, 0], found.error[:, 0, 0]
    answer["response"], answer["response_error"] = value, error
    return {
        **answer,
        "final_moment": answer["moment"][:, -1],
        "final_risk": answer["risk"][:, -1],
        "final_variance": answer["covariance"][:, -1, -1],
    }


def _product(z: Any, t: int, s: int, past: Past) -> Any:
    return z(t, past) * z(s, past)


def _gaussian(case: Case, solved: Law, steps: int) -> tuple[Array, Array]:
    """Covariance of the Gaussian parts and its error; zero for step 0, which has none."""
    pairs = [(t, s) for t in range(1, steps + 1) for s in range(1, t + 1)]
    estimates = [solved.gaussian_covariance(t, s, case.block) for t, s in pairs]
    value, error = (np.zeros((len(estimates[0].value), steps + 1, steps + 1)) for _ in range(2))
    for (t, s), found in zip(pairs, estimates, strict=True):
        value[:, t, s] = value[:, s, t] = found.value[:, 0, 0]
        error[:, t, s] = error[:, s, t] = found.error[:, 0, 0]
    return value, error


def _stacked(estimates: list[Estimate]) -> tuple[Array, Array]:
    """Values and errors of several steps, (points, steps)."""
    return (
        np.stack([e.value[:, 0] for e in estimates], axis=1),
        np.stack([e.error[:, 0] for e in estimates], axis=1),
    )

"""Replica-symmetric (CGMT) prediction of convex empirical-risk minimisation."""

from __future__ import annotations

import numpy as np

from solvers.contract import Cost, Status
from solvers.systems.glm_erm.averages import Law
from solvers.systems.glm_erm.declaration import loss_fits_teacher, system
from solvers.systems.glm_erm.fixed_points import fixed_points, problem_of
from solvers.systems.glm_erm.ridge import ridge
from solvers.systems.glm_erm.saddle import training_loss
from solvers.systems.glm_erm.separability import alpha_separable

OBSERVABLES = (
    "overlap",
    "self_overlap",
    "mse",
    "training_loss",
    "objective",
    "classification_error",
    "margin",
    "susceptibility",
)


@system.theory(
    version=1,
    gives=OBSERVABLES,
    check=loss_fits_teacher,
    cost=Cost(
        flops=lambda *, loss, **_: np.select(
            [np.asarray(loss) == "square", np.asarray(loss) == "logistic"], [3e3, 2e6], 3e5
        ),
        memory=lambda **_: 500.0,
        shared_memory=lambda **_: 1e8,
    ),
)
def replica(*, alpha, loss, teacher, noise, regularization, tolerance, max_steps):
    """Overlaps, errors and losses of the minimiser at dimension to infinity.

    The equations are derived in `saddle` (logistic, hinge, max_margin), solved by Newton's method
    in log m, log σ, log V, and in `ridge` (square, closed form). With q = m² + σ²
    and T = 1 + noise:

        overlap m, self_overlap q, mse = (1 - m)² + σ², susceptibility V,
        classification_error = arccos(m/√(q T))/π, against a fresh label with its noise,
        training_loss = E ℓ(p), p the proximal map of V ℓ at the cavity field,
        objective = alpha·training_loss + λ q/2 (max_margin: q/2), margin = 1/√q (max_margin).

    **regularization = 0** is the limit 0+. square: least squares for alpha > 1, the interpolator of
    least norm for alpha < 1 (V infinite, given as NaN), NO_SOLUTION at alpha = 1, where the
    variance diverges. hinge: max_margin where the data are separable. logistic: NO_SOLUTION there,
    the norm diverging; classification_error, training_loss and objective are then the limits,
    those of the max-margin direction. max_margin: NO_SOLUTION where the data are not separable.
    Without samples the estimate is zero.

    CONVERGED when the residuals of (1), (2'), (3) in logarithms and the last Newton step are at
    most `tolerance`; that step has been taken, so that the error is far smaller. `residual` is the
    larger of the two before it, `steps` counts evaluations of the equations (0 in closed form).
    """
    return solve_replica(
        alpha=alpha,
        loss=loss,
        teacher=teacher,
        noise=noise,
        regularization=regularization,
        tolerance=tolerance,
        max_steps=max_steps,
    )


def solve_replica(*, alpha, loss, teacher, noise, regularization, tolerance, max_steps):
    """What `replica` returns."""
    answer = _empty(len(alpha))
    if loss == "square":
        _square(answer, alpha, teacher, noise, regularization)
        return answer
    some = alpha > 0
    _without_samples(answer, ~some, loss, regularization)
    hard = np.full(len(alpha), loss == "max_margin")
    unpenalised = some & (regularization == 0)
    separable = np.zeros(len(alpha), dtype=bool)
    separable[unpenalised] = alpha[unpenalised] < alpha_separable(noise[unpenalised])
    limit = unpenalised & separable & ~hard
    columns = {
        "alpha": alpha,
        "noise": noise,
        "regularization": regularization,
        "tolerance": tolerance,
        "max_steps": max_steps,
    }
    _fill(answer, (unpenalised & separable) & (hard | (loss == "hinge")), "max_margin", columns)
    _fill(answer, some & ~unpenalised, loss, columns)
    if loss == "max_margin":
        _refuse(answer, unpenalised & ~separable, "the data are not separable", columns)
    else:
        _fill(answer, unpenalised & ~separable, loss, columns)
    if loss == "hinge":
        answer["margin"][limit] = np.nan
        answer["objective"][limit] = 0.0
    elif loss == "logistic" and limit.any():
        _fill(answer, limit, "max_margin", columns)
        _diverge(answer, limit, columns)
    return answer


def _empty(points):
    answer = {name: np.full(points, np.nan) for name in OBSERVABLES}
    answer["status"] = np.full(points, Status.CONVERGED)
    answer["steps"] = np.zeros(points, dtype=int)
    answer["residual"] = np.zeros(points)
    answer["message"] = np.full(points, "", dtype=object)
    return answer


def _square(answer, alpha, teacher, noise, regularization):
    """Closed form."""
    found = ridge(alpha=alpha, regularization=regularization, teacher=teacher, noise=noise)
    sigma = found.pop("sigma")
    for name, values in found.items():
        answer[name][:] = values
    q = found["overlap"] ** 2 + sigma**2
    answer["self_overlap"][:] = q
    answer["objective"][:] = alpha * found["training_loss"] + 0.5 * regularization * q
    lost = ~np.isfinite(q)
    answer["objective"][lost] = 0.0
    answer["susceptibility"][~np.isfinite(found["susceptibility"])] = np.nan
    if teacher == "sign":
        answer["classification_error"][:] = classification_error(found["overlap"], sigma, noise)
        answer["classification_error"][lost] = 0.5
    answer["status"][lost] = Status.NO_SOLUTION
    answer["message"][lost] = (
        "at alpha = 1 the norm of the least-squares solution diverges; take regularization > 0"
    )


def _without_samples(answer, points, loss, regularization):
    """alpha = 0: the estimate is 0; the training loss is that of the first sample."""
    for name in ("overlap", "self_overlap", "objective"):
        answer[name][points] = 0.0
    answer["mse"][points] = 1.0
    answer["classification_error"][points] = 0.5
    answer["training_loss"][points] = 0.0
    free = np.flatnonzero(points & (regularization > 0))
    variance = 1.0 / regularization[free]
    answer["susceptibility"][free] = variance
    if loss != "max_margin":
        module = problem_of(loss=loss, alpha=variance, noise=variance, regularization=variance).loss
        point, _ = module.proximal(label=1.0, omega=np.zeros_like(variance), variance=variance)
        answer["training_loss"][free] = module.value(label=1.0, preactivation=point)


def _fill(answer, chosen, loss, columns):
    """Solve the chosen points for `loss` and write their observables."""
    points = np.flatnonzero(chosen)
    if not len(points):
        return
    part = {name: column[points] for name, column in columns.items()}
    problem = problem_of(
        loss=loss, alpha=part["alpha"], noise=part["noise"], regularization=part["regularization"]
    )
    found = fixed_points(problem, loss, tolerance=part["tolerance"], max_steps=part["max_steps"])
    found.x[~np.all(np.isfinite(found.x), axis=1)] = np.nan
    m, sigma = np.exp(found.x[:, 0]), np.exp(found.x[:, 1])
    q = m**2 + sigma**2
    answer["overlap"][points], answer["self_overlap"][points] = m, q
    answer["mse"][points] = (1.0 - m) ** 2 + sigma**2
    answer["classification_error"][points] = classification_error(m, sigma, part["noise"])
    fine = np.isfinite(q)
    training = np.full(len(points), np.nan)
    training[fine] = training_loss(problem.take(fine), found.x[fine])
    answer["training_loss"][points] = training
    if loss == "max_margin":
        answer["margin"][points] = 1.0 / np.sqrt(q)
        answer["objective"][points] = 0.5 * q
    else:
        answer["susceptibility"][points] = np.exp(found.x[:, 2])
        answer["objective"][points] = part["alpha"] * training + 0.5 * part["regularization"] * q
    answer["status"][points], answer["steps"][points] = found.status, found.steps
    answer["residual"][points] = found.residual


def _refuse(answer, chosen, reason, columns):
    for point in np.flatnonzero(chosen):
        end = alpha_separable(columns["noise"][point : point + 1])[0]
        answer["status"][point] = Status.NO_SOLUTION
        answer["message"][point] = (
            f"{reason} at alpha = {columns['alpha'][point]:g}: with this noise they are only below"
            f" {end:.6g}"
        )


def _diverge(answer, chosen, columns):
    """Logistic loss, separable data, no penalty: only direction and losses have a limit."""
    for name in ("overlap", "self_overlap", "mse", "margin", "susceptibility"):
        answer[name][chosen] = np.nan
    answer["training_loss"][chosen] = answer["objective"][chosen] = 0.0
    answer["status"][chosen] = Status.NO_SOLUTION
    answer["message"][chosen] = (
        "the data are separable: without a penalty the norm diverges, in the direction of"
        " loss=max_margin, whose classification_error is given"
    )


def classification_error(m: np.ndarray, sigma: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """arccos(m/√(q T))/π through the tangent, so that small errors are exact; 1/2 at zero."""
    law = Law(m, sigma, noise)
    error = np.arctan2(np.sqrt(law.total) * law.plane, m) / np.pi
    return np.where((m == 0) & (sigma == 0), 0.5, error)

"""Convex empirical-risk minimisation on random instances, to a certificate."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.axes import Real
from solvers.contract import Cost
from solvers.systems.glm_erm.declaration import loss_fits_teacher, system
from solvers.systems.glm_erm.solving.answer import Answer
from solvers.systems.glm_erm.solving.instance import Instance, Rows, samples_of
from solvers.systems.glm_erm.solving.margin import hinge, max_margin
from solvers.systems.glm_erm.solving.smooth import logistic, logistic_loss, square


def _flops(*, alpha, loss, regularization, dimension, **_):
    """Seconds of one core times 1e9, fitted to dimensions 100 to 8000 and alpha 1 to 5."""
    d = np.asarray(dimension, float)
    pass_ = 1e4 + 0.9 * alpha * d * d  # one reading of the inputs
    hard = np.log1p(1.0 / np.maximum(regularization, 1e-4))
    vertices = np.minimum(alpha, 1.0) ** 2 * d**3  # factorisations among the samples at the margin
    of = {
        "square": 5e5 + 10.0 * (1.0 + hard) * pass_,
        "logistic": 1e6 + 15.0 * (1.0 + hard) ** 1.1 * pass_,
        "hinge": 6e6 + 100.0 * pass_ + 0.09 * hard * (1.0 + alpha) * vertices,
        "max_margin": 6e6 + 60.0 * pass_ + 0.3 * (1.0 + alpha) * vertices,
    }
    loss = np.asarray(loss)
    return 3.0 * alpha * d * d + sum(np.where(loss == name, cost, 0.0) for name, cost in of.items())


@system.simulation(
    version=1,
    gives=(
        "overlap",
        "self_overlap",
        "mse",
        "training_loss",
        "objective",
        "classification_error",
        "margin",
        "separable",
        "samples",
    ),
    size="dimension",
    shares=("dimension", "seed"),
    devices=("cpu", "gpu"),
    check=loss_fits_teacher,
    axes={
        "tolerance": Real(
            "relative duality gap at which the minimisation ends",
            low=0,
            open="low",
            default=1e-12,
            symbol=r"\epsilon",
        ),
    },
    cost=Cost(
        flops=_flops,
        memory=lambda **_: 1e4,
        # The inputs, and inner products of as many of them as there are weights.
        shared_memory=lambda *, alpha, dimension, **_: (
            np.asarray(dimension, float) ** 2 * (12.0 * alpha + 40.0) + 1e5
        ),
    ),
)
def erm(
    *,
    alpha: np.ndarray,
    loss: str,
    teacher: str,
    noise: np.ndarray,
    regularization: np.ndarray,
    dimension: int,
    seed: int,
    design: str,
    tolerance: np.ndarray,
    max_steps: np.ndarray,
    xp: Any,
) -> dict[str, Any]:
    r"""The minimiser of sum_mu ℓ(y_mu, x_mu·w) + λ|w|²/2 on an instance, with its certificate.

    The instance is a function of (dimension, seed): points of other alpha see more or fewer of the
    same samples, points of other noise the same disturbances at another strength; gaussian and
    rademacher inputs have one teacher. samples = round(alpha·dimension). Every point is solved by
    itself from w = 0: its answer cannot depend on the other points of the batch.

    **Solvers** (in double precision; linear systems by conjugate gradients or a factorisation,
    whichever is cheaper, see `solving.ridge`):

        square      the normal equations, or their dual form where that is smaller
        logistic    Newton's method with the exact step length
        hinge, max_margin
                    method of multipliers with semismooth Newton steps (`solving.margin`)

    **Certificate.** `residual` is the relative duality gap (objective - dual value)/objective, a
    bound on the relative error of the objective; max_margin: upper bound on the margin over the
    margin, minus 1. Exceptions: square at λ = 0, squared relative length of the last refinement of
    w; logistic where the gap at the natural dual point exceeds 1000 times Newton's decrement,
    the latter (`solving.smooth`); samples that are not separable, the upper bound on the margin.
    CONVERGED means residual <= `tolerance`; iterations go on until √tolerance bounds the relative
    error of w as well, where rounding allows. MAX_STEPS otherwise, with the best w met. `steps`
    counts Newton steps, that is linear systems.

    **Separable or not** is asked where λ = 0 or the loss is max_margin, and both answers have a
    certificate: weights with all y x·w > 0, or Farkas multipliers whose upper bound on the margin
    is below 1e-10 (`separable`, 1 or 0; without either, UNDECIDED). max_margin on samples that are
    not separable, and logistic at λ = 0 on samples that are: NO_SOLUTION with a message, the latter
    with the classification_error of the limiting direction. hinge at λ = 0: max_margin if
    separable, otherwise the solution of the linear programme, certified by its dual.

    **Observables.** With r = |w*|²/d: overlap m = w·w*/d, self_overlap q = |w|²/d, mse =
    |w - w*|²/d, classification_error = arccos(m/√(q (r + noise)))/π, exact for gaussian inputs
    given w (1/2 for w = 0), training_loss = mean ℓ (NaN without samples), objective per weight
    (max_margin: q/2), margin = 1/√q. Deviations from the limit of large dimension: 1/√d for one
    instance, 1/d on average.

    Memory is that of the inputs, 8·alpha·d² bytes, and up to 30 d² for the inner products.
    """
    samples = samples_of(alpha=alpha, dimension=dimension)
    instance = Instance.draw(
        dimension=dimension,
        seed=seed,
        rows=int(samples.max(initial=0)),
        design=design,
        xp=xp,
    )
    table = []
    for point, count in enumerate(samples):
        rows = instance.rows(
            samples=int(count),
            teacher=teacher,
            noise=float(noise[point]),
            signed=loss != "square",
            xp=xp,
        )
        penalty = float(regularization[point])
        answer = _solve(
            loss,
            rows=rows,
            regularization=penalty,
            tolerance=float(tolerance[point]),
            max_steps=int(max_steps[point]),
            xp=xp,
        )
        table.append(
            _errors(answer, instance, teacher, float(noise[point]))
            | _losses(answer, rows, loss, penalty, xp)
            | {
                "separable": answer.separable,
                "samples": count,
                "status": answer.status,
                "steps": answer.steps,
                "residual": answer.residual,
                "message": answer.message,
            }
        )
    return {
        name: [row[name] for row in table]
        if name == "message"
        else np.array([row[name] for row in table])
        for name in table[0]
    }


def _solve(loss: str, *, regularization: float, **given: Any) -> Answer:
    if loss == "max_margin":
        return max_margin(**given)
    solver = {"square": square, "logistic": logistic, "hinge": hinge}[loss]
    return solver(regularization=regularization, **given)


def _errors(answer: Answer, instance: Instance, teacher: str, noise: float) -> dict[str, float]:
    """Observables that compare with the teacher."""
    found = dict.fromkeys(("overlap", "self_overlap", "mse", "classification_error"), math.nan)
    w = answer.direction if answer.weights is None else answer.weights
    if w is None:
        return found
    truth = instance.teacher
    dimension = truth.shape[0]
    m, r = float(w @ truth) / dimension, float(truth @ truth) / dimension
    if teacher == "sign":
        # Through the tangent of the angle: |w x w*|² without the cancellation of q r - m².
        aside = w - (m / r) * truth
        sine = float(aside @ aside) / dimension * (r + noise) + m * m * noise / r
        found["classification_error"] = math.atan2(math.sqrt(sine), m) / math.pi
        if not bool((w != 0).any()):
            found["classification_error"] = 0.5
    if answer.weights is not None:
        away = w - truth
        found["overlap"], found["self_overlap"] = m, float(w @ w) / dimension
        found["mse"] = float(away @ away) / dimension
    return found


def _losses(
    answer: Answer, rows: Rows, loss: str, regularization: float, xp: Any
) -> dict[str, float]:
    """Observables of the training samples."""
    found = dict.fromkeys(("training_loss", "objective", "margin"), math.nan)
    w = answer.weights
    if w is None:
        if answer.direction is not None:
            found["training_loss"] = found["objective"] = 0.0
        return found
    z, dimension = rows.forward(w), w.shape[0]
    q = float(w @ w) / dimension
    if loss == "max_margin":
        margin = 1.0 / math.sqrt(q) if q > 0 else math.nan
        return {"training_loss": 0.0, "objective": 0.5 * q, "margin": margin}
    if loss == "square":
        each = 0.5 * (rows.labels - z) ** 2
    elif loss == "logistic":
        each = logistic_loss(z, xp)
    else:
        each = xp.clip(1.0 - z, 0.0, math.inf)
    total = float(xp.sum(each))
    found["training_loss"] = total / z.shape[0] if z.shape[0] else math.nan
    found["objective"] = total / dimension + 0.5 * regularization * q
    return found

"""The regularization with the least error on fresh samples."""

from __future__ import annotations

import numpy as np

from solvers.axes import Choice
from solvers.contract import Cost, Status
from solvers.numerics.elementwise import find_root
from solvers.systems.glm_erm.declaration import PENALISED, loss_fits_teacher, system
from solvers.systems.glm_erm.fixed_points import fixed_points, problem_of
from solvers.systems.glm_erm.path import newton_step
from solvers.systems.glm_erm.replica import classification_error, solve_replica
from solvers.systems.glm_erm.ridge import label_moments
from solvers.systems.glm_erm.saddle import equations

_STEP = {"logistic": np.log(10.0) / 2, "hinge": np.log(10.0) / 8}
"""Distance in log λ of the values that are scanned for maxima; the slope of hinge falls off like a
Gaussian where no sample, or every sample, is beyond the kink."""
_INNER_TOLERANCE = 1e-10
_FLAT = 1e-13
"""Slopes of log(m/σ) smaller than this are rounding."""

_ZERO = "the error is least without regularization (the limit 0+)"
_INFINITE = (
    "within rounding the error falls up to infinite regularization, where the estimate points along"
    " the sum of y x over the samples; classification_error is that of this direction"
)
_NO_SAMPLES = "without samples every regularization is as good"


@system.theory(
    version=1,
    gives=(
        "optimal_regularization",
        "overlap",
        "self_overlap",
        "mse",
        "training_loss",
        "objective",
        "classification_error",
    ),
    axes={
        "loss": Choice(*PENALISED, description="loss of a sample", symbol=r"\ell"),
    },
    check=loss_fits_teacher,
    cost=Cost(
        flops=lambda *, loss, **_: np.where(np.asarray(loss) == "square", 5e3, 1.2e8),
        memory=lambda **_: 1e4,
        shared_memory=lambda **_: 2e8,
    ),
)
def optimal_regularization(*, alpha, loss, teacher, noise, tolerance, max_steps):
    """argmin over λ of the classification_error (sign teacher) or the mse (linear teacher).

    **square**, in closed form: with y = a z + rest (`ridge`) the penalised least-squares solution
    at λ = E rest²/a² is the posterior mean of a·w* under Gaussian rest, which no other λ can beat
    in mse or in correlation with w*:

        linear   λ = noise,          sign   λ = (π/2)(1 + noise) - 1,

    whatever alpha is. Without noise the linear teacher wants 0+.

    **logistic and hinge**: the error falls with m/σ. With x = (log m, log σ, log V) on the curve of
    fixed points F(x, log λ) = 0 of `saddle`, the slope of log(m/σ) in log λ comes from
    F_x dx = -F_λ dlog λ, exactly. It is scanned on a grid; every change of sign from rising to
    falling is refined as a root (Chandrupatla), and the best of all maxima, of λ = 0+ and of
    λ = infinity is taken. Logistic regression has one maximum, inside.
    For hinge it may lie at 0: with many samples and a little noise, and for alpha -> 0 without
    noise, where everything below some λ is max_margin within rounding. For noise far above 1 its
    advantage over λ = infinity may be lost in rounding: then optimal_regularization is NaN with
    status NO_SOLUTION and the limits of the other observables are given.

    `tolerance` is the relative accuracy of λ; `residual` is the slope of log(m/σ) per unit of the
    relative weight of the penalty, at the answer; `steps` counts evaluations of the slope.
    """
    points = len(alpha)
    if loss == "square":
        slope, rest = label_moments(teacher, noise)
        best = rest / slope**2
        answer = _observables(best, alpha, loss, teacher, noise, max_steps)
        answer["steps"], answer["residual"] = np.zeros(points, int), np.zeros(points)
        return answer
    best, found = np.full(points, np.nan), np.full(points, Status.CONVERGED)
    residual, steps = np.zeros(points), np.zeros(points, int)
    message = np.full(points, "", object)
    found[alpha == 0], message[alpha == 0] = Status.NO_SOLUTION, _NO_SAMPLES
    for point in np.flatnonzero(alpha > 0):
        one = slice(point, point + 1)
        curve = _Curve(loss, alpha[one], noise[one], max_steps[one])
        best[point], residual[point], found[point] = _best(curve, tolerance[point])
        steps[point] = curve.count
    message[best == 0] = _ZERO
    message[np.isinf(best)] = _INFINITE
    found[np.isinf(best)] = Status.NO_SOLUTION
    answer = _observables(best, alpha, loss, teacher, noise, max_steps)
    answer["optimal_regularization"][np.isinf(best)] = np.nan
    answer["status"] = np.where(found == Status.CONVERGED, answer["status"], found)
    return {**answer, "steps": steps, "residual": residual, "message": message}


class _Curve:
    """log(m/σ) of one point along log λ, and its slope over the relative weight of the penalty."""

    def __init__(self, loss, alpha, noise, max_steps):
        self.loss, self.alpha, self.noise, self.max_steps = loss, alpha, noise, max_steps
        self.count = 0

    def __call__(self, log_penalty):
        """Slope, log(m/σ) and whether it was found, at an array of log λ (-inf: not separable)."""
        shape = np.shape(log_penalty)
        s = np.ravel(log_penalty)
        every = np.zeros(len(s), int)
        problem = problem_of(
            loss=self.loss,
            alpha=self.alpha[every],
            noise=self.noise[every],
            regularization=np.exp(s),
        )
        self.count += len(s)
        solution = fixed_points(
            problem,
            self.loss,
            tolerance=np.full(len(s), _INNER_TOLERANCE),
            max_steps=self.max_steps[every],
        )
        here = equations(problem, solution.x)
        unit = np.zeros_like(solution.x)
        unit[:, 2] = -1.0
        rise, _ = newton_step(here.jacobian, unit)
        slope = rise[:, 0] - rise[:, 1]
        height = solution.x[:, 0] - solution.x[:, 1]
        fine = solution.status == Status.CONVERGED
        return tuple(column.reshape(shape) for column in (slope, height, fine))


def _best(curve, tolerance):
    """λ, residual and status of one point; λ may be 0 or inf."""
    alpha, noise = curve.alpha[0], curve.noise[0]
    hebb = alpha * np.sqrt(2.0 / np.pi / (1.0 + noise)) / np.sqrt(alpha)  # m/σ at infinity
    top = np.log(10.0 * (1.0 + noise) + 20.0 * np.sqrt(alpha * (1.0 + hebb**2)))
    bottom = np.log(1e-5) - 2.0 * np.log(max(1.0, alpha))
    grid = np.arange(top, bottom, -_STEP[curve.loss])
    slope, height, fine = curve(grid)
    if not fine.all():
        return np.nan, np.inf, Status.MAX_STEPS
    clear = np.flatnonzero(np.abs(slope) > _FLAT)
    if not len(clear):
        return np.inf, 0.0, Status.NO_SOLUTION
    candidates = []
    if slope[clear[0]] > 0:
        candidates.append((np.log(hebb), np.inf, 0.0))
    if slope[clear[-1]] < 0:
        candidates.append((height[-1], 0.0, 0.0))
    sign = np.sign(slope[clear])
    for i in np.flatnonzero((sign[:-1] < 0) & (sign[1:] > 0)):
        root = find_root(
            lambda s: curve(s)[0],
            (grid[clear[i + 1]], grid[clear[i]]),
            tolerances={"xatol": tolerance, "xrtol": 0.0, "fatol": 0.0, "frtol": 0.0},
        )
        residual, top_height, _ = curve(root.x)
        candidates.append((float(top_height), float(np.exp(root.x)), float(np.abs(residual))))
    _, best, residual = max(candidates)
    return best, residual, Status.CONVERGED


def _observables(best, alpha, loss, teacher, noise, max_steps):
    """What the minimiser at the best λ looks like; limits where that is infinite."""
    infinite = np.isinf(best)
    known = np.isfinite(best)
    found = solve_replica(
        alpha=alpha,
        loss=loss,
        teacher=teacher,
        noise=noise,
        regularization=np.where(known, best, 1.0),
        tolerance=np.full(len(alpha), _INNER_TOLERANCE),
        max_steps=max_steps,
    )
    answer = {
        name: np.where(known, found[name], np.nan)
        for name in (
            "overlap",
            "self_overlap",
            "mse",
            "training_loss",
            "objective",
            "classification_error",
        )
    }
    answer["optimal_regularization"] = best.copy()
    answer["status"] = found["status"]
    if infinite.any():  # the hinge loss of the estimate zero is 1
        for name, value in (("overlap", 0.0), ("self_overlap", 0.0), ("mse", 1.0)):
            answer[name][infinite] = value
        answer["training_loss"][infinite] = 1.0
        answer["objective"][infinite] = alpha[infinite]
        slope, _ = label_moments("sign", noise[infinite])
        m = np.sqrt(alpha[infinite]) * slope  # in units of σ
        answer["classification_error"][infinite] = classification_error(
            m, np.ones_like(m), noise[infinite]
        )
    return answer

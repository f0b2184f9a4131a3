"""Thresholds in alpha, read off the curve of all fixed points, and the phase of a point."""

from __future__ import annotations

import numpy as np

from solvers.contract import Cost, Status
from solvers.systems.glm_bayes.curve import Curve
from solvers.systems.glm_bayes.declaration import system
from solvers.systems.glm_bayes.model import Model
from solvers.systems.glm_bayes.tracing import trace, twelve_digits

_NAMES = ("alpha_it", "alpha_amp", "alpha_weak", "alpha_full")

_ROUNDS = 100
"""Most steps towards equal free entropies; Newton's method from a bracket needs about six."""

_POOR = 1e-9
"""A difference of free entropies, relative to their parts, that is not called zero."""


def evaluation(channel, noise):
    """Cost of one evaluation of the state-evolution map, as measured, in operations."""
    closed = np.isin(channel, ("linear", "sign")) | (np.asarray(noise) == 0)
    return np.where(closed, 8e3, 1e5)


@system.theory(
    version=2,
    gives=_NAMES,
    cost=Cost(
        flops=lambda *, channel, noise, **_: 3e6 + 300 * evaluation(channel, noise),
        memory=lambda **_: 2e4,
        shared_memory=lambda **_: 1e8,
    ),
)
def thresholds(*, prior, channel, sparsity, kappa, noise):
    """alpha_amp, alpha_it, alpha_weak and alpha_full from the branches of fixed points.

    All fixed points lie on an explicit curve log alpha(u), u = log s; its rising parts, and its two
    ends, are the branches (`curve.py`). Along a branch the free entropy grows with alpha by E log Z
    of one label, which grows with the overlap: of two branches, the one of larger overlap wins
    beyond the alpha where both weigh the same.

    * `alpha_weak` = lim s/E g^2 at u = -inf, for channels with P(y|z) = P(y|-z): zero overlap is
      stable below.
    * `alpha_amp`, if there are two branches or more: the highest top of all branches but the last.
      Below it message passing from an uninformed start may end on a lesser branch, beyond it never.
      It is a fold, d log alpha/du = 0, or alpha_weak, where the curve falls from u = -inf.
    * `alpha_it`, if there are two branches or more: the last branch, that of largest overlap, has
      the largest free entropy beyond. Where it is exact recovery from real labels without noise,
      its free entropy is infinite, and alpha_it is where it becomes stable: the fraction of
      non-zero weights for linear labels and Gaussian weights, 0 for binary weights.
    * `alpha_full`: the Bayes-optimal mean-square error is zero beyond. It is the limit of the curve
      at u = +inf if the free entropy of recovery is infinite, and alpha_it where it is not (binary
      weights with ±1 labels).

    `alpha_it` <= `alpha_amp`. No more than two branches were met in random scans over all models
    and parameters; of several transitions, the last one is given. What does not exist is NaN with
    the reason in `message`; NO_SOLUTION if none of the four exists, MAX_STEPS if no equal free
    entropies were found. Ends of the curve and folds are accurate to 1e-11, alpha_it to the
    rounding of the free entropy over the jump of E log Z. Numbers are given to 12 digits, so that a
    limit such as 1/2 meets an alpha of 1/2. `residual` is the difference of free entropies at
    alpha_it, `steps` the number of steps towards it.
    """
    points = len(noise)
    model = Model.of(prior=prior, channel=channel, sparsity=sparsity, kappa=kappa, noise=noise)
    found, status, steps, residual = read(trace(model, points))
    return {
        **found,
        "message": _messages(model, found),
        "status": status,
        "steps": steps,
        "residual": residual,
    }


def read(curve: Curve) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """The four thresholds of every model of a curve, with status, steps and residual."""
    models = len(curve.zero)
    count = curve.branches
    last = count - 1
    many = count > 1
    tops = np.where(np.arange(curve.top.shape[1]) < last[:, None], curve.top, -np.inf)
    log_amp = np.max(tops, axis=1)
    log_it, steps, residual, poor = _equal_free_entropies(curve)
    infinite = np.isposinf(_recovery_free_entropy(curve.model, models))
    log_full = np.where(infinite, curve.limit, np.where(many, log_it, np.nan))
    with np.errstate(over="ignore"):
        found = {
            "alpha_it": np.where(many, twelve_digits(np.exp(log_it)), np.nan),
            "alpha_amp": np.where(many, twelve_digits(np.exp(log_amp)), np.nan),
            "alpha_weak": np.where(
                np.isfinite(curve.zero), twelve_digits(np.exp(curve.zero)), np.nan
            ),
            "alpha_full": np.where(curve.limit < np.inf, twelve_digits(np.exp(log_full)), np.nan),
        }
    status = np.where(np.all(np.isnan(list(found.values())), axis=0), Status.NO_SOLUTION, 0)
    return found, np.where(poor, Status.MAX_STEPS, status), steps, residual


def phases(alpha: np.ndarray, found: dict[str, np.ndarray]) -> np.ndarray:
    """The phase of points at alpha, from the thresholds of their models.

    With a first-order transition: impossible below alpha_it, hard up to alpha_amp, easy from there.
    Without one the uninformed answer is optimal: easy, or impossible where it is zero overlap.
    """
    it, amp = found["alpha_it"], found["alpha_amp"]
    without = np.where(alpha > np.nan_to_num(found["alpha_weak"]), "easy", "impossible")
    nothing = (alpha < it) | (alpha == 0)  # alpha_it may be 0
    split = np.where(nothing, "impossible", np.where(alpha < amp, "hard", "easy"))
    return np.where(np.isnan(amp), without, split)


def _recovery_free_entropy(model, models):
    """E log Z of one label at exact recovery; +inf for real labels without noise."""
    return model.label_entropy(model.second_moment(models), np.zeros(models))


def _equal_free_entropies(curve):
    """log alpha at which the last branch overtakes all others; NaN if there is one branch only."""
    models = len(curve.zero)
    log_it, residual = np.full(models, np.nan), np.zeros(models)
    steps, poor = np.zeros(models, dtype=int), np.zeros(models, dtype=bool)
    last = curve.branches - 1
    infinite = np.isposinf(_recovery_free_entropy(curve.model, models))
    for branch in range(last.max(initial=0)):
        row = np.flatnonzero(last > branch)
        low = np.maximum(curve.bottom[row, branch], curve.bottom[row, last[row]])
        high = np.minimum(curve.top[row, branch], curve.top[row, last[row]])
        # Recovery of infinite free entropy overtakes where it appears.
        alone = infinite[row] & (curve.bottom[row, last[row]] == curve.limit[row])
        log_it[row[alone]] = curve.limit[row[alone]]
        rival = ~alone & (low < high)
        row, low, high = row[rival], low[rival], high[rival]
        if not len(row):
            continue
        equal, count, error, unfinished = _overtaking(curve, row, branch, last[row], low, high)
        log_it[row] = np.fmax(log_it[row], equal)
        steps[row] += count
        residual[row] = np.maximum(residual[row], error)
        poor[row] |= unfinished
    return log_it, steps, residual, poor


def _overtaking(curve, row, lower, upper, low, high):
    """log alpha where branch `upper` weighs as much as `lower`, in [low, high], for some models.

    With G = E log Z and P = I - s·deficit/2 the free entropy of a branch is alpha G - P, stationary
    in u: the root of D = alpha ΔG - ΔP is approached by Newton's method as alpha = ΔP/ΔG, with D
    increasing in alpha. `low` is answered if the upper branch wins all along, `high` if nowhere.
    """
    lower = np.full(len(row), lower)
    x, steps, residual = 0.5 * (low + high), np.zeros(len(row), int), np.full(len(row), np.inf)
    x = np.where(np.isinf(low), high - 1e-3, x)
    low, high = low.copy(), high.copy()
    active, poor = np.arange(len(row)), np.zeros(len(row), dtype=bool)
    for _ in range(_ROUNDS):
        if not len(active):
            break
        models = row[active]
        (p0, g0), (p1, g1) = (
            _weigh(curve, models, branch[active], x[active]) for branch in (lower, upper)
        )
        alpha = np.exp(x[active])
        with np.errstate(invalid="ignore", divide="ignore"):
            difference = alpha * (g1 - g0) - (p1 - p0)
            newton = np.log((p1 - p0) / (g1 - g0))
        steps[active] += 1
        residual[active] = np.abs(difference)
        low[active] = np.where(difference < 0, x[active], low[active])
        high[active] = np.where(difference > 0, x[active], high[active])
        a, b = low[active], high[active]
        good = (newton >= a) & (newton <= b)
        middle = np.where(np.isinf(a), b - 1.0, 0.5 * (a + b))
        following = np.where(good, newton, middle)
        done = (np.abs(following - x[active]) <= 1e-14) | (difference == 0) | (b - a <= 1e-14)
        x[active] = np.where(difference == 0, x[active], following)
        scale = np.abs(p0) + np.abs(p1) + alpha * (np.abs(g0) + np.abs(g1))
        poor[active] = ~done | ~(np.abs(difference) <= _POOR * scale)
        active = active[~done]
    return x, steps, residual, poor


def _weigh(curve, row, branch, log_alpha):
    """P = I - s·deficit/2 and G = E log Z at the fixed points of given branches."""
    u = curve.solve(row, branch, log_alpha)[0]
    with np.errstate(over="ignore"):
        snr = np.exp(u)
    model = curve.model.take(row)
    overlap, deficit = model.overlaps(snr)
    return -model.weight_entropy(snr, deficit), model.label_entropy(overlap, deficit)


def _messages(model, found):
    """Why thresholds do not exist, one sentence per point."""
    reasons = {
        "alpha_it, alpha_amp": (
            np.isnan(found["alpha_amp"]),
            "there is one branch of fixed points only, no first-order transition",
        ),
        "alpha_weak": (
            np.isnan(found["alpha_weak"]),
            "labels say nothing about the weights"
            if model.channel.EVEN
            else "one label already says something about the sign of the weights",
        ),
        "alpha_full": (
            np.isnan(found["alpha_full"]),
            "recovery is never exact, because of noise or because a label is a sign only",
        ),
    }
    texts = np.full(len(found["alpha_it"]), "", dtype=object)
    for names, (missing, reason) in reasons.items():
        texts[missing] += f"{names}: {reason}; "
    return [text.removesuffix("; ") for text in texts]

"""Data collapse: one master curve for all sizes, with the threshold and nu fitted.

    link(mean)(x, N) = f(t) + N^(-w) g(t),     t = (x - alpha_c) N^w,     w = 1/nu,

f = c0 + c1 t + c2 t^2 and, if the leading correction is asked for, g = g0 + g2 t^2. g0 shifts the
whole curve, which moves alpha at a level by N^(-2w); g2 is the bend of a non-linear scaling field,
x - alpha_c -> (x - alpha_c) + k (x - alpha_c)^2 (a term g1 t could not be told from nu). Both are
of the first order in N^(-w) (Wegner, Phys. Rev. B 5, 4529 (1972)). c0 is free: the height at
alpha_c is a result.

The data are the local fits of `curves.py`: their values on the link's scale at the two ends and the
middle of each window, with the covariance that the resamples of the seeds give. This keeps the
correlation between the points of nested instances out of chi-squared, which summing over points as
though they were independent would not. The fit is repeated for every resample; the spread is the
error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag

from phasesweep.scaling.crossings import LOST
from phasesweep.scaling.curves import OK, CurveFit, fit_curve, success
from phasesweep.scaling.extrapolation import judge
from phasesweep.scaling.samples import FEWEST, Sample, spread

NUS = (1 / 4, 8.0)


@dataclass(frozen=True)
class Collapse:
    """Threshold and nu with their standard errors; `height` is the mean at the threshold.

    `quality` = chi2/degrees_of_freedom, about 1 where the sizes fall on one curve within their
    errors.
    """

    value: float = float("nan")
    error: float = float("nan")
    nu: float = float("nan")
    nu_error: float = float("nan")
    height: float = float("nan")
    chi2: float = float("nan")
    degrees_of_freedom: int = 0
    corrected: bool = False
    status: str = OK

    @property
    def quality(self) -> float:
        """Chi-squared per degree of freedom."""
        return self.chi2 / self.degrees_of_freedom if self.degrees_of_freedom else float("nan")


def collapse(
    samples: list[Sample],
    *,
    level: float,
    correction: bool | None = None,
    resamples: int = 400,
    bootstrap_seed: int = 0,
) -> Collapse:
    """Fit (alpha_c, nu) to the curves of several sizes; the model is that of this module's head.

    Args:
        samples: one per size, three sizes at least. level: where the curves are looked at, 0.5 for
        a success probability. correction: with the leading correction to scaling or without; None
        tries without, and adds it
            where the sizes do not fall on one curve within their errors (probability below 5 %) and
            it makes them.

    `status` says why there is no answer, or that the fit is poor. Valid when the sizes are large
    enough for the first correction; alpha_c rests on the drift of the curves with size, so its
    error shrinks with their range as well as with the seeds.
    """
    fits = [
        fit_curve(sample, level=level, resamples=resamples, bootstrap_seed=bootstrap_seed)
        for sample in sorted(samples, key=lambda sample: sample.size)
    ]
    return collapse_fits(fits, correction=correction)


def collapse_fits(fits: list[CurveFit], *, correction: bool | None = None) -> Collapse:
    """The same from the local fits of the sizes; those that did not succeed are left out."""
    used = [f for f in fits if f.ok and not f.gap and f.seeds >= FEWEST]
    if len({fit.size for fit in used}) < 3:
        return Collapse(status=f"{len(used)} sizes have a resolved transition; 3 are needed")
    if correction is not None:
        return _fit(used, correction)
    plain = _fit(used, False)
    if (
        plain.degrees_of_freedom
        and judge(plain.chi2, plain.degrees_of_freedom, probable=0.05) == OK
    ):
        return plain
    corrected = _fit(used, True)
    return corrected if corrected.status == OK else plain


@dataclass(frozen=True)
class _Anchors:
    """Points (x, size) on the curves, values per resample, and the whitening of their errors."""

    x: np.ndarray
    size: np.ndarray
    values: np.ndarray
    whiten: np.ndarray


def _anchors(fits: list[CurveFit], mean_size: float) -> _Anchors | str:
    x, size, values, blocks = [], [], [], []
    for fit in fits:
        count = fit.coefficients.shape[1]
        places = np.array([-1.0, 1.0] if count == 2 else [-1.0, 0.0, 1.0])
        x.append(fit.centre + fit.half_width * places)
        size.append(np.full(count, fit.size / mean_size))
        values.append(fit.at(x[-1]))
        covariance = np.cov(values[-1][1:].T) * fit.seeds / (fit.seeds - 3)
        try:
            blocks.append(np.linalg.inv(np.linalg.cholesky(covariance)))
        except np.linalg.LinAlgError:
            return f"size {fit.size:g}: too few seeds for a covariance"
    whiten = block_diag(*blocks)
    return _Anchors(np.concatenate(x), np.concatenate(size), np.concatenate(values, axis=1), whiten)


def _fit(fits: list[CurveFit], correction: bool) -> Collapse:
    mean_size = float(np.exp(np.mean([np.log(fit.size) for fit in fits])))
    anchors = _anchors(fits, mean_size)
    if isinstance(anchors, str):
        return Collapse(status=anchors)
    unit = float(np.mean([fit.half_width for fit in fits]))
    origin = float(np.mean([fit.centre for fit in fits]))
    x, w = (anchors.x - origin) / unit, np.log(anchors.size)
    count = 7 if correction else 5
    dof = len(x) - count
    if dof < 1:
        return Collapse(corrected=correction, status="too few sizes for this many parameters")
    start = _start(x, w, anchors, correction)
    best, chi2 = _descend(start[None], x, w, anchors.values[:1], anchors.whiten)
    draws, _ = _descend(
        np.repeat(best, len(anchors.values) - 1, axis=0), x, w, anchors.values[1:], anchors.whiten
    )
    nus, values = np.exp(-draws[:, 1]), origin + unit * draws[:, 0]
    nu = float(np.exp(-best[0, 1]))
    lost = ~((nus > NUS[0]) & (nus < NUS[1]) & np.isfinite(values))
    status = judge(float(chi2[0]), dof)
    if not NUS[0] < nu < NUS[1] or np.mean(lost) > LOST:
        share = f"{np.mean(lost):.0%} of resamples lie outside {NUS[0]:g} to {NUS[1]:g}"
        status = f"nu is not determined: {share}"
    return Collapse(
        float(origin + unit * best[0, 0]), spread(values[~lost]), nu, spread(nus[~lost]),
        success(fits[0].link, float(best[0, 2])), float(chi2[0]), dof, correction, status,
    )  # fmt: skip


def _design(
    theta: np.ndarray, x: np.ndarray, log_size: np.ndarray, correction: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(t, the columns that the linear coefficients multiply), for parameters (resamples, 2+)."""
    stretch = np.exp(np.exp(theta[:, 1:2]) * log_size)
    t = (x - theta[:, :1]) * stretch
    columns = [np.ones_like(t), t, t**2]
    if correction:
        columns += [1 / stretch, t**2 / stretch]
    return t, np.stack(columns, axis=2)


def _start(x: np.ndarray, log_size: np.ndarray, anchors: _Anchors, correction: bool) -> np.ndarray:
    """The best of a coarse grid over (alpha_c, w); the coefficients are linear there."""
    centre, log_w = np.meshgrid(
        np.linspace(-2, 2, 41), np.log(np.geomspace(1 / 6, 3, 31)), indexing="ij"
    )
    grid = np.stack([centre.ravel(), log_w.ravel()], axis=1)
    _, columns = _design(grid, x, log_size, correction)
    matrix = anchors.whiten @ columns
    target = anchors.whiten @ anchors.values[0]
    normal = np.einsum("rmi,rmj->rij", matrix, matrix)
    normal += 1e-9 * np.einsum("rii->r", normal)[:, None, None] * np.eye(normal.shape[1])
    linear = np.linalg.solve(normal, np.einsum("rmi,m->ri", matrix, target)[..., None])[..., 0]
    chi2 = np.sum((np.einsum("rmi,ri->rm", matrix, linear) - target) ** 2, axis=1)
    best = int(np.argmin(chi2))
    return np.concatenate([grid[best], linear[best]])


def _descend(
    theta: np.ndarray, x: np.ndarray, log_size: np.ndarray, values: np.ndarray, whiten: np.ndarray,
    steps: int = 60,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Levenberg-Marquardt for all resamples at once; returns (parameters, chi2)."""
    correction = theta.shape[1] == 7
    damping = np.full(len(theta), 1e-3)
    theta = theta.copy()
    residual, jacobian = _residual(theta, x, log_size, values, whiten, correction)
    chi2 = np.sum(residual**2, axis=1)
    for _ in range(steps):
        normal = np.einsum("rmi,rmj->rij", jacobian, jacobian)
        scale = np.einsum("rii->ri", normal)[:, :, None] * np.eye(theta.shape[1])
        matrix = normal + damping[:, None, None] * scale + 1e-12 * np.eye(theta.shape[1])
        step = -np.linalg.solve(matrix, np.einsum("rmi,rm->ri", jacobian, residual)[..., None])[
            ..., 0
        ]
        # log w moves by half at most: the exponential of an exponential overflows soon.
        step *= np.minimum(1, 0.5 / np.maximum(np.abs(step[:, 1:2]), 1e-300))
        trial = theta + step
        trial[:, 1] = np.clip(trial[:, 1], np.log(0.05), np.log(10.0))
        new_residual, new_jacobian = _residual(trial, x, log_size, values, whiten, correction)
        new_chi2 = np.sum(new_residual**2, axis=1)
        better = new_chi2 < chi2
        settled = np.abs(new_chi2 - chi2) < 1e-10 * (1 + chi2)
        theta[better], chi2[better] = trial[better], new_chi2[better]
        residual[better], jacobian[better] = new_residual[better], new_jacobian[better]
        damping = np.clip(np.where(better, damping / 5, damping * 5), 1e-12, 1e12)
        if np.all(settled):
            break
    return theta, chi2


def _residual(
    theta: np.ndarray, x: np.ndarray, log_size: np.ndarray, values: np.ndarray, whiten: np.ndarray,
    correction: bool,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Whitened residuals (resamples, anchors); derivatives (resamples, anchors, parameters)."""
    t, columns = _design(theta, x, log_size, correction)
    linear = theta[:, 2:]
    w = np.exp(theta[:, 1:2])
    stretch = np.exp(w * log_size)
    slope = linear[:, 1:2] + 2 * linear[:, 2:3] * t
    by_log_w = slope * t
    if correction:
        slope = slope + 2 * linear[:, 4:5] * t / stretch
        # d/dw of N^(-w) (g0 + g2 t^2), over log N: the t^2 part gains 2 and loses 1.
        by_log_w = by_log_w + (linear[:, 4:5] * t**2 - linear[:, 3:4]) / stretch
    jacobian = np.concatenate(
        [(-slope * stretch)[..., None], (by_log_w * log_size * w)[..., None], columns], axis=2
    )
    residual = np.einsum("rmi,ri->rm", columns, linear) - values
    return residual @ whiten.T, whiten @ jacobian

"""Thresholds at infinite size from thresholds at a few sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution

from phasesweep.scaling.curves import OK

POOR = 0.003
"""A fit whose chi-squared is less probable than this is called poor."""
EXPONENTS = (0.2, 3.0)
"""The exponents among which one is fitted: nu from 1/3 to 5."""


@dataclass(frozen=True)
class Extrapolation:
    """value +- error at infinite size, with the amplitude b and exponent w of value + b size^(-w).

    `exponent_error` is 0 for a given exponent. `chi2` and `degrees_of_freedom` judge the fit.
    """

    value: float = float("nan")
    error: float = float("nan")
    exponent: float = float("nan")
    exponent_error: float = float("nan")
    amplitude: float = float("nan")
    chi2: float = float("nan")
    degrees_of_freedom: int = 0
    status: str = OK


def extrapolate(
    *,
    sizes: Sequence[float] | np.ndarray,
    values: Sequence[float] | np.ndarray,
    errors: Sequence[float] | np.ndarray | None = None,
    exponent: float | None = None,
) -> Extrapolation:
    """Fit value(size) = a + b size^(-w) by weighted least squares and return a.

    Args:
        sizes, values: one entry per size.
        errors: independent standard errors, all above 0; None for computed values without errors.
        exponent: w = 1/nu; None fits it, between 0.2 and 3.

    With w given, a and its error are those of the linear problem. With w fitted, the profile
    chi2(a) = min over b, w is used: the error is the longer arm of the interval where it lies
    within 1 of its least value (minos interval: James and Roos, Comput. Phys. Commun. 10, 343
    (1975)), which contains the correlation of w with a, and the same for w. Without errors the fit
    minimises the plain sum of squares and gives no error.

    Needs 2 sizes for a given w and 3 for a fitted one. `status` tells of too few sizes, of a poor
    chi-squared, and of an exponent that the data do not determine; the error then is that of the
    whole range of exponents. Valid when one power dominates over the sizes given.

    Raises ValueError for an exponent or an error that is not positive.
    """
    sizes, values = np.asarray(sizes, float), np.asarray(values, float)
    known = errors is not None
    errors = np.ones_like(values) if errors is None else np.asarray(errors, float)
    if exponent is not None and not exponent > 0:
        raise ValueError(f"the exponent must be above 0; given {exponent:g}")
    if not np.all(errors > 0):
        raise ValueError("every error must be above 0")
    needed = 3 if exponent is None else 2
    if len(np.unique(sizes)) < needed:
        what = "fit the exponent" if exponent is None else "extrapolate"
        return Extrapolation(
            status=f"{len(sizes)} sizes have a value; {needed} are needed to {what}"
        )
    if exponent is not None:
        a, variance, b, chi2 = (
            part[0] for part in _lines(sizes, values, errors, np.array([exponent]))
        )
        dof = len(sizes) - 2
        if not known:
            return Extrapolation(
                float(a), exponent=exponent, exponent_error=0.0, amplitude=float(b)
            )
        return Extrapolation(
            float(a), float(np.sqrt(variance)), exponent, 0.0, float(b), float(chi2), dof,
            judge(float(chi2), dof),
        )  # fmt: skip
    return _profile(sizes, values, errors, known)


def judge(chi2: float, degrees_of_freedom: int, *, probable: float = POOR) -> str:
    """Name a fit poor if a chi-squared this large is less probable than `probable`; else "ok"."""
    if degrees_of_freedom > 0 and chi2_distribution.sf(chi2, degrees_of_freedom) < probable:
        return f"poor fit: chi-squared {chi2:.1f} for {degrees_of_freedom} degrees of freedom"
    return OK


def _lines(
    sizes: np.ndarray, values: np.ndarray, errors: np.ndarray, exponents: np.ndarray
) -> tuple[np.ndarray, ...]:
    """(a, variance of a, b, chi2), each of the shape of `exponents`, of weighted straight lines."""
    t = sizes[None, :] ** -exponents[:, None]
    weight = errors**-2.0
    total, mean_t = weight.sum(), (t @ weight) / weight.sum()
    mean_y = values @ weight / total
    dt, dy = t - mean_t[:, None], values - mean_y
    stt = dt**2 @ weight
    b = (dt * dy) @ weight / stt
    a = mean_y - b * mean_t
    chi2 = ((dy - b[:, None] * dt) ** 2) @ weight
    return a, 1 / total + mean_t**2 / stt, b, chi2


def _profile(
    sizes: np.ndarray, values: np.ndarray, errors: np.ndarray, known: bool
) -> Extrapolation:
    w = np.geomspace(*EXPONENTS, 2001)
    for _ in range(2):
        # A coarse grid for the interval, with fine ones around the least value.
        best = int(np.argmin(_lines(sizes, values, errors, w)[3]))
        w = np.union1d(w, np.linspace(w[max(best - 1, 0)], w[min(best + 1, len(w) - 1)], 201))
    a, variance, b, chi2 = _lines(sizes, values, errors, w)
    best = int(np.argmin(chi2))
    dof = len(sizes) - 3
    if not known:
        exponent, shift = float(w[best]), float(np.max(np.abs(b[best] * sizes ** -w[best])))
        if shift < 1e-9 * max(1.0, float(np.max(np.abs(values)))):
            # Equal values to rounding: there is no power to tell.
            return Extrapolation(float(np.mean(values)), amplitude=0.0)
        return Extrapolation(float(a[best]), exponent=exponent, amplitude=float(b[best]))
    slack = chi2[best] + 1 - chi2
    inside = slack >= 0
    # For each w, chi2 <= min + 1 holds for |a' - a(w)| <= sqrt(variance · slack).
    reach = np.sqrt(variance[inside] * slack[inside])
    farthest = np.max(np.abs(a[inside] - a[best]) + reach)
    farthest_w = np.max(np.abs(w[inside] - w[best]))
    status = judge(float(chi2[best]), dof)
    if status == OK and (inside[0] or inside[-1]):
        bounds = f"{w[inside][0]:.2g} to {w[inside][-1]:.2g}"
        status = f"the exponent is not determined: {bounds} fit; the error covers them"
    return Extrapolation(
        float(a[best]), float(farthest), float(w[best]),
        float(farthest_w), float(b[best]), float(chi2[best]), dof, status,
    )  # fmt: skip

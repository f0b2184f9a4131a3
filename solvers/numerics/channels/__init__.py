"""Output channels of a generalised linear model: one file each, found by listing this folder.

The preactivation z = x·w ~ N(0, rho) is seen through P(y | z). What is known of z is a Gaussian
N(omega, variance); with deficit V = rho - q, state evolution has omega ~ N(0, q): rho = overlap +
deficit, whatever it is. With Z(y; omega, V) = ∫ dz N(z; omega, V) P(y | z) the file `NAME.py` of a
channel holds

    PARAMETERS                      names of the axes it depends on, such as ("noise",); every
                                    function takes them as keyword arguments, columns that broadcast
    LABELS                          "sign" if y = ±1, "real" if y is a number
    EVEN                            True if P(y | z) = P(y | -z): then E g^2 = 0 at overlap 0, which
                                    is a fixed point for symmetric priors
    snr(overlap, deficit)           per sample: E g^2 with g = ∂_omega log Z(y; omega, V), and its
                                    elasticity d log(E g^2)/d log(deficit) at fixed rho. Full
                                    relative accuracy as the overlap or the deficit tends to zero,
                                    and at noise = 0, where E g^2 is infinite at deficit 0 and the
                                    elasticity is its limit. At overlap 0 of an EVEN channel the
                                    elasticity is -inf or NaN
    free_entropy(overlap, deficit)  per sample: E log Z(y; omega, V) of the normalised density; its
                                    derivative in q is E g^2/2. +inf where that density diverges
    errors(overlap, deficit)        classification_error (NaN for real labels) and label_mse =
                                    E(y - ⟨y⟩)^2 of the Bayes-optimal answers, against a fresh label
                                    with its noise
    measured_errors(self_overlap, overlap, second_moment, variance)   the same for an estimate
                                    with |ŵ|²/d = self_overlap, ŵ·w/d = overlap, |w|²/d =
                                    second_moment and posterior variance `variance`, on a fresh
                                    input, over which it integrates exactly
    denoise(label, omega, variance)    g and -∂_omega g
    log_normalisation(label, omega, variance)   log Z
    sample(preactivation, stream, start)        labels of the samples start, start + 1, ... of an
                                    instance; preactivation has shape (samples, 1) or (samples,
                                    points), parameters shape (points,), the labels shape (samples,
                                    points)

The last three take the array namespace `xp`. `denoise` is decorated with its formula for one
element in CUDA, which a GPU computes in its place (`numerics/cuda/fused.py`). Samples per weight,
alpha, multiply `snr` and `free_entropy` outside. For matched (Bayes) averages E g^2 = -E ∂_omega g
and d(E g^2)/dq = E (∂_omega g)^2 for every channel, which gives the elasticity.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def names() -> tuple[str, ...]:
    """Every channel there is."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Any:
    """The module of one channel."""
    return importlib.import_module(f"{__name__}.{name}")

"""Output channels of a generalised linear model: one file each, found by listing this folder.

The preactivation z = x·w ~ N(0, rho) is seen through P(y | z). What is known of z is a Gaussian
N(omega, variance); with deficit V = rho - q, state evolution has omega ~ N(0, q). With
Z(y; omega, V) = ∫ dz N(z; omega, V) P(y | z) the file `NAME.py` of a channel holds

    PARAMETERS                      names of the axes it depends on, such as ("noise",); every
                                    function takes them as keyword arguments, columns that broadcast
    snr(overlap, deficit)           per sample: E g^2 with g = ∂_omega log Z(y; omega, V), and its
                                    elasticity d log(E g^2)/d log(deficit) at fixed rho
    free_entropy(overlap, deficit)  per sample: E log Z(y; omega, V); its derivative in q is E g^2/2
    errors(overlap, deficit)        classification_error and label_mse of the Bayes-optimal answers
    measured_errors(self_overlap, overlap, second_moment, variance)   the same for an estimate
                                    with |ŵ|²/d = self_overlap, ŵ·w/d = overlap, |w|²/d =
                                    second_moment and posterior variance `variance`, on a fresh
                                    input
    denoise(label, omega, variance)    g and -∂_omega g
    log_normalisation(label, omega, variance)   log Z
    sample(preactivation, stream, start)        labels of the samples start, start + 1, ... of an
                                    instance; preactivation has shape (samples, 1), parameters
                                    shape (points,), the labels shape (samples, points)

The last three take the array namespace `xp`. Samples per weight, alpha, multiply `snr` and
`free_entropy` outside.
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

"""Priors of one weight: one file each, found by listing this folder.

A weight w ~ P is seen through a Gaussian channel: message passing, state evolution and the free
entropy need nothing else of it. The file `NAME.py` of a prior holds

    PARAMETERS                 names of the axes it depends on, such as ("sparsity",); EVERY
                               function takes them as keyword arguments, columns that broadcast
    second_moment()            rho = E w^2
    overlap(snr)               at B = snr·w + √snr·Z: overlap q = E⟨w⟩^2, deficit rho - q, and the
                               elasticity d log(deficit)/d log(snr). Both q and rho - q have full
                               relative accuracy, whichever is small; snr may be 0 and inf
    mutual_information(snr)    I(w; B) = snr·rho/2 - E log ∫P(dw') exp(B w' - snr w'^2/2)
    denoise(precision, field)  mean and variance of P(w) exp(field·w - precision·w^2/2) / Z
    log_normalisation(precision, field)   log Z of the same law
    sample(stream, dimension)  independent weights, shape (dimension, 1), or (dimension, points)
                               where a parameter is a column of several points; a column is a
                               function of the stream and of the parameters of its own point

`snr` is the conjugate order parameter (q̂ in most papers). The last three take the array namespace
`xp` and work on its arrays; `denoise` is decorated with its formula for one element in CUDA, which
a GPU computes in its place (`numerics/cuda/fused.py`). Every prior is symmetric, P(w) = P(-w).
Identities that tie them together, and that the tests use: Nishimori E⟨w⟩^2 = E w⟨w⟩, d I/d snr =
(rho - q)/2 and d q/d snr = E (variance^2) (Guo, Shamai and Verdu, IEEE Trans. Inf. Theory 51, 1261
(2005)).
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def names() -> tuple[str, ...]:
    """Every prior there is."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Any:
    """The module of one prior."""
    return importlib.import_module(f"{__name__}.{name}")

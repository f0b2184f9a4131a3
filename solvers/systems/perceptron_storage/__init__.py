r"""Storage of random patterns by a perceptron with spherical or binary weights.

**Model.** Patterns x_mu with independent N(0, 1/dimension) entries and labels y_mu = ±1, mu = 1 ...
alpha·dimension. A weight vector w, spherical (|w|^2 = dimension) or binary (w_i = ±1), satisfies
pattern mu if with z_mu = x_mu·w, a N(0, 1) variable for fixed w,

    step        y_mu z_mu > kappa
    rectangle   |z_mu| < kappa
    ushape      |z_mu| > kappa

The instance is satisfiable if one w satisfies all. The capacity alpha_c is where that stops to be
typical for dimension to infinity; below it there is the entropy of solutions, above it the ground
state energy E_GS, the least number of violated constraints per weight, and with it, at kappa = 0,
the Rademacher complexity of the class of sign perceptrons, E_GS = (alpha/2)(1 - R).

**Methods.** `capacity` and `replica` for dimension to infinity; `cover`, the exact probability of
separability; `max_margin` decides spherical instances with certificates; `enumeration` counts all
binary solutions; `reinforced_bp` looks for one at large dimension.

**Symbols.** alpha samples per weight, kappa margin, q overlap of two solutions, Dt the standard
normal measure, H(x) = P(N(0, 1) > x), phi its density.
"""

from solvers.systems.perceptron_storage import (
    capacity,
    cover,
    enumeration,
    max_margin,
    reinforced_bp,
    replica,
)
from solvers.systems.perceptron_storage.model import system

__all__ = ["capacity", "cover", "enumeration", "max_margin", "reinforced_bp", "replica", "system"]

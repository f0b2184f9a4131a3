"""What the minimisation for one point ends with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from solvers.contract import Status


@dataclass(frozen=True)
class Answer:
    """Weights (None where there are none) with their certificate.

    `residual` is the relative certificate that the method's docstring defines. `separable` is 1 or
    0 where the method had to decide whether some w gives every sample its label, otherwise NaN.
    `direction` is where the weights go that diverge.
    """

    weights: Any
    status: Status
    steps: int
    residual: float
    separable: float = math.nan
    message: str = ""
    direction: Any = None


def settled(residual: float, tolerance: float) -> Status:
    """CONVERGED if the certificate is met (and finite), otherwise MAX_STEPS."""
    return Status.CONVERGED if residual <= tolerance else Status.MAX_STEPS

"""Wide networks: first corrections in depth/width."""

from solvers.systems.finite_width import theory
from solvers.systems.finite_width.ensemble import simulation
from solvers.systems.finite_width.model import system

__all__ = ["simulation", "system", "theory"]

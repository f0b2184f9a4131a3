"""Wide networks: first corrections in depth/width."""

from solvers.systems.finite_width import depth_theory, theory, trained_theory
from solvers.systems.finite_width.ensemble import simulation
from solvers.systems.finite_width.model import system

__all__ = ["depth_theory", "simulation", "system", "theory", "trained_theory"]

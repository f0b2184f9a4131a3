"""Full-batch gradient descent of a two-layer network at samples = alpha · dimension."""

from solvers.systems.dmft_two_layer import simulation, theory
from solvers.systems.dmft_two_layer.model import system

__all__ = ["simulation", "system", "theory"]

"""The physics: systems, their theory and their simulations. Knows nothing of sweeps or clusters."""

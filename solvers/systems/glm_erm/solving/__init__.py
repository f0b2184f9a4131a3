"""Convex optimisation of the empirical risk of one instance, to a certificate."""

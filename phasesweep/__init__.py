"""Distributed sweeps and a cache of results for the statistical physics of learning."""

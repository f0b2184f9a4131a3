"""What tests of sgd_two_layer share: one batch of a method, and overlaps of random weights."""

import numpy as np

from solvers.contract import load_system

METHODS = load_system("sgd_two_layer").methods


def solve(method, **given):
    """One batch; scalars given for column axes are repeated, everything else has its default."""
    declared = METHODS[method]
    values = {name: given.get(name, axis.default) for name, axis in declared.axes.items()}
    values["initial"] = declared.axes["initial"].parse(values["initial"])
    values["times"] = declared.axes["times"].parse(values["times"])
    points = max(np.size(values[name]) for name in declared.columns)
    columns = {n: np.broadcast_to(values[n], points) for n in declared.columns}
    return declared(points, values | columns)


def random_overlaps(width, teacher_width, seed, dimension=9):
    """Q, M and P."""
    weights = np.random.default_rng(seed).normal(size=(width + teacher_width, dimension))
    weights *= np.random.default_rng(seed + 99).uniform(0.4, 1.2, size=(len(weights), 1))
    joint = weights @ weights.T / dimension
    return joint[:width, :width], joint[:width, width:], joint[width:, width:]

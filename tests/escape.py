"""What tests of escape_mediocrity share: one batch of a method, and overlaps of random weights."""

import numpy as np

from solvers.contract import load_system

METHODS = load_system("escape_mediocrity").methods


def solve(method, **given):
    """One batch; scalars given for column axes are repeated, everything else has its default."""
    declared = METHODS[method]
    values = {name: given.get(name, axis.default) for name, axis in declared.axes.items()}
    for name in {"initial", "times"} & set(values):
        values[name] = declared.axes[name].parse(values[name])
    points = max(np.size(values[name]) for name in declared.columns)
    columns = {n: np.broadcast_to(values[n], points) for n in declared.columns}
    return declared(points, values | columns)


def random_overlaps(width, seed):
    weights = np.random.default_rng(seed).normal(size=(width + 1, width + 3))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    joint = weights @ weights.T
    return joint[:width, :width], joint[:width, width]

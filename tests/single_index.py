"""What tests of single_index share: one batch of a method, and agreement within errors."""

import numpy as np

from solvers.contract import load_system

METHODS = load_system("single_index").methods


def solve(method, **given):
    """One batch; scalars given for column axes are repeated, everything else has its default."""
    declared = METHODS[method]
    values = {}
    for name, axis in declared.axes.items():
        values[name] = given.get(name, axis.otherwise if axis.when else axis.default)
    if "times" in values:
        values["times"] = declared.axes["times"].parse(values["times"])
    points = max(np.size(values[name]) for name in declared.columns)
    columns = {n: np.broadcast_to(values[n], points) for n in declared.columns}
    return declared(points, values | columns)


def agree(one, other, error, sigmas=4.0, floor=0.0):
    assert abs(one - other) < sigmas * error + floor, (one, other, error)

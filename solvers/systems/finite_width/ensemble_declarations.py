"""What the simulations of this system add to its declaration: axes, observables, demo, limits.

`model` joins these with what the theory declares. The methods themselves stand in `ensemble`.
"""

from __future__ import annotations

from typing import Any

from solvers.axes import Axis, Choice, Integer, Real, Sequence
from solvers.contract import Limit, Observable
from solvers.systems.infinite_width.activations import ACTIVATIONS
from solvers.systems.infinite_width.model import system as infinite_width

SMOOTH_ACTIVATION = Choice(
    *(name for name in ACTIVATIONS if name not in ("step", "relu")),
    description="activation function without a kink",
)

SINGLE_NORM = Real(
    "norm |x|/√n_0 of the input", low=0, open="low", default=1.0, symbol=r"|x|/\sqrt{n_0}"
)

AXES: dict[str, Axis] = {
    "width": Integer("number of units of every hidden layer", low=2, symbol="n"),
    "networks": Integer("networks per seed", low=2, default=1000),
    "seed": Integer("random seed", low=0, default=0),
    "dataset": infinite_width.axes["dataset"],
    "step_size": Real(
        "step size of gradient descent, on the summed loss", low=0, open="low", symbol=r"\eta"
    ),
    "times": Sequence(
        "recorded numbers of steps, rounded to whole ones",
        dim="time",
        low=0.0,
        default=(0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0),
        symbol="t",
    ),
}
OBSERVABLES: dict[str, Observable] = {
    "vertex_ratio_error": Observable("standard error of vertex_ratio over networks"),
    "mean": Observable(
        "mean over networks of the trained outputs", "m", dims=("time", "test_input", "output")
    ),
    "variance": Observable(
        "variance over networks of a trained output", r"\Sigma", dims=("time", "test_input")
    ),
    "final_loss": Observable("mean training loss after the last step", r"\mathcal{L}"),
    "diverged_fraction": Observable("share of networks that grew out of bounds"),
}
DEMO: dict[str, dict[str, Any]] = {
    "ensemble": {"depth": 4, "width": 16, "networks": 100, "seed": {"count": 2}},
    "derivative_ensemble": {
        "activation": ["tanh"],
        "depth": 3,
        "width": 8,
        "networks": 50,
        "seed": {"count": 2},
    },
    "trained_ensemble": {
        "depth": 2,
        "width": 8,
        "networks": 20,
        "seed": {"count": 2},
        "step_size": 0.02,
        "times": [0, 1, 10],
    },
}
LIMITS: list[Limit] = []

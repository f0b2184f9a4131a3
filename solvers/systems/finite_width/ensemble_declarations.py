"""What the simulations of this system add to its declaration: axes, observables, demo, limits.

`model` joins these with what the theory declares. The methods stand in `simulation`, what they
compute in `ensemble`.
"""

from __future__ import annotations

from typing import Any

from solvers.axes import Axis, Choice, File, Integer, Real, Sequence
from solvers.contract import Limit, Observable
from solvers.systems.infinite_width.activations import ACTIVATIONS

SMOOTH_ACTIVATION = Choice(
    *(name for name in ACTIVATIONS if name not in ("step", "relu")),
    description="activation function without a kink",
)

SINGLE_NORM = Real(
    "norm |x|/√n_0 of the input", low=0, open="low", default=1.0, symbol=r"|x|/\sqrt{n_0}"
)

DESCENT = Choice(
    "gradient_descent",
    description="full-batch steps of a finite size",
    default="gradient_descent",
)
DATASET = File(
    "training inputs and targets (a row each) and test inputs: those of the theory of trained "
    "networks, of this system (pair) or of infinite_width (circle), or a file",
    names=("train_inputs", "targets", "test_inputs"),
    words=("pair", "circle"),
    default="pair",
)

AXES: dict[str, Axis] = {
    "networks": Integer("networks per seed", low=2, default=1000, symbol="M"),
    "seed": Integer("random seed", low=0, default=0, symbol="s"),
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
    "trained_mean": Observable(
        "mean over networks of the trained outputs", "m", dims=("time", "test_input", "output")
    ),
    "trained_variance": Observable(
        "variance over networks of the trained outputs",
        r"\Sigma",
        dims=("time", "test_input", "output"),
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

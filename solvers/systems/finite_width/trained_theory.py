"""The method `trained`: outputs after gradient descent, with their first correction in 1/width."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.axes import FileContent
from solvers.contract import Cost, Status
from solvers.systems.finite_width.model import system
from solvers.systems.finite_width.recursion import layers
from solvers.systems.finite_width.theory import ending, layer_flops
from solvers.systems.finite_width.trained import correction, projectors
from solvers.systems.infinite_width.recursion import gram
from solvers.systems.infinite_width.trained import trained as infinite

Array = np.ndarray
_SINGULAR = 1e-10


def pair_of_inputs() -> tuple[Array, Array, Array]:
    """Training inputs of norm √2 at angles 0 and 2π/3, targets 1 and -1/2, test input at π/4."""
    angles = np.array([0.0, 2.0 / 3.0, 0.25]) * math.pi
    inputs = math.sqrt(2.0) * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return inputs[:2], np.array([[1.0], [-0.5]]), inputs[2:]


def data_of(dataset: str | FileContent) -> tuple[Array, Array, Array]:
    """Training inputs, targets (train, outputs), test inputs."""
    if isinstance(dataset, str):
        return pair_of_inputs()
    targets = dataset["targets"]
    return (
        dataset["train_inputs"],
        targets[:, None] if targets.ndim == 1 else targets,
        dataset["test_inputs"],
    )


def _sizes(dataset: str | FileContent) -> tuple[int, int, int]:
    train, targets, test = data_of(dataset)
    return len(train), len(test), targets.shape[1]


def _check_data(**axes: Any) -> None:
    dataset = axes["dataset"]
    if isinstance(dataset, FileContent):
        shapes = {name: dataset[name].shape for name in ("train_inputs", "targets", "test_inputs")}
        train, targets, test = shapes.values()
        fits = len(train) == len(test) == 2 and len(targets) in (1, 2) and train[1] == test[1]
        if not fits or targets[0] != train[0] or min(*train, *test, *targets) < 1:
            raise ValueError(
                f"dataset: the arrays have shapes {shapes}; allowed: train_inputs (train, "
                "entries), targets (train,) or (train, outputs), test_inputs (tests, entries)"
            )
    if axes["activation"] in ("relu", "step"):
        raise ValueError(
            f"activation={axes['activation']}: the correction needs the mean of the second "
            "differential of the tangent kernel, which is infinite at a kink; take a smooth "
            "activation such as gelu, swish or softplus"
        )


def _flops(*, activation: Any, depth: Any, dataset: Any, **_: Any) -> Any:
    train, tests, outputs = _sizes(dataset)
    everything = outputs * (train + tests)
    return depth * (layer_flops(activation, train + tests) + 1e6) + 3e3 * everything**4 + 1e7


@system.theory(
    version=1,
    gives=(
        "mean",
        "variance",
        "mean_correction",
        "variance_correction",
        "Z_A",
        "Z_B",
        "stable_step_size",
    ),
    shares=("depth",),
    check=_check_data,
    cost=Cost(
        flops=_flops,
        memory=lambda *, depth, dataset, **_: (
            8 * (15 * depth + 30) * (sum(_sizes(dataset)[:2]) * _sizes(dataset)[2]) ** 4
        ),
        shared_memory=lambda **_: 2**24,
    ),
)
def trained(
    *,
    activation: str,
    depth: int,
    c_b: Array,
    c_w: Array,
    lambda_b: Array,
    lambda_w: Array,
    dataset: str | FileContent,
    algorithm: str,
    step_size: Array,
) -> dict[str, Any]:
    """Mean and variance of the trained outputs at test inputs, and their first corrections.

    Full-batch gradient flow or gradient descent on 1/2 Σ (z - y)², to convergence. To first order,

        E z*  = mean + mean_correction/width,    Var z* = variance + variance_correction/width,

    `mean` and `mean_correction` (points, tests, outputs), `variance` (points, tests), the same for
    every output, `variance_correction` (points, tests, outputs). At infinite width the step size
    does not matter; the corrections depend on it through the algorithm projectors `Z_A` and `Z_B`
    (points, train x 4), among training inputs.

    Contributions: the corrections G1 and H1 of the kernels, the fluctuations A, B, D, F of the
    tangent kernel, its differentials P, Q and R, S, T, U. `trained` (the module) has the formulas.
    Not told: the covariance between outputs, higher cumulants, finite times, other losses.

    The activation must be smooth (relu and step are refused). Status undecided where the tangent
    kernel of the training inputs is singular, diverged beyond `stable_step_size`: nothing is
    told.
    """
    train_inputs, targets, test_inputs = data_of(dataset)
    points, train, tests = len(c_b), len(train_inputs), len(test_inputs)
    own = gram(np.concatenate([train_inputs, test_inputs]))
    rates = {"c_b": c_b, "c_w": c_w, "lambda_b": lambda_b, "lambda_w": lambda_w}
    found = layers(activation, np.broadcast_to(own, (points, *own.shape)), depth=depth, rates=rates)
    status, message = ending(activation, found, depth)
    shapes = {
        "mean": (tests, targets.shape[1]),
        "variance": (tests,),
        "mean_correction": (tests, targets.shape[1]),
        "variance_correction": (tests, targets.shape[1]),
        "Z_A": (train,) * 4,
        "Z_B": (train,) * 4,
        "stable_step_size": (),
    }
    answer = {name: np.full((points, *shape), np.nan) for name, shape in shapes.items()}
    for p in np.flatnonzero(np.isin(status, (Status.CONVERGED, Status.UNDECIDED))):
        last = {name: tensor[p, -1] for name, tensor in found.tensors.items()}
        speeds, modes = np.linalg.eigh(last["H"][:train, :train])
        stable = 2.0 / speeds[-1]
        answer["stable_step_size"][p] = stable
        size = float(step_size[p]) if algorithm == "gradient_descent" else 0.0
        if speeds[0] <= _SINGULAR * speeds[-1]:
            status[p] = Status.UNDECIDED
            message[p] = "the tangent kernel of the training inputs is singular"
            continue
        if size >= stable:
            status[p] = Status.DIVERGED
            message[p] = f"steps of {size:g} grow; stable below {stable:.6g}"
            continue
        law = infinite(last["G"], last["H"], targets, np.array([1.0]))
        first = correction(last, targets, step_size=size)
        answer["mean"][p], answer["variance"][p] = law.mean[-1], np.diag(law.covariance[-1])
        answer["mean_correction"][p] = first.mean
        answer["variance_correction"][p] = np.einsum("aiai->ai", first.covariance)
        for name in "AB":
            factor = projectors(speeds, size)[name]
            turned = np.einsum("ka,la,mb,nb,ab->kmln", modes, modes, modes, modes, factor)
            answer[f"Z_{name}"][p] = turned
    return {**answer, "status": status, "steps": depth, "residual": 0.0, "message": message}

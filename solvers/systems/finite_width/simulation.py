"""The simulations: tensors of random networks, their derivatives along gradients, and training."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.axes import FileContent
from solvers.contract import Cost, Status
from solvers.systems.finite_width.ensemble import directions, tangent, training
from solvers.systems.finite_width.ensemble_declarations import (
    DATASET,
    DESCENT,
    SINGLE_NORM,
    SMOOTH_ACTIVATION,
)
from solvers.systems.finite_width.model import system
from solvers.systems.finite_width.theory import check_inputs
from solvers.systems.finite_width.trained_theory import data_of
from solvers.systems.infinite_width.dataset import check_data, circle
from solvers.systems.infinite_width.recursion import gram
from solvers.systems.infinite_width.recursion import layers as infinite

Array = np.ndarray
_SHARES = ("depth", "width", "networks", "seed")
_TENSORS = ("G", "G1", "H", "H1", "V", "A", "B", "D", "F")


def _count(inputs: Any) -> int:
    return 1 if isinstance(inputs, str) else len(inputs["inputs"])


def _points(rates: dict[str, Array], inputs: str | FileContent, norm: Array) -> list:
    return [
        tangent.Point(
            **{name: float(column[p]) for name, column in rates.items()},
            inputs=np.array([[size]]) if isinstance(inputs, str) else inputs["inputs"],
        )
        for p, size in enumerate(norm.tolist())
    ]


def _ensemble_flops(*, inputs: Any, depth: Any, width: Any, networks: Any, **_: Any) -> Any:
    n = _count(inputs)
    pairs = n * (n + 1) / 2
    one = width**2 * (20 + 30 * pairs + 5 * pairs**2) + 4 * pairs * width**3
    return networks * (np.maximum(depth - 1, 1) * one + 2e4) + 1e6


@system.simulation(
    version=1,
    gives=(*_TENSORS, "vertex_ratio", "ntk_ratio", "vertex_ratio_error"),
    size="width",
    shares=_SHARES,
    devices=("cpu", "gpu"),
    check=check_inputs,
    cost=Cost(
        flops=_ensemble_flops,
        memory=lambda *, inputs, depth, networks, **_: (
            32 * networks * depth * _count(inputs) ** 2 + 80 * depth * _count(inputs) ** 4
        ),
        shared_memory=lambda *, inputs, width, **_: 2**28 + 80 * width**2 * _count(inputs) ** 2,
    ),
)
def ensemble(
    *,
    activation: str,
    depth: int,
    c_b: Array,
    c_w: Array,
    lambda_b: Array,
    lambda_w: Array,
    inputs: str | FileContent,
    norm: Array,
    width: int,
    networks: int,
    seed: int,
    xp: Any,
) -> dict[str, Any]:
    """Tensors of `networks` random networks of one width, in the normalisation of the theory.

    G and H are the mean kernel and the mean tangent kernel at this width, G1 and H1 `width` times
    their distance from infinite width, and V, A, B, D, F `width` times covariances over networks;
    all have expectations that differ from the theory's coefficients by O(1/width). The last layer
    of every depth is averaged exactly (`tangent`), units included, so that what fluctuates is the
    network below it. `vertex_ratio` and `ntk_ratio` are those of the theory, with infinite-width
    kernels below; `vertex_ratio_error` is the standard error of the first over networks.

    Beyond depth/width of 1/2 or so kernels of relu networks have heavy tails: rare networks carry
    their variance, and a sample that lacks them has too small a V (and too small an error).

    Networks of all points of a batch are the same, at their own C_b, C_W, λ. A step has V and G
    only: its gradients vanish, where the theory has an infinite tangent kernel.
    """
    rates = {"c_b": c_b, "c_w": c_w, "lambda_b": lambda_b, "lambda_w": lambda_w}
    points = _points(rates, inputs, norm)
    products = np.stack([gram(point.inputs) for point in points])
    limit = infinite(activation, products, depth=depth, **rates)
    run: dict[str, Any] = {
        "activation": activation,
        "depth": depth,
        "width": width,
        "networks": networks,
    }
    with np.errstate(over="ignore", invalid="ignore"):
        sums = tangent.measure(points, seed=seed, xp=xp, **run)
        found = [tangent.tensors(own, width) for own in sums]
        columns = {name: np.stack([f[name] for f in found]) for name in found[0]}
        columns["G1"] = width * (columns["G"] - limit.nngp)
        columns["H1"] = width * (columns["H"] - limit.ntk)
        kernel, ntk = limit.nngp[:, -1, 0, 0], limit.ntk[:, -1, 0, 0]
        last = (slice(None), -1, 0, 0, 0, 0)
        squares = np.stack(
            [(s.kernel[:, -1, 0, 0] - s.kernel[:, -1, 0, 0].mean()) ** 2 for s in sums]
        )
        error = width * squares.std(axis=1, ddof=1) / np.sqrt(networks) / kernel**2
        columns |= {
            "vertex_ratio": columns["V"][last] / kernel**2,
            "ntk_ratio": (columns["A"][last] + 2.0 * columns["B"][last]) / ntk**2,
            "vertex_ratio_error": error,
        }
    if activation == "step":
        for name in ("H", "H1", "A", "B", "D", "F", "ntk_ratio"):
            columns[name] = np.full_like(columns[name], np.nan)
    finite = np.isfinite(columns["V"]).reshape(len(points), -1).all(axis=1)
    return {
        **columns,
        "status": np.where(finite, Status.CONVERGED, Status.NOT_FINITE),
        "steps": networks,
        "residual": 0.0,
    }


def _derivatives_flops(*, depth: Any, width: Any, networks: Any, **_: Any) -> Any:
    return networks * (depth**2 * (60 * width**2 + 3000 * width) + 5e4) + 1e6


@system.simulation(
    version=1,
    gives=directions.LETTERS,
    size="width",
    shares=_SHARES,
    devices=("cpu", "gpu"),
    axes={"activation": SMOOTH_ACTIVATION, "norm": SINGLE_NORM},
    cost=Cost(
        flops=_derivatives_flops,
        memory=lambda *, depth, **_: 400 * depth,
        shared_memory=lambda *, width, depth, **_: 2**29 + 64 * width**2 * depth,
    ),
)
def derivative_ensemble(
    *,
    activation: str,
    depth: int,
    c_b: Array,
    c_w: Array,
    lambda_b: Array,
    lambda_w: Array,
    norm: Array,
    width: int,
    networks: int,
    seed: int,
    xp: Any,
) -> dict[str, Any]:
    """dNTK and ddNTK tensors P, Q, R, S, T, U of random networks at one input.

    Derivatives of outputs along the directions of gradient descent, for the first four units of
    every layer taken as outputs (`directions`): `width` times their averages, as `vertices` has
    them, up to O(1/width). Not for step and relu, whose second derivatives sit at points that no
    network meets.
    """
    rates = {"c_b": c_b, "c_w": c_w, "lambda_b": lambda_b, "lambda_w": lambda_w}
    run: dict[str, Any] = {
        "activation": activation,
        "depth": depth,
        "width": width,
        "networks": networks,
    }
    with np.errstate(over="ignore", invalid="ignore"):
        found = directions.measure(_points(rates, "single", norm), seed=seed, xp=xp, **run)
    columns = {
        letter: np.stack([f[letter] for f in found])[:, :, None, None, None, None]
        for letter in directions.LETTERS
    }
    finite = np.all([np.isfinite(c).all(axis=(1, 2, 3, 4, 5)) for c in columns.values()], axis=0)
    return {
        **columns,
        "status": np.where(finite, Status.CONVERGED, Status.NOT_FINITE),
        "steps": networks,
        "residual": 0.0,
    }


def _data(dataset: str | FileContent) -> tuple[Array, Array, Array]:
    return circle() if dataset == "circle" else data_of(dataset)


def _trained_flops(
    *, dataset: Any, depth: Any, width: Any, networks: Any, times: Any, **_: Any
) -> Any:
    train, targets, _test = _data(dataset)
    outputs = targets.shape[1]
    ends = 6 * len(train) * (train.shape[1] + outputs) + 10 * (train.shape[1] + outputs)
    one = width * (4 * ends + 150 * (depth - 1) * len(train)) + 5e3
    one = one + np.maximum(depth - 2, 0) * width**2 * (6 * len(train) + 4)
    return networks * one * (times[-1] + 2) + 1e6


@system.simulation(
    version=1,
    gives=("trained_mean", "trained_variance", "final_loss", "diverged_fraction"),
    size="width",
    shares=_SHARES,
    devices=("cpu", "gpu"),
    check=check_data,
    axes={"algorithm": DESCENT, "dataset": DATASET},
    cost=Cost(
        flops=_trained_flops,
        memory=lambda *, dataset, networks, times, **_: (
            16 * networks * len(times) * len(_data(dataset)[2]) * _data(dataset)[1].shape[1]
        ),
        shared_memory=lambda *, width, depth, **_: 2**28 + 64 * width**2 * depth,
    ),
)
def trained_ensemble(
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
    times: tuple[float, ...],
    width: int,
    networks: int,
    seed: int,
    xp: Any,
) -> dict[str, Any]:
    """Mean and variance over networks of outputs trained by full-batch gradient descent.

    `trained_mean` and `trained_variance` (points, times, tests, outputs); `times` are numbers of
    steps, rounded to whole ones. After many steps they tend to mean + mean_correction/width and
    variance + variance_correction/width of `trained`, up to O(1/width²).
    At every time they tend to those of `infinite_width trained` as the width grows. `final_loss`
    is the mean training loss after the last step.

    Status diverged where networks grew out of bounds: they are left out, and `diverged_fraction`
    says how many they were.
    """
    train, targets, test = _data(dataset)
    whole = np.round(np.array(times)).astype(int)
    points = [
        training.Rates(*(float(x) for x in row))
        for row in zip(c_b, c_w, lambda_b, lambda_w, step_size, strict=True)
    ]
    run: dict[str, Any] = {
        "activation": activation,
        "depth": depth,
        "width": width,
        "networks": networks,
    }
    with np.errstate(over="ignore", invalid="ignore"):
        runs = training.train(
            points, training.Data(train, targets, test), seed=seed, steps=whole, xp=xp, **run
        )
    kept = [np.isfinite(own.loss).all(axis=1) for own in runs]
    nothing = [np.full(runs[0].outputs.shape[1:], np.nan)] * 2
    law = [
        (own.outputs[keep].mean(axis=0), own.outputs[keep].var(axis=0, ddof=1))
        if keep.sum() > 1
        else nothing
        for own, keep in zip(runs, kept, strict=True)
    ]
    lost = np.array([1.0 - keep.mean() for keep in kept])
    loss = [
        own.loss[keep, -1].mean() if keep.any() else np.nan
        for own, keep in zip(runs, kept, strict=True)
    ]
    return {
        "trained_mean": np.stack([mean for mean, _ in law]),
        "trained_variance": np.stack([variance for _, variance in law]),
        "final_loss": np.array(loss),
        "diverged_fraction": lost,
        "status": np.where(lost > 0, Status.DIVERGED, Status.CONVERGED),
        "steps": whole[-1],
        "residual": 0.0,
        "message": [
            f"{share:.3g} of the networks grew out of bounds; try a smaller step_size"
            if share > 0
            else ""
            for share in lost
        ],
    }

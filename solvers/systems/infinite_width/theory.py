"""The methods: kernels, criticality, fixed points, and the trained network."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.axes import FileContent, Real
from solvers.contract import Cost, Status
from solvers.systems.infinite_width import criticality as critical_theory
from solvers.systems.infinite_width.dataset import check_data, read_data
from solvers.systems.infinite_width.model import system
from solvers.systems.infinite_width.recursion import LARGEST, gram, layers
from solvers.systems.infinite_width.trained import trained as train

Array = np.ndarray
_QUADRATURE = ("sigmoid", "tanh", "softplus", "swish")


def _count(inputs: Any) -> int:
    return 2 if isinstance(inputs, str) else len(inputs["inputs"])


def _pair_flops(activation: Any) -> Any:
    """An average by quadrature takes some 100 microseconds, a closed one less than one."""
    return np.where(np.isin(activation, _QUADRATURE), 1e5, 1e3)


def _check_inputs(**axes: Any) -> None:
    inputs = axes["inputs"]
    if isinstance(inputs, FileContent) and (
        inputs["inputs"].ndim != 2 or inputs["inputs"].size == 0
    ):
        raise ValueError(
            f"inputs: the array has shape {inputs['inputs'].shape}; allowed: one row an input, "
            "(inputs, entries)"
        )


def _spread(layer_count: int, broken: Array) -> tuple[Array, Array]:
    """Status and message of points whose kernels are infinite from some layer on."""
    status = np.where(broken.any(axis=1), Status.DIVERGED, Status.CONVERGED)
    first = np.where(broken.any(axis=1), broken.argmax(axis=1) + 1, 0)
    texts = [f"the kernel passes {LARGEST:g} in layer {n}" if n else "" for n in first]
    return status, np.array(texts, dtype=object)


@system.theory(
    version=2,
    gives=("nngp", "ntk", "chi_parallel", "chi_perp", "final_nngp", "final_ntk"),
    shares=("depth",),
    check=_check_inputs,
    cost=Cost(
        flops=lambda *, activation, depth, inputs, **_: (
            depth * _count(inputs) * (_count(inputs) + 1) / 2 * _pair_flops(activation)
        ),
        memory=lambda *, depth, inputs, **_: 8 * depth * _count(inputs) * (4 * _count(inputs) + 2),
    ),
)
def kernels(
    *,
    activation: str,
    depth: int,
    c_b: Array,
    c_w: Array,
    lambda_b: Array,
    lambda_w: Array,
    inputs: str | FileContent,
    norm: Array,
    angle: Array,
) -> dict[str, Any]:
    """Kernels of the preactivations and tangent kernels of every layer, for all pairs of inputs.

    `nngp` and `ntk` have shape (points, depth, inputs, inputs), layer 1 being the first
    preactivation; `chi_parallel` and `chi_perp` (points, depth, inputs) are those at the kernel of
    the layer, which act on the way to the next one. Relative accuracy 1e-12.

    A step has no square-integrable slope: its tangent kernel is infinite at equal inputs from
    layer 2 on, and chi_perp too. Status diverged where a kernel passes 1e100, as unbounded
    activations do beyond their critical C_W; later layers are then infinite.
    """
    points = len(c_b)
    if isinstance(inputs, str):
        cosine = np.stack([np.ones(points), np.cos(angle), np.cos(angle), np.ones(points)], axis=1)
        products = (norm**2)[:, None, None] * cosine.reshape(points, 2, 2)
    else:
        own = gram(inputs["inputs"])
        products = np.broadcast_to(own, (points, *own.shape))
    found = layers(
        activation,
        products,
        depth=depth,
        c_b=c_b,
        c_w=c_w,
        lambda_b=lambda_b,
        lambda_w=lambda_w,
    )
    status, message = _spread(depth, ~np.isfinite(found.nngp).all(axis=(2, 3)))
    if activation == "step" and depth > 1:
        infinite = "the tangent kernel of a step is infinite at equal inputs from layer 2 on"
        message = np.where(message == "", infinite, message)
    return {
        "nngp": found.nngp,
        "ntk": found.ntk,
        "chi_parallel": found.chi_parallel,
        "chi_perp": found.chi_perp,
        "final_nngp": found.nngp[:, -1, 0, 0],
        "final_ntk": found.ntk[:, -1, 0, 0],
        "status": status,
        "steps": depth,
        "residual": 0.0,
        "message": message,
    }


@system.theory(
    version=1,
    gives=("critical_c_b", "critical_c_w", "fixed_kernel", "universality_class"),
    cost=Cost(flops=lambda **_: 5e7, memory=lambda **_: 2**22),
)
def criticality(*, activation: str) -> dict[str, Any]:
    """The critical (C_b, C_W), the kernel that stays fixed there, and the universality class.

    Classes: scale_invariant (every kernel is fixed: `fixed_kernel` is null), vanishing (K* = 0,
    approached as 1/depth), half_stable (K* > 0), none (nulls, status no_solution, and `message`
    says why). Relative accuracy 1e-10.
    """
    found = critical_theory.critical(activation)
    solved = found.universality_class != "none"
    return {
        "critical_c_b": [found.c_b],
        "critical_c_w": [found.c_w],
        "fixed_kernel": [found.kernel],
        "universality_class": [found.universality_class],
        "status": [Status.CONVERGED if solved else Status.NO_SOLUTION],
        "steps": 0,
        "residual": 0.0,
        "message": [found.message],
    }


@system.theory(
    version=1,
    gives=("fixed_kernel", "fixed_correlation", "fixed_chi_parallel", "fixed_chi_perp", "phase"),
    axes={
        "norm": Real(
            "norm |x|/√n_0 of the input", low=0, open="low", default=1.0, symbol=r"|x|/\sqrt{n_0}"
        )
    },
    cost=Cost(
        flops=lambda *, activation, **_: 100 * _pair_flops(activation),
        memory=lambda **_: 2**10,
        shared_memory=lambda **_: 2**22,
    ),
)
def fixed_point(*, activation: str, c_b: Array, c_w: Array, norm: Array) -> dict[str, Any]:
    """Where kernels and correlations of inputs of a given norm go with depth: the phase diagram.

    `fixed_kernel` is 0 where kernels vanish and infinite where they explode; susceptibilities are
    those of the limit. Phases: ordered (chi_perp < 1: inputs come together), critical
    (|chi_perp - 1| < 1e-9), chaotic (they are driven apart, to `fixed_correlation` < 1).
    """
    found = [
        critical_theory.fixed_point(activation, c_b=b, c_w=w, start=b + w * r * r)
        for b, w, r in zip(c_b.tolist(), c_w.tolist(), norm.tolist(), strict=True)
    ]
    return {
        "fixed_kernel": [f.kernel for f in found],
        "fixed_correlation": [f.correlation for f in found],
        "fixed_chi_parallel": [f.chi_parallel for f in found],
        "fixed_chi_perp": [f.chi_perp for f in found],
        "phase": [f.phase for f in found],
        "status": [Status.CONVERGED if math.isfinite(f.kernel) else Status.DIVERGED for f in found],
        "steps": 0,
        "residual": 0.0,
        "message": [f.message for f in found],
    }


def _trained_flops(*, activation: Any, depth: Any, dataset: Any, times: Any, **_: Any) -> Any:
    train, _targets, test = read_data(dataset)
    count = len(train) + len(test)
    products = len(times) * count * len(train) * (len(train) + len(test))
    return depth * count * (count + 1) / 2 * _pair_flops(activation) + 10 * products + 1e6


@system.theory(
    version=2,
    gives=("mean", "variance", "covariance", "final_mean", "final_variance", "stable_step_size"),
    shares=("depth",),
    check=check_data,
    cost=Cost(
        flops=_trained_flops,
        memory=lambda *, depth, dataset, times, **_: (
            16 * (depth + 2 + len(times)) * sum(len(x) for x in read_data(dataset)[::2]) ** 2
        ),
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
    times: tuple[float, ...],
) -> dict[str, Any]:
    """Mean and covariance of the trained network at test inputs, over time and at infinite time.

    Loss: half the squared error summed over training inputs, so that time is that of
    Roberts, Yaida and Hanin. `mean` (points, times, tests, outputs), `covariance` (points, times,
    tests, tests), the same for every output, with `variance` its diagonal, and their values at
    infinite time (of gradient flow, or of gradient descent with a step size below
    `stable_step_size`).

    Status diverged: kernels passed 1e100 (nothing is known), or the step size is beyond
    `stable_step_size`; then outputs are those of the recorded steps (cut where a factor passes
    1e100), and the ones at infinite time are those of smaller steps. Status undecided: the
    tangent kernel among the training inputs is singular, so that some targets are not learned.
    """
    points = len(c_b)
    train_inputs, targets, test_inputs = read_data(dataset)
    own = gram(np.concatenate([train_inputs, test_inputs]))
    found = layers(
        activation,
        np.broadcast_to(own, (points, *own.shape)),
        depth=depth,
        c_b=c_b,
        c_w=c_w,
        lambda_b=lambda_b,
        lambda_w=lambda_w,
    )
    tests, outputs = len(test_inputs), targets.shape[1]
    mean = np.full((points, len(times) + 1, tests, outputs), np.nan)
    covariance = np.full((points, len(times) + 1, tests, tests), np.nan)
    stable, status = np.full(points, np.nan), np.full(points, Status.DIVERGED)
    message = np.full(points, "kernels are not finite in the last layer", dtype=object)
    for p in range(points):
        kernel, tangent = found.nngp[p, -1], found.ntk[p, -1]
        if not (np.isfinite(kernel).all() and np.isfinite(tangent).all()):
            continue
        size = float(step_size[p]) if algorithm == "gradient_descent" else 0.0
        law = train(kernel, tangent, targets, np.array(times), step_size=size)
        mean[p], covariance[p] = law.mean, law.covariance
        stable[p] = 2.0 / law.largest_rate if law.largest_rate > 0 else np.inf
        status[p], message[p] = Status.CONVERGED, ""
        if law.unseen:
            status[p] = Status.UNDECIDED
            message[p] = (
                f"{law.unseen} directions of the targets are not seen by the tangent kernel"
            )
        if size > stable[p]:
            status[p] = Status.DIVERGED
            message[p] = f"steps of {size:g} grow; stable below {stable[p]:.6g}"
    return {
        "mean": mean[:, :-1],
        "variance": np.einsum("ptaa->pta", covariance[:, :-1]),
        "covariance": covariance[:, :-1],
        "final_mean": mean[:, -1],
        "final_variance": np.einsum("paa->pa", covariance[:, -1]),
        "stable_step_size": stable,
        "status": status,
        "steps": len(times),
        "residual": 0.0,
        "message": message,
    }

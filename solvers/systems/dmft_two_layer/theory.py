"""The theory: kernels of the dynamical mean-field theory, solved causally step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.contract import Cost, Status
from solvers.systems.dmft_two_layer.linear_fields import LinearFields
from solvers.systems.dmft_two_layer.model import ERRORS, GIVES, final, system
from solvers.systems.dmft_two_layer.paths import Paths, check_paths, inputs
from solvers.systems.dmft_two_layer.units import loss_of_overlaps
from solvers.systems.dmft_two_layer.weights import Setting, Weights


def _numbers(*, width: Any, steps: Any, **_: Any) -> Any:
    return width * (steps + 1)


def _flops(**axes: Any) -> Any:
    """Matrix products of the kernels, and the sums over the past of every path."""
    rows = _numbers(**axes)
    matrices = rows**3 + 2e5 * (axes["steps"] + 1)
    if axes["activation"] == "linear":
        return matrices
    units, paths = axes["width"], axes["paths"]
    loops = 2.0 * rows**2 * (3 if axes["activation"] != "relu" else 6)
    pointwise = (60 + 30 * units) * rows + 200 * (axes["teacher_width"] + 1)
    share = 1.8 if axes["activation"] == "relu" else 1.2
    return share * axes["randomisations"] * (matrices + paths * (loops + pointwise))


def _memory(**axes: Any) -> Any:
    """Eight square matrices, and what one randomisation holds of each path."""
    rows = _numbers(**axes)
    held = 8 * 8 * rows**2 * (1 if axes["activation"] == "linear" else 2)
    if axes["activation"] == "linear":
        return held
    each = 6 * rows + 8 * axes["width"] ** 2 + 4 * axes["teacher_width"]
    if axes["activation"] == "relu":
        each = each + 0.4 * rows**2
    return held + 8 * axes["paths"] * each


@system.theory(
    version=1,
    gives=(*GIVES, *ERRORS, "gradient_response", "weight_response"),
    check=check_paths,
    shares=("width", "teacher_width", "steps", "paths", "randomisations"),
    cost=Cost(flops=_flops, memory=_memory),
)
def dmft(
    *,
    alpha: np.ndarray,
    width: int,
    teacher_width: int,
    step_size: np.ndarray,
    noise: np.ndarray,
    momentum: np.ndarray,
    weight_decay: np.ndarray,
    activation: str,
    second_layer: str,
    steps: int,
    initial_scale: np.ndarray,
    paths: int,
    randomisations: int,
    scramble: np.ndarray,
) -> dict[str, Any]:
    """Kernels and losses of every step, solved causally: step t + 1 from the averages of step t.

    The weights are a linear process and are carried by matrices; the preactivations of a sample are
    a nonlinear one. Linear units: exact, with errors of rounding (standard errors are 0). Others:
    Monte Carlo over `paths` paths in each of `randomisations` independent scrambled nets; the
    answer is the mean over the randomisations, each of which is a solution of its own, and the
    `..._error` are its standard errors. There is a bias of order (steps · width)/paths besides,
    below the standard error at the defaults for some tens of steps. More steps need more paths, and
    so do relu units with steps near the edge of stability (a training loss that rises), where it
    reached 6 per cent with 4096 paths: compare two values of `paths`.

    Memory: about 6 width (steps + 1) numbers for each path of one randomisation (its normals,
    signs, gradients and tangents), not squared in steps; for relu, whose branches at thresholds
    have histories, 0.2 (width (steps + 1))² besides; eight square matrices of width (steps + 1)
    rows.

    `residual` is the largest relative distance of the two sides of equation 11, F_t·z_t = u_t·w_t:
    rounding for linear units, statistical for others. relu with initial_scale = 0 has no gradient
    (σ'(0) = 0) and stays where it starts. Status: diverged if a loss overflows.
    """
    answers = []
    for point in range(len(alpha)):
        setting = Setting(
            width=width,
            teacher_width=teacher_width,
            steps=steps,
            alpha=float(alpha[point]),
            step_size=float(step_size[point]),
            noise=float(noise[point]),
            momentum=float(momentum[point]),
            weight_decay=float(weight_decay[point]),
            initial_scale=float(initial_scale[point]),
            trained=second_layer == "trained",
        )
        with np.errstate(over="ignore", invalid="ignore"):
            if activation == "linear":
                runs = [_solve(setting, activation, LinearFields(setting))]
            else:
                runs = [
                    _solve(
                        setting,
                        activation,
                        Paths(
                            setting, activation, inputs(setting, paths, int(scramble[point]), index)
                        ),
                    )
                    for index in range(randomisations)
                ]
            answers.append(_combined(runs))
    answer: dict[str, Any] = {
        name: np.stack([point[name] for point in answers]) for name in answers[0]
    }
    answer |= final(answer)
    lost = ~np.isfinite(answer["test_loss"] + answer["training_loss"])
    first = np.where(lost.any(axis=1), np.argmax(lost, axis=1), -1)
    answer["status"] = np.where(first < 0, Status.CONVERGED, Status.DIVERGED)
    answer["steps"] = np.where(first < 0, steps, first)
    answer["message"] = [
        f"the numbers overflow at step {step}; try a smaller step_size" if step >= 0 else ""
        for step in first
    ]
    return answer


def _solve(setting: Setting, activation: str, fields: Any) -> dict[str, np.ndarray]:
    """One causal pass; `fields` gives the averages of a step from the kernels up to it."""
    weights = Weights(setting)
    losses = np.empty(setting.steps + 1)
    gaps = np.empty(setting.steps + 1)
    for step in range(setting.steps + 1):
        averages = fields.averages(step, weights)
        losses[step] = averages.training_loss
        gaps[step] = weights.gap(step, averages)
        weights.advance(step, averages)
    times, units = setting.steps + 1, setting.width
    blocks = weights.covariance.reshape(times, units, times, units)
    now = np.arange(times)
    student = blocks[now, :, now, :]
    responses = {
        "gradient_response": weights.gradient_response,
        "weight_response": weights.response,
    }
    return {
        "training_loss": losses,
        "test_loss": loss_of_overlaps(
            activation, student, weights.teacher, np.eye(setting.teacher_width), weights.second
        ),
        "teacher_overlap": weights.teacher,
        "student_overlap": student,
        "second_layer_weights": weights.second,
        **{
            name: kernel.reshape(times, units, times, units).transpose(0, 2, 1, 3)
            for name, kernel in responses.items()
        },
        "residual": np.array(gaps.max()),
    }


def _combined(runs: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Means over the randomisations and their standard errors (0 for one exact run)."""
    answer = {}
    for name in runs[0]:
        values = np.stack([run[name] for run in runs])
        answer[name] = values.mean(axis=0)
        if f"{name}_error" in ERRORS:
            spread = values.std(axis=0, ddof=1) if len(runs) > 1 else 0.0 * values[0]
            answer[f"{name}_error"] = spread / np.sqrt(len(runs))
    return answer

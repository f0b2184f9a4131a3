"""The fields' side for nonlinear units: Monte Carlo over paths of the preactivations."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import ndtri
from scipy.stats import qmc

from solvers.systems.dmft_two_layer.units import value, value_slope_bend
from solvers.systems.dmft_two_layer.weights import Averages, Setting, Weights

FACT = 0.1
_PIVOT = 1e-13
"""A direction whose conditional variance is below this share of its variance is not a new one."""


def normals_needed(*, width: int, teacher_width: int, steps: int) -> int:
    """Standard normals behind a path: z*, label noise, first weights, and q_s of every step."""
    return teacher_width + 1 + width * (steps + 1)


def check_paths(
    *,
    activation: str,
    width: int,
    teacher_width: int,
    steps: int,
    paths: int,
    randomisations: int,
    **_: object,
) -> None:
    """ValueError if the Monte Carlo cannot give an estimate with a standard error."""
    if activation == "linear":
        return
    needed = 2 * normals_needed(width=width, teacher_width=teacher_width, steps=steps)
    least = 1 << (needed - 1).bit_length()
    if paths & (paths - 1) or paths < least:
        raise ValueError(
            f"paths={paths} must be a power of two, and at least {least} for width={width} and "
            f"steps={steps}; try paths={max(least, 1 << (paths - 1).bit_length())}"
        )
    if randomisations < 2:
        raise ValueError(
            f"randomisations={randomisations} leaves no standard error; take 2 or more"
        )


def inputs(setting: Setting, paths: int, scramble: int, index: int) -> tuple[Any, Any]:
    """Normals (numbers, paths) and random signs (steps + 1, width, paths) of one randomisation."""
    count = normals_needed(
        width=setting.width, teacher_width=setting.teacher_width, steps=setting.steps
    )
    random = np.random.default_rng([scramble, index])
    net = qmc.Sobol(count, scramble=True, rng=random)
    points = net.random(paths).T
    spacing = 2.0**-net.bits
    normals = ndtri(points + 0.5 * spacing)
    normals -= normals.mean(axis=1, keepdims=True)
    lower = np.linalg.cholesky(normals @ normals.T / paths)
    normals = solve_triangular(lower, normals, lower=True, overwrite_b=True)
    signs = 2.0 * random.integers(0, 2, (setting.steps + 1, setting.width, paths)) - 1.0
    return normals, signs


class Paths:
    """Monte Carlo averages of one randomisation, step after step."""

    def __init__(self, setting: Setting, activation: str, drawn: tuple[Any, Any]) -> None:
        self.setting, self.activation = setting, activation
        normals, self.signs = drawn
        k, times = setting.teacher_width, setting.steps + 1
        self.count = normals.shape[1]
        self.teacher_field = normals[:k]
        self.normals = normals[k + 1 :]
        outputs = value(activation, self.teacher_field).mean(axis=0)
        self.labels = outputs + np.sqrt(setting.noise) * normals[k]
        rows = times * setting.width
        self.forces = np.zeros((rows, self.count))
        """F_s of every path."""
        self.tangents = np.zeros((rows, self.count))
        """Derivative of F_s along the fields' direction v, one random sign for each step, unit."""
        self.mean_tangents = np.zeros((rows, rows))
        """The matrix D of the mean response, E[tangent vᵀ] where the curvature is its mean."""
        self.factor = np.zeros((rows, rows))
        """L with Ω = L Lᵀ."""
        self.loadings = np.zeros((rows, rows + setting.width))
        """H with r_t - M_t z* = H x, x the normals behind the first weights and q_s."""

    def averages(self, step: int, weights: Weights) -> Averages:
        """The averages of a step, from the kernels up to it."""
        setting, p = self.setting, self.setting.width
        past, known = step * p, (step + 1) * p
        here = slice(past, known)
        memory = weights.memory(step)
        self.loadings[here, :p] = weights.start[step]
        self.loadings[here, p:known] = memory @ self.factor[:past, :past]
        start = self.normals[:p]
        fields = weights.teacher[step] @ self.teacher_field
        fields += self.loadings[here, :known] @ self.normals[:known]
        fields += memory @ self.forces[:past]
        second = weights.second[step][:, None]
        heights, slopes, bends = value_slope_bend(self.activation, fields)
        errors = np.mean(second * heights, axis=0) - self.labels
        rate = setting.step_size / p
        steep = second * slopes
        self.forces[here] = -rate * errors * steep
        response = self._response(step, memory, -rate * errors * second * bends, steep)
        share = setting.alpha / self.count
        covariance = share * (self.forces[here] @ self.forces[:known].T)
        self._factorise(step, covariance)
        return Averages(
            covariance=covariance,
            response=setting.alpha * response,
            with_teacher=share * (self.forces[here] @ self.teacher_field.T),
            with_start=share * (self.forces[here] @ start.T),
            with_field=share * (self.forces[here] @ fields.T),
            training_loss=0.5 * float(np.mean(errors**2)),
            second_gradient=np.mean(errors * heights, axis=1),
        )

    def _response(
        self, step: int, memory: np.ndarray, curvature: np.ndarray, steep: np.ndarray
    ) -> np.ndarray:
        """E[∂F_t/∂r_s] for s <= t, side by side.

        Along the direction v of a path, δF_t = J_t (v_t + Σ_{s<t} B_ts δF_s), and E[δF_t v_sᵀ] is
        the response. Its part of the mean Jacobian, D, is known, so that only the deviation from it
        is averaged; the instantaneous response is the mean Jacobian itself.
        """
        p = self.setting.width
        past, known = step * p, (step + 1) * p
        here = slice(past, known)
        rate = -self.setting.step_size / p**2
        mean = rate * (steep @ steep.T) / self.count + np.diag(curvature.mean(axis=1))
        self.mean_tangents[here, :past] = mean @ memory @ self.mean_tangents[:past, :past]
        self.mean_tangents[here, here] = mean
        signs = self.signs[: step + 1].reshape(known, self.count)

        def along(direction: np.ndarray) -> np.ndarray:
            return rate * steep * np.sum(steep * direction, axis=0) + curvature * direction

        carried = along(memory @ self.tangents[:past])
        self.tangents[here] = along(signs[past:]) + carried
        response = self.mean_tangents[here, :known].copy()
        deviation = carried - response[:, :past] @ signs[:past]
        response[:, :past] += deviation @ signs[:past].T / self.count
        if step:
            noise = np.mean(self.forces[here] ** 2) / max(np.mean(deviation**2), 1e-300)
            loadings = self.loadings[:past, :known]
            stein = self.forces[here] @ self.normals[:known].T / self.count
            stein -= response @ self.loadings[:known, :known]
            kernel = loadings @ loadings.T + FACT * noise * np.eye(past)
            response[:, :past] += np.linalg.solve(kernel, loadings @ stein.T).T
        return response

    def _factorise(self, step: int, covariance: np.ndarray) -> None:
        """The rows of L that belong to a step; a direction that is not new gets a zero pivot."""
        p = self.setting.width
        for unit in range(p):
            row = step * p + unit
            diagonal = np.diagonal(self.factor)[:row]
            done = self.factor[:row, :row] + np.diag(np.where(diagonal > 0.0, 0.0, 1.0))
            solved = solve_triangular(done, covariance[unit, :row], lower=True, check_finite=False)
            solved[diagonal == 0.0] = 0.0
            self.factor[row, :row] = solved
            rest = covariance[unit, row] - solved @ solved
            if rest > _PIVOT * covariance[unit, row]:
                self.factor[row, row] = np.sqrt(rest)

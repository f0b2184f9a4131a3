"""The fields' side for nonlinear units: Monte Carlo over paths of the preactivations.

A path is z_t = r_t + Σ_{s<t} B_ts F_s of one sample (equation 3 of docs/theory/dmft.md), with the
Gaussian r_t = M_t z* + H_t x of independent normals x. All normals of all paths, those of z* and of
the label noise too, are one scrambled Sobol net, in causal order, made to have mean 0 and
covariance 1 exactly: what is quadratic in Gaussian fields is then averaged without error.

Responses come from tangents along the paths, one random direction for each (equation 14), after the
part that matrices give exactly (15), and from Stein's lemma where the fields vary (16). Whatever is
held is of the size of the paths themselves, width (steps + 1) numbers each.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy

from solvers.systems.dmft_two_layer.jumps import Jumps
from solvers.systems.dmft_two_layer.units import value, value_slope_bend
from solvers.systems.dmft_two_layer.weights import Averages, Setting, Weights

NET_GAIN = 0.1
"""Variance of an average over the net, in units of that over independent points (measured)."""
MOST_NORMALS = 21_201
"""Dimensions of SciPy's Sobol net; a number, since points are checked where nothing is solved."""
_PIVOT = 1e-12
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
    needed = normals_needed(width=width, teacher_width=teacher_width, steps=steps)
    if needed > MOST_NORMALS:
        raise ValueError(
            f"width={width} and steps={steps} need {needed} normals a path; at most "
            f"{MOST_NORMALS} are possible; take fewer steps"
        )
    least = 1 << (2 * needed - 1).bit_length()
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
    """Normals (numbers, paths) and random signs (steps + 1, width, paths) of one randomisation.

    `scramble` is the set of randomisations and `index` its member.
    """
    count = normals_needed(
        width=setting.width, teacher_width=setting.teacher_width, steps=setting.steps
    )
    random = np.random.default_rng([scramble, index])
    net = scipy.stats.qmc.Sobol(count, scramble=True, rng=random)
    points = net.random(paths).T
    spacing = 2.0**-net.bits
    normals = scipy.special.ndtri(points + 0.5 * spacing)
    normals -= normals.mean(axis=1, keepdims=True)
    lower = np.linalg.cholesky(normals @ normals.T / paths)
    normals = scipy.linalg.solve_triangular(lower, normals, lower=True, overwrite_b=True)
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
        self.mean_response = np.zeros((rows, rows))
        """The matrix D of the mean response, E[tangent vᵀ] where the curvature is its mean."""
        self.factor = np.zeros((rows, rows))
        """L with Ω = L Lᵀ."""
        self.basis = np.zeros((rows, self.count))
        """F_s made orthonormal as functions on the paths."""
        self.jumps: Jumps | None = None
        if activation == "relu":
            self.jumps = Jumps(
                width=setting.width,
                steps=setting.steps,
                rate=setting.step_size / setting.width,
                labels=self.labels,
            )
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
        response = self._response(step, weights, fields, -rate * errors * second * bends, steep)
        share = setting.alpha / self.count
        covariance = share * (self.forces[here] @ self.forces[:known].T)
        self._factorise(step)
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
        self,
        step: int,
        weights: Weights,
        fields: np.ndarray,
        curvature: np.ndarray,
        steep: np.ndarray,
    ) -> np.ndarray:
        """E[∂F_t/∂r_s] for s <= t, side by side; equations 14 to 16.

        Along the direction v of a path, δF_t = J_t (v_t + Σ_{s<t} B_ts δF_s), and E[δF_t v_sᵀ] is
        the response. Its part of the mean Jacobian, D, is known, so that only the deviation from it
        is averaged; the instantaneous response is the mean Jacobian itself.
        """
        p = self.setting.width
        past, known = step * p, (step + 1) * p
        here = slice(past, known)
        memory, forces = weights.memory(step), self.forces[here]
        rate = -self.setting.step_size / p**2
        signs = self.signs[: step + 1].reshape(known, self.count)

        def along(direction: np.ndarray) -> np.ndarray:
            return rate * steep * np.sum(steep * direction, axis=0) + curvature * direction

        moved = memory @ self.tangents[:past]
        carried = along(moved)
        self.tangents[here] = along(signs[past:]) + carried
        mean = rate * (steep @ steep.T) / self.count + np.diag(curvature.mean(axis=1))
        if self.jumps is not None:
            second = weights.second[step]
            carried += self.jumps.tangents(step, memory, fields, forces, second)
            crossed, jump = self.jumps.cross(step, fields, forces, second, moved, signs[past:])
            carried += crossed
            mean += np.diag(jump)
        self.mean_response[here, :past] = mean @ memory @ self.mean_response[:past, :past]
        self.mean_response[here, here] = mean
        response = self.mean_response[here, :known].copy()
        if step:
            carried -= response[:, :past] @ signs[:past]
            response[:, :past] += carried @ signs[:past].T / self.count
            response[:, :past] += self._by_parts(step, response, float(np.mean(carried**2)))
        return response

    def _by_parts(self, step: int, response: np.ndarray, spread: float) -> np.ndarray:
        """Correction of a response D by Stein's lemma, E[F_t xᵀ] = D H.

        The normals x give a second estimate of D, along the directions in which the fields vary; it
        is worth taking where H is large. The most likely D given both is the least-squares
        one, D + (E[F_t xᵀ] - D H) Hᵀ (H Hᵀ + ν)^(-1), ν the ratio of the variances of the two
        estimates: without an inverse of a singular matrix, and unbiased for every ν.
        """
        if not spread > 0.0:
            return np.zeros((len(response), step * self.setting.width))  # D is exact
        past, known = step * self.setting.width, len(response[0])
        forces, normals = self.forces[past:known], self.normals[:known]
        ratio = NET_GAIN * float(np.mean(forces**2)) / spread
        loadings = self.loadings[:past, :known]
        missing = forces @ normals.T / self.count - response @ self.loadings[:known, :known]
        kernel = loadings @ loadings.T + ratio * np.eye(past)
        return np.linalg.solve(kernel, loadings @ missing.T).T

    def _factorise(self, step: int) -> None:
        """The rows of L that belong to a step, by orthogonalising F_t against all F_s before it.

        The Gram-Schmidt process on the paths, done twice, has no triangular matrix of tiny pivots
        to invert (which a Cholesky factor has); a direction that is not new gets a zero pivot.
        """
        p = self.setting.width
        scale = np.sqrt(self.setting.alpha)
        for row in range(step * p, (step + 1) * p):
            rest = self.forces[row].copy()
            known = self.basis[:row]
            for _ in range(2):
                part = known @ rest / self.count
                rest -= part @ known
                self.factor[row, :row] += scale * part
            left = float(np.mean(rest**2))
            if left > _PIVOT * float(np.mean(self.forces[row] ** 2)):
                self.factor[row, row] = scale * np.sqrt(left)
                self.basis[row] = rest / np.sqrt(left)

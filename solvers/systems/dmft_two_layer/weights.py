"""The weights' side of the theory: a linear process of Gaussian fields, carried by matrices.

With ρ² = initial_scale², one coordinate of the student's weights is

    w_t = Φ_t ω + M_t w* + Σ_{s<t} B_ts q_s,    ω, w* ~ N(0, 1),  q ~ N(0, Ω),

(equation 6 of docs/theory/dmft.md), and nothing has to be sampled: Φ_t (which holds the factor
initial_scale), M_t = E[w_t w*ᵀ] and B_ts = E[∂w_t/∂q_s] obey linear recursions (equations 7 to 9)
that are driven by four averages over the fields, the `Averages` of a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Setting:
    """The parameters of one point, in the order of the docstring of the system."""

    width: int
    teacher_width: int
    steps: int
    alpha: float
    step_size: float
    noise: float
    momentum: float
    weight_decay: float
    initial_scale: float
    trained: bool


@dataclass(frozen=True)
class Averages:
    """What a step needs of the law of the fields; F_t = -(step_size/p) (f - y) a σ'(z_t).

    covariance       α E[F_t F_sᵀ], s = 0 ... t, side by side: (width, (t+1) width)
    response         A_ts = α E[∂F_t/∂r_s] in the same layout
    with_teacher     α E[F_t z*ᵀ]
    with_start       α E[F_t ωᵀ], ω the normals behind the first weights
    with_field       α E[F_t z_tᵀ]
    training_loss    1/2 E[(f - y)²]
    second_gradient  E[(f - y) σ(z_i)]
    """

    covariance: np.ndarray
    response: np.ndarray
    with_teacher: np.ndarray
    with_start: np.ndarray
    with_field: np.ndarray
    training_loss: float
    second_gradient: np.ndarray


class Weights:
    """Kernels of the weights up to the step reached; blocks of unit indices inside step indices.

    `response` B and `gradient_response` A, `gradient_covariance` Ω are square matrices whose rows
    and columns are (step, unit); `start` Φ, `teacher` M and `second` a have the step first.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        times, units = setting.steps + 1, setting.width
        self.response = np.zeros((times * units, times * units))
        self.gradient_response = np.zeros_like(self.response)
        self.gradient_covariance = np.zeros_like(self.response)
        self.covariance = np.zeros_like(self.response)
        self.start = np.zeros((times, units, units))
        self.start[0] = setting.initial_scale * np.eye(units)
        self.teacher = np.zeros((times, units, setting.teacher_width))
        self.second = np.ones((times, units))
        self._fill_covariance(0)

    def rows(self, step: int) -> slice:
        """Rows of a step in the square matrices."""
        return slice(step * self.setting.width, (step + 1) * self.setting.width)

    def memory(self, step: int) -> np.ndarray:
        """B_ts of a step for all s before it: (width, step · width)."""
        return self.response[self.rows(step), : step * self.setting.width]

    def advance(self, step: int, averages: Averages) -> None:
        """Equations 7 to 9: the kernels of step + 1 from the averages of `step`."""
        here, known = self.rows(step), (step + 1) * self.setting.width
        self.gradient_response[here, :known] = averages.response
        self.gradient_covariance[here, :known] = averages.covariance
        self.gradient_covariance[:known, here] = averages.covariance.T
        if step == self.setting.steps:
            return
        following = self.rows(step + 1)
        self.response[following, :known] = averages.response @ self.response[:known, :known]
        self.response[following, here] += np.eye(self.setting.width)
        for array, force in (
            (self.start, averages.with_start),
            (self.teacher, averages.with_teacher),
        ):
            array[step + 1] = self._inertia(array[step], array[max(step - 1, 0)]) + force
        before = self.rows(max(step - 1, 0))
        self.response[following] += self._inertia(self.response[here], self.response[before])
        if self.setting.trained:
            rate = self.setting.step_size / self.setting.width
            kept = self._inertia(self.second[step], self.second[max(step - 1, 0)])
            self.second[step + 1] = kept - rate * averages.second_gradient
        self._fill_covariance(step + 1)

    def gap(self, step: int, averages: Averages) -> float:
        """Relative violation of F_t·z_t = u_t·w_t (equation 11), which is exact for matrices.

        The left side is an average over the fields, the right side a product of kernels: they
        differ by rounding for linear units and by the statistical error of paths for others.
        """
        known, past = (step + 1) * self.setting.width, step * self.setting.width
        of_teacher = self.teacher[: step + 1].reshape(known, -1)
        to_teacher = averages.with_teacher - averages.response @ of_teacher
        product = averages.covariance[:, :past] @ self.memory(step).T
        product += averages.response @ self.covariance[:known, self.rows(step)]
        product += to_teacher @ self.teacher[step].T
        own = self.covariance[self.rows(step), self.rows(step)]
        scale = np.trace(averages.covariance[:, past:known]) * np.trace(own)
        gap = float(np.max(np.abs(product - averages.with_field)))
        return gap / float(np.sqrt(scale)) if scale > 0.0 else gap

    def _inertia(self, now: np.ndarray, before: np.ndarray) -> np.ndarray:
        decay = self.setting.step_size * self.setting.weight_decay
        return (1.0 - decay) * now + self.setting.momentum * (now - before)

    def _fill_covariance(self, step: int) -> None:
        """Σ_ts = E[w_t w_sᵀ] for s <= t, equation 10."""
        units, known = self.setting.width, (step + 1) * self.setting.width
        past = step * units
        start = self.start[: step + 1].reshape(known, units)
        teacher = self.teacher[: step + 1].reshape(known, -1)
        row = self.start[step] @ start.T + self.teacher[step] @ teacher.T
        carried = self.memory(step) @ self.gradient_covariance[:past, :past]
        row += carried @ self.response[:known, :past].T
        self.covariance[self.rows(step), :known] = row
        self.covariance[:known, self.rows(step)] = row.T

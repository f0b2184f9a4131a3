"""The fields' side for linear units: Gaussian, so that every average is a matrix product.

The error e_t = f_t - y is a linear functional of the Gaussian fields r_t and the labels. With
z_t = r_t + Σ_{s<t} B_ts F_s and F_s = -(step_size/p) a_s e_s it obeys

    e_t = c_t + Σ_{s<t} β_ts e_s,   c_t = a_t·r_t/p - y,   β_ts = -(step_size/p²) a_tᵀ B_ts a_s,

so e = N c with N = (1 - β)^(-1), lower triangular, one row a step (equation 12 of
docs/theory/dmft.md). This also holds with a trained second layer, since a_t is deterministic.
"""

from __future__ import annotations

import numpy as np

from solvers.systems.dmft_two_layer.weights import Averages, Setting, Weights


class LinearFields:
    """Exact averages of one point, step after step."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        times = setting.steps + 1
        self.inverse = np.zeros((times, times))
        self.sources = np.zeros((times, times))
        """E[c_t c_s]."""
        self.with_teacher = np.zeros((times, setting.teacher_width))
        """E[c_t z*]."""
        self.with_start = np.zeros((times, setting.width))
        """E[c_t ω]."""

    def averages(self, step: int, weights: Weights) -> Averages:
        """The averages of a step, from the kernels up to it."""
        setting = self.setting
        p, k, now = setting.width, setting.teacher_width, slice(step + 1)
        second = weights.second[now]
        past = second[:step].ravel()
        coupling = weights.memory(step) * past
        row = -setting.step_size / p**2 * (weights.second[step] @ coupling)
        row = row.reshape(step, p).sum(axis=1)
        self.inverse[step, :step] = row @ self.inverse[:step, :step]
        self.inverse[step, step] = 1.0
        labels = np.sum(second[:, :, None] * weights.teacher[now], axis=(1, 2)) / (p * k)
        fields = weights.covariance[weights.rows(step), : (step + 1) * p]
        fields = (weights.second[step] @ fields).reshape(step + 1, p)
        fields = np.sum(fields * second, axis=1) / p**2
        self.sources[step, now] = fields - labels[step] - labels + 1.0 / k + setting.noise
        self.sources[now, step] = self.sources[step, now]
        self.with_teacher[step] = second[step] @ weights.teacher[step] / p - 1.0 / k
        self.with_start[step] = second[step] @ weights.start[step] / p
        own = self.inverse[step, now]
        covariance = self.inverse[now, now] @ (self.sources[now, now] @ own)
        with_field = self._error_with_field(step, weights, covariance)
        scale = -setting.step_size / p * second[step]
        return Averages(
            covariance=setting.alpha
            * np.outer(scale, (covariance[:, None] * -setting.step_size / p * second).ravel()),
            response=setting.alpha * np.outer(scale, (own[:, None] * second / p).ravel()),
            with_teacher=setting.alpha * np.outer(scale, own @ self.with_teacher[now]),
            with_start=setting.alpha * np.outer(scale, own @ self.with_start[now]),
            with_field=setting.alpha * np.outer(scale, with_field),
            training_loss=0.5 * float(covariance[step]),
            second_gradient=with_field,
        )

    def _error_with_field(self, step: int, weights: Weights, covariance: np.ndarray) -> np.ndarray:
        """E[e_t z_t]: z_t = r_t + Σ B_ts F_s, and E[c_s r_tᵀ] is in the covariances."""
        setting, p = self.setting, self.setting.width
        now, second = slice(step + 1), weights.second[: step + 1]
        block = weights.covariance[weights.rows(step), : (step + 1) * p]
        with_fields = np.sum(block.reshape(p, step + 1, p) * second, axis=2) / p
        with_labels = weights.teacher[step].sum(axis=1) / setting.teacher_width
        direct = (with_fields - with_labels[:, None]) @ self.inverse[step, now]
        forces = covariance[:step, None] * -setting.step_size / p * second[:step]
        return direct + weights.memory(step) @ forces.ravel()

"""The messages of GAMP, how they start, and the observables measured on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.numerics.cuda import chunks, weights
from solvers.numerics.lockstep import Tally, all_column_sums, column_sums
from solvers.numerics.random import Stream
from solvers.systems.glm_bayes.instance import Instance, on_device
from solvers.systems.glm_bayes.model import INFORMED_SNR, Model

_CONTRADICTION = 100.0
"""Nats per label beyond which labels and messages exclude each other (see `gamp`)."""

_CHUNK = 1024
"""Estimates whose errors are integrated together: bounds the memory of quadratures."""


@dataclass
class State:
    """Messages of all points; arrays (dimension, points), columns (points,) on the host."""

    precision: np.ndarray
    field: Any
    mean: Any
    variance: np.ndarray
    output: Any
    """g, shape (rows, points)."""
    smallest: np.ndarray
    """Variance of the rounding of an estimate; a channel is given no smaller one."""

    def channel_arguments(self, model: Model, group: np.ndarray, *, xp: Any, dtype: Any) -> dict:
        """Variance of the preactivations and parameters of the channel, for a group of points."""
        variance = np.maximum(self.variance[group], self.smallest[group])
        parameters = {"variance": variance, **model.take(group).channel_parameters}
        return on_device(parameters, xp=xp, dtype=dtype)


def symmetric(model: Model) -> bool:
    """Whether w and -w are equally likely given the labels: no label tells the sign (all priors are
    symmetric)."""
    return bool(model.channel.EVEN)


def start(
    *, model: Model, instance: Instance, initialization: np.ndarray, seed: int, xp: Any, dtype: Any
) -> State:
    """Messages A, B of one Gaussian channel of the weights, or of nothing, for every point's word
    of `initialization` (see `gamp`)."""
    points, dimension = len(instance.samples), instance.dimension
    rho = model.second_moment(points)
    stream = Stream("glm_bayes", seed, dimension, "init")
    shift = stream.normals(0, dimension, 1, xp=xp, dtype=dtype)
    informed = initialization == "informed"
    weakest = 1.0 / (rho * dimension) if symmetric(model) else 0.0
    snr = np.where(informed, INFORMED_SNR, weakest)
    column = xp.asarray(snr, dtype=dtype)
    signal = xp.asarray(np.where(informed, snr, 0.0), dtype=dtype)
    field = signal * instance.teacher + xp.sqrt(column) * shift
    mean, variance = model.prior.denoise(
        precision=column,
        field=field,
        xp=xp,
        **on_device(model.prior_parameters, xp=xp, dtype=dtype),
    )
    average = column_sums(variance, xp) / dimension
    output = xp.zeros((instance.design.shape[0], points), dtype=dtype)
    rounding = instance.eps**2 * rho
    return State(snr, field, mean, average, output, rounding)


def compare(
    *, model: Model, instance: Instance, mean: Any, points: np.ndarray, xp: Any
) -> dict[str, np.ndarray]:
    """Overlap, self-overlap and mean-square error of the estimates `mean` of some points.

    Modulo the sign that no label tells: the overlap is then taken positive, and the error is that
    of the better sign.
    """
    teacher = instance.teacher
    if teacher.shape[1] > 1:
        teacher = teacher[:, xp.asarray(points)]
    if chunks.applies(xp):
        products = _on_device(mean, teacher, symmetric(model), xp)
    elif symmetric(model):
        overlap = inner(mean, teacher, xp)
        sign = np.where(overlap < 0, -1.0, 1.0)
        mean = mean * xp.asarray(sign, dtype=mean.dtype)
        products = sign * overlap, *inners([(mean, mean), (mean - teacher,) * 2], xp)
    else:
        products = tuple(inners([(mean, teacher), (mean, mean), (mean - teacher,) * 2], xp))
    names = "overlap", "self_overlap", "mse"
    return {n: v / instance.dimension for n, v in zip(names, products, strict=True)}


def _on_device(mean, teacher, symmetric, xp):
    """The sums of `compare`, by a kernel and in one transfer."""
    overlap, square, difference, total = weights.comparison(mean, teacher, xp)
    if symmetric:
        return np.abs(overlap), square, np.where(overlap < 0, total, difference)
    return overlap, square, difference


class Record:
    """What was measured at t = 0 ... `iterations`; a point that has ended keeps its last values."""

    def __init__(self, points: int, iterations: int) -> None:
        self.values = {
            name: np.zeros((points, iterations + 1))
            for name in ("overlap", "self_overlap", "mse", "variance")
        }
        self.iterations = iterations

    def write(self, points: np.ndarray, step: int, measured: Mapping[str, np.ndarray]) -> None:
        """Keep the values of `points` after iteration `step`, and until others follow."""
        for name, values in measured.items():
            self.values[name][points, step:] = values[:, None]

    def errors(self, model: Model, second_moment: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Error on a fresh sample at every iteration, shape (points, iterations + 1)."""
        time = np.minimum(np.arange(self.iterations + 1), steps[:, None])
        values = np.empty(time.shape)
        point, step = np.nonzero(time == np.arange(self.iterations + 1))
        for first in range(0, len(point), _CHUNK):
            some, at = point[first : first + _CHUNK], step[first : first + _CHUNK]
            part = model.take(some)
            classification, label = part.channel.measured_errors(
                overlap=self.values["overlap"][some, at],
                self_overlap=self.values["self_overlap"][some, at],
                variance=self.values["variance"][some, at],
                second_moment=second_moment[some],
                **part.channel_parameters,
            )
            values[some, at] = classification if model.channel.LABELS == "sign" else label
        return np.take_along_axis(values, time, axis=1)


def measure(
    *, model: Model, instance: Instance, state: State, xp: Any, dtype: Any
) -> dict[str, np.ndarray]:
    """Observables of the final messages."""
    dimension, points = instance.dimension, len(state.variance)
    everyone = np.arange(points)
    measured = compare(model=model, instance=instance, mean=state.mean, points=everyone, xp=xp)
    classification, label = model.channel.measured_errors(
        overlap=measured["overlap"],
        self_overlap=measured["self_overlap"],
        second_moment=teacher_norm(instance, xp),
        variance=state.variance,
        **model.channel_parameters,
    )

    channel_part = _channel_part(model, instance, state, xp, dtype)
    double = xp.float64
    field, mean = xp.astype(state.field, double), xp.astype(state.mean, double)
    precision = xp.asarray(state.precision, dtype=double)
    parameters = on_device(model.prior_parameters, xp=xp, dtype=double)
    normalisation = model.prior.log_normalisation(
        precision=precision, field=field, xp=xp, **parameters
    )
    prior_part = normalisation - field * mean + 0.5 * precision * mean**2
    energy = 0.5 * state.precision * state.variance
    return {
        **measured,
        "classification_error": classification,
        "label_mse": label,
        "free_entropy": column_sums(prior_part, xp) / dimension + energy + channel_part / dimension,
    }


def _channel_part(model, instance, state, xp, dtype):
    """Σ_μ [log Z(y_μ; ω_μ, V) + (ω_μ - (X·ŵ)_μ)²/(2V)], NaN where it contradicts the labels."""
    everyone = np.arange(len(state.variance))
    tally = Tally(1, len(everyone), xp)
    for rows, group, product in instance.products(everyone, state.mean, xp=xp):
        given = state.channel_arguments(model, group, xp=xp, dtype=dtype)
        columns = xp.asarray(group)
        output = state.output[rows, columns]
        shift = given["variance"] * output
        term = model.channel.log_normalisation(
            label=instance.labels[rows, columns], omega=product - shift, xp=xp, **given
        )
        term = instance.only_asked(rows, group, term + 0.5 * shift * output, xp=xp)
        tally.add(group, [term])
    answer = tally.total()[0]
    excluded = np.abs(answer) > _CONTRADICTION * instance.samples
    return np.where(excluded, np.nan, answer)


def teacher_norm(instance: Instance, xp: Any) -> np.ndarray:
    """|w|²/d of every point's teacher; not quite zero where no weight is drawn non-zero."""
    norm = inner(instance.teacher, instance.teacher, xp) / instance.dimension
    norm = np.maximum(norm, 1e-30)
    return np.broadcast_to(norm, instance.samples.shape)


def inner(first: Any, second: Any, xp: Any) -> np.ndarray:
    """Column by column inner products, in double precision, on the host."""
    return inners([(first, second)], xp)[0]


def inners(pairs: Iterable[tuple[Any, Any]], xp: Any) -> np.ndarray:
    """`inner` of several pairs, in one transfer: (pairs, columns)."""
    double = xp.float64
    return all_column_sums((xp.astype(a, double) * xp.astype(b, double) for a, b in pairs), xp)


def squares(array: Any, xp: Any) -> Any:
    """The squares of the entries, in double precision."""
    wide = xp.astype(array, xp.float64)
    return wide * wide

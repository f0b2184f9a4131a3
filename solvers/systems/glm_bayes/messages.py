"""The messages of GAMP, and the observables measured on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.systems.glm_bayes.instance import on_device, to_host

_SMALLEST = 1e-30
"""Smallest variance handed to a channel: its square root and inverse exist in single precision."""

_CONTRADICTION = 100.0
"""Nats per label beyond which labels and messages exclude each other (see `gamp`)."""


@dataclass
class State:
    """Messages of all points; arrays (dimension, points), columns (points,) on the host."""

    precision: np.ndarray
    field: Any
    mean: Any
    variance: np.ndarray
    output: Any
    """g, shape (rows, points)."""


def channel_arguments(model, instance, state, rows, group, xp, dtype):
    """Labels, variance and parameters of the channel for a block of rows and a group of points."""
    columns = xp.asarray(group)
    variance = xp.asarray(np.maximum(state.variance[group], _SMALLEST), dtype=dtype)
    parameters = on_device(model.take(group).channel_parameters, xp=xp, dtype=dtype)
    asked = xp.arange(rows.start, rows.stop)[:, None] < xp.asarray(instance.samples[group])[None, :]
    return (
        columns,
        asked,
        dict(label=instance.labels[rows, columns], variance=variance, **parameters),
    )


def measure(model, instance, state, xp, dtype):
    """Observables of the final messages."""
    dimension, points = instance.dimension, len(state.variance)
    channel_part = np.zeros(points)
    everyone = np.argsort(-instance.samples, kind="stable")
    for rows, design in instance.row_blocks(everyone):
        for group in instance.groups(everyone, rows.start):
            columns, asked, arguments = channel_arguments(
                model, instance, state, rows, group, xp, dtype
            )
            shift = arguments["variance"] * state.output[rows, columns]
            omega = design @ state.mean[:, columns] - shift
            term = model.channel.log_normalisation(omega=omega, xp=xp, **arguments)
            term = term + 0.5 * shift * state.output[rows, columns]
            term = xp.astype(xp.where(asked, term, 0.0), xp.float64)
            channel_part[group] += to_host(xp.sum(term, axis=0))

    excluded = np.abs(channel_part) > _CONTRADICTION * instance.samples
    channel_part = np.where(excluded, np.nan, channel_part)

    double = xp.float64
    field, mean = xp.astype(state.field, double), xp.astype(state.mean, double)
    precision = xp.asarray(state.precision, dtype=double)
    parameters = on_device(model.prior_parameters, xp=xp, dtype=double)
    normalisation = model.prior.log_normalisation(
        precision=precision, field=field, xp=xp, **parameters
    )
    prior_part = normalisation - field * mean + 0.5 * precision * mean**2
    energy = 0.5 * state.precision * state.variance
    free_entropy = total(prior_part, xp) / dimension + energy + channel_part / dimension

    overlap = inner(mean, instance.teacher, xp) / dimension
    self_overlap = inner(mean, mean, xp) / dimension
    norm = float(inner(instance.teacher, instance.teacher, xp)[0]) / dimension
    classification, label = model.channel.measured_errors(
        overlap=overlap,
        self_overlap=self_overlap,
        second_moment=np.full(points, norm),
        variance=state.variance,
        **model.channel_parameters,
    )
    return {
        "overlap": overlap,
        "self_overlap": self_overlap,
        "mse": inner(mean - instance.teacher, mean - instance.teacher, xp) / dimension,
        "classification_error": classification,
        "label_mse": label,
        "free_entropy": free_entropy,
    }


def inner(first, second, xp):
    """Column by column inner products, in double precision, on the host."""
    return total(xp.astype(first, xp.float64) * xp.astype(second, xp.float64), xp)


def total(array, xp):
    """Sums over the weights, on the host, added in an order that other columns cannot change.

    NumPy adds a lone column, or one in Fortran order, pairwise, and rows of several one by one.
    """
    points = array.shape[1]
    padded = xp.zeros((array.shape[0], points + 1), dtype=xp.float64)
    padded[:, :points] = array
    return to_host(xp.sum(padded, axis=0)[:points])

"""The two halves of an iteration of GAMP: what the labels say, and what the weights make of it.

In array operations, which are the definition, or compiled: on a CPU `numerics/one_pass.py`, on a
device `numerics/cuda/one_pass.py` and `numerics/cuda/weights.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.numerics.cuda import chunks, weights
from solvers.numerics.cuda import one_pass as cuda_one_pass
from solvers.numerics.lockstep import Tally, all_column_sums
from solvers.systems.glm_bayes.instance import Instance, on_device
from solvers.systems.glm_bayes.messages import State, squares
from solvers.systems.glm_bayes.model import Model


def read(
    model: Model, instance: Instance, state: State, active: np.ndarray, xp: Any, dtype: Any
) -> tuple[np.ndarray, Any, np.ndarray]:
    """One reading of the design: -Σ ∂g/d, X^T g and the number of informative samples, of `active`.

    X^T g is (dimension, len(active)); new g are in `state`.
    """
    from solvers.numerics import one_pass  # its channels are compiled: heavy

    arrays = model.channel, instance.design, instance.labels, state.output
    given = {
        "points": active,
        "samples": instance.samples[active],
        "variance": np.maximum(state.variance, state.smallest)[active],
        **model.take(active).channel_parameters,
    }
    if chunks.applies(xp):
        given |= {"mean": state.mean, "whole": True, "held": instance.held}
        gathered, moments = cuda_one_pass.read(*arrays, **given, xp=xp)
    else:
        mean = state.mean[:, xp.asarray(active)]
        if instance.held.plain and one_pass.applies(model.channel, mean, xp):
            gathered, moments = one_pass.read(*arrays, **given, mean=mean)
        else:
            gathered, moments = _read(model, instance, state, active, mean, xp, dtype)
    first, size, second = moments
    informative = np.divide(size**2, second, out=np.zeros(len(active)), where=second > 0)
    return first / instance.dimension, gathered, informative


def _read(model, instance, state, active, mean, xp, dtype):
    """X^T g and the sums of -∂g, |∂g| and (∂g)² of `active`; `one_pass` in arrays."""
    moments = Tally(3, len(instance.samples), xp)

    def respond(rows, group, product):
        given = state.channel_arguments(model, group, xp=xp, dtype=dtype)
        columns = xp.asarray(group)
        g, curvature = model.channel.denoise(
            label=instance.labels[rows, columns],
            omega=product - given["variance"] * state.output[rows, columns],
            xp=xp,
            **given,
        )
        g = instance.only_asked(rows, group, g, xp=xp)
        state.output[rows, columns] = g
        curvature = xp.astype(instance.only_asked(rows, group, curvature, xp=xp), xp.float64)
        moments.add(group, (curvature, xp.abs(curvature), curvature * curvature))
        return g

    return instance.read(active, mean, respond, xp=xp), moments.total()[:, active]


def advance(
    model: Model,
    state: State,
    points: np.ndarray,
    gathered: Any,
    origin: np.ndarray,
    onsager: np.ndarray,
    keep: np.ndarray,
    xp: Any,
    dtype: Any,
) -> np.ndarray:
    """New B and ŵ of `points`, whose X^T g are the columns `origin` of `gathered`.

    `onsager` -Σ ∂g/d, and `keep` the share of B that stays. Returns the sums over the weights of
    (change of ŵ)², ŵ² and variances, (3, len(points)).
    """
    prior, parameters = model.prior, model.take(points).prior_parameters
    if chunks.applies(xp):
        return weights.update(
            *(prior, state.mean, state.field, gathered),
            points=points,
            origin=origin,
            onsager=onsager,
            keep=keep,
            precision=state.precision[points],
            xp=xp,
            **parameters,
        )
    columns = xp.asarray(points)
    before, share = state.mean[:, columns], xp.asarray(keep, dtype=dtype)
    field = xp.asarray(onsager, dtype=dtype) * before + gathered[:, xp.asarray(origin)]
    field = (1 - share) * field + share * state.field[:, columns]
    mean, variance = prior.denoise(
        precision=xp.asarray(state.precision[points], dtype=dtype),
        field=field,
        xp=xp,
        **on_device(parameters, xp=xp, dtype=dtype),
    )
    moved = mean - before
    state.field[:, columns], state.mean[:, columns] = field, mean
    return all_column_sums((squares(moved, xp), squares(mean, xp), variance), xp)

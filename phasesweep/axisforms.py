"""The forms in which an axis is given, and the values that they stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phasesweep.errors import UserError
from solvers.axes import Axis, File
from solvers.axes import Sequence as SequenceAxis

AXIS_FORMS = (
    "a value, a list, {values: [...]}, {from, to, points}, {from, to, points, spacing: log}, "
    "{from, to, step}, {count: N}, "
    "{around: METHOD.OBSERVABLE, window: [low, high], points, exponent}"
)


def axis_values(axis: Axis, spec: Any, at: str, folder: Path) -> list[Any]:
    """Canonical distinct values of an axis; `at` opens messages, `folder` holds the files named."""
    if isinstance(axis, SequenceAxis):
        raw = _sequence_values(spec, at)
    elif isinstance(spec, Mapping) and not (
        isinstance(axis, File) and set(spec) == set(axis.names)
    ):
        raw = _expand(spec, at, whole=type(axis).__name__ == "Integer")
    else:
        raw = list(spec) if isinstance(spec, list | tuple | range) else [spec]
    if isinstance(axis, File):
        raw = [
            str(folder / item) if isinstance(item, str) and item not in axis.words else item
            for item in raw
        ]
    values: list[Any] = []
    seen: set[Any] = set()
    for item in raw:
        try:
            value = axis.parse(item)
        except ValueError as error:
            if isinstance(axis, File) and str(error) != axis.allowed():
                raise UserError(f"{at}: {error}") from None
            raise UserError(f"{at}: given {show(item)}; allowed: {error}") from None
        if value not in seen:
            seen.add(value)
            values.append(value)
    if not values:
        raise UserError(f"{at}: no value is left; allowed: {AXIS_FORMS}")
    return sorted(values) if axis.numeric else values


def _sequence_values(spec: Any, at: str) -> list[Any]:
    """A list of numbers is one value; several values are {values: [[...], [...]]}."""
    if isinstance(spec, Mapping):
        return list(spec["values"]) if "values" in spec else [_expand(spec, at)]
    if isinstance(spec, list | tuple) and spec and isinstance(spec[0], list | tuple):
        return list(spec)
    return [spec if isinstance(spec, list | tuple) else [spec]]


def _expand(spec: Mapping[str, Any], at: str, whole: bool = False) -> list[Any]:
    """The numbers that a range form stands for."""
    import numpy as np

    if "values" in spec:
        return list(spec["values"])
    if "count" in spec:
        return list(range(spec["count"]))
    try:
        low, high = float(spec["from"]), float(spec["to"])
        step = float(spec["step"]) if "step" in spec else None
    except (TypeError, ValueError, KeyError):
        raise UserError(f"{at}: given {show(dict(spec))}; allowed: {AXIS_FORMS}") from None
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UserError(f"{at}: from and to must be finite; given {spec['from']} and {spec['to']}")
    if step is not None:
        if not (np.isfinite(step) and step != 0 and (high - low) * step >= 0):
            raise UserError(f"{at}: step must lead from {low:g} to {high:g}; given {step:g}")
        count = np.floor((high - low) / step + 1e-9) + 1
        if count > 10_000_000:
            raise UserError(
                f"{at}: {count:.3g} points; allowed: at most ten million along one axis"
            )
        numbers = low + step * np.arange(int(count))
    elif spec.get("spacing") == "log":
        if not (low > 0 and high > 0):
            raise UserError(
                f"{at}: log spacing needs from and to above 0; given {low:g} and {high:g}"
            )
        numbers = np.geomspace(low, high, spec["points"])
    else:
        numbers = np.linspace(low, high, spec["points"])
    # Log-spaced sizes fall between whole numbers; the nearest ones are meant.
    return np.unique(np.rint(numbers).astype(np.int64)).tolist() if whole else numbers.tolist()


def show(value: Any) -> str:
    """A given value in a message, cut to a readable length."""
    text = json.dumps(value, default=str) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

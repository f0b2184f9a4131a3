"""The curves of the generic figure: for each method, observable, panel, hue, style and shape."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures.curves import Curve, coordinate_of, curve, further_dims, prepare
from phasesweep.figures.plan import Datasets, Plan, matches, values_of

if TYPE_CHECKING:
    import xarray as xr

MOST_COMPONENTS = 3


@dataclass(frozen=True)
class Drawn:
    """One curve and what decides its look: positions in the plan's panels, styles and shapes."""

    method: str
    observable: str
    panel: int
    hue: Any
    style: int
    shape: int
    component: int
    curve: Curve


def curves_of(datasets: Datasets, plan: Plan) -> Iterator[Drawn]:
    """Every curve with something finite in it."""
    for (method, dataset), name in itertools.product(datasets.items(), plan.y):
        if name not in dataset:
            continue
        table = prepare(dataset, name, plan.x, plan.statistic)
        components = components_of(dataset, name, plan)
        for index, panel in enumerate(plan.panels):
            if not matches(dataset, panel):
                continue
            for hue, style, shape in itertools.product(
                [h for h in own_values(dataset, plan.hue) if h is None or h in plan.hues],
                own_values(dataset, plan.style),
                own_values(dataset, plan.shape),
            ):
                values = {plan.hue: hue, plan.style: style, plan.shape: shape}
                chosen = panel | {a: v for a, v in values.items() if a and v is not None}
                for number, component in enumerate(components):
                    found = curve(table, chosen, component, plan.x)
                    if found.finite:
                        places = _place(plan.styles, style), _place(plan.shapes, shape)
                        yield Drawn(method, name, index, hue, *places, number, found)


def _place(values: tuple[Any, ...], value: Any) -> int:
    return values.index(value) if value in values else 0


def own_values(dataset: xr.Dataset, axis: str | None) -> list[Any]:
    """A method's values of an axis, or [None] if it does not take it."""
    return (values_of(dataset, axis) or [None]) if axis else [None]


def components_of(dataset: xr.Dataset, name: str, plan: Plan) -> list[dict[str, int]]:
    """Which entries of a vector or matrix observable to draw, of a square one the diagonal first.

    Along an axis with a coordinate (time) that is not x, the last entry is taken.
    """
    dims = [d for d in further_dims(dataset, name) if d != plan.x]
    last = {d: -1 for d in dims if coordinate_of(dataset, d)}
    dims = [d for d in dims if d not in last]
    if not dims:
        return [last]
    sizes = [dataset.sizes[d] for d in dims]
    # There are four line styles to tell values of the style axis and components apart.
    most = min(MOST_COMPONENTS, max(1, 4 // max(1, len(plan.styles))))
    if len(dims) == 2 and sizes[0] == sizes[1]:
        picks: list[tuple[int, ...]] = [(i, i) for i in range(min(sizes[0], max(1, most - 1)))]
        picks += [(0, 1)] if sizes[0] > 1 and most > 1 else []
    else:
        picks = list(itertools.islice(np.ndindex(*sizes), most))
    return [last | dict(zip(dims, pick, strict=True)) for pick in picks]


def attributes_of(datasets: Datasets, name: str) -> Mapping[str, Any]:
    """Attributes of an axis or observable, from whichever method has it."""
    for dataset in datasets.values():
        held = name if name in dataset.variables else coordinate_of(dataset, name)
        if held:
            return dataset[held].attrs
    return {}

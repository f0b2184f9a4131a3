"""What the generic figure shows: which axis runs along x, which observables, colours and panels.

The sweep's `figure` may name x, y and hue; what it leaves open is chosen from what was swept:

- x: alpha, else an observable's own axis (time), else the last numeric axis swept;
- y: up to four observables along x, those that theory and simulation both give first;
- hue: the size axis of the simulations, else the first axis left;
- style of lines: an axis of two or three values that only lines sweep (uninformed, informed);
- shape of points: the size axis, if it is not the hue and lines do not sweep it;
- panels: every axis left. Seeds are averaged.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures.curves import coordinate_of, further_dims, swept
from phasesweep.figures.style import is_sequence, words

if TYPE_CHECKING:
    import xarray as xr

MOST_OBSERVABLES = 4
MOST_HUES = 7
BOOKKEEPING = ("status", "steps", "residual", "seconds", "samples")

Datasets = Mapping[str, "xr.Dataset"]


@dataclass(frozen=True)
class Plan:
    """The choices; `panels` holds the axes' values of each panel, `notes` what was left out."""

    x: str
    y: tuple[str, ...]
    hue: str | None
    hues: tuple[Any, ...]
    style: str | None
    styles: tuple[Any, ...]
    shape: str | None
    shapes: tuple[Any, ...]
    panels: tuple[dict[str, Any], ...]
    thresholds: tuple[str, ...]
    notes: tuple[str, ...]
    statistic: str


def make_plan(datasets: Datasets, wish: Mapping[str, Any]) -> Plan | None:
    """Choose what to show; None if no observable holds a finite number."""
    names = _observables(datasets)
    wanted = [n for n in wish.get("y", ()) if n in names and _holds_numbers(datasets, n)]
    if not any(_drawable(datasets, n, str(wish.get("x"))) for n in wanted):
        wanted = []
        names = [n for n in names if _holds_numbers(datasets, n)]
    along = wish.get("x")
    if along is None or not any(_drawable(datasets, n, along) for n in names):
        along = _choose_x(datasets, names)
    if along is None:
        return None
    possible = [n for n in wanted or names if _drawable(datasets, n, along)]
    is_threshold = [along == "alpha" and n.startswith("alpha_") for n in names]
    thresholds = tuple(n for n, t in zip(names, is_threshold, strict=True) if t)
    chosen = wanted or _choose_y(datasets, [n for n in possible if n not in thresholds], along)
    if not chosen:
        # A method that gives nothing but thresholds, asked at one alpha: they are the data.
        chosen, thresholds = possible[:MOST_OBSERVABLES], ()
    if not chosen:
        return None
    drawn = {m: d for m, d in datasets.items() if any(n in d for n in chosen)}
    left = _axes_left(drawn, along)
    hue = wish.get("hue")
    if hue not in {axis for d in drawn.values() for axis in axes_of(d)} or hue == along:
        hue = _choose_hue(drawn, left, along)
    left = [axis for axis in left if axis != hue]
    style = next((axis for axis in left if _only_lines_sweep(drawn, axis)), None)
    sizes = {d.attrs.get("size") for d in drawn.values()}
    shape = next((a for a in left if a in sizes and _only_points_sweep(drawn, a)), None)
    left = [axis for axis in left if axis not in (style, shape)]
    statistic = str(wish.get("statistic", "mean"))
    notes = ["medians over seeds"] if statistic == "median" else []
    hues = union(drawn, hue) if hue else []
    if len(hues) > MOST_HUES:
        notes.append(f"{MOST_HUES} of {len(hues)} values of {words(str(hue))}")
        hues = _spread(hues, MOST_HUES)
    values = itertools.product(*(union(drawn, axis) for axis in left))
    panels = [dict(zip(left, combination, strict=True)) for combination in values]
    taking = [d for d in drawn.values() if any(a in d.coords for a in left)] or [*drawn.values()]
    return Plan(
        x=along,
        y=tuple(chosen),
        hue=hue,
        hues=tuple(hues),
        style=style,
        styles=tuple(union(drawn, style)) if style else (),
        shape=shape,
        shapes=tuple(union(drawn, shape)) if shape else (),
        panels=tuple(p for p in panels if any(matches(d, p) for d in taking)),
        thresholds=thresholds,
        notes=tuple(notes),
        statistic=statistic,
    )


def thin(panels: list[Any], *, most: int) -> tuple[list[Any], str]:
    """At most so many of the panels that hold something, and the words that say so."""
    if len(panels) <= most:
        return panels, ""
    return _spread(panels, most), f"{most} of {len(panels)} combinations of the other axes"


def values_of(dataset: xr.Dataset, axis: str) -> list[Any]:
    """The values that a method has of an axis: one for an axis that was not swept."""
    return np.atleast_1d(dataset[axis].values).tolist() if axis in dataset.coords else []


def union(datasets: Datasets, axis: str) -> list[Any]:
    """The distinct values of an axis over all methods: numbers sorted, words in their order."""
    found = dict.fromkeys(v for d in datasets.values() for v in values_of(d, axis))
    return list(found) if any(isinstance(v, str) for v in found) else sorted(found)


def matches(dataset: xr.Dataset, panel: Mapping[str, Any]) -> bool:
    """Whether a method has the values of a panel; an axis that it does not take always fits."""
    return all(
        axis not in dataset.coords or v in values_of(dataset, axis) for axis, v in panel.items()
    )


def axes_of(dataset: xr.Dataset) -> list[str]:
    """Every axis of a method, swept or not, without the coordinates of further axes."""
    further = {d for n in dataset.data_vars for d in further_dims(dataset, str(n))}
    return [str(n) for n in dataset.coords if n not in further and "_of_" not in str(n)]


def is_numeric(dataset: xr.Dataset, axis: str) -> bool:
    """Whether an axis holds numbers; positions of sequences are none."""
    coordinate = dataset[axis]
    return coordinate.dtype.kind in "iuf" and not is_sequence(coordinate.attrs)


def _observables(datasets: Datasets) -> list[str]:
    names = (
        str(n) for d in datasets.values() for n, v in d.data_vars.items() if v.dtype.kind in "iuf"
    )
    return [n for n in dict.fromkeys(names) if n not in BOOKKEEPING]


def _holds_numbers(datasets: Datasets, name: str) -> bool:
    return any(bool(np.isfinite(d[name]).any()) for d in datasets.values() if name in d)


def _runs_along(dataset: xr.Dataset, name: str, x: str) -> bool:
    """Whether an observable of a method can be drawn along x."""
    if name not in dataset:
        return False
    further = further_dims(dataset, name)
    return x in further if further else x in dataset.coords and x in axes_of(dataset)


def _drawable(datasets: Datasets, name: str, x: str) -> bool:
    return any(_runs_along(d, name, x) for d in datasets.values())


def _choose_x(datasets: Datasets, names: list[str]) -> str | None:
    """The axis along x when the sweep names none; None if there is no axis at all."""
    given = [d for d in datasets.values() if any(n in d for n in names)]
    size_axes = {d.attrs.get("size") for d in given}
    own = [a for d in given for n in names if n in d for a in further_dims(d, n)]
    along = [a for a in own if any(coordinate_of(d, a) for d in given)]
    numeric = [a for d in given for a in swept(d) if is_numeric(d, a) and a != "seed"]
    single = [
        a for d in given for a in axes_of(d) if is_numeric(d, a) and a not in ("seed", *size_axes)
    ]
    candidates = [
        *(a for a in numeric if a == "alpha"),
        *along,
        *reversed([a for a in numeric if a not in size_axes]),
        *numeric,
        *own,
        *(a for a in single if a == "alpha"),
        *single,
        *(a for d in given for a in axes_of(d) if a != "seed"),
    ]
    return next(iter(candidates), None)


def _choose_y(datasets: Datasets, names: list[str], x: str) -> list[str]:
    """Observables of most methods first; scalars, or those that run along their own axis x.

    An observable with the symbol of x only says where x was measured (a recorded time).
    """

    def methods(name: str) -> int:
        return sum(name in d and _runs_along(d, name, x) for d in datasets.values())

    def symbols(name: str) -> set[str]:
        held = ((d, n) for d in datasets.values() for n in (name, coordinate_of(d, name)))
        return {str(d[n].attrs.get("symbol", "")) for d, n in held if n in d.variables}

    others = [n for n in names if not (symbols(n) & symbols(x) - {""})]
    return sorted(others or names, key=methods, reverse=True)[:MOST_OBSERVABLES]


def _axes_left(drawn: Datasets, x: str) -> list[str]:
    """Axes with several values over the methods drawn: swept numbers, words that differ."""
    order = dict.fromkeys(
        [
            *(a for d in drawn.values() for a in swept(d)),
            *(a for d in drawn.values() for a in axes_of(d) if not is_numeric(d, a)),
        ]
    )
    return [a for a in order if a not in (x, "seed") and len(union(drawn, a)) > 1]


def _choose_hue(drawn: Datasets, left: list[str], x: str) -> str | None:
    sizes = [
        str(d.attrs["size"]) for d in drawn.values() if d.attrs.get("size") not in ("", None, x)
    ]
    return next(iter([*(s for s in sizes if s in left), *left, *sizes]), None)


def _only_lines_sweep(drawn: Datasets, axis: str) -> bool:
    """Whether an axis of two or three values tells lines apart, and no points."""
    points = {m: d for m, d in drawn.items() if d.attrs.get("role") == "simulation"}
    return len(union(drawn, axis)) <= 3 and len(union(points, axis)) <= 1


def _only_points_sweep(drawn: Datasets, axis: str) -> bool:
    lines = [d for d in drawn.values() if d.attrs.get("role") != "simulation"]
    return len(union(drawn, axis)) <= 3 and not any(axis in swept(d) for d in lines)


def _spread(values: list[Any], count: int) -> list[Any]:
    """`count` values at even distances, with the first and the last."""
    return [values[i] for i in np.linspace(0, len(values) - 1, count).round().astype(int)]

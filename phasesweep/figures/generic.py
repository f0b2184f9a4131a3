"""The generic figure: any sweep's dataset, with theory and simulation side by side.

Theory is drawn as lines, exact formulas as dashed lines, simulations as points with the standard
error over seeds; a method that does not depend on x is a horizontal line, and a threshold alpha_…
of a method is a vertical one where x is alpha. `plan.py` says how axes are chosen.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.errors import UserError
from phasesweep.figures import style as look
from phasesweep.figures.curves import further_dims, is_flag, log_spaced, swept
from phasesweep.figures.legend import dashes_of, handles, marker_of
from phasesweep.figures.plan import (
    Datasets,
    Plan,
    axes_of,
    is_numeric,
    make_plan,
    thin,
    union,
    values_of,
)
from phasesweep.figures.series import Drawn, attributes_of, curves_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 48


def draw(datasets: Datasets, *, title: str, wish: Mapping[str, Any]) -> Figure:
    """The figure of some methods' datasets; `wish` may name x, y (a list) and hue.

    Its `same` maps an observable to the one whose panel it shares (an exact probability beside the
    measured fraction). Raises UserError if no observable holds a finite number along any axis.
    """
    same = wish.get("same", {})
    datasets = {
        method: d.rename({a: b for a, b in same.items() if a in d and b not in d})
        for method, d in datasets.items()
    }
    plan = make_plan(datasets, wish)
    ticks = _word_ticks(datasets, plan.x) if plan else []
    if plan and ticks:
        datasets = {m: _with_places(d, plan.x, ticks) for m, d in datasets.items()}
    drawn = list(curves_of(datasets, plan)) if plan else []
    if plan is None or not drawn:
        raise UserError(
            f"{title or 'the dataset'}: there is no finite number to draw; "
            "see whether its points were computed (phasesweep plan SWEEP)"
        )
    rows = [name for name in plan.y if any(d.observable == name for d in drawn)]
    columns, left_out = thin(sorted({d.panel for d in drawn}), most=4 if len(rows) > 1 else 6)
    drawn = [d for d in drawn if d.panel in columns]
    flags = {n for n in rows if any(is_flag(d[n]) for d in datasets.values() if n in d)}
    with look.style():
        filled = {(d.observable, d.panel) for d in drawn}
        figure, places = _layout(rows, columns, filled)
        colour_of = look.colours(plan.hues)
        marked: dict[str, dict[str, None]] = {}
        for (name, panel), ax in places.items():
            here = [d for d in drawn if d.observable == name and d.panel == panel]
            _fill(ax, here, datasets, plan, colour_of)
            _scales(ax, here, flag=name in flags)
            if ticks:
                ax.set_xticks(range(len(ticks)), [look.words(word) for word in ticks])
            for threshold, same in _thresholds(ax, here, datasets, plan, panel, colour_of):
                marked.setdefault(threshold, {})[same] = None
        _name_axes(places, datasets, plan, flags)
        notes = "; ".join(note for note in (*plan.notes, left_out) if note)
        entries = handles(drawn, datasets, plan, colour_of, marked)
        look.legend(figure, entries, heading=f"shown: {notes}" if notes else "")
        look.title(figure, title)
    return figure


def _is_grid(rows: list[str], columns: list[int], filled: set[tuple[str, int]]) -> bool:
    """Whether observables make rows and the other axes columns: both several, with few holes."""
    places = len(rows) * len(columns)
    return len(rows) > 1 and len(columns) > 1 and len(filled) >= 0.75 * places


def _layout(
    rows: list[str], columns: list[int], filled: set[tuple[str, int]]
) -> tuple[Figure, dict[tuple[str, int], Axes]]:
    """A panel for each observable and choice of the other axes that holds something."""
    keys = [(name, panel) for name in rows for panel in columns]
    if _is_grid(rows, columns, filled):
        figure, axes = look.panels(rows=len(rows), columns=len(columns), share_y=True)
    else:
        keys = [key for key in keys if key in filled]
        across = 3 if len(keys) in (3, 5, 6) else min(2, len(keys))
        figure, axes = look.panels(rows=-(-len(keys) // across), columns=across)
    places = dict(zip(keys, axes.flat, strict=False))
    for ax in [*axes.flat[len(keys) :], *(places[k] for k in keys if k not in filled)]:
        ax.remove()
    return figure, {key: places[key] for key in keys if key in filled}


def _fill(
    ax: Axes, here: list[Drawn], datasets: Datasets, plan: Plan, colour_of: Mapping[Any, Any]
) -> None:
    for item in here:
        dataset, found = datasets[item.method], item.curve
        color = colour_of.get(item.hue, look.INK)
        if dataset.attrs["role"] == "simulation":
            step = -(-len(found.x) // MOST_POINTS) if plan.x not in swept(dataset) else 1
            errors = None if found.errors is None else found.errors[:, ::step]
            look.error_points(
                ax,
                found.x[::step],
                found.y[::step],
                errors,
                marker=marker_of(datasets, plan, item),
                color=color,
                filled=item.component == 0,
                zorder=3,
            )
        elif plan.x not in dataset.coords and plan.x not in further_dims(dataset, item.observable):
            ax.axhline(found.y[0], color=color, linestyle=dashes_of(datasets, plan, item), zorder=2)
        else:
            marker = "d" if np.sum(np.isfinite(found.y)) == 1 else ""
            ax.plot(
                found.x,
                found.y,
                color=color,
                linestyle=dashes_of(datasets, plan, item),
                marker=marker,
                zorder=2,
            )


def _word_ticks(datasets: Datasets, x: str) -> list[str]:
    """The words along x, if its values are words."""
    return [v for v in union(datasets, x) if isinstance(v, str)]


def _with_places(dataset: xr.Dataset, x: str, ticks: list[str]) -> xr.Dataset:
    """The dataset with positions in place of the words along x."""
    if x not in dataset.coords:
        return dataset
    places = np.vectorize(ticks.index, otypes=[int])(dataset[x].values)
    return dataset.assign_coords({x: (dataset[x].dims, places, dataset[x].attrs)})


def _scales(ax: Axes, here: list[Drawn], *, flag: bool) -> None:
    """Logarithmic axes where the numbers ask for them; whole flags from 0 to 1."""
    places = np.concatenate([d.curve.x for d in here] or [np.zeros(0)])
    heights = np.concatenate([d.curve.y for d in here] or [np.zeros(0)])
    heights = heights[np.isfinite(heights)]
    if log_spaced(places):
        ax.set_xscale("log")
        if heights.size and heights.min() > 0 and heights.max() > 20 * heights.min():
            ax.set_yscale("log")
    if flag:
        ax.set_ylim(-0.04, 1.04)


def _thresholds(
    ax: Axes,
    here: list[Drawn],
    datasets: Datasets,
    plan: Plan,
    panel: int,
    colour_of: Mapping[Any, Any],
) -> Iterator[tuple[str, str]]:
    """Mark the thresholds of a panel; yields (name of the line, name) of those that exist.

    Of a threshold's other axes only values at which the panel draws something are taken. Thresholds
    that coincide share the line of the first.
    """
    lines: list[tuple[float, Any, str]] = []
    drawn = {d.method: datasets[d.method] for d in here}
    for (number, name), dataset in itertools.product(enumerate(plan.thresholds), datasets.values()):
        if name not in dataset or "alpha" in swept(dataset):
            continue
        chosen = {axis: values_of(dataset, axis) for axis in axes_of(dataset)}
        for axis, values in chosen.items():
            fixed = is_numeric(dataset, axis) and axis not in swept(dataset)
            wanted = plan.panels[panel].get(axis)
            near = [wanted] if wanted is not None else union(drawn, axis)
            near = [v for v in near if axis != plan.hue or v in plan.hues]
            if near and not (fixed and wanted is None):
                chosen[axis] = [v for v in values if v in near]
        for combination in itertools.product(*chosen.values()):
            at = dict(zip(chosen, combination, strict=True))
            value = float(dataset[name].sel({a: at[a] for a in swept(dataset)}))
            if np.isfinite(value):
                several = plan.hue in swept(dataset)
                color = colour_of.get(at.get(str(plan.hue)), look.FAINT) if several else look.FAINT
                same = (n for v, c, n in lines if c == color and np.isclose(v, value, rtol=1e-9))
                line = next(same, None)
                if line is None:
                    line = name
                    lines.append((value, color, name))
                    look.mark_threshold(ax, value, index=number, color=color)
                yield line, name


def _name_axes(
    places: Mapping[tuple[str, int], Axes], datasets: Datasets, plan: Plan, flags: set[str]
) -> None:
    """Axis labels at the left and below, and the values of a panel above it."""
    rows, columns = ([*dict.fromkeys(k)] for k in zip(*places, strict=True))
    grid = _is_grid(rows, columns, set(places))
    for (name, panel), ax in places.items():
        row = [p for n, p in places if n == name]
        column = [n for n, p in places if p == panel]
        if not grid or panel == row[0]:
            text = look.label(name, attributes_of(datasets, name))
            ax.set_ylabel(f"fraction {text}" if name in flags else text)
            ax.tick_params(labelleft=True)
        if not grid or name == column[-1]:
            ax.set_xlabel(look.label(plan.x, attributes_of(datasets, plan.x)))
        if plan.panels[panel] and (not grid or name == column[0]):
            parts = [
                look.value_text(axis, attributes_of(datasets, axis), value)
                for axis, value in plan.panels[panel].items()
            ]
            ax.set_title(", ".join(parts))

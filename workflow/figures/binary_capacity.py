"""Binary perceptron: the fraction of solvable instances, and its threshold at infinity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.api import threshold_rows
from phasesweep.figures import curves, scaling, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

SWEEPS = ("binary_capacity",)
FOUND = style.MARKERS[1]  # the marker of the message-passing algorithm


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Left P against alpha at the smallest margin; right thresholds against 1/dimension."""
    tree = trees["binary_capacity"]
    figure, axes = style.panels(columns=2)
    handles = [*_fractions(axes[0, 0], tree), *_thresholds(axes[0, 1], tree)]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure


def _fractions(ax: Axes, tree: xr.DataTree) -> list[Line2D]:
    """Enumeration in colour; what reinforced belief propagation finds in grey."""
    enumeration, search, capacity = (
        tree[name].to_dataset() for name in ("enumeration", "reinforced_bp", "capacity")
    )
    kappa = float(np.min(enumeration["kappa"].values))
    sizes = np.atleast_1d(enumeration["dimension"].values).tolist()
    large = np.atleast_1d(search["dimension"].values).tolist()
    colour_of = style.colours(sizes)
    grey_of = dict(zip(large, np.linspace(0.7, 0.3, len(large)).round(3).astype(str), strict=True))
    for size in large:
        points = curves.read(search, "satisfiable", "alpha", kappa=kappa, dimension=size)
        style.error_points(
            ax, points.x, points.y, points.errors, color=grey_of[size], marker=FOUND, filled=False
        )
    for size in sizes:
        points = curves.read(enumeration, "satisfiable", "alpha", kappa=kappa, dimension=size)
        ax.plot(points.x, points.y, color=colour_of[size], linewidth=0.5)
        style.error_points(ax, points.x, points.y, points.errors, color=colour_of[size], zorder=3)
    own = capacity.sel(kappa=kappa) if "kappa" in capacity.dims else capacity
    style.mark_threshold(ax, own["alpha_c"].item())
    ax.set_xlabel(style.label("alpha", enumeration["alpha"].attrs))
    ax.set_ylabel("fraction solved")
    ax.set_title(style.value_text("kappa", enumeration["kappa"].attrs, kappa))
    text = style.value_text
    attributes = enumeration["dimension"].attrs
    return [
        *(
            style.handle(
                f"enumeration, {text('dimension', attributes, s)}",
                color=colour_of[s],
                linestyle="none",
                marker="o",
            )
            for s in sizes
        ),
        *(
            style.handle(
                f"reinforced BP, {text('dimension', attributes, s)}",
                color=grey_of[s],
                linestyle="none",
                marker=FOUND,
                markerfacecolor="white",
            )
            for s in large
        ),
        style.handle("capacity (theory)", color=style.FAINT, linestyle=style.THRESHOLD_DASHES[0]),
    ]


def _thresholds(ax: Axes, tree: xr.DataTree) -> list[Line2D]:
    """Alpha at P = 1/2 against 1/dimension, the fitted power law, and theory at infinity."""
    enumeration = tree["enumeration"].to_dataset()
    kappas = np.atleast_1d(enumeration["kappa"].values).tolist()
    rows = [r for r in threshold_rows(tree) if r.of == "enumeration.satisfiable"]
    colour_of = dict(zip(kappas, style.WORD_COLOURS, strict=False))
    for kappa, color in colour_of.items():
        own = [r for r in rows if r.axes.get("kappa", kappa) == kappa]
        scaling.extrapolation(ax, own, color=color)
    ax.set_xlabel(f"1 / dimension  {style.symbol(enumeration['dimension'].attrs)}$^{{-1}}$")
    ax.set_ylabel("alpha where half are solvable")
    attributes = enumeration["kappa"].attrs
    return [
        *(
            style.handle(style.value_text("kappa", attributes, k), color=c, linewidth=3.5)
            for k, c in colour_of.items()
        ),
        *scaling.extrapolation_handles(),
    ]

"""The algorithmic threshold by finite-size scaling: success, its collapse, its limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.api import threshold_rows
from phasesweep.figures import curves, scaling, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("amp_threshold",)
MEASURED = "bayes_amp.success"


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Success against alpha, against the scaled distance, and alpha at one half against 1/size."""
    tree = trees["amp_threshold"]
    measured, thresholds = (tree[name].to_dataset() for name in ("bayes_amp", "thresholds"))
    rows = [row for row in threshold_rows(tree) if row.of == MEASURED]
    fit = scaling.collapse_of(rows, MEASURED)
    sizes = np.atleast_1d(measured["dimension"].values).tolist()
    colour_of = style.colours(sizes)
    figure, axes = style.panels(columns=3)
    left, middle, right = axes[0]
    for size, color in colour_of.items():
        points = curves.read(measured, "success", "alpha", dimension=size)
        left.plot(points.x, points.y, color=color, linewidth=0.5)
        style.error_points(left, points.x, points.y, points.errors, color=color, zorder=3)
        if fit is not None:
            scaled = (points.x - fit.value) * size ** (1 / fit.nu)
            style.error_points(middle, scaled, points.y, points.errors, color=color, zorder=3)
    style.mark_threshold(left, float(thresholds["alpha_amp"]))
    left.set_xlabel(style.label("alpha", measured["alpha"].attrs))
    left.set_ylabel("fraction recovered")
    middle.set_xlabel(scaling.COLLAPSED)
    if fit is not None:
        middle.set_title(scaling.collapse_title(fit))
    scaling.extrapolation(right, rows, color=style.WORD_COLOURS[0])
    right.set_xlabel(f"1 / dimension  {style.symbol(measured['dimension'].attrs)}$^{{-1}}$")
    right.set_ylabel("alpha where half are recovered")
    handles = [
        *(
            style.handle(
                style.value_text("dimension", measured["dimension"].attrs, size),
                color=color,
                linestyle="none",
                marker="o",
            )
            for size, color in colour_of.items()
        ),
        style.handle(
            "end of the uninformed branch (theory)",
            color=style.FAINT,
            linestyle=style.THRESHOLD_DASHES[0],
        ),
        *scaling.extrapolation_handles(),
    ]
    style.legend(figure, handles)
    text = style.value_text("sparsity", measured["sparsity"].attrs, float(measured["sparsity"]))
    style.title(figure, f"{tree.attrs['title']}, {text}")
    return figure

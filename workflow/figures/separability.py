"""Probability that random labels are linearly separable, and its collapse at alpha = 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.api import threshold_rows
from phasesweep.figures import curves, scaling, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("separability",)


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Left against alpha, right against (alpha - alpha_c) dimension^(1/nu) with the fitted pair."""
    tree = trees["separability"]
    cover, measured, capacity = (
        tree[name].to_dataset() for name in ("cover", "max_margin", "capacity")
    )
    sizes = np.atleast_1d(measured["dimension"].values).tolist()
    colour_of = style.colours(sizes)
    fit = scaling.collapse_of(threshold_rows(tree), "max_margin.satisfiable")
    figure, axes = style.panels(columns=2)
    left, right = axes[0]
    for size in sizes:
        exact = curves.read(cover, "probability_separable", "alpha", dimension=size)
        points = curves.read(measured, "satisfiable", "alpha", dimension=size)
        look = {"color": colour_of[size]}
        left.plot(exact.x, exact.y, linestyle=style.DASHES["exact"][0], **look)
        style.error_points(left, points.x, points.y, points.errors, zorder=3, **look)
        if fit is not None:
            stretch = size ** (1 / fit.nu)
            scaled = (exact.x - fit.value) * stretch
            right.plot(scaled, exact.y, linestyle=style.DASHES["exact"][0], **look)
            scaled = (points.x - fit.value) * stretch
            style.error_points(right, scaled, points.y, points.errors, zorder=3, **look)
    style.mark_threshold(left, float(capacity["alpha_c"].item()))
    left.set_xlabel(style.label("alpha", measured["alpha"].attrs))
    left.set_ylabel("probability of linear separability")
    right.set_xlabel(scaling.COLLAPSED)
    if fit is not None:
        scaling.limit_to_points(right)
        right.set_title(scaling.collapse_title(fit))
    attributes = measured["dimension"].attrs
    handles = [
        style.handle("Cover's formula (exact)", linestyle=style.DASHES["exact"][0]),
        style.handle(_simulated(measured), linestyle="none", marker="o"),
        style.handle("capacity", color=style.FAINT, linestyle=style.THRESHOLD_DASHES[0]),
        *(
            style.handle(
                style.value_text("dimension", attributes, s), color=colour_of[s], linewidth=3.5
            )
            for s in sizes
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure


def _simulated(measured: xr.Dataset) -> str:
    return f"max-margin solver, {measured.sizes.get('seed', 1)} seeds"

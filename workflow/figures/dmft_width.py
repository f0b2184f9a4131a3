"""Losses of students of several widths, against the time that makes them comparable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("dmft_width",)
LOSSES = ("test_loss", "training_loss")
MOST_POINTS = 14


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A panel for each loss; a wider student moves a width-th part of the way in a step."""
    tree = trees["dmft_width"]
    theory, measured = (tree[name].to_dataset() for name in ("dmft", "gradient_descent"))
    widths = np.atleast_1d(theory["width"].values).tolist()
    size = float(np.atleast_1d(theory["step_size"].values)[0])
    colour_of = style.colours(widths)
    figure, axes = style.panels(columns=len(LOSSES), width=3.2)
    for ax, name in zip(axes[0], LOSSES, strict=True):
        for width in widths:
            line = curves.read(theory, name, "step", width=width)
            points = curves.read(measured, name, "step", width=width)
            unit = size / width
            ax.plot(unit * line.x[1:], line.y[1:], color=colour_of[width])
            last = len(points.x) - 1
            shown = np.unique(np.round(np.geomspace(1, last, MOST_POINTS)).astype(int))
            errors = None if points.errors is None else points.errors[:, shown]
            style.error_points(
                ax, unit * points.x[shown], points.y[shown], errors, color=colour_of[width]
            )
        ax.set(xscale="log", yscale="log")
        style.plain_log(ax)
        ax.set_xlabel(r"time  $\eta t/p$")
        ax.set_ylabel(style.label(name, theory[name].attrs))
    dimension = np.atleast_1d(measured["dimension"].values).tolist()[0]
    text = style.value_text("dimension", measured["dimension"].attrs, dimension)
    handles = [
        style.handle("dynamical mean-field theory"),
        style.handle(f"gradient descent, {text}", linestyle="none", marker="o"),
        *(
            style.handle(
                style.value_text("width", theory["width"].attrs, width),
                color=colour_of[width],
                linewidth=2.5,
            )
            for width in widths
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure

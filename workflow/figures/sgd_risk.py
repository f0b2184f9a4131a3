"""Excess risk of one-pass SGD against time, for several widths and step sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("sgd_risk",)
MOST_POINTS = 20  # markers of one curve; more would hide the lines


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """One panel for each width; ODE lines and SGD points, means over the same starts."""
    tree = trees["sgd_risk"]
    ode, sgd = (tree[name].to_dataset() for name in ("ode", "sgd"))
    widths = np.atleast_1d(ode["width"].values).tolist()
    steps = np.atleast_1d(ode["step_size"].values).tolist()
    colour_of = style.colours(steps)
    figure, axes = style.panels(columns=len(widths), share_y=True, width=2.5)
    for ax, width in zip(axes[0], widths, strict=True):
        for step in steps:
            theory = curves.read(ode, "excess_risk", "time", width=width, step_size=step)
            points = curves.read(sgd, "excess_risk", "time", width=width, step_size=step)
            started = theory.x > 0
            ax.plot(theory.x[started], theory.y[started], color=colour_of[step])
            started = np.flatnonzero(points.x > 0)
            shown = started[:: -(-len(started) // MOST_POINTS) or 1]
            errors = None if points.errors is None else points.errors[:, shown]
            style.error_points(ax, points.x[shown], points.y[shown], errors, color=colour_of[step])
        ax.set(
            xscale="log", yscale="log", title=style.value_text("width", ode["width"].attrs, width)
        )
        ax.set_xlabel(style.label("time", ode["time"].attrs))
    axes[0, 0].set_ylabel(style.label("excess_risk", ode["excess_risk"].attrs))
    handles = [
        style.handle("ordinary differential equations"),
        style.handle(_simulated(sgd), linestyle="none", marker="o"),
        *(
            style.handle(
                style.value_text("step_size", ode["step_size"].attrs, step),
                color=colour_of[step],
                linewidth=3.5,
            )
            for step in steps
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure


def _simulated(sgd: xr.Dataset) -> str:
    dimension = np.atleast_1d(sgd["dimension"].values)
    size = style.value_text("dimension", sgd["dimension"].attrs, dimension.tolist()[0])
    return f"SGD, {size}, mean of {sgd.sizes.get('seed', 1)} seeds"

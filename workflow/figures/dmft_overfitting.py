"""Overfitting: the test loss turns where the training loss goes on falling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("dmft_overfitting",)
LOSSES = {"test_loss": "o", "training_loss": "s"}
MOST_POINTS = 14


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A row for each activation, a column for each loss; the smallest test loss is marked."""
    tree = trees["dmft_overfitting"]
    theory, measured = (tree[name].to_dataset() for name in ("dmft", "gradient_descent"))
    activations = np.atleast_1d(theory["activation"].values).tolist()
    alphas = np.atleast_1d(theory["alpha"].values).tolist()
    colour_of = style.colours(alphas)
    figure, axes = style.panels(rows=len(LOSSES), columns=len(activations), width=3.2)
    for column, activation in zip(axes.T, activations, strict=True):
        for ax, name in zip(column, LOSSES, strict=True):
            for alpha in alphas:
                chosen = {"activation": activation, "alpha": alpha}
                _curve(ax, theory, measured, name, chosen, colour_of[alpha])
            ax.set(xscale="log", yscale="log")
            style.plain_log(ax)
        column[0].set_title(f"{activation} units")
        column[-1].set_xlabel("step")
    for ax, name in zip(axes[:, 0], LOSSES, strict=True):
        ax.set_ylabel(style.label(name, theory[name].attrs))
    dimension = np.atleast_1d(measured["dimension"].values).tolist()[0]
    text = style.value_text("dimension", measured["dimension"].attrs, dimension)
    handles = [
        style.handle("dynamical mean-field theory"),
        style.handle(f"gradient descent, {text}", linestyle="none", marker="o"),
        style.handle("smallest test loss", linestyle="none", marker="v", markerfacecolor="white"),
        *(
            style.handle(
                style.value_text("alpha", theory["alpha"].attrs, alpha),
                color=colour_of[alpha],
                linewidth=2.5,
            )
            for alpha in alphas
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure


def _curve(
    ax: Axes,
    theory: xr.Dataset,
    measured: xr.Dataset,
    name: str,
    chosen: dict[str, Any],
    color: Any,
) -> None:
    line = curves.read(theory, name, "step", **chosen)
    points = curves.read(measured, name, "step", **chosen)
    ax.plot(line.x[1:], line.y[1:], color=color)
    last = len(points.x) - 1
    shown = np.unique(np.round(np.geomspace(1, last, MOST_POINTS)).astype(int))
    errors = None if points.errors is None else points.errors[:, shown]
    style.error_points(ax, points.x[shown], points.y[shown], errors, color=color)
    if name == "test_loss":
        best = int(np.argmin(line.y))
        if 0 < best < len(line.y) - 1:
            ax.plot(line.x[best], line.y[best], "v", color=color, markerfacecolor="white", zorder=4)

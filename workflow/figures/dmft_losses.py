"""Test and training loss over the steps of gradient descent, for several alpha and activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("dmft_losses",)
LOSSES = ("test_loss", "training_loss")
MOST_POINTS = 14  # markers of one curve; more would hide the lines


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A column for each activation: lines of the theory, means of the simulation."""
    tree = trees["dmft_losses"]
    theory, measured = (tree[name].to_dataset() for name in ("dmft", "gradient_descent"))
    activations = np.atleast_1d(theory["activation"].values).tolist()
    alphas = np.atleast_1d(theory["alpha"].values).tolist()
    colour_of = style.colours(alphas)
    figure, axes = style.panels(rows=2, columns=len(activations), width=2.7)
    for column, activation in zip(axes.T, activations, strict=True):
        for ax, name in zip(column, LOSSES, strict=True):
            for alpha in alphas:
                chosen = {"activation": activation, "alpha": alpha}
                _curve(ax, theory, measured, name, chosen, colour_of[alpha])
            ax.set(yscale="log")
            style.plain_log(ax)
        column[0].set_title(style.words(activation))
        column[-1].set_xlabel("step")
    for ax, name in zip(axes[:, 0], LOSSES, strict=True):
        ax.set_ylabel(style.label(name, theory[name].attrs))
    size = style.value_text("dimension", measured["dimension"].attrs, _first(measured, "dimension"))
    handles = [
        style.handle("dynamical mean-field theory"),
        style.handle(f"gradient descent, {size}", linestyle="none", marker="o"),
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


def _first(dataset: xr.Dataset, name: str) -> Any:
    return np.atleast_1d(dataset[name].values).tolist()[0]


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
    ax.plot(line.x, line.y, color=color)
    shown = slice(None, None, -(-len(points.x) // MOST_POINTS))
    errors = None if points.errors is None else points.errors[:, shown]
    style.error_points(ax, points.x[shown], points.y[shown], errors, color=color)

"""Gradient descent against time for several step sizes, and how fast it comes to gradient flow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("dmft_step_size",)
OVERLAP = "teacher_overlap"
MOST_POINTS = 14


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Test loss against time for each activation; distance from the limit at the last time."""
    tree = trees["dmft_step_size"]
    theory, measured = (tree[name].to_dataset() for name in ("dmft", "gradient_descent"))
    activations = np.atleast_1d(theory["activation"].values).tolist()
    sizes = np.sort(theory["step_size"].values)
    colour_of = style.colours(sizes.tolist())
    time = (theory.sizes["step"] - 1) * float(sizes[0])
    figure, axes = style.panels(columns=len(activations) + 1, width=2.8)
    for ax, activation in zip(axes[0], activations, strict=False):
        for size in sizes.tolist():
            chosen = {"activation": activation, "step_size": size}
            _curve(ax, theory, measured, chosen, time, colour_of[size])
        ax.set(title=f"{activation} units")
        ax.set_xlabel("time  $\\eta t$")
    axes[0, 0].set_ylabel(style.label("test_loss", theory["test_loss"].attrs))
    _convergence(axes[0, -1], theory, sizes, time, activations)
    dimension = np.atleast_1d(measured["dimension"].values).tolist()[0]
    text = style.value_text("dimension", measured["dimension"].attrs, dimension)
    handles = [
        style.handle("dynamical mean-field theory"),
        style.handle(f"gradient descent, {text}", linestyle="none", marker="o"),
        *(
            style.handle(
                style.value_text("step_size", theory["step_size"].attrs, size),
                color=colour_of[size],
                linewidth=2.5,
            )
            for size in sizes.tolist()
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure


def _curve(
    ax: Axes,
    theory: xr.Dataset,
    measured: xr.Dataset,
    chosen: dict[str, Any],
    time: float,
    color: Any,
) -> None:
    size = chosen["step_size"]
    line = curves.read(theory, "test_loss", "step", **chosen)
    points = curves.read(measured, "test_loss", "step", **chosen)
    within = size * line.x <= time * (1 + 1e-9)
    ax.plot(size * line.x[within], line.y[within], color=color)
    shown = np.flatnonzero(within)[:: -(-int(within.sum()) // MOST_POINTS)]
    errors = None if points.errors is None else points.errors[:, shown]
    style.error_points(ax, size * points.x[shown], points.y[shown], errors, color=color)


def limit(values: np.ndarray, sizes: np.ndarray) -> float:
    """Value at step size 0 of the parabola through the three smallest step sizes."""
    return float(np.polyfit(sizes[:3], values[:3], 2)[-1])


def _convergence(
    ax: Axes, theory: xr.Dataset, sizes: np.ndarray, time: float, activations: list[str]
) -> None:
    """Distance of an overlap at `time` from its limit at step size 0, beside a straight line."""
    for marker, activation in zip(style.MARKERS, activations, strict=False):
        here = theory[OVERLAP].sel(activation=activation)
        values = np.array(
            [
                float(np.ravel(here.sel(step_size=size).isel(step=round(time / size)).values)[0])
                for size in sizes
            ]
        )
        distance = np.abs(values - limit(values, sizes))
        ax.plot(sizes, distance, marker=marker, color=style.INK, label=f"{activation} units")
    guide = 0.5 * distance[-1] * sizes / sizes[-1]
    ax.plot(
        sizes, guide, color=style.FAINT, linestyle=style.DASHES["exact"][0], label="first order"
    )
    ax.set(xscale="log", yscale="log", title=f"at time {time:g}")
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
    ax.set_xticks([], minor=True)
    ax.set_xlabel(style.label("step_size", theory["step_size"].attrs))
    ax.set_ylabel("distance of $M$ from its limit")
    ax.legend(loc="upper left", handlelength=1.4)

"""Incremental learning: Hermite components of a two-layer student, and the steps of a staircase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("single_index_layers", "single_index_staircase")
FINITE = style.DASHES["exact"][0]
OVERLAPS = {"first_overlap": "-", "second_overlap": style.DASHES["exact"][0]}


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Risk for every speed of the second layer, components at the fastest, and a staircase."""
    flow, sgd = (
        trees[SWEEPS[0]][name].to_dataset() for name in ("two_time_scales", "two_time_scales_sgd")
    )
    stairs = {name: node.to_dataset() for name, node in trees[SWEEPS[1]].children.items()}
    speeds = np.atleast_1d(flow["epsilon"].values).tolist()
    colour_of = style.colours(speeds)
    figure, axes = style.panels(columns=3, width=2.9)
    for speed, color in colour_of.items():
        _risk(axes[0, 0], flow, sgd, speed, color)
    axes[0, 0].set_ylabel(style.label("risk", flow["risk"].attrs))
    _components(axes[0, 1], flow, max(speeds))
    _staircase(axes[0, 2], stairs)
    style.legend(
        figure,
        [
            *(
                style.handle(
                    style.value_text("epsilon", flow["epsilon"].attrs, speed),
                    color=color,
                    linewidth=2.5,
                )
                for speed, color in colour_of.items()
            ),
            style.handle("equations"),
            style.handle("equations, finite width", linestyle=FINITE),
            style.handle("SGD, mean over seeds", linestyle="none", marker="o"),
        ],
    )
    style.title(figure, trees[SWEEPS[0]].attrs["title"])
    return figure


def _risk(ax: Axes, flow: xr.Dataset, sgd: xr.Dataset, speed: float, color: object) -> None:
    """Risk in time at one speed of the second layer."""
    for interaction, dashes in (("mean_field", "-"), ("finite_width", FINITE)):
        line = curves.read(flow, "risk", "time", epsilon=speed, interaction=interaction)
        ax.plot(line.x, line.y, color=color, linestyle=dashes)
    points = curves.read(sgd, "risk", "time", epsilon=speed)
    bars = None if points.errors is None else points.errors[:, ::5]
    style.error_points(ax, points.x[::5], points.y[::5], bars, color=color, markersize=2.8)
    ax.set(xscale="log")
    ax.set_xlabel(style.label("time", flow["time"].attrs))


def _components(ax: Axes, flow: xr.Dataset, speed: float) -> None:
    """Learned share of each Hermite component at one speed, one after the other."""
    here = flow.sel(epsilon=speed)
    degrees = range(here.sizes["hermite_degree"])
    for degree, color in style.colours(list(degrees)).items():
        for interaction, dashes in (("mean_field", "-"), ("finite_width", FINITE)):
            run = here.sel(interaction=interaction).isel(hermite_degree=degree)
            name = f"degree {degree}" if dashes == "-" else None
            ax.plot(
                run["recorded_time"], run["components"], color=color, linestyle=dashes, label=name
            )
    ax.set(xscale="log", title=style.value_text("epsilon", flow["epsilon"].attrs, speed))
    ax.legend(loc="upper left", handlelength=1.2, labelspacing=0.2)
    ax.set_xlabel(style.label("time", flow["time"].attrs))
    ax.set_ylabel("learned share of a component")


def _staircase(ax: Axes, stairs: dict[str, xr.Dataset]) -> None:
    """Both overlaps in time for every leap."""
    flow, sgd = stairs["staircase"], stairs["staircase_sgd"]
    leaps = np.atleast_1d(flow["leap"].values).tolist()
    colours = dict(zip(leaps, style.WORD_COLOURS, strict=False))
    for leap, color in colours.items():
        for name, dashes in OVERLAPS.items():
            line = curves.read(flow, name, "time", leap=leap)
            ax.plot(line.x, line.y, color=color, linestyle=dashes, label=None)
            points = curves.read(
                abs(sgd[[name]]).assign(status=sgd["status"]), name, "time", leap=leap
            )
            filled = name == "first_overlap"
            style.error_points(
                ax, points.x[::4], points.y[::4], None, color=color, filled=filled, markersize=2.8
            )
        ax.plot([], [], color=color, label=style.value_text("leap", flow["leap"].attrs, leap))
    ax.set(xscale="log", title="staircase; dashed: second direction")
    ax.legend(loc="upper left", handlelength=1.2, labelspacing=0.2)
    ax.set_xlabel("steps / order in dimension")
    ax.set_ylabel("overlap with its direction")

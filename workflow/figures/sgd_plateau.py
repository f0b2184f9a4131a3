"""The plateau before the units of a student specialise, and the time of leaving it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("sgd_plateau", "sgd_plateau_dimension")


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Risk in time for each noise, and the time of leaving the plateau against dimension."""
    ode, sgd = (trees["sgd_plateau"][name].to_dataset() for name in ("ode", "sgd"))
    noises = np.atleast_1d(ode["noise"].values).tolist()
    far = {
        name: node.to_dataset() for name, node in trees["sgd_plateau_dimension"].children.items()
    }
    steps = sorted(
        {
            *np.atleast_1d(ode["step_size"].values).tolist(),
            *np.atleast_1d(far["ode"]["step_size"].values).tolist(),
        }
    )
    colour_of = style.colours(steps)
    figure, axes = style.panels(columns=len(noises) + 1, width=2.9)
    for ax, noise in zip(axes[0], noises, strict=False):
        _risks(ax, ode, sgd, noise, colour_of)
    axes[0, 0].set_ylabel(style.label("excess_risk", ode["excess_risk"].attrs))
    ax = axes[0, -1]
    for step in np.atleast_1d(far["ode"]["step_size"].values).tolist():
        theory, measured = (
            curves.read(far[m], "escape_time", "dimension", statistic="median", step_size=step)
            for m in ("ode", "sgd")
        )
        ax.plot(theory.x, theory.y, color=colour_of[step])
        style.error_points(ax, measured.x, measured.y, measured.errors, color=colour_of[step])
    ax.set(xscale="log", title="median over starts")
    ax.set_xlabel(style.label("dimension", far["ode"]["dimension"].attrs))
    ax.set_ylabel(style.label("escape_time", ode["escape_time"].attrs))
    size = style.value_text(
        "dimension", ode["dimension"].attrs, np.atleast_1d(ode["dimension"].values).tolist()[0]
    )
    style.legend(
        figure,
        [
            style.handle(f"equations ({size} on the left; a thin line a start)"),
            style.handle("SGD, median over starts", linestyle="none", marker="o"),
            style.handle("plateau left", linestyle="none", marker="v", markerfacecolor="white"),
            *(
                style.handle(
                    style.value_text("step_size", ode["step_size"].attrs, step),
                    color=color,
                    linewidth=2.5,
                )
                for step, color in colour_of.items()
            ),
        ],
    )
    style.title(figure, trees["sgd_plateau"].attrs["title"])
    return figure


def _risks(ax: Axes, ode: xr.Dataset, sgd: xr.Dataset, noise: float, colour_of: dict) -> None:
    """Every start of the equations as a thin line, the median of SGD as points."""
    for step in np.atleast_1d(ode["step_size"].values).tolist():
        here = ode.sel(noise=noise, step_size=step)
        for seed in here["seed"].values:
            run = here.sel(seed=seed)
            shown = run["excess_risk"].values > 1e-9
            times = run["recorded_time"].values
            ax.plot(
                times[shown], run["excess_risk"].values[shown], color=colour_of[step], linewidth=0.5
            )
            left = float(run["escape_time"])
            if np.isfinite(left):
                risk = np.interp(left, times, run["excess_risk"].values)
                ax.plot(left, risk, "v", color=colour_of[step], markerfacecolor="white")
        line = curves.read(
            sgd, "excess_risk", "time", statistic="median", noise=noise, step_size=step
        )
        style.error_points(
            ax, line.x[::2], line.y[::2], None, color=colour_of[step], zorder=3, markersize=2.8
        )
    ax.set(xscale="log", yscale="log")
    ax.set_title(style.value_text("noise", ode["noise"].attrs, noise))
    ax.set_xlabel(style.label("time", ode["time"].attrs))

"""How far SGD is from its equations, and the mean field from these, by width and dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("sgd_deviation", "sgd_mean_field")
OVERLAPS = ("student_overlap", "teacher_overlap")
GUIDE = style.DASHES["exact"][0]


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Scaled deviation of SGD; error of the reduced order parameters for two activations."""
    figure, axes = style.panels(columns=3, width=2.9)
    runs = _deviations(axes[0, 0], trees["sgd_deviation"])
    overlaps = trees["sgd_mean_field"]["ode"].to_dataset()["student_overlap"].isel(time=-1)
    error = overlaps.sel(limit="mean_field") - overlaps.sel(limit="high_dimensional")
    size = np.sqrt((error**2).mean(["seed", "unit", "unit_other"]))
    for ax, activation in zip(axes[0, 1:], size["activation"].values.tolist(), strict=True):
        _mean_field(ax, size.sel(activation=activation))
        ax.set_title(f"{activation} units, mean field")
    style.legend(figure, runs)
    style.title(figure, "SGD against its equations; error of the reduced order parameters")
    return figure


def _mean_field(ax: Axes, size: xr.DataArray) -> None:
    """RMS error of the student's overlaps against width, below c (p^(-1/2) + d^(-1/2))."""
    width = size["width"].values.astype(float)
    bound = size["width"] ** -0.5 + size["dimension"] ** -0.5
    level = float((size / bound).max())
    for dimension, color in style.colours(size["dimension"].values.tolist()).items():
        name = style.value_text("dimension", size["dimension"].attrs, dimension)
        ax.plot(width, size.sel(dimension=dimension), "o-", color=color, label=name)
        ax.plot(width, level * bound.sel(dimension=dimension), color=color, linestyle=GUIDE)
    text = rf"dashed: ${level:.2f}\,(p^{{-1/2}} + d^{{-1/2}})$"
    ax.text(0.97, 0.95, text, ha="right", va="top", fontsize=8, transform=ax.transAxes)
    ax.set(xscale="log", yscale="log")
    _ticks(ax, width)
    ax.legend(loc="lower left", handlelength=1.2, labelspacing=0.2)
    ax.set_ylim(0.05 * float(size.min()), 4.0 * float(level * bound.max()))
    ax.set_xlabel(style.label("width", size["width"].attrs))
    ax.set_ylabel("RMS error of the overlaps $Q$")


def _ticks(ax: Axes, values: np.ndarray) -> None:
    """The given numbers on a logarithmic x axis, and no others."""
    ax.set_xticks(values, [f"{value:g}" for value in values])
    ax.set_xticks([], minor=True)


def _deviations(ax: Axes, tree: xr.DataTree) -> list[Any]:
    """RMS deviation of the overlaps at the last time, times √(dimension·width/step_size)."""
    theory, measured = (tree[name].to_dataset() for name in ("ode", "sgd"))
    widths, steps = (np.atleast_1d(measured[a].values).tolist() for a in ("width", "step_size"))
    colour_of = style.colours(steps)
    dimension = measured["dimension"].values.astype(float)
    for marker, width in zip(style.MARKERS, widths, strict=False):
        for step, color in colour_of.items():
            squares = [
                _mean_square(theory[name], measured[name], width=width, step_size=step)
                for name in OVERLAPS
            ]
            each = sum(squares) / len(squares)  # (dimension, seed)
            mean = each.mean("seed")
            error = each.std("seed", ddof=1) / np.sqrt(each.sizes["seed"])
            scale = np.sqrt(dimension * width / step)
            root = np.sqrt(mean)
            style.error_points(
                ax, dimension, scale * root, scale * error / (2 * root), marker=marker, color=color
            )
            ax.plot(dimension, scale * root, color=color, linewidth=0.6)
    ax.set(xscale="log", title="SGD and equations")
    _ticks(ax, dimension)
    style.plain_log(ax)
    ax.set_ylim(0.1, 2.0)
    ax.set_xlabel(style.label("dimension", measured["dimension"].attrs))
    ax.set_ylabel("deviation of overlaps\n" + r"$\times\,\sqrt{d\,p/\gamma}$")
    return [
        *(
            style.handle(
                "SGD, " + style.value_text("width", measured["width"].attrs, width),
                linestyle="none",
                marker=marker,
            )
            for marker, width in zip(style.MARKERS, widths, strict=False)
        ),
        *(
            style.handle(
                style.value_text("step_size", measured["step_size"].attrs, step),
                color=color,
                linewidth=2.5,
            )
            for step, color in colour_of.items()
        ),
    ]


def _mean_square(theory: xr.DataArray, measured: xr.DataArray, **chosen: Any) -> xr.DataArray:
    """Mean over the matrix of the squared difference, at the last time (dimension, seed)."""
    difference = measured.sel(chosen).isel(time=-1) - theory.sel(chosen).isel(time=-1)
    return (difference**2).mean([d for d in difference.dims if d not in ("dimension", "seed")])

"""How far SGD is from its equations, and the mean field from both, against width and dimension."""

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
MEAN_FIELD = {"erf": ("width", "dimension", -1.0), "quadratic": ("dimension", "width", -0.5)}
"""Of each activation the axis along which its error falls, the other one, and a power beside it."""
GUIDE = style.DASHES["exact"][0]


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Scaled deviation of SGD; error of the mean field for two activations."""
    figure, axes = style.panels(columns=3, width=2.9)
    runs = _deviations(axes[0, 0], trees["sgd_deviation"])
    tree = trees["sgd_mean_field"]["ode"].to_dataset()
    exact = tree["excess_risk"].sel(limit="high_dimensional").isel(time=-1)
    error = tree["excess_risk"].sel(limit="mean_field").isel(time=-1) / exact - 1
    size = np.sqrt((error**2).mean("seed"))
    for ax, (activation, (axis, hue, power)) in zip(axes[0, 1:], MEAN_FIELD.items(), strict=True):
        _mean_field(ax, size.sel(activation=activation), axis, hue, power)
        ax.set_title(f"{activation} units, mean field")
    style.legend(figure, runs)
    style.title(figure, "Deviation of SGD from its equations, and error of the mean field")
    return figure


def _mean_field(ax: Axes, size: xr.DataArray, axis: str, hue: str, power: float) -> None:
    """Relative error of the excess risk along `axis`, beside a power law."""
    colour_of = style.colours(size[hue].values.tolist())
    for value, color in colour_of.items():
        name = style.value_text(hue, size[hue].attrs, value)
        ax.plot(size[axis], size.sel({hue: value}), "o-", color=color, label=name)
    x = size[axis].values.astype(float)
    first = float(size.isel({axis: 0}).max())
    sign = style.symbol(size[axis].attrs).strip("$")
    ax.plot(
        x,
        1.6 * first * (x / x[0]) ** power,
        color=style.FAINT,
        linestyle=GUIDE,
        label=f"${sign}^{{{power:g}}}$",
    )
    ax.set(xscale="log", yscale="log")
    _ticks(ax, x)
    ax.legend(loc="lower left", handlelength=1.2, labelspacing=0.2)
    ax.set_ylim(0.25 * float(size.min()), 3.0 * first)
    ax.set_xlabel(style.label(axis, size[axis].attrs))
    ax.set_ylabel("relative error of the excess risk")


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

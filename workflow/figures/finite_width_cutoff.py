"""Exploding and vanishing kernels of finite networks, and the depth/width at which they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import style
from phasesweep.figures.cases import cases, first_entry, over_seeds

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("finite_width_exploding", "finite_width_relu", "finite_width_depth")
RATES = {"relu": 5.0, "linear": 2.0}
"""The relative variance of a kernel is exp(rate · depth/width) - 1 when both are large."""


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Kernels over depth; their relative variance over depth/width of all widths at once."""
    figure, axes = style.panels(columns=2)
    _kernels(axes[0, 0], trees["finite_width_exploding"])
    rest = {name: tree for name, tree in trees.items() if name != "finite_width_exploding"}
    handles = _variance(axes[0, 1], cases(rest, "activation", ("vertices", "ensemble")))
    style.legend(figure, handles)
    style.title(figure, "Exploding and vanishing kernels, and the cut-off in depth/width")
    return figure


def _kernels(ax: Axes, tree: xr.DataTree) -> None:
    theory, ensemble = (tree[name].to_dataset() for name in ("vertices", "ensemble"))
    layer = np.arange(1, theory.sizes["layer"] + 1)
    if "width" in ensemble.dims:
        ensemble = ensemble.isel(width=0)
    width = float(ensemble["width"])
    for c_w, color in style.colours(theory["c_w"].values.tolist()).items():
        kernel = first_entry(theory["G"].sel(c_w=c_w), "input").values
        ax.plot(layer, kernel, color=color, label=f"$C_W$ = {c_w:g}")
        mean, _ = over_seeds(first_entry(ensemble["G"].sel(c_w=c_w), "input"))
        variance, _ = over_seeds(first_entry(ensemble["V"].sel(c_w=c_w), "input"))
        # One standard deviation either way, as a factor.
        factor = 1 + np.sqrt(variance.values / width) / mean.values
        ax.plot(layer, mean, "o", color=color, markersize=2.4)
        low, high = mean.values / factor, mean.values * factor
        ax.fill_between(layer, low, high, color=color, alpha=0.18, linewidth=0)
    ax.set_yscale("log")
    ax.set_title(f"relu, width {width:g}: mean, and spread of networks")
    ax.set_xlabel("layer  $l$")
    ax.set_ylabel("kernel  $K^{(l)}$")
    ax.legend(loc="lower left")


def _variance(ax: Axes, shown: dict) -> list:
    handles = []
    for (name, (theory, ensemble)), color in zip(shown.items(), style.WORD_COLOURS, strict=False):
        kernel = first_entry(theory["G"], "input").values
        layer = np.arange(1, len(kernel) + 1)
        widths = ensemble["width"].values.tolist()
        for width, marker in zip(widths, style.MARKERS, strict=False):
            vertex = first_entry(ensemble["V"].sel(width=width), "input")
            mean, error = over_seeds(vertex / kernel**2 / width)
            ax.errorbar(
                (layer[1:] - 1) / width,
                mean.values[1:],
                error.values[1:],
                fmt=marker,
                color=color,
                markerfacecolor="none",
            )
        grid = np.geomspace(0.02, 1.4, 60)
        if name in RATES:
            ax.plot(grid, np.expm1(RATES[name] * grid), color=color)
            ax.plot(np.log(2) / RATES[name], 1.0, "*", color=color, markersize=9, zorder=5)
        drawn = {"linestyle": "-"} if name in RATES else {"linestyle": "none", "marker": "o"}
        handles.append(style.handle(name, color=color, **drawn))
    handles += [
        style.handle(f"width {n}", linestyle="none", marker=m, markerfacecolor="none")
        for n, m in zip(widths, style.MARKERS, strict=False)
    ]
    handles.append(style.handle("networks differ as much as they agree", color=style.FAINT))
    ax.axhline(1.0, color=style.FAINT, linewidth=0.8)
    ax.set(xscale="log", yscale="log", xlim=(0.015, 1.6), ylim=(5e-3, 60))
    ax.set_xlabel("depth/width  $(l-1)/n$")
    ax.set_ylabel(r"relative variance of the kernel")
    ax.set_title(r"lines: $e^{5(l-1)/n}-1$ and $e^{2(l-1)/n}-1$")
    return handles

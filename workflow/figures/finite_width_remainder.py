"""What the first order in 1/width leaves out: at fixed depth, and at fixed depth/width."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import style
from phasesweep.figures.cases import cases, first_entry, over_seeds

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("finite_width_relu", "finite_width_depth")
EXACT = {"relu": 5.0, "linear": 2.0}
LAYERS = (4, 8, 12)
EIGHTHS = (1, 2)
"""Depths (l-1)/width that are shown, in eighths."""
GUIDE = style.DASHES["exact"][0]


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Above the remainder at fixed layers, below the four-point function at fixed depth/width."""
    shown = cases(trees, "activation", ("vertices", "ensemble"))
    figure, axes = style.panels(rows=2, columns=len(shown), width=2.7)
    for column, (name, (theory, ensemble)) in enumerate(shown.items()):
        kernel = first_entry(theory["G"], "input").values
        leading = first_entry(theory["V"], "input").values / kernel**2
        measured = first_entry(ensemble["V"], "input") / kernel**2
        _fixed_depth(axes[0, column], name, leading, measured)
        _fixed_ratio(axes[1, column], name, leading, measured)
        axes[0, column].set_title(name)
    axes[0, 0].set_ylabel("connected four-point function\nless $V/n$, over $K^2$")
    axes[1, 0].set_ylabel("connected four-point\nfunction over $K^2$")
    style.legend(
        figure,
        [
            *(
                style.handle(f"layer {layer}", color=color, marker="o")
                for layer, color in style.colours(LAYERS).items()
            ),
            style.handle("$n^{-2}$", color=style.FAINT, linestyle=GUIDE),
            *(
                style.handle(f"$(l-1)/n$ = {n}/8", color=color, marker="s")
                for n, color in zip(EIGHTHS, style.WORD_COLOURS, strict=False)
            ),
            style.handle("leading order $V/n$", color=style.FAINT, linestyle=(0, (1, 1.2))),
        ],
    )
    style.title(
        figure,
        "Beyond the first order in 1/width: O(1/width²) at fixed depth, a number of its own at "
        "every depth/width",
    )
    return figure


def _fixed_depth(ax: Axes, name: str, leading: np.ndarray, measured: xr.DataArray) -> None:
    width = measured["width"].values.astype(float)
    for layer, color in style.colours(LAYERS).items():
        if layer > len(leading):
            continue
        mean, error = over_seeds(measured.isel(layer=layer - 1))
        remainder = (mean.values - leading[layer - 1]) / width
        ax.errorbar(width, np.abs(remainder), error.values / width, fmt="o", color=color)
        if name in EXACT:
            exact = (1 + EXACT[name] / width) ** (layer - 1) - 1 - leading[layer - 1] / width
            ax.plot(width, exact, color=color)
            top = exact[-1]
        else:
            top = np.abs(remainder[1])  # at the second width, where noise is small
            top *= (width[1] / width[-1]) ** 2
        guide = 1.6 * top * (width / width[-1]) ** -2.0
        ax.plot(width, guide, color=style.FAINT, linestyle=GUIDE, linewidth=0.8)
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(width, [f"{w:g}" for w in width])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("width  $n$")


def _fixed_ratio(ax: Axes, name: str, leading: np.ndarray, measured: xr.DataArray) -> None:
    for eighths, color in zip(EIGHTHS, style.WORD_COLOURS, strict=False):
        ratio = eighths / 8
        width = [n for n in measured["width"].values.tolist() if 1 + ratio * n <= len(leading)]
        layer = [round(1 + ratio * n) for n in width]
        places = zip(width, layer, strict=True)
        found = [over_seeds(measured.sel(width=n).isel(layer=k - 1)) for n, k in places]
        size = np.array(width, dtype=float)
        mean, error = (np.array([float(pair[i]) for pair in found]) / size for i in (0, 1))
        ax.errorbar(size, mean, error, fmt="s", color=color)
        first = np.array([leading[k - 1] for k in layer]) / size
        ax.plot(size, first, color=color, linestyle=(0, (1, 1.2)))
        if name in EXACT:
            grid = np.geomspace(size[0], 400, 50)
            ax.plot(grid, (1 + EXACT[name] / grid) ** (ratio * grid) - 1, color=color)
    ax.set(xscale="log", xlim=(7, 450))
    ax.set_xticks([8, 16, 32, 64, 128, 256], ["8", "16", "32", "64", "128", "256"])
    ax.set_xticks([], minor=True)
    ax.set_xlabel("width  $n$, depth in proportion")

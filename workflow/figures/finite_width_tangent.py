"""Fluctuations of the tangent kernel over depth: ensembles of several widths and the recursions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import style
from phasesweep.figures.cases import cases, first_entry, over_seeds

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("finite_width_relu", "finite_width_depth")
SCALES = {"A": ("H", "H"), "B": ("H", "H"), "D": ("G", "H"), "F": ("G", "H")}
LABELS = {"G": "K", "H": r"\Theta"}


def entry(tensor: xr.DataArray) -> xr.DataArray:
    """That of one input."""
    return first_entry(tensor, "input")


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A, B over Θ² and D, F over KΘ (rows) for each activation (columns)."""
    shown = cases(trees, "activation", ("vertices", "ensemble"))
    figure, axes = style.panels(rows=len(SCALES), columns=len(shown), width=2.7)
    widths = next(iter(shown.values()))[1]["width"].values.tolist()
    colour_of = style.colours(widths)
    for column, (name, (theory, ensemble)) in enumerate(shown.items()):
        layer = np.arange(1, theory.sizes["layer"] + 1)
        for row, (letter, (first, second)) in enumerate(SCALES.items()):
            ax = axes[row, column]
            scale = (entry(theory[first]) * entry(theory[second])).values
            expected = entry(theory[letter]).values / scale
            ax.plot(layer, expected, color=style.INK)
            for width, color in colour_of.items():
                mean, error = over_seeds(entry(ensemble[letter].sel(width=width)) / scale)
                ax.errorbar(layer, mean, error, fmt="o", color=color)
            low, high = float(expected.min()), float(expected.max())
            ax.set_ylim(low - 0.3 * (high - low), high + 0.9 * (high - low))
            below = LABELS[second] + "^2" if first == second else LABELS[first] + LABELS[second]
            if column == 0:
                ax.set_ylabel(f"${letter}/{below}$")
            if row == 0:
                ax.set_title(name)
        axes[-1, column].set_xlabel("layer  $l$")
    style.legend(
        figure,
        [
            style.handle("recursion, leading order in 1/width", color=style.INK),
            *(
                style.handle(f"width {width}", color=color, linestyle="none", marker="o")
                for width, color in colour_of.items()
            ),
        ],
    )
    style.title(figure, "Fluctuations of the tangent kernel, and with the outputs, times width")
    return figure

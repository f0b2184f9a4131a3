"""The four-point vertex over depth: ensembles of several widths, the recursion, the exact law."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import style
from phasesweep.figures.cases import cases, first_entry, over_seeds

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("finite_width_relu", "finite_width_depth")
EXACT = {"relu": 5.0, "linear": 2.0}
"""V/K² = n [(1 + rate/n)^(l-1) - 1] at width n; tanh has no such law."""
SLOPES = {"relu": "$5(l-1)$", "linear": "$2(l-1)$", "tanh": r"$\to\frac{2}{3}\,l$"}


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A panel for each activation."""
    shown = cases(trees, "activation", ("vertices", "ensemble"))
    figure, axes = style.panels(columns=len(shown), width=2.7)
    widths = next(iter(shown.values()))[1]["width"].values.tolist()
    colour_of = style.colours(widths)
    for ax, (name, (theory, ensemble)) in zip(axes[0], shown.items(), strict=True):
        _panel(ax, name, theory, ensemble, colour_of)
    axes[0, 0].set_ylabel(r"$V^{(l)}/K^2$")
    style.legend(
        figure,
        [
            style.handle("recursion, leading order in 1/width", color=style.INK),
            style.handle("exact at this width", color=style.FAINT, linestyle=(0, (3.5, 1.5))),
            *(
                style.handle(f"width {width}", color=color, linestyle="none", marker="o")
                for width, color in colour_of.items()
            ),
        ],
    )
    style.title(figure, "Connected four-point function over depth, times width")
    return figure


def _panel(ax: Axes, name: str, theory: Any, ensemble: Any, colour_of: dict) -> None:
    kernel, vertex = first_entry(theory["G"], "input"), first_entry(theory["V"], "input")
    layer = np.arange(1, kernel.sizes["layer"] + 1)
    ax.plot(layer, (vertex / kernel**2).values, color=style.INK)
    for width, color in colour_of.items():
        ratio = first_entry(ensemble["V"].sel(width=width), "input") / kernel.values**2
        mean, error = over_seeds(ratio)
        ax.errorbar(layer, mean, error, fmt="o", color=color)
        if name in EXACT:
            law = width * ((1 + EXACT[name] / width) ** (layer - 1) - 1)
            ax.plot(layer, law, color=color, linestyle=(0, (3.5, 1.5)), linewidth=0.9)
    ax.set_title(f"{name}, {SLOPES.get(name, '')}")
    ax.set_xlabel("layer  $l$")
    top = float((vertex / kernel**2).max())
    ax.set_ylim(-0.05 * top, 3.2 * top if name == "relu" else 1.6 * top)

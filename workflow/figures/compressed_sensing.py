"""Compressed sensing: how many measurements recover a sparse signal, and with which algorithm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("compressed_sensing",)
LINES = {
    "alpha_l1": ("l1 (Donoho–Tanner)", "#CC79A7", style.DASHES["theory"][1]),
    "alpha_amp": ("Bayes message passing", "#D55E00", style.DASHES["theory"][0]),
    "alpha_it": ("information-theoretic", "black", style.DASHES["theory"][2]),
}
MAPS = {"bayes_amp": "Bayes AMP", "l1_amp": "soft-threshold AMP"}


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A map of simulated success for each algorithm, under the three lines of theory."""
    tree = trees["compressed_sensing"]
    thresholds = tree["thresholds"].to_dataset()
    figure, axes = style.panels(columns=len(MAPS), share_y=True)
    for number, (ax, (method, name)) in enumerate(zip(axes[0], MAPS.items(), strict=True)):
        measured = tree[method].to_dataset()
        success = measured["success"].mean("seed").transpose("alpha", "sparsity")
        last = number == len(MAPS) - 1
        style.colour_map(
            figure,
            ax,
            measured["sparsity"].values,
            measured["alpha"].values,
            success.values,
            text="fraction recovered" if last else "",
        )
        for observable, (_, color, dashes) in LINES.items():
            values = thresholds[observable].values
            ax.plot(thresholds["sparsity"], values, color="white", linewidth=2.6)
            ax.plot(thresholds["sparsity"], values, color=color, linestyle=dashes, linewidth=1.3)
        size = style.value_text(
            "dimension", measured["dimension"].attrs, int(np.max(measured["dimension"].values))
        )
        ax.set_title(f"{name}, {size}, {measured.sizes.get('seed', 1)} seeds")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1)
        ax.set_xlabel(style.label("sparsity", measured["sparsity"].attrs))
    axes[0, 0].set_ylabel(style.label("alpha", measured["alpha"].attrs))
    handles = [
        style.handle(text, color=color, linestyle=dashes) for text, color, dashes in LINES.values()
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure

"""Symmetric door perceptron: overlap and error against alpha, impossible, hard and easy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("symmetric_door",)
OBSERVABLES = ("overlap", "classification_error")


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """State evolution from both starts, medians of message passing over seeds, thresholds."""
    tree = trees["symmetric_door"]
    theory, gamp, thresholds = (
        tree[name].to_dataset() for name in ("state_evolution", "gamp", "thresholds")
    )
    starts = np.atleast_1d(theory["initialization"].values).tolist()
    dashes = dict(zip(starts, style.DASHES["theory"], strict=False))
    sizes = np.atleast_1d(gamp["dimension"].values).tolist()
    colour_of = style.colours(sizes)
    figure, axes = style.panels(columns=len(OBSERVABLES))
    for ax, name in zip(axes[0], OBSERVABLES, strict=True):
        for start in reversed(starts):
            line = curves.read(theory, name, "alpha", initialization=start)
            ax.plot(line.x, line.y, color=style.INK, linestyle=dashes[start])
        for size in sizes:
            points = curves.read(gamp, name, "alpha", statistic="median", dimension=size)
            look = {"color": colour_of[size], "zorder": 3}
            style.error_points(ax, points.x, points.y, points.errors, **look)
        ax.set_xlim(0, float(theory["alpha"].max()))
        style.shade_phases(ax, *(float(thresholds[n]) for n in ("alpha_it", "alpha_amp")))
        ax.set_xlabel(style.label("alpha", theory["alpha"].attrs))
        ax.set_ylabel(style.label(name, theory[name].attrs))
    attributes = gamp["dimension"].attrs
    handles = [
        *(style.handle(f"state evolution, {s} start", linestyle=dashes[s]) for s in starts),
        *(
            style.handle(
                f"GAMP, {style.value_text('dimension', attributes, size)} (median)",
                linestyle="none",
                marker="o",
                color=color,
            )
            for size, color in colour_of.items()
        ),
        *style.phase_handles(),
    ]
    style.legend(figure, handles)
    width = style.value_text("kappa", theory["kappa"].attrs, float(theory["kappa"]))
    style.title(figure, f"{tree.attrs['title']}, {width}")
    return figure

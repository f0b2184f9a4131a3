"""Overlap and classification error of the sign perceptron against alpha, for two priors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("sign_perceptron",)
OBSERVABLES = ("overlap", "classification_error")
THRESHOLDS = ("alpha_it", "alpha_amp")


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A column for each prior, a row for each observable; thresholds as vertical lines."""
    tree = trees["sign_perceptron"]
    theory, gamp, thresholds = (
        tree[name].to_dataset() for name in ("state_evolution", "gamp", "thresholds")
    )
    priors = np.atleast_1d(theory["prior"].values).tolist()
    starts = np.atleast_1d(theory["initialization"].values).tolist()
    sizes = np.atleast_1d(gamp["dimension"].values).tolist()
    colour_of = style.colours(sizes)
    dashes = dict(zip(starts, style.DASHES["theory"], strict=False))
    figure, axes = style.panels(rows=2, columns=len(priors), share_y=True)
    for row, name in zip(axes, OBSERVABLES, strict=True):
        for ax, prior in zip(row, priors, strict=True):
            # Informed first, so that it lies under the uninformed line where both are the same.
            for start in reversed(starts):
                line = curves.read(theory, name, "alpha", prior=prior, initialization=start)
                ax.plot(line.x, line.y, color=style.INK, linestyle=dashes[start])
            for size in sizes:
                points = curves.read(gamp, name, "alpha", prior=prior, dimension=size)
                style.error_points(
                    ax, points.x, points.y, points.errors, color=colour_of[size], zorder=3
                )
            _mark(ax, thresholds, prior)
        row[0].set_ylabel(style.label(name, theory[name].attrs))
    for ax, prior in zip(axes[0], priors, strict=True):
        ax.set_title(f"{style.words(prior)} weights")
    for ax in axes[-1]:
        ax.set_xlabel(style.label("alpha", theory["alpha"].attrs))
    handles = [
        *(style.handle(f"state evolution, {s}", linestyle=dashes[s]) for s in starts),
        *(
            style.handle(
                style.symbol(thresholds[t].attrs) or style.words(t),
                color=style.FAINT,
                linestyle=style.THRESHOLD_DASHES[i],
                linewidth=0.9,
            )
            for i, t in enumerate(THRESHOLDS)
        ),
        *(
            style.handle(
                "GAMP, " + style.value_text("dimension", gamp["dimension"].attrs, size),
                linestyle="none",
                marker="o",
                color=colour_of[size],
            )
            for size in sizes
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure


def _mark(ax: Axes, thresholds: xr.Dataset, prior: str) -> None:
    """The thresholds of one prior; those that do not exist are NaN and are not drawn."""
    own = thresholds.sel(prior=prior) if "prior" in thresholds.dims else thresholds
    for index, name in enumerate(THRESHOLDS):
        if np.isfinite(own[name].item()):
            style.mark_threshold(ax, own[name].item(), index=index)

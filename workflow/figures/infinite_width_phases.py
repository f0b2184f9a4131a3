"""Ordered and chaotic phases in the plane of (C_W, C_b), with the critical initialisation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("infinite_width_phases",)
COLUMNS = 5
SPAN = 0.6
"""Colours run over this much of log10 chi_perp on either side of 0."""


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A colour map of the logarithm of chi_perp for each activation."""
    from matplotlib.patches import Patch

    tree = trees["infinite_width_phases"]
    plane, critical = (tree[name].to_dataset() for name in ("fixed_point", "criticality"))
    activations = np.atleast_1d(plane["activation"].values).tolist()
    rows = -(-len(activations) // COLUMNS)
    figure, axes = style.panels(rows=rows, columns=min(COLUMNS, len(activations)), width=2.4)
    for ax in axes.flat[len(activations) :]:
        ax.set_visible(False)
    for ax, activation in zip(axes.flat, activations, strict=False):
        here = plane.sel(activation=activation).transpose("c_b", "c_w")
        weight, bias = here["c_w"].values, here["c_b"].values
        growth = np.log10(here["fixed_chi_perp"].values)
        if not np.isfinite(growth).all():
            # A step drives inputs apart at an infinite rate: the end of the colours.
            ax.text(0.5, 0.5, r"$\chi_\perp$ infinite", ha="center", transform=ax.transAxes)
            growth = np.minimum(growth, SPAN)
        image = ax.pcolormesh(
            weight, bias, growth, cmap="RdBu_r", vmin=-SPAN, vmax=SPAN, rasterized=True
        )
        if np.nanmin(growth) < 0 < np.nanmax(growth):
            ax.contour(weight, bias, growth, levels=[0.0], colors=[style.INK], linewidths=1.2)
        exploding = ~np.isfinite(here["fixed_kernel"].values)
        if exploding.any():
            ax.contourf(
                weight,
                bias,
                exploding.astype(float),
                levels=[0.5, 1.5],
                colors="none",
                hatches=["///"],
            )
        point = critical.sel(activation=activation)
        ax.plot(
            point["critical_c_w"],
            point["critical_c_b"],
            "*",
            color="black",
            markersize=10,
            clip_on=False,
        )
        ax.set_title(activation)
        ax.set_xlabel("$C_W$")
    for ax in axes[:, 0]:
        ax.set_ylabel("$C_b$")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label(r"$\log_{10}\,\chi_\perp$ at the fixed point")
    style.legend(
        figure,
        [
            style.handle(r"$\chi_\perp = 1$ (left ordered, right chaotic)", color=style.INK),
            style.handle("critical initialisation", linestyle="none", marker="*", color="black"),
            Patch(facecolor="none", edgecolor=style.INK, hatch="///", label="kernels explode"),
        ],
    )
    style.title(figure, tree.attrs["title"])
    return figure

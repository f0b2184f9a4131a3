"""Probability that random labels are linearly separable, and its collapse at alpha = 2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.api import threshold_rows
from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from phasesweep.scaling import Row

SWEEPS = ("separability",)


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Left against alpha, right against (alpha - alpha_c) dimension^(1/nu) with the fitted pair."""
    tree = trees["separability"]
    cover, measured, capacity = (
        tree[name].to_dataset() for name in ("cover", "max_margin", "capacity")
    )
    sizes = np.atleast_1d(measured["dimension"].values).tolist()
    colour_of = style.colours(sizes)
    fit = _collapse(tree)
    figure, axes = style.panels(columns=2)
    left, right = axes[0]
    for size in sizes:
        exact = curves.read(cover, "probability_separable", "alpha", dimension=size)
        points = curves.read(measured, "satisfiable", "alpha", dimension=size)
        look = {"color": colour_of[size]}
        left.plot(exact.x, exact.y, linestyle=style.DASHES["exact"][0], **look)
        style.error_points(left, points.x, points.y, points.errors, zorder=3, **look)
        if fit is not None:
            stretch = size ** (1 / fit.nu)
            scaled = (exact.x - fit.value) * stretch
            right.plot(scaled, exact.y, linestyle=style.DASHES["exact"][0], **look)
            scaled = (points.x - fit.value) * stretch
            style.error_points(right, scaled, points.y, points.errors, zorder=3, **look)
    style.mark_threshold(left, float(capacity["alpha_c"].item()))
    left.set_xlabel(style.label("alpha", measured["alpha"].attrs))
    left.set_ylabel("probability of linear separability")
    right.set_xlabel(r"$(\alpha - \alpha_{\mathrm{c}})\, d^{1/\nu}$")
    if fit is not None:
        reach = np.concatenate(
            [item.get_xdata() for item in right.lines if item.get_marker() == "o"]
        )
        right.set_xlim(1.15 * np.min(reach), 1.15 * np.max(reach))
        right.set_title(_fitted(fit))
    attributes = measured["dimension"].attrs
    handles = [
        style.handle("Cover's formula (exact)", linestyle=style.DASHES["exact"][0]),
        style.handle(_simulated(measured), linestyle="none", marker="o"),
        style.handle("capacity", color=style.FAINT, linestyle=style.THRESHOLD_DASHES[0]),
        *(
            style.handle(
                style.value_text("dimension", attributes, s), color=colour_of[s], linewidth=3.5
            )
            for s in sizes
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure


def _collapse(tree: xr.DataTree) -> Row | None:
    """The fitted collapse of the simulation, if the sweep asks for one and it has an answer."""
    rows = (
        r for r in threshold_rows(tree) if r.kind == "collapse" and r.of.startswith("max_margin.")
    )
    return next((r for r in rows if np.isfinite(r.value) and np.isfinite(r.nu)), None)


def _fitted(fit: Row) -> str:
    """The fitted pair with its standard errors."""
    return (
        rf"$\alpha_{{\mathrm{{c}}}} = {fit.value:.3f} \pm {fit.error:.3f}$, "
        rf"$\nu = {fit.nu:.2f} \pm {fit.nu_error:.2f}$"
    )


def _simulated(measured: xr.Dataset) -> str:
    return f"max-margin solver, {measured.sizes.get('seed', 1)} seeds"

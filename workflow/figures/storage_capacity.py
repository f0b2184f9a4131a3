"""Storage capacity against margin: theory, and thresholds of small systems."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.api import threshold_rows
from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("capacity", "capacity_spherical", "capacity_enumeration")
BOUND = (0, (1, 1.2))  # where the formula is an upper bound only


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """One panel, logarithmic in alpha; colours for constraints, markers for dimensions."""
    theory = trees["capacity"]["capacity"].to_dataset()
    spherical = trees["capacity_spherical"]["capacity"].to_dataset()
    constraints = np.atleast_1d(theory["constraint"].values).tolist()
    colour_of = style.colours(constraints)
    figure, axes = style.panels(width=4.2)
    ax = axes[0, 0]
    bounded = False
    for constraint in constraints:
        line = curves.read(theory, "alpha_c", "kappa", constraint=constraint)
        own = theory.sel(constraint=constraint) if "constraint" in theory.dims else theory
        bound = own["validity"].sel(kappa=line.x).values == "upper_bound"
        # The dotted part begins where the solid one ends.
        near = bound | np.append(bound[1:], False) | np.append(False, bound[:-1])
        ax.plot(line.x, np.where(bound, np.nan, line.y), color=colour_of[constraint])
        ax.plot(
            line.x, np.where(near, line.y, np.nan), color=colour_of[constraint], linestyle=BOUND
        )
        bounded |= bool(np.any(bound & np.isfinite(line.y)))
    line = curves.read(spherical, "alpha_c", "kappa")
    ax.plot(line.x, line.y, color=style.INK, linestyle=style.DASHES["theory"][1])

    tree = trees["capacity_enumeration"]
    rows = [r for r in threshold_rows(tree) if r.kind == "level" and np.isfinite(r.value)]
    sizes = sorted({r.sizes[0] for r in rows})
    for row in rows:
        # A marker's width aside, so that the bars of different dimensions stand side by side.
        shift = 0.02 * (sizes.index(row.sizes[0]) - (len(sizes) - 1) / 2)
        style.error_points(
            ax,
            row.axes["kappa"] + shift,
            row.value,
            row.error,
            marker=style.MARKERS[sizes.index(row.sizes[0]) % len(style.MARKERS)],
            color=colour_of[row.axes["constraint"]],
            filled=False,
            zorder=3,
        )
    style.plain_log(ax)
    ax.set_xlabel(style.label("kappa", theory["kappa"].attrs))
    ax.set_ylabel(style.label("alpha_c", theory["alpha_c"].attrs))
    size_attributes = tree["enumeration"].to_dataset()["dimension"].attrs
    handles = [
        *(style.handle(f"{c}, binary weights", color=colour_of[c]) for c in constraints),
        style.handle("step, spherical weights", linestyle=style.DASHES["theory"][1]),
        *([style.handle("upper bound", linestyle=BOUND, color=style.FAINT)] if bounded else []),
        *(
            style.handle(
                "enumeration, " + style.value_text("dimension", size_attributes, size),
                linestyle="none",
                marker=marker,
                color=style.FAINT,
                markerfacecolor="white",
            )
            for size, marker in zip(sizes, style.MARKERS, strict=False)
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, "Storage capacity of the perceptron")
    return figure

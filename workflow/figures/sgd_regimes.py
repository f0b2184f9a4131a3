"""Where one-pass SGD is a gradient flow, where its steps make noise, where the mean field holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("sgd_regimes",)
FACTOR = 2.0
"""Two excess risks that differ by less than this factor are the same in the diagram."""
FLUCTUATION = 0.3
"""√(step_size/(width · dimension)) above which runs no longer follow the equations."""
PLACES = (
    (0.04, 0.05, "left", "classical"),
    (0.96, 0.05, "right", "mean field"),
    (0.96, 0.84, "right", "high-dimensional"),
)
"""Names of the regimes in a panel."""
LINES = {"noise": ("white", "-"), "mean_field": ("white", "--"), "equations": ("black", ":")}


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A colour map of the excess risk for each dimension, with the borders of the regimes."""
    tree = trees["sgd_regimes"]
    ode = tree["ode"].to_dataset()
    risk = ode["excess_risk"].isel(time=-1)
    dimensions = np.atleast_1d(ode["dimension"].values).tolist()
    figure, axes = style.panels(columns=len(dimensions), share_y=True, width=2.9)
    full = risk.sel(limit="high_dimensional")
    shades = np.log10(full.values)
    for ax, dimension in zip(axes[0], dimensions, strict=True):
        here = risk.sel(dimension=dimension).transpose("limit", "step_size", "width")
        width, step = here["width"].values.astype(float), here["step_size"].values
        exact = here.sel(limit="high_dimensional")
        image = ax.pcolormesh(
            width,
            step,
            np.log10(exact.values),
            shading="nearest",
            cmap="cividis",
            vmin=float(np.nanmin(shades)),
            vmax=float(np.nanmax(shades)),
            rasterized=True,
        )
        noise = np.log(exact / here.sel(limit="gradient_flow")).values / np.log(FACTOR)
        reduced = abs(np.log(here.sel(limit="mean_field") / exact)).values / np.log(FACTOR)
        # One unit drops nothing, and where steps make noise the error changes sign.
        wide = np.where((width > 1) & (noise < 1), reduced, np.nan)
        borders = {"noise": noise, "mean_field": wide}
        for name, values in borders.items():
            color, dashes = LINES[name]
            if np.nanmin(values) < 1 < np.nanmax(values):
                ax.contour(
                    width,
                    step,
                    values,
                    levels=[1.0],
                    colors=color,
                    linestyles=dashes,
                    linewidths=1.4,
                )
        color, dashes = LINES["equations"]
        ax.plot(width, FLUCTUATION**2 * dimension * width, color=color, linestyle=dashes)
        ax.set(xscale="log", yscale="log", xlim=(width[0], width[-1]), ylim=(step[0], step[-1]))
        for x, y, side, words in PLACES:
            ax.text(x, y, words, ha=side, color="white", fontsize=8, transform=ax.transAxes)
        ax.set_title(style.value_text("dimension", ode["dimension"].attrs, dimension))
        ax.set_xlabel(style.label("width", ode["width"].attrs))
    axes[0, 0].set_ylabel(style.label("step_size", ode["step_size"].attrs))
    bar = figure.colorbar(image, ax=axes, shrink=0.9)
    time = float(np.atleast_1d(ode["recorded_time"].isel(time=-1).values).flat[0])
    bar.set_label(f"$\\log_{{10}}$ excess risk at $t = {time:g}$")
    style.legend(
        figure,
        [
            style.handle(
                f"above: noise of the steps multiplies the risk by {FACTOR:g}",
                color="0.5",
                linestyle=LINES["noise"][1],
            ),
            style.handle(
                f"right: mean field within a factor of {FACTOR:g}",
                color="0.5",
                linestyle=LINES["mean_field"][1],
            ),
            style.handle(
                rf"above: $\sqrt{{\gamma/(p\,d)}} > {FLUCTUATION:g}$, runs leave the equations",
                color="black",
                linestyle=":",
            ),
        ],
    )
    style.title(figure, tree.attrs["title"])
    return figure

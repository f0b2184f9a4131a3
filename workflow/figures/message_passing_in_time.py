"""State evolution against message passing, iteration by iteration, at growing dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

SWEEPS = ("message_passing_in_time",)


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Above the error in time; below its distance from theory times the root of the dimension.

    The distance is the root mean square over seeds; curves of different dimensions coincide where
    fluctuations fall as dimension^(-1/2).
    """
    tree = trees["message_passing_in_time"]
    theory, gamp = (tree[name].to_dataset() for name in ("state_evolution", "gamp"))
    alphas = np.atleast_1d(gamp["alpha"].values).tolist()
    sizes = np.atleast_1d(gamp["dimension"].values).tolist()
    colour_of = style.colours(sizes)
    figure, axes = style.panels(rows=2, columns=len(alphas))
    for column, alpha in zip(axes.T, alphas, strict=True):
        law = theory["mse_trajectory"].sel(alpha=alpha).values
        time = np.arange(len(law))
        column[0].plot(time, law, color=style.INK)
        for size in sizes:
            runs = gamp["mse_trajectory"].sel(alpha=alpha, dimension=size)
            runs = runs.transpose("seed", "iteration").values
            count = np.sqrt(len(runs))
            look = {"color": colour_of[size]}
            style.error_points(
                column[0], time, runs.mean(0), runs.std(0, ddof=1) / count, zorder=3, **look
            )
            distance = np.sqrt(size * np.mean((runs - law) ** 2, axis=0))
            column[1].plot(time, distance, marker="o", linewidth=0.8, **look)
        column[0].set_title(style.value_text("alpha", gamp["alpha"].attrs, alpha))
        style.plain_log(column[0])
        column[1].set_ylim(bottom=0)
        column[1].set_xlabel("iteration")
    axes[0, 0].set_ylabel("mean-square error")
    axes[1, 0].set_ylabel(r"$\sqrt{d}\;\times$ rms distance from theory")
    handles = [
        style.handle("state evolution"),
        *(
            style.handle(
                f"GAMP, {style.value_text('dimension', gamp['dimension'].attrs, size)}",
                linestyle="none",
                marker="o",
                color=color,
            )
            for size, color in colour_of.items()
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure

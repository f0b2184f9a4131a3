"""A spike in symmetric noise: message passing and leading eigenvector against the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("spiked_wigner",)
NAMES = {"rademacher": "signs (Z2 synchronisation)", "gaussian": "Gaussian spike"}
SIGNALS = (1.2, 1.5, 2.0)
"""Signals whose iterations are shown."""


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """One column a prior: overlap, spectral overlap, and overlap over iterations."""
    tree = trees["spiked_wigner"]
    data = {name: tree[name].to_dataset() for name in ("state_evolution", "amp", "spectral")}
    transition = tree["thresholds"].to_dataset()["transition"]
    priors = np.atleast_1d(data["amp"]["prior"].values).tolist()
    figure, axes = style.panels(rows=3, columns=len(priors))
    sizes = style.colours(data["amp"]["dimension"].values.tolist())
    for column, prior in zip(axes.T, priors, strict=True):
        here = {name: dataset.sel(prior=prior) for name, dataset in data.items()}
        line = here["state_evolution"]
        for ax, (method, observable) in zip(
            column, {"amp": "overlap", "spectral": "spectral_overlap"}.items(), strict=False
        ):
            ax.plot(line["signal"], line[observable], color="black")
            _measured(ax, here[method][observable], sizes)
            ax.set_xlim(0.35, 2.45)
            ax.set_ylim(-0.03, 1.03)
            style.mark_threshold(ax, float(transition.sel(prior=prior)))
            ax.set_xlabel(style.label("signal", line["signal"].attrs))
        _iterations(column[2], here, sizes)
        column[0].set_title(NAMES[prior])
    axes[0, 0].set_ylabel("overlap of message passing  $q$")
    axes[1, 0].set_ylabel("squared cosine\nof the leading eigenvector")
    axes[2, 0].set_ylabel("overlap after $t$ iterations")
    attributes = data["amp"]["dimension"].attrs
    style.legend(
        figure,
        [
            style.handle("infinite dimension", color="black"),
            *(
                style.handle(
                    style.value_text("dimension", attributes, size),
                    linestyle="none",
                    marker="o",
                    color=color,
                )
                for size, color in sizes.items()
            ),
        ],
    )
    style.title(figure, tree.attrs["title"])
    return figure


def _measured(ax: Axes, values: xr.DataArray, sizes: dict[Any, Any]) -> None:
    """Means over seeds with standard errors, one colour a dimension."""
    mean = values.mean("seed")
    error = values.std("seed", ddof=1) / np.sqrt(values.sizes["seed"])
    for size, color in sizes.items():
        style.error_points(
            ax,
            values["signal"],
            mean.sel(dimension=size),
            error.sel(dimension=size),
            color=color,
            markersize=2.6,
        )


def _iterations(ax: Axes, here: dict[str, xr.Dataset], sizes: dict[Any, Any]) -> None:
    """Trajectories from the spectral start at a few signals, at the largest dimension."""
    largest = max(sizes)
    asked = here["amp"]["signal"].values
    for signal in [s for s in SIGNALS if np.any(np.isclose(asked, s))]:
        line = here["state_evolution"]["overlap_trajectory"].sel(signal=signal, method="nearest")
        runs = here["amp"]["overlap_trajectory"].sel(dimension=largest)
        runs = runs.sel(signal=signal, method="nearest")
        steps = np.arange(line.sizes["iteration"])
        ax.plot(steps, line, color="black")
        error = runs.std("seed", ddof=1) / np.sqrt(runs.sizes["seed"])
        style.error_points(ax, steps, runs.mean("seed"), error, color=sizes[largest])
        ax.annotate(
            rf"$\lambda = {signal:g}$",
            (steps[-1], float(line[-1])),
            xytext=(0, 5),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )
    ax.set_ylim(0, 1.08)
    ax.set_xlabel("iteration  $t$")

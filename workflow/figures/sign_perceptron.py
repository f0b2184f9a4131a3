"""Sign perceptron: what Bayes-optimal, message passing and convex learning reach, against alpha."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("sign_perceptron", "sign_erm")
ERROR = "classification_error"
DASHES = {"fixed": style.DASHES["theory"][0], "optimal": style.DASHES["theory"][1]}


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A column for each prior; convex losses see only the second moment, so both show the same."""
    bayes, convex = (
        {n: node.to_dataset() for n, node in tree.children.items()} for tree in trees.values()
    )
    theory, gamp = bayes["state_evolution"], bayes["gamp"]
    priors = np.atleast_1d(theory["prior"].values).tolist()
    sizes = np.atleast_1d(gamp["dimension"].values).tolist()
    marker_of = dict(zip(sizes, style.MARKERS, strict=False))
    losses = np.atleast_1d(convex["replica"]["loss"].values).tolist()
    colour_of = style.colours(losses)
    figure, axes = style.panels(columns=len(priors), share_y=True)
    for ax, prior in zip(axes[0], priors, strict=True):
        _losses(ax, convex, colour_of)
        for start, dashes in _starts(theory).items():
            line = curves.read(theory, ERROR, "alpha", prior=prior, initialization=start)
            ax.plot(line.x, line.y, color="black", linestyle=dashes, linewidth=1.5, zorder=2.5)
        for size in sizes:
            points = curves.read(
                gamp, ERROR, "alpha", statistic="median", prior=prior, dimension=size
            )
            style.error_points(
                ax,
                points.x,
                points.y,
                points.errors,
                color="black",
                marker=marker_of[size],
                filled=False,
                zorder=3,
            )
        ax.set_xlim(0, float(theory["alpha"].max()))
        ax.set_ylim(bottom=-0.01)
        own = bayes["thresholds"]
        own = own.sel(prior=prior) if "prior" in own.dims else own
        style.shade_phases(ax, *(float(own[name]) for name in ("alpha_it", "alpha_amp")))
        ax.set_title(f"{style.words(prior)} weights")
        ax.set_xlabel(style.label("alpha", theory["alpha"].attrs))
    axes[0, 0].set_ylabel(style.label(ERROR, theory[ERROR].attrs))
    style.legend(figure, _handles(theory, gamp, convex, marker_of, colour_of))
    style.title(figure, trees["sign_perceptron"].attrs["title"])
    return figure


def _starts(theory: xr.Dataset) -> dict[str, Any]:
    """Dashes of the two starts: what message passing reaches, and what it cannot find."""
    starts = np.atleast_1d(theory["initialization"].values).tolist()
    return dict(zip(starts, style.DASHES["theory"], strict=False))


def _losses(ax: Axes, convex: dict[str, xr.Dataset], colour_of: dict[str, Any]) -> None:
    """Theory of every loss at the smallest regularization and at the best; points at the former."""
    replica, best, erm = (convex[n] for n in ("replica", "optimal_regularization", "erm"))
    for loss, color in colour_of.items():
        chosen = _fixed(replica, loss)
        line = curves.read(replica, ERROR, "alpha", **chosen)
        ax.plot(line.x, line.y, color=color, linestyle=DASHES["fixed"], linewidth=0.9)
        if loss in np.atleast_1d(best["loss"].values):
            line = curves.read(best, ERROR, "alpha", loss=loss)
            ax.plot(line.x, line.y, color=color, linestyle=DASHES["optimal"], linewidth=1.0)
        size = int(erm["dimension"].max())
        points = curves.read(erm, ERROR, "alpha", **_fixed(erm, loss), dimension=size)
        style.error_points(ax, points.x, points.y, points.errors, color=color)


def _fixed(dataset: xr.Dataset, loss: str) -> dict[str, Any]:
    """The loss at the smallest regularization that was asked of it (0 for max-margin)."""
    strengths = np.atleast_1d(dataset["regularization"].values)
    positive = float(strengths[strengths > 0].min())
    return {"loss": loss, "regularization": 0.0 if loss == "max_margin" else positive}


def _handles(theory, gamp, convex, marker_of, colour_of) -> list[Any]:
    erm = convex["erm"]
    value = style.value_text
    strength = value(
        "regularization", erm["regularization"].attrs, _fixed(erm, "square")["regularization"]
    )
    return [
        *(
            style.handle(f"Bayes, {start} start", linestyle=dashes, color="black")
            for start, dashes in _starts(theory).items()
        ),
        *(
            style.handle(
                f"GAMP, {value('dimension', gamp['dimension'].attrs, size)} (median)",
                linestyle="none",
                marker=marker,
                markerfacecolor="white",
                color="black",
            )
            for size, marker in marker_of.items()
        ),
        *(
            style.handle(style.words(loss), color=color, linewidth=3.5)
            for loss, color in colour_of.items()
        ),
        style.handle(strength, linestyle=DASHES["fixed"]),
        style.handle("best regularization", linestyle=DASHES["optimal"]),
        style.handle(
            f"solver, {value('dimension', erm['dimension'].attrs, int(erm['dimension'].max()))}",
            linestyle="none",
            marker="o",
        ),
        *style.phase_handles(),
    ]

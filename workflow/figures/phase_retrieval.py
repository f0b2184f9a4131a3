"""Phase retrieval: error against alpha with all thresholds, and the compressive plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("phase_retrieval", "compressive_phase_retrieval")
LINES = {
    "alpha_weak": ("weak recovery", style.WORD_COLOURS[0]),
    "alpha_it": ("information-theoretic", "black"),
    "alpha_amp": ("message passing recovers", style.WORD_COLOURS[1]),
}


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """A panel for each prior, and one for the thresholds against sparsity."""
    tree, plane = (trees[name] for name in SWEEPS)
    theory, gamp, thresholds = (
        tree[name].to_dataset() for name in ("state_evolution", "gamp", "thresholds")
    )
    priors = np.atleast_1d(theory["prior"].values).tolist()
    sizes = np.atleast_1d(gamp["dimension"].values).tolist()
    colour_of = style.colours(sizes)
    figure, axes = style.panels(columns=len(priors) + 1)
    for ax, prior in zip(axes[0], priors, strict=False):
        _errors(ax, prior, theory, gamp, thresholds, colour_of)
    _plane(axes[0, -1], plane["thresholds"].to_dataset())
    value = style.value_text
    handles = [
        *(
            style.handle(f"state evolution, {start} start", linestyle=dashes)
            for start, dashes in _starts(theory).items()
        ),
        *(
            style.handle(
                f"GAMP, {value('dimension', gamp['dimension'].attrs, size)} (median)",
                linestyle="none",
                marker="o",
                color=color,
            )
            for size, color in colour_of.items()
        ),
        *(style.handle(text, color=color, linewidth=1.6) for text, color in LINES.values()),
        *style.phase_handles(),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure


def _starts(theory: xr.Dataset) -> dict[str, Any]:
    starts = np.atleast_1d(theory["initialization"].values).tolist()
    return dict(zip(starts, style.DASHES["theory"], strict=False))


def _errors(ax: Axes, prior: str, theory, gamp, thresholds, colour_of) -> None:
    """Mean-square error relative to a signal of zero, of both starts and of the instances."""
    own = {"prior": prior, "sparsity": _sparsity(theory, prior)}
    scale = own["sparsity"]
    for start, dashes in reversed(_starts(theory).items()):
        line = curves.read(theory, "mse", "alpha", initialization=start, **own)
        ax.plot(line.x, line.y / scale, color=style.INK, linestyle=dashes)
    for size, color in colour_of.items():
        points = curves.read(gamp, "mse", "alpha", statistic="median", dimension=size, **own)
        errors = None if points.errors is None else points.errors / scale
        style.error_points(ax, points.x, points.y / scale, errors, color=color, zorder=3)
    chosen = {k: v for k, v in own.items() if k in thresholds.dims}
    here = thresholds.sel(chosen)
    ax.set_xlim(0, float(theory["alpha"].max()))
    ax.set_ylim(-0.03, 1.2)
    style.shade_phases(ax, float(here["alpha_it"]), float(here["alpha_amp"]))
    for name, (_, color) in LINES.items():
        ax.axvline(float(here[name]), color=color, linewidth=0.9, zorder=1)
    text = style.value_text("sparsity", theory["sparsity"].attrs, scale)
    ax.set_title("Gaussian signal" if prior == "gaussian" else f"sparse signal, {text}")
    ax.set_xlabel(style.label("alpha", theory["alpha"].attrs))
    ax.set_ylabel("mean-square error / second moment")


def _sparsity(theory: xr.Dataset, prior: str) -> float:
    """The sparsity that was asked of a prior; 1 for a dense one."""
    values = np.atleast_1d(theory["sparsity"].values)
    return 1.0 if prior == "gaussian" else float(values[values < 1].min())


def _plane(ax: Axes, thresholds: xr.Dataset) -> None:
    """Thresholds against sparsity; between the last two recovery is possible but hard."""
    sparsity = thresholds["sparsity"].values
    low, high = (thresholds[name].values for name in ("alpha_it", "alpha_amp"))
    top = 1.1 * float(np.nanmax(high))
    ax.fill_between(sparsity, 0, low, color=style.PHASES["impossible"], linewidth=0)
    ax.fill_between(sparsity, low, high, color=style.PHASES["hard"], linewidth=0)
    ax.fill_between(sparsity, high, top, color=style.PHASES["easy"], linewidth=0)
    for name, (_, color) in LINES.items():
        ax.plot(sparsity, thresholds[name].values, color=color)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, top)
    ax.set_title("compressive plane")
    ax.set_xlabel(style.label("sparsity", thresholds["sparsity"].attrs))
    ax.set_ylabel(r"samples per weight  $\alpha$")

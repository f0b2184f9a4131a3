"""How the time of weak recovery grows with dimension for information exponents 1, 2 and 3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("single_index_recovery", "single_index_exponents")
ORDERS = {"hermite1": (1, "d"), "hermite2": (2, r"d\,\log d"), "hermite3": (3, "d^2")}
"""Of each link its information exponent k and the order of the number of steps."""
GUIDE = style.DASHES["exact"][0]


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Steps against dimension, steps over their order, and the fitted exponents."""
    flow, chain = (trees[SWEEPS[0]][name].to_dataset() for name in ("flow", "chain"))
    links = [link for link in ORDERS if link in np.atleast_1d(chain["link"].values)]
    colour_of = style.colours(links)
    figure, axes = style.panels(columns=3, width=2.9)
    for link in links:
        for ax, name in zip(axes[0], ("recovery_steps", "recovery_time"), strict=False):
            _against_dimension(ax, flow, chain, name, link, colour_of[link])
    _orders(axes[0, 0], chain, links, colour_of)
    style.plain_log(axes[0, 1])
    axes[0, 1].set_ylabel("steps / order in " + style.symbol(chain["dimension"].attrs))
    fits = {name: node.to_dataset() for name, node in trees[SWEEPS[1]].children.items()}
    _exponents(axes[0, 2], fits, links, colour_of)
    style.legend(
        figure,
        [
            *(
                style.handle(
                    f"{style.words(link)}, order ${ORDERS[link][1]}$",
                    color=color,
                    linewidth=2.5,
                )
                for link, color in colour_of.items()
            ),
            style.handle("SGD, median over starts", linestyle="none", marker="o"),
            style.handle("flow from the median start"),
            style.handle("order in dimension", linestyle=GUIDE),
        ],
    )
    style.title(figure, trees[SWEEPS[0]].attrs["title"])
    return figure


def _against_dimension(
    ax: Axes, flow: xr.Dataset, chain: xr.Dataset, name: str, link: str, color: Any
) -> None:
    """Flow as a line, the median of the runs as points."""
    line = curves.read(flow, name, "dimension", link=link)
    points = curves.read(chain, name, "dimension", statistic="median", link=link)
    ax.plot(line.x, line.y, color=color)
    style.error_points(ax, points.x, points.y, points.errors, color=color)
    ax.set(xscale="log", yscale="log")
    ax.set_xticks(points.x, [f"{value:g}" for value in points.x])
    ax.set_xticks([], minor=True)
    ax.set_xlabel(style.label("dimension", chain["dimension"].attrs))


def _orders(ax: Axes, chain: xr.Dataset, links: list[str], colour_of: dict[str, Any]) -> None:
    """The orders through the first point of each link."""
    for link in links:
        points = curves.read(chain, "recovery_steps", "dimension", statistic="median", link=link)
        k = ORDERS[link][0]
        order = points.x ** max(1, k - 1) * (np.log(points.x) if k == 2 else 1.0)
        ax.plot(
            points.x, points.y[0] * order / order[0], color=colour_of[link], linestyle=GUIDE, lw=0.8
        )
    ax.set_ylabel("steps to weak recovery")


def _exponents(
    ax: Axes, fits: dict[str, xr.Dataset], links: list[str], colour_of: dict[str, Any]
) -> None:
    """Fitted power of the dimension beyond the order of each link, with standard errors."""
    for at, link in enumerate(links):
        flow, chain = (fits[f"fitted_{name}"].sel(link=link) for name in ("flow", "chain"))
        value, exponent = (float(chain[n].mean()) for n in ("reduced_exponent", "exponent"))
        error = float(np.sqrt((chain["exponent_error"] ** 2).mean() / chain["exponent"].size))
        style.error_points(ax, [at], [value], [error], color=colour_of[link])
        ax.plot(
            [at - 0.25, at + 0.25],
            [float(flow["reduced_exponent"].mean())] * 2,
            color=colour_of[link],
        )
        ax.annotate(
            f"{exponent:.2f} ± {error:.2f}",
            (at, value + error),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    ax.axhline(0.0, color=style.FAINT, linestyle=GUIDE, linewidth=0.8, zorder=0.5)
    ax.set_xticks(range(len(links)), [f"$k = {ORDERS[link][0]}$" for link in links])
    ax.set_xticks([], minor=True)
    ax.set(xlim=(-0.6, len(links) - 0.4), ylim=(-0.25, 0.35))
    ax.set_ylabel("fitted exponent beyond the order")
    ax.set_title("numbers: exponent of the steps")

"""Panels of finite-size scaling, from the rows of a threshold table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import style
from phasesweep.scaling import extrapolate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from phasesweep.scaling import Row


def extrapolation(ax: Axes, rows: Iterable[Row], *, color: Any) -> None:
    """Thresholds against 1/size, the fitted power law, its limit, and theory at infinite size.

    `rows` are those of one quantity at one choice of the other axes. A panel without a fit says so.
    """
    own = [row for row in rows if np.isfinite(row.value)]
    levels = [row for row in own if row.kind == "level"]
    if not levels:
        ax.set_title("no crossing: see the threshold table", fontsize=8)
        return
    sizes = np.array([row.sizes[0] for row in levels])
    values = np.array([row.value for row in levels])
    errors = np.array([row.error for row in levels])
    style.error_points(ax, 1 / sizes, values, errors, color=color, zorder=3)
    limit = next((r for r in own if r.kind == "extrapolated" and r.status == "ok"), None)
    if limit:
        used = np.isin(sizes, limit.sizes)
        law = extrapolate(
            sizes=sizes[used], values=values[used], errors=errors[used], exponent=1 / limit.nu
        )
        inverse = np.linspace(0, 1.05 / sizes.min(), 200)
        ax.plot(inverse, law.value + law.amplitude * inverse ** (1 / limit.nu), color=color)
        style.error_points(
            ax, 0, limit.value, limit.error, color=color, marker="D", filled=False, zorder=3
        )
    else:
        ax.set_title("not extrapolated: see the threshold table", fontsize=8)
    for value in {row.theory for row in own if np.isfinite(row.theory)}:
        ax.plot(0, value, color=color, marker="*", markersize=8, clip_on=False, zorder=2)
    ax.set_xlim(left=-0.09 / sizes.min())


def extrapolation_handles() -> list[Line2D]:
    """Entries of a legend for `extrapolation`."""
    return [
        style.handle("fitted power law"),
        style.handle("extrapolated", linestyle="none", marker="D", markerfacecolor="white"),
        style.handle("theory at infinite dimension", linestyle="none", marker="*", markersize=8),
    ]


def collapse_of(rows: Iterable[Row], quantity: str) -> Row | None:
    """The fitted collapse of a quantity, if the sweep asks for one and it has an answer."""
    collapses = (row for row in rows if row.kind == "collapse" and row.of == quantity)
    return next((r for r in collapses if np.isfinite(r.value) and np.isfinite(r.nu)), None)


def collapse_title(fit: Row) -> str:
    """The fitted pair with its standard errors."""
    return (
        rf"$\alpha_{{\mathrm{{c}}}} = {fit.value:.3f} \pm {fit.error:.3f}$, "
        rf"$\nu = {fit.nu:.2f} \pm {fit.nu_error:.2f}$"
    )


COLLAPSED = r"$(\alpha - \alpha_{\mathrm{c}})\, d^{1/\nu}$"
"""Label of the abscissa of a collapse."""


def limit_to_points(ax: Axes) -> None:
    """Let the points of a collapse, not the lines, say how far its abscissa reaches."""
    reach = [item.get_xdata() for item in ax.lines if item.get_marker() == "o"]
    if reach:
        places = np.concatenate(reach)
        ax.set_xlim(1.15 * np.min(places), 1.15 * np.max(places))

"""Kernels and susceptibilities over depth at, below and above criticality."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("infinite_width_depth",)
COLUMNS = 5
FACTORS = {0.8: ("below", "#0072B2"), 1.0: ("critical", style.INK), 1.25: ("above", "#D55E00")}
WITHOUT_CRITICAL = (0.0, 2.0)
"""(C_b, C_W) around which the activations without a critical point are shown."""
SUSCEPTIBILITIES = {"chi_perp": "-", "chi_parallel": (0, (3.5, 1.5))}


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """For each activation the kernel above, both susceptibilities below."""
    tree = trees["infinite_width_depth"]
    kernels, critical = (tree[name].to_dataset() for name in ("kernels", "criticality"))
    activations = np.atleast_1d(kernels["activation"].values).tolist()
    blocks = -(-len(activations) // COLUMNS)
    figure, axes = style.panels(rows=2 * blocks, columns=COLUMNS, width=2.3)
    for ax in axes.flat:
        ax.set_visible(False)
    for at, activation in enumerate(activations):
        block, column = divmod(at, COLUMNS)
        _column(axes[2 * block : 2 * block + 2, column], activation, kernels, critical)
        if column == 0:
            axes[2 * block, 0].set_ylabel("kernel  $K^{(l)}$")
            axes[2 * block + 1, 0].set_ylabel("susceptibility")
    handles = [
        *(
            style.handle(rf"{name}: {factor:g} times $C_W$ of the title", color=color)
            for factor, (name, color) in FACTORS.items()
        ),
        style.handle(r"$\chi_\perp$ (differences across the input)", linestyle="-"),
        style.handle(
            r"$\chi_\parallel$ (differences of norm)", linestyle=SUSCEPTIBILITIES["chi_parallel"]
        ),
    ]
    style.legend(figure, handles)
    style.title(figure, tree.attrs["title"])
    return figure


def _column(axes: np.ndarray, activation: str, kernels: xr.Dataset, critical: xr.Dataset) -> None:
    here = critical.sel(activation=activation)
    point = float(here["critical_c_b"]), float(here["critical_c_w"])
    exists = np.isfinite(point).all()
    bias, weight = point if exists else WITHOUT_CRITICAL
    upper, lower = axes
    for factor, (_, color) in FACTORS.items():
        lines = kernels.sel(activation=activation).sel(
            c_b=bias, c_w=factor * weight, method="nearest"
        )
        depth = np.arange(1, lines.sizes["layer"] + 1)
        upper.plot(depth, lines["nngp"].values[:, 0, 0], color=color)
        for name, dashes in SUSCEPTIBILITIES.items():
            lower.plot(depth, lines[name].values[:, 0], color=color, linestyle=dashes)
    if activation == "step":
        lower.text(0.5, 0.5, r"$\chi_\perp$ infinite", ha="center", transform=lower.transAxes)
    _finish(upper, lower)
    text = f"$C_b$ = {bias:.3g}, $C_W$ = {weight:.4g}"
    upper.set_title(f"{activation}\n{text}{'' if exists else ' (not critical)'}")


def _finish(upper: Axes, lower: Axes) -> None:
    for ax in (upper, lower):
        ax.set_visible(True)
        ax.set_xscale("log")
    upper.set_yscale("log")
    lower.axhline(1.0, color=style.FAINT, linewidth=0.6, zorder=0)
    lower.set_xlabel("layer  $l$")

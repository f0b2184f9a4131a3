"""Leaving a random start: does width help, does noise matter, and how long does it take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import curves, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("escape_risk", "escape_starts", "escape_width", "escape_noise", "escape_dimension")
METHODS = {"ode": style.WORD_COLOURS[0], "sde": style.WORD_COLOURS[2], "sgd": style.WORD_COLOURS[1]}
FORMULA = style.DASHES["theory"][0]
DIFFUSIVE = style.DASHES["theory"][1]


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Above the risk in time and the law of exit times; below exit times against the axes."""
    risk, starts, width, noise, dimension = (
        {name: node.to_dataset() for name, node in trees[sweep].children.items()}
        for sweep in SWEEPS
    )
    for parts in (starts, width, noise, dimension):
        parts["exit_time"] = _quenched(parts["exit_time"])
    figure, axes = style.panels(rows=2, columns=3)
    _risks(axes[0, 0], risk, quiet=True)
    _risks(axes[0, 1], risk, quiet=False)
    _laws(axes[0, 2], starts)
    widths = [np.atleast_1d(parts["sgd"]["width"].values) for parts in (noise, dimension)]
    several = np.unique(np.concatenate(widths)).tolist()
    colour_of = dict(zip(several, style.WORD_COLOURS[3:], strict=False))
    _against(axes[1, 1], noise, "noise", colour_of)
    _against(axes[1, 2], dimension, "dimension", colour_of)
    attributes = noise["sgd"]["width"].attrs
    hues = [
        *_against_width(axes[1, 0], width),
        *(
            style.handle(
                style.value_text("width", attributes, p), color=color, linestyle="none", marker="o"
            )
            for p, color in colour_of.items()
        ),
    ]
    axes[1, 2].set_xscale("log")
    for ax in axes[1]:
        ax.set_ylabel(style.label("exit_time", width["sgd"]["exit_time"].attrs))
    handles = [
        *(
            style.handle(name.upper(), color=color, linewidth=2.5)
            for name, color in METHODS.items()
        ),
        style.handle("quenched formula", linestyle=FORMULA),
        style.handle("with the diffusion of SGD", linestyle=DIFFUSIVE),
        *hues,
    ]
    style.legend(figure, handles)
    style.title(figure, "Escape from mediocrity: one-pass SGD of quadratic units on the sphere")
    return figure


def _quenched(formula: xr.Dataset) -> xr.Dataset:
    """The average over starts, at the number of draws that it was taken over."""
    chosen = formula.sel(average="quenched")
    return chosen.sel(draws=chosen["draws"].max()) if "draws" in chosen.dims else chosen


def _risks(ax: Axes, risk: dict[str, xr.Dataset], *, quiet: bool) -> None:
    """Mean risk in time of the narrowest student, at the least or the largest noise."""
    noises, widths = (np.atleast_1d(risk["sgd"][axis].values) for axis in ("noise", "width"))
    chosen = {"noise": float(noises.min() if quiet else noises.max()), "width": int(widths.min())}
    for method, color in METHODS.items():
        line = curves.read(risk[method], "risk", "time", **chosen)
        if method == "sgd":
            bars = None if line.errors is None else line.errors[:, ::4]
            style.error_points(ax, line.x[::4], line.y[::4], bars, color=color, zorder=3)
        else:
            ax.plot(line.x, line.y, color=color)
    ax.set_yscale("log")
    value = style.value_text
    ax.set_title(", ".join(value(a, risk["sgd"][a].attrs, v) for a, v in chosen.items()))
    ax.set_xlabel(style.label("time", risk["sgd"]["time"].attrs))
    ax.set_ylabel(style.label("risk", risk["sgd"]["risk"].attrs))


def _of_width(values: xr.DataArray, width: int) -> xr.DataArray:
    """The values of one width, of a sweep over several or of that one alone."""
    return values.sel(width=width) if "width" in values.dims else values


def _laws(ax: Axes, starts: dict[str, xr.Dataset]) -> None:
    """Share of the starts that have been left by a time, for the narrowest student."""
    narrow = int(np.min(starts["sgd"]["width"].values))
    for method, color in METHODS.items():
        times = _of_width(starts[method]["exit_time"], narrow).values.ravel()
        count = len(times)
        left = np.sort(times[np.isfinite(times)])
        ax.step(left, np.arange(1, len(left) + 1) / count, where="post", color=color)
    formula = _of_width(starts["exit_time"]["exit_time"], narrow)
    style.mark_threshold(ax, float(formula))
    ax.set_title(
        f"{count} starts, " + style.value_text("width", starts["sgd"]["width"].attrs, narrow)
    )
    ax.set_xlabel(style.label("exit_time", starts["sgd"]["exit_time"].attrs))
    ax.set_ylabel("share of starts left")


def _against_width(ax: Axes, width: dict[str, xr.Dataset]) -> list[Any]:
    """Exit time against width along lines of fixed step_size/width."""
    widths = np.atleast_1d(width["sgd"]["width"].values)
    steps = np.atleast_1d(width["sgd"]["step_size"].values)
    pairs = [(w, s, s / w) for w in widths.tolist() for s in steps.tolist()]
    ratios = sorted({round(r, 12) for _, _, r in pairs})
    several = [r for r in ratios if sum(abs(q - r) < 1e-9 for *_, q in pairs) >= 4]
    colour_of = style.colours(several)
    formula = width["exit_time"]
    for ratio, color in colour_of.items():
        line = [(w, s) for w, s, r in pairs if abs(r - ratio) < 1e-9]
        at = np.array([w for w, _ in line])
        for name, dashes in (("exit_time", FORMULA), ("diffusive_exit_time", DIFFUSIVE)):
            values = [float(formula[name].sel(width=w, step_size=s)) for w, s in line]
            ax.plot(at, values, color=color, linestyle=dashes)
        runs = [width["sgd"]["exit_time"].sel(width=w, step_size=s) for w, s in line]
        summary = [[float(part) for part in curves.seed_mean(run)] for run in runs]
        mean, below, above = np.array(summary).T
        style.error_points(ax, at, mean, np.stack([below, above]), color=color, zorder=3)
    ax.set_xscale("log", base=2)
    ax.set_xlabel(style.label("width", width["sgd"]["width"].attrs))
    ax.set_title("fixed step size / width")
    return [
        style.handle(rf"$\gamma/p = {ratio:g}$", color=color, linestyle="none", marker="o")
        for ratio, color in colour_of.items()
    ]


def _against(
    ax: Axes, measured: dict[str, xr.Dataset], axis: str, colour_of: dict[int, str]
) -> None:
    """Exit time against another axis, for every width."""
    for width in np.atleast_1d(measured["sgd"]["width"].values).tolist():
        color = colour_of[width]
        for name, dashes in (("exit_time", FORMULA), ("diffusive_exit_time", DIFFUSIVE)):
            line = curves.read(measured["exit_time"], name, axis, width=width)
            ax.plot(line.x, line.y, color=color, linestyle=dashes)
        points = curves.read(measured["sgd"], "exit_time", axis, width=width)
        style.error_points(ax, points.x, points.y, points.errors, color=color, zorder=3)
    ax.set_xlabel(style.label(axis, measured["sgd"][axis].attrs))
    steps = float(np.max(measured["sgd"]["step_size"].values))
    ax.set_title(style.value_text("step_size", measured["sgd"]["step_size"].attrs, steps))

"""Mean and variance of trained outputs in time and against width, beside both theories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from phasesweep.figures import style
from phasesweep.figures.cases import over_seeds

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("finite_width_trained", "infinite_width_trained", "finite_width_correction")
TEST = 1
"""The test input of the curves in time: at an angle π/8 on the circle, between training inputs."""
NAMES = {"mean": "mean of a trained output", "variance": "variance of a trained output"}


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """In time above (circle of training inputs), against 1/width below (a pair of them)."""
    figure, axes = style.panels(rows=2, columns=2)
    ensemble = trees["finite_width_trained"]["trained_ensemble"].to_dataset()
    limit = trees["infinite_width_trained"]["trained"].to_dataset()
    colour_of = style.colours(ensemble["width"].values.tolist())
    for ax, name in zip(axes[0], NAMES, strict=True):
        _in_time(ax, name, ensemble, limit, colour_of)
    handles = [
        *(
            style.handle(f"width {width}", color=color, marker="o")
            for width, color in colour_of.items()
        ),
        style.handle("infinite width", color=style.INK),
    ]
    tree = trees["finite_width_correction"]
    theory, trained = (tree[name].to_dataset() for name in ("trained", "trained_ensemble"))
    activations = np.atleast_1d(theory["activation"].values).tolist()
    for ax, name in zip(axes[1], NAMES, strict=True):
        for activation, color in style.colours(activations).items():
            _in_width(ax, name, activation, theory, trained, color)
    for activation, color in style.colours(activations).items():
        handles.append(
            style.handle(f"{activation}, first order in 1/width", color=color, linestyle="-")
        )
    style.legend(figure, handles)
    style.title(figure, "Trained outputs: in time above, against width below")
    return figure


def _in_time(ax: Axes, name: str, ensemble, limit, colour_of: dict) -> None:
    time = ensemble["time"].values
    for width, color in colour_of.items():
        values = ensemble[f"trained_{name}"].sel(width=width)
        mean, error = over_seeds(values.isel(test_input=TEST, output=0))
        ax.errorbar(time, mean, error, fmt="o", color=color)
    expected = limit[name].isel(test_input=TEST)
    ax.plot(time, expected.values.ravel(), color=style.INK)
    ax.set_xscale("symlog", linthresh=1.0)
    if name == "variance":
        ax.set_yscale("log")
    ax.set_xlabel("steps of gradient descent")
    ax.set_ylabel(NAMES[name])


def _in_width(ax: Axes, name: str, activation: str, theory, trained, color) -> None:
    at = {"activation": activation}
    values = trained[f"trained_{name}"].sel(at).isel(time=-1, test_input=0, output=0)
    mean, error = over_seeds(values)
    width = trained["width"].values.astype(float)
    ax.errorbar(1 / width, mean, error, fmt="o", color=color)
    start = theory[name].sel(at).isel(test_input=0)
    start = float(start.isel(output=0)) if "output" in start.dims else float(start)
    slope = float(theory[f"{name}_correction"].sel(at).isel(test_input=0, output=0))
    # Narrower networks are beyond the first order.
    inverse = np.array([0.0, min(0.125, float(np.max(1 / width)))])
    ax.plot(inverse, start + slope * inverse, color=color)
    ax.set_xlim(-0.01, 1.08 * float(np.max(1 / width)))
    ax.set_xlabel("1/width")
    ax.set_ylabel(NAMES[name])

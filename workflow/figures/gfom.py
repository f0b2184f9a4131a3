"""First-order iterations: their law as lines, simulations as points, and how the two meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.figures import style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SWEEPS = ("gfom_powers", "gfom_tanh", "gfom_regression")
FREE = ("alpha", "gain", "step_size", "momentum", "regularization", "noise", "sparsity")
NAMES = {
    "identity": "$W^t$",
    "identity_rectangular": "$(X^TX)^t$",
    "tanh": "power iteration",
    "amp": "memory subtracted",
    "gradient_descent": "gradient descent",
    "momentum": "momentum",
    "ista": "soft threshold",
}
Data = dict[str, dict[str, "xr.Dataset"]]
DASHES = style.DASHES["theory"]


def draw(trees: dict[str, xr.DataTree]) -> Figure:
    """Moments, variances and risks over steps; responses; deviations against dimension."""
    data = {
        sweep: {method: _loaded(trees[sweep][method].to_dataset()) for method in ("law", "iterate")}
        for sweep in SWEEPS
    }
    figure, axes = style.panels(rows=2, columns=3, width=2.8)
    handles: dict[str, Any] = {}
    _over_steps(axes[0, 0], data["gfom_powers"], "moment", "alpha", handles)
    axes[0, 0].set(yscale="log", title="moments", ylabel=r"$\mathrm{E}\,u\,z_t$")
    _over_steps(axes[0, 1], data["gfom_tanh"], "variance", "gain", handles)
    axes[0, 1].set(yscale="log", title="tanh", ylabel="variance of $z_t$")
    for ax, kinds in (
        (axes[0, 2], ("gradient_descent", "momentum")),
        (axes[1, 0], ("ista",)),
    ):
        _over_steps(ax, data["gfom_regression"], "risk", "alpha", handles, kinds=kinds)
        name = "ridge regression" if len(kinds) > 1 else "sparse regression"
        ax.set(title=name, ylabel=r"risk  $|z_t - w|^2/d$")
    _responses(axes[1, 1], data, handles)
    _deviations(axes[1, 2], data, handles)
    style.legend(figure, handles.values())
    style.title(figure, "First-order iterations on random matrices: law (lines) and simulations")
    return figure


def _loaded(dataset: xr.Dataset) -> xr.Dataset:
    """What is drawn, in memory."""
    wanted = ("moment", "risk", "covariance", "response", "final_variance")
    return dataset[[name for name in wanted if name in dataset]].load()


def _points(dataset: xr.Dataset, iteration: str) -> list[tuple[dict[str, Any], xr.Dataset]]:
    """The parameter values of an iteration that were asked, and what is known there."""
    here = dataset.sel(iteration=iteration)
    free = [name for name in FREE if name in here.dims]
    known = np.isfinite(here["final_variance"])
    known = known.any([d for d in known.dims if d not in free])
    stacked = known.stack(point=free) if free else known
    if not free:
        return [({}, here)]
    chosen = [
        dict(zip(free, point, strict=True)) for point in stacked["point"].values[stacked.values]
    ]
    return [(point, here.sel(point)) for point in chosen]


def _quantity(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """An observable over steps; the variances are the diagonal of the covariance."""
    if name != "variance":
        return dataset[name]
    steps = dataset.sizes["step"]
    diagonal = [dataset["covariance"].isel(step=t, step_other=t) for t in range(steps)]
    import xarray as xr

    return xr.concat(diagonal, dim="step")


def _over_steps(
    ax: Axes,
    tree: dict[str, xr.Dataset],
    name: str,
    hue: str,
    handles: dict[str, Any],
    kinds: tuple[str, ...] = (),
) -> None:
    """Law as lines, means over seeds at the largest dimension as points."""
    law, runs = (tree[method] for method in ("law", "iterate"))
    kinds = kinds or tuple(np.atleast_1d(law["iteration"].values).tolist())
    palette = list(style.WORD_COLOURS)
    values: list[Any] = []
    for kind, dashes, marker in zip(kinds, DASHES, style.MARKERS, strict=False):
        for (point, here), (_, measured) in zip(
            _points(law, kind), _points(runs, kind), strict=True
        ):
            value = point.get(hue)
            varied = len({p.get(hue) for p, _ in _points(law, kind)}) > 1
            if varied and value not in values:
                values.append(value)
            color = palette[values.index(value)] if varied else style.INK
            line = _quantity(here, name)
            steps = np.arange(line.sizes["step"])
            largest = measured.isel(dimension=-1)
            found = _quantity(largest, name)
            mean = found.mean("seed").values
            error = (found.std("seed", ddof=1) / np.sqrt(found.sizes["seed"])).values
            # Odd moments vanish, which a logarithmic axis cannot show.
            shown = np.abs(line.values) > 1e-9
            ax.plot(steps[shown], line.values[shown], color=color, linestyle=dashes)
            style.error_points(
                ax, steps[shown], mean[shown], error[shown], color=color, marker=marker
            )
            text = NAMES[kind]
            if varied:
                text += ", " + style.value_text(hue, law[hue].attrs, float(value))
            handles[text] = style.handle(text, color=color, linestyle=dashes, marker=marker)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("step  $t$")


def _responses(ax: Axes, data: Data, handles: dict[str, Any]) -> None:
    """Response of the last step to earlier ones, for the first parameters of some iterations."""
    shown = {
        "gfom_tanh": ("tanh",),
        "gfom_regression": ("gradient_descent", "momentum", "ista"),
    }
    colours = iter(style.WORD_COLOURS[3:])
    for sweep, kinds in shown.items():
        law = data[sweep]["law"]
        for kind in [k for k in kinds if k in np.atleast_1d(law["iteration"].values)]:
            _, here = _points(law, kind)[-1]
            last = here.sizes["step"] - 1
            lag = np.arange(last)
            values = here["response"].isel(step=last).values[last - lag]
            start = 1 if kind == "tanh" else 0
            color = next(colours)
            ax.plot(lag[start:], values[start:], color=color, marker=".", markersize=4)
            text = f"response, {NAMES[kind]}"
            handles[text] = style.handle(text, color=color, marker=".")
    ax.axhline(0, color=style.FAINT, linewidth=0.6, zorder=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(title="memory", xlabel="lag  $T - s$", ylabel="response  $b_{Ts}$")


def _deviations(ax: Axes, data: Data, handles: dict[str, Any]) -> None:
    """Root-mean-square deviation of covariances of single instances, relative to the law."""
    top = 0.0
    size = np.ones(1)
    for sweep in SWEEPS:
        law, runs = (data[sweep][method] for method in ("law", "iterate"))
        for kind in np.atleast_1d(law["iteration"].values).tolist():
            squares = []
            for (_, here), (_, measured) in zip(
                _points(law, kind), _points(runs, kind), strict=True
            ):
                gap = (measured["covariance"] - here["covariance"]) / here["covariance"].max()
                squares.append((gap**2).mean(["step", "step_other", "seed"]))
            root = np.sqrt(sum(squares) / len(squares))
            size = runs["dimension"].values.astype(float)
            ax.plot(size, root, color=style.FAINT, linewidth=0.8, marker=".", markersize=4)
            top = max(top, float(root[0]))
    guide = 1.3 * top * (size / size[0]) ** -0.5
    ax.plot(size, guide, color=style.INK, linestyle=style.DASHES["exact"][0])
    handles["guide"] = style.handle(
        "dimension$^{-1/2}$", color=style.INK, linestyle=style.DASHES["exact"][0]
    )
    ax.set(xscale="log", yscale="log", title="deviation of one instance, all iterations")
    ax.set_xticks(size, [f"{value:g}" for value in size])
    ax.set_xticks([], minor=True)
    ax.set_xlabel(style.label("dimension", runs["dimension"].attrs))
    ax.set_ylabel("covariances, relative deviation")

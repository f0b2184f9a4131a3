"""Datasets built by hand, in the layout of `phasesweep.dataset`, for the tests of figures."""

from __future__ import annotations

import itertools
import json

import numpy as np
import xarray as xr


def method(variables, coords, *, role, size="", name="m"):
    """A dataset in the layout of phasesweep.dataset, every cell asked unless all of it is NaN."""
    ds = xr.Dataset(variables, coords)
    axes = [d for d in ds.dims if d in ds.coords and d not in ("time",)]
    axes = [d for d in axes if any(d in v.dims for v in ds.data_vars.values())]
    first = next(iter(ds.data_vars.values()))
    dims = [d for d in first.dims if d in axes]
    further = [d for d in first.dims if d not in axes]
    status = xr.where(first.notnull().any(further), 0, -1).transpose(*dims).astype("i1")
    ds = ds.assign(status=(dims, status.values))
    symbols = {"alpha": r"\alpha", "kappa": r"\kappa", "dimension": "d", "step_size": r"\gamma"}
    for axis in ds.coords:
        ds[axis].attrs |= {"symbol": symbols.get(axis, ""), "units": "1"}
    return ds.assign_attrs(role=role, size=size, method=name, title=f"System: {name}")


def measured(axes, sizes, centre, *, seeds=40, points=9):
    """Nested instances: seed s is solvable below an alpha of its own, asked in a window per size."""
    rng = np.random.default_rng(0)
    cells = [dict(zip(axes, c, strict=True)) for c in itertools.product(*axes.values())]
    reach = np.linspace(-4, 4, points)
    windows = [(centre(**cell) + reach / d**0.5).round(12) for cell in cells for d in sizes]
    alphas = np.unique(np.concatenate(windows))
    satisfiable = np.full((len(windows), seeds, len(alphas)), np.nan)
    samples = satisfiable.copy()
    for number, (cell, d) in enumerate(itertools.product(cells, sizes)):
        at = np.searchsorted(alphas, windows[number])
        own = centre(**cell) + 1 / d + 1.2 * rng.normal(size=(seeds, 1)) / d**0.5
        samples[number][:, at] = np.floor(alphas[at] * d + 0.5)
        satisfiable[number][:, at] = samples[number][:, at] / d < own
    dims = (*axes, "dimension", "seed", "alpha")
    shape = (*map(len, axes.values()), len(sizes), seeds, len(alphas))
    given = {"satisfiable": satisfiable, "samples": samples}
    return method(
        {name: (dims, values.reshape(shape)) for name, values in given.items()},
        {**axes, "dimension": sizes, "seed": np.arange(seeds), "alpha": alphas},
        role="simulation",
        size="dimension",
    )


def window_tree(figure=None):
    """P(satisfiable) in a window of alpha per dimension (NaN elsewhere), theory, thresholds."""
    dims, kappas = [20, 80, 320], [0.0, 0.5]
    simulation = measured({"kappa": kappas}, dims, lambda kappa: 2 - kappa)
    theory = method({"alpha_c": ("kappa", [2.0, 1.5])}, {"kappa": kappas}, role="theory")
    line = np.linspace(0.5, 3, 30)
    exact = 1 / (1 + np.exp((line[None, :] - 2) * np.sqrt([[20], [80], [320]]) * 1.3))
    cover = method(
        {"satisfiable": (("dimension", "alpha"), exact)},
        {"dimension": dims, "alpha": line, "kappa": 0.0},
        role="exact",
        size="dimension",
    )
    root = {"title": "Synthetic windows around a threshold", "sweep": "windows", "thresholds": "[]"}
    root["figure"] = json.dumps(figure or {})
    groups = {"simulate": simulation, "capacity": theory, "cover": cover}
    return tree_of(root, groups)


def tree_of(root, groups):
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs=root),
            **{f"/{k}": v.assign_attrs(method=k) for k, v in groups.items()},
        },
        name=root.get("sweep"),
    )


def time_tree(figure=None):
    """Risk and a matrix against log-spaced time, for two step sizes; ODE lines and noisy points."""
    rng = np.random.default_rng(1)
    times = np.concatenate([[0.0], np.geomspace(1e-2, 1e3, 30)])
    steps = [0.1, 1.0, 4.0]
    risk = np.array([0.3 / (1 + times * s) + 1e-4 * s for s in steps])
    matrix = np.stack([np.array([[1, 0.1], [0.2, 2]]) * r for r in risk.ravel()])
    matrix = matrix.reshape(3, len(times), 2, 2)
    noise = np.exp(0.1 * rng.normal(size=(16, 3, len(times))))
    dims = ("step_size", "time")
    units = (*dims, "unit", "unit_other")
    ode = method(
        {"excess_risk": (dims, risk), "student_overlap": (units, matrix)},
        {"step_size": steps, "time": times, "times": 0},
        role="theory",
    )
    sgd = method(
        {
            "excess_risk": (("seed", *dims), risk * noise),
            "student_overlap": (("seed", *units), matrix[None] * noise[..., None, None]),
        },
        {"seed": np.arange(16), "step_size": steps, "time": times, "times": 0, "dimension": 400},
        role="simulation",
        size="dimension",
    )
    root = {"title": "Risk against time", "sweep": "risk", "figure": json.dumps(figure or {})}
    return tree_of(root, {"ode": ode, "sgd": sgd})


def overlap_tree(figure=None):
    """Two priors, both starts for the theory, two sizes for the points, thresholds of one prior."""
    rng = np.random.default_rng(2)
    alpha, priors = np.linspace(0.1, 2, 30), ["gaussian", "rademacher"]
    starts, dims = ["uninformed", "informed"], [200, 500]
    smooth = alpha / (1 + alpha)
    jump = {"uninformed": np.where(alpha < 1.49, 1.3 * smooth, 1.0), "informed": np.ones(30)}
    overlap = np.array([[smooth, smooth], [jump["uninformed"], jump["informed"]]])
    dims3 = ("prior", "initialization", "alpha")
    path = overlap[..., None] * (1 - np.exp(-np.arange(11) / 3))
    theory = method(
        {
            "overlap": (dims3, overlap),
            "classification_error": (dims3, np.arccos(np.sqrt(overlap)) / np.pi),
            "overlap_trajectory": ((*dims3, "iteration"), path),
        },
        {"prior": priors, "initialization": starts, "alpha": alpha},
        role="theory",
    )
    at = alpha[::5]
    mean = np.array([smooth[::5], jump["uninformed"][::5]])
    noise = 0.3 * rng.normal(size=(2, 2, 16, len(at))) / np.sqrt(dims)[None, :, None, None]
    values = mean[:, None, None] + noise
    gamp = method(
        {"overlap": (("prior", "dimension", "seed", "alpha"), values)},
        {"prior": priors, "dimension": dims, "seed": np.arange(16), "alpha": at}
        | {"initialization": "uninformed"},
        role="simulation",
        size="dimension",
    )
    thresholds = method(
        {"alpha_it": ("prior", [np.nan, 1.245]), "alpha_amp": ("prior", [np.nan, 1.493])},
        {"prior": priors},
        role="theory",
    )
    thresholds["status"] = ("prior", np.array([4, 0], "i1"))
    thresholds["alpha_it"].attrs["symbol"] = r"\alpha_{\mathrm{IT}}"
    root = {
        "title": "Overlap against alpha",
        "sweep": "overlap",
        "figure": json.dumps(figure or {}),
    }
    return tree_of(root, {"state_evolution": theory, "thresholds": thresholds, "gamp": gamp})


def capacity_tree():
    """Theory alone: a threshold against kappa for words, with a gap that was not defined."""
    kappa = np.linspace(0, 2, 21)
    values = np.array([0.8 - 0.3 * kappa, 0.1 + kappa**2, 1 / (0.2 + kappa)])
    values[1, 8:11] = np.nan
    capacity = method(
        {"alpha_c": (("constraint", "kappa"), values)},
        {"constraint": ["step", "rectangle", "ushape"], "kappa": kappa, "weights": "binary"},
        role="theory",
    )
    capacity["status"] = (("constraint", "kappa"), np.zeros((3, 21), "i1"))
    words = np.full((3, 21), "exact")
    capacity = capacity.assign(validity=(("constraint", "kappa"), words))
    root = {"title": "Capacity", "sweep": "capacity", "figure": "{}"}
    return tree_of(root, {"capacity": capacity})


def lines_of(ax, *, markers):
    """(color, x, y) of the lines of a panel, with markers or without."""
    marked = (line for line in ax.lines if (line.get_linestyle() == "None") == markers)
    return [(line.get_color(), *map(np.asarray, line.get_data())) for line in marked]


def vertical(ax):
    """Where a panel has vertical lines."""
    return [float(x[0]) for _, x, _ in lines_of(ax, markers=False) if len(set(x)) == 1]

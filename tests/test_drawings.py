"""The drawings of workflow/figures, on datasets whose thresholds and laws are known."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from phasesweep.figures import style
from tests.figure_trees import (
    lines_of,
    measured,
    method,
    time_tree,
    tree_of,
)


def drawing(name):
    """A drawing of workflow/figures, loaded as the command line loads it."""
    script = Path(__file__).parent.parent / "workflow" / "figures" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(name, trees):
    with style.style():
        return drawing(name).draw(trees)


def capacity_of(axes, centre):
    """A theory of the centres of `measured`."""
    cells = [dict(zip(axes, c, strict=True)) for c in itertools.product(*axes.values())]
    values = np.array([centre(**cell) for cell in cells]).reshape([len(v) for v in axes.values()])
    words = np.where(values > 1.2, "upper_bound", "exact")
    theory = method({"alpha_c": (tuple(axes), values)}, dict(axes), role="theory")
    return theory.assign(validity=(tuple(axes), words))


def asked(**thresholds):
    """Attributes of a sweep that asks for one level at P = 1/2."""
    entry = {"along": "alpha", "level": 0.5, "beside": "capacity.alpha_c", **thresholds}
    return {"title": "T", "sweep": "s", "description": "{}", "thresholds": json.dumps([entry])}


def storage_trees():
    def centre(kappa, constraint="step"):
        return 1.0 + 0.5 * kappa if constraint == "rectangle" else 1.0 - 0.3 * kappa

    line = {"constraint": ["step", "rectangle"], "kappa": np.linspace(0, 1, 11).tolist()}
    few = {"constraint": ["step", "rectangle"], "kappa": [0.3, 0.6]}
    spherical = method({"alpha_c": ("kappa", [2.0, 1.0])}, {"kappa": [0.0, 1.0]}, role="theory")
    groups = {"capacity": capacity_of(few, centre), "enumeration": measured(few, [40, 160], centre)}
    return centre, {
        "capacity": tree_of({"sweep": "capacity"}, {"capacity": capacity_of(line, centre)}),
        "capacity_spherical": tree_of({"sweep": "spherical"}, {"capacity": spherical}),
        "capacity_enumeration": tree_of(asked(of="enumeration.satisfiable"), groups),
    }


def test_storage_capacity_sets_measured_thresholds_on_the_lines_of_their_constraint():
    centre, trees = storage_trees()
    (ax,) = draw("storage_capacity", trees).axes
    assert ax.get_yscale() == "log"
    points = [(c, float(x[0]), float(y[0])) for c, x, y in lines_of(ax, markers=True)]
    assert len(points) == 2 * 2 * 2
    palette = style.colours(["step", "rectangle"])
    for color, kappa, alpha in points:
        constraint = next(c for c in palette if palette[c] == color)
        # Shift 1/40, and a standard error of about 1.2 sqrt(pi/2)/sqrt(40 · 40).
        truth = centre(round(kappa, 1), constraint)
        assert alpha == pytest.approx(truth, abs=1 / 40 + 4 * 1.5 / 40)


def separability_trees():
    sizes, line = [20, 80, 320], np.linspace(1.4, 2.6, 25)
    exact = 1 / (1 + np.exp((line - 2) * np.sqrt(sizes)[:, None] * 1.4))
    cover = method(
        {"probability_separable": (("dimension", "alpha"), exact)},
        {"dimension": sizes, "alpha": line},
        role="exact",
        size="dimension",
    )
    capacity = xr.Dataset({"alpha_c": 2.0, "status": 0}).assign_attrs(role="theory")
    solved = measured({}, sizes, lambda: 2.0, seeds=200, points=13)
    groups = {"capacity": capacity, "cover": cover, "max_margin": solved}
    return {"separability": tree_of(asked(of="max_margin.satisfiable", collapse=True), groups)}


def test_separability_collapses_with_the_fitted_threshold_and_exponent():
    left, right = draw("separability", separability_trees()).axes
    assert len(lines_of(left, markers=True)) == len(lines_of(right, markers=True)) == 3
    heights = [y for _, _, y in lines_of(left, markers=True)]
    scaled = [(x, y) for _, x, y in lines_of(right, markers=True)]
    for before, (_, after) in zip(heights, scaled, strict=True):
        np.testing.assert_array_equal(before, after)
    grid = np.linspace(-2, 2, 9)
    master = np.array([np.interp(grid, x, y) for x, y in scaled])
    # Three curves of 200 seeds: the range of three normal numbers, and what is left of the 1/d shift.
    assert np.max(np.ptp(master, axis=0)) < 5 * np.sqrt(0.25 / 200)
    spread = np.array([np.interp(2 + grid / 8, x, y) for _, x, y in lines_of(left, markers=True)])
    assert np.max(np.ptp(spread, axis=0)) > 0.3
    assert "nu" in right.get_title()


def binary_trees(exponent=1):
    kappas, line = [0.0, 0.5], np.linspace(0.5, 0.9, 5)

    def centre(kappa):
        return 0.83 - 0.5 * kappa

    found = np.broadcast_to(line < 0.7, (2, 3, 5)).astype(float)
    search = method(
        {"satisfiable": (("dimension", "seed", "alpha"), found)},
        {"dimension": [500, 1000], "seed": np.arange(3), "alpha": line, "kappa": 0.0},
        role="simulation",
        size="dimension",
    )
    groups = {
        "capacity": capacity_of({"kappa": kappas}, centre),
        "enumeration": measured({"kappa": kappas}, [20, 40, 80, 160], centre, seeds=200),
        "reinforced_bp": search,
    }
    thresholds = {"of": "enumeration.satisfiable"} | ({"exponent": exponent} if exponent else {})
    return {"binary_capacity": tree_of(asked(**thresholds), groups)}


def test_binary_capacity_extrapolates_to_the_theory_at_zero():
    left, right = draw("binary_capacity", binary_trees()).axes
    assert left.get_title().endswith("= 0")
    heights = {
        shape: sorted(
            float(line.get_ydata()[0]) for line in right.lines if line.get_marker() == shape
        )
        for shape in "*D"
    }
    assert heights["*"] == pytest.approx([0.58, 0.83])
    # Errors of about 1.5/sqrt(200 d) at each size, and of about twice that of the largest at 0.
    assert heights["D"] == pytest.approx([0.58, 0.83], abs=4 * 2 * 1.5 / np.sqrt(200 * 160))
    laws = [line for line in right.lines if len(line.get_xdata()) == 200]
    ends = sorted(float(line.get_ydata()[0]) for line in laws)
    assert ends == pytest.approx(heights["D"], abs=1e-9)


def test_binary_capacity_shows_no_extrapolation_that_the_table_does_not_stand_by():
    _, right = draw("binary_capacity", binary_trees(exponent=None)).axes
    assert not [line for line in right.lines if line.get_marker() == "D"]
    assert "not extrapolated" in right.get_title()


def test_sgd_risk_draws_equations_and_descent_at_the_same_width_and_step():
    tree = time_tree().to_dict()
    for name in ("/ode", "/sgd"):
        wide = [tree[name].assign_coords(width=w) for w in (2, 4)]
        tree[name] = xr.concat(wide, "width").assign_attrs(tree[name].attrs)
    figure = draw("sgd_risk", {"sgd_risk": xr.DataTree.from_dict(tree)})
    assert [ax.get_title() for ax in figure.axes] == ["width = 2", "width = 4"]
    for ax in figure.axes:
        lines, points = lines_of(ax, markers=False), lines_of(ax, markers=True)
        for (line_color, x, y), (color, at, mean) in zip(lines, points, strict=True):
            assert line_color == color
            # Sixteen seeds of ten per cent noise: 2.5 per cent of standard error.
            np.testing.assert_allclose(mean, np.interp(at, x, y), rtol=5 * 0.025)

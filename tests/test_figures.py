"""Figures: means and error bars against formulas, what is drawn, and what ends up on disk."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from phasesweep import figures
from phasesweep.errors import UserError
from phasesweep.figures import curves, plan, style


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


def window_tree(figure=None, seeds=40):
    """P(satisfiable) with a window of alpha per dimension (NaN elsewhere), theory and thresholds."""
    rng = np.random.default_rng(0)
    dims, kappas = [20, 80, 320], [0.0, 0.5]
    windows = {(k, d): 2 - k + np.linspace(-4, 4, 9) / d**0.5 for k in kappas for d in dims}
    alphas = np.unique(np.concatenate(list(windows.values())))
    shape = (2, 3, seeds, len(alphas))
    values, samples = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, k in enumerate(kappas):
        for j, d in enumerate(dims):
            at = np.searchsorted(alphas, windows[k, d])
            critical = 2 - k + 1 / d + 1.2 * rng.normal(size=(seeds, 1)) / d**0.5
            values[i, j][:, at] = (alphas[at] < critical).astype(float)
            samples[i, j][:, at] = np.floor(alphas[at] * d + 0.5)
    dims4 = ("kappa", "dimension", "seed", "alpha")
    coords = {"kappa": kappas, "dimension": dims, "seed": np.arange(seeds), "alpha": alphas}
    simulation = method(
        {"satisfiable": (dims4, values), "samples": (dims4, samples)},
        coords,
        role="simulation",
        size="dimension",
    )
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


def test_means_and_standard_errors_are_those_of_the_seeds_that_have_a_value():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(12, 3))
    values[:5, 0] = np.nan
    values[1:, 1] = np.nan
    values[:, 2] = np.nan
    mean, below, above = curves.seed_mean(xr.DataArray(values, dims=("seed", "alpha")))
    kept = values[5:, 0]
    np.testing.assert_allclose(mean[:2], [kept.mean(), values[0, 1]])
    np.testing.assert_allclose(below[0], kept.std(ddof=1) / np.sqrt(7))
    np.testing.assert_array_equal(below, above)
    assert np.isnan(below[1])
    assert np.isnan(mean[2])


@pytest.mark.parametrize("successes", [0, 1, 7, 19, 20])
def test_binomial_bars_end_where_the_measured_fraction_is_one_standard_error_away(successes):
    # Wilson's interval inverts |p - measured| = sqrt(p (1 - p) / n) at both ends.
    flags = xr.DataArray(np.arange(20) < successes, dims="seed").astype(float)
    mean, below, above = (float(v) for v in curves.seed_mean(flags))
    assert mean == successes / 20
    ends = [mean - below] * (successes > 0) + [mean + above] * (successes < 20)
    for end in ends:
        assert abs(end - mean) == pytest.approx(np.sqrt(end * (1 - end) / 20), rel=1e-12)
    assert below + above > 0.04
    assert min(below, above) >= 0


def test_bars_of_real_observables_cover_the_truth_as_often_as_one_standard_error_should():
    rng = np.random.default_rng(4)
    data = xr.DataArray(rng.normal(size=(40, 2000)), dims=("seed", "alpha"))
    mean, below, _ = curves.seed_mean(data)
    inside = float((abs(mean) < below).mean())
    # Student's t with 39 degrees of freedom: 0.677; four standard errors of 2000 trials.
    assert inside == pytest.approx(0.677, abs=4 * np.sqrt(0.677 * 0.323 / 2000))


def lines_of(ax, *, markers):
    """(color, x, y) of the lines of a panel, with markers or without."""
    marked = (line for line in ax.lines if (line.get_linestyle() == "None") == markers)
    return [(line.get_color(), *map(np.asarray, line.get_data())) for line in marked]


def test_simulation_is_drawn_at_the_realised_alpha_with_the_mean_over_seeds():
    tree = window_tree({"x": "alpha", "y": ["satisfiable"], "hue": "dimension"})
    figure = figures.draw_tree(tree)
    assert len(figure.axes) == 2  # one for each kappa
    data = tree["simulate"].to_dataset().sel(kappa=0.5, dimension=20)
    asked = data["status"].isel(seed=0).values == 0
    expected = data["satisfiable"].mean("seed").values[asked]
    points = lines_of(figure.axes[1], markers=True)
    assert len(points) == 3
    np.testing.assert_allclose(points[0][2], expected)
    np.testing.assert_allclose(points[0][1], data["samples"].values[0][asked] / 20)
    assert not np.allclose(points[0][1], data["alpha"].values[asked])


def test_exact_curves_appear_only_where_their_axes_say_so_and_thresholds_in_every_panel():
    figure = figures.draw_tree(window_tree({"x": "alpha", "y": ["satisfiable"]}))
    left, right = figure.axes
    assert left.get_title() == r"$\kappa$ = 0"
    vertical = [
        [x for _, x, _ in lines_of(ax, markers=False) if len(set(x)) == 1] for ax in (left, right)
    ]
    assert [float(x[0]) for panel in vertical for x in panel] == [2.0, 1.5]
    dashed = [line for line in left.lines if len(line.get_xdata()) == 30]
    assert len(dashed) == 3
    assert not [line for line in right.lines if len(line.get_xdata()) == 30]


def test_one_colour_for_a_size_whether_line_or_point():
    left = figures.draw_tree(window_tree({"x": "alpha", "y": ["satisfiable"]})).axes[0]
    exact = [c for c, x, _ in lines_of(left, markers=False) if len(x) == 30]
    points = [c for c, *_ in lines_of(left, markers=True)]
    assert exact == points
    assert len({tuple(c) for c in points}) == 3
    lightness = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b, _ in points]
    assert lightness == sorted(lightness)
    assert max(lightness) < 0.8


def test_times_that_are_spaced_logarithmically_get_a_logarithmic_axis():
    figure = figures.draw_tree(time_tree({"x": "time", "y": ["excess_risk"], "hue": "step_size"}))
    (ax,) = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert len(lines_of(ax, markers=False)) == len(lines_of(ax, markers=True)) == 3


def test_time_is_found_without_being_asked_and_a_matrix_shows_a_few_entries():
    tree = time_tree()
    figure = figures.draw_tree(tree)
    risk, overlap = figure.axes
    assert risk.get_xlabel() == "time"
    drawn = lines_of(overlap, markers=False)
    assert len(drawn) == 3 * 3
    matrix = tree["ode"]["student_overlap"].values
    entries = [matrix[0, :, 0, 0], matrix[0, :, 1, 1], matrix[0, :, 0, 1]]
    for entry, (_, _, y) in zip(entries, drawn, strict=False):
        np.testing.assert_allclose(y, entry)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [t for t in texts if t.startswith("entry")] == ["entry 1, 1", "entry 2, 2", "entry 1, 2"]


def test_starts_are_line_styles_sizes_are_shapes_and_thresholds_take_the_colour_of_their_prior():
    wish = {"x": "alpha", "y": ["overlap", "classification_error"], "hue": "prior"}
    figure = figures.draw_tree(overlap_tree(wish))
    overlap, error = figure.axes
    lines = [line for line in overlap.lines if len(line.get_xdata()) == 30]
    assert len({line.get_linestyle() for line in lines}) == 2
    points = [line for line in overlap.lines if line.get_linestyle() == "None"]
    assert len({line.get_marker() for line in points}) == 2
    vertical = [line for line in error.lines if len(set(line.get_xdata())) == 1]
    assert sorted(line.get_xdata()[0] for line in vertical) == [1.245, 1.493]
    rademacher = style.colours(["gaussian", "rademacher"])["rademacher"]
    assert {line.get_color() for line in vertical} == {rademacher}
    assert not lines_of(error, markers=True)


def test_what_is_left_out_is_said():
    figure = figures.draw_tree(overlap_tree({"x": "iteration"}))
    assert len(figure.axes) == 4
    assert "4 of 30 combinations" in figure.legends[0].get_title().get_text()


def test_words_are_skipped_and_a_line_breaks_where_it_is_not_defined():
    figure = figures.draw_tree(capacity_tree())
    (ax,) = figure.axes
    assert ax.get_xlabel().startswith("kappa")
    assert len(ax.lines) == 3
    np.testing.assert_array_equal(
        np.isnan(ax.lines[1].get_ydata()), np.isin(np.arange(21), [8, 9, 10])
    )


def test_one_method_is_drawn_from_its_own_dataset():
    dataset = overlap_tree()["gamp"].to_dataset()
    figure = figures.draw_dataset(dataset)
    assert [ax.get_title() for ax in figure.axes] == ["gaussian", "rademacher"]
    single = dataset.isel(alpha=0, prior=1, dimension=0)
    single["status"] = ("seed", np.zeros(16, "i1"))
    (ax,) = figures.draw_dataset(single).axes
    ((_, x, y),) = lines_of(ax, markers=True)
    np.testing.assert_allclose([x[0], y[0]], [0.1, float(single["overlap"].mean())])


def test_words_can_run_along_x_when_nothing_else_does():
    thresholds = overlap_tree()["thresholds"].to_dataset()
    figure = figures.draw_dataset(thresholds)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["gaussian", "rademacher"]


def test_nothing_finite_is_a_sentence():
    dataset = capacity_tree()["capacity"].to_dataset()
    with pytest.raises(UserError, match="no finite number"):
        figures.draw_dataset(dataset.assign(alpha_c=dataset["alpha_c"] * np.nan))


def test_an_invalid_symbol_is_left_out_instead_of_breaking_the_figure():
    assert style.symbol({"symbol": r"\frac{"}) == ""
    assert style.symbol({"symbol": r"\alpha_c"}) == r"$\alpha_c$"


def test_letters_are_legible_at_one_column(tmp_path):
    for tree in (window_tree(), time_tree(), overlap_tree(), capacity_tree()):
        figure = figures.draw_tree(tree)
        figures.save(figure, tmp_path / "f.png")
        texts = [t for t in figure.findobj(lambda a: hasattr(a, "get_fontsize")) if t.get_text()]
        assert min(t.get_fontsize() for t in texts) >= 7
        width = figure.get_figwidth() / len({ax.get_position().x0 for ax in figure.axes})
        assert width == pytest.approx(style.PANEL_WIDTH, rel=0.5)


def test_the_legend_covers_no_panel(tmp_path):
    for tree in (window_tree(), overlap_tree({"hue": "prior"})):
        figure = figures.draw_tree(tree)
        figures.save(figure, tmp_path / "f.png")
        box = figure.legends[0].get_window_extent()
        assert not any(box.overlaps(ax.get_window_extent()) for ax in figure.axes)


@pytest.fixture
def root(tmp_path):
    """A data folder with one dataset, as `phasesweep dataset` leaves it."""
    folder = tmp_path / "data" / "datasets"
    folder.mkdir(parents=True)
    tree = window_tree({"x": "alpha", "y": ["satisfiable"]})
    tree.to_zarr(folder / ".windows.1", zarr_format=3, consolidated=False)
    import zarr

    with pytest.warns(UserWarning, match="onsolidated"):
        zarr.consolidate_metadata(str(folder / ".windows.1"))
    (folder / "windows").symlink_to(".windows.1")
    return tmp_path / "data"


def test_a_sweep_without_a_drawing_gets_the_generic_one_as_pdf_and_png(root):
    paths = figures.make("windows", root)
    assert paths == [root / "figures" / "windows.pdf", root / "figures" / "windows.png"]
    assert paths[0].read_bytes().startswith(b"%PDF")
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    before = [p.read_bytes() for p in paths]
    assert sorted(p.name for p in (root / "figures").iterdir()) == ["windows.pdf", "windows.png"]
    again = figures.make("config/sweeps/windows.yaml", root, root / "elsewhere")
    assert [p.read_bytes() for p in again] == before


def test_a_drawing_takes_precedence_and_reads_the_sweeps_it_names(root, tmp_path, monkeypatch):
    scripts = tmp_path / "workflow" / "figures"
    scripts.mkdir(parents=True)
    scripts.joinpath("mine.py").write_text(
        "from phasesweep.figures import style\n"
        'SWEEPS = ("windows",)\n'
        "def draw(trees):\n"
        "    figure, axes = style.panels()\n"
        '    axes[0, 0].set_title(trees["windows"].attrs["title"])\n'
        "    return figure\n"
    )
    scripts.joinpath("other.py").write_text('SWEEPS = ("absent",)\ndef draw(trees): ...\n')
    scripts.joinpath("empty.py").write_text("SWEEPS = ()\n")
    monkeypatch.setattr(figures, "project_root", lambda: tmp_path)
    assert all(path.exists() for path in figures.make("mine", root))
    with pytest.raises(UserError, match="no dataset 'absent'.*phasesweep dataset"):
        figures.make("other", root)
    with pytest.raises(UserError, match="draw missing"):
        figures.make("empty", root)
    with pytest.raises(UserError, match="empty, mine, other, windows"):
        figures.make("mnie", root)


@pytest.mark.parametrize("name", ["absent", "../secrets", "windows/..", ""])
def test_an_unknown_figure_is_a_sentence_and_nothing_is_written(root, name):
    with pytest.raises(UserError, match="there is no figure"):
        figures.make(name, root)
    assert not (root / "figures").exists()


def test_a_target_is_checked_before_anything_is_computed(tmp_path):
    assert figures.check_target(tmp_path / "a.svg") == tmp_path / "a.svg"
    (tmp_path / "folder.png").mkdir()
    for target in ("a.jpg", "a", "absent/a.png", "folder.png"):
        with pytest.raises(UserError, match="a|folder"):
            figures.check_target(tmp_path / target)


def test_a_figure_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.text(0, 0, r"$\frac{$")
    with pytest.raises(ValueError, match="frac"):
        figures.save(figure, tmp_path / "a.pdf")
    assert list(tmp_path.iterdir()) == []


def test_matplotlib_is_not_imported_before_something_is_drawn():
    code = "import sys, phasesweep.figures; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_drawing_names_its_sweeps_literally_and_they_exist():
    folder = Path(__file__).parent.parent
    scripts = sorted((folder / "workflow" / "figures").glob("[!_]*.py"))
    assert scripts
    for script in scripts:
        module = ast.parse(script.read_text())
        assigned = {
            target.id: ast.literal_eval(node.value)
            for node in module.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name) and target.id == "SWEEPS"
        }
        sweeps = assigned["SWEEPS"]
        assert isinstance(sweeps, tuple)
        for name in sweeps:
            assert (folder / "config" / "sweeps" / f"{name}.yaml").exists(), (script.name, name)


def test_values_are_chosen_evenly_with_both_ends():
    panels, note = plan.thin(list(range(10)))
    assert panels == [0, 3, 6, 9]
    assert note.startswith("4 of 10")
    assert plan.thin([1, 2]) == ([1, 2], "")

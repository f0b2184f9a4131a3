"""Figures: means and error bars against formulas, what is drawn, and what ends up on disk."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from phasesweep import figures
from phasesweep.errors import UserError
from phasesweep.figures import curves, plan, style
from phasesweep.seal import seal
from tests.figure_trees import (
    capacity_tree,
    lines_of,
    overlap_tree,
    time_tree,
    vertical,
    window_tree,
)


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
    assert [vertical(ax) for ax in (left, right)] == [[2.0], [1.5]]
    dashed = [line for line in left.lines if len(line.get_xdata()) == 30]
    assert len(dashed) == 3
    assert not [line for line in right.lines if len(line.get_xdata()) == 30]


def test_thresholds_elsewhere_than_the_curves_are_not_marked():
    tree = window_tree({"x": "alpha", "y": ["satisfiable"]}).to_dict()
    words = xr.Dataset(coords={"constraint": ["step", "rectangle"], "kappa": [0.0, 0.5, 1.0]})
    values = (("constraint", "kappa"), [[2.0, 1.5, 1.0], [1.9, 1.4, 0.9]])
    status = (("constraint", "kappa"), np.zeros((2, 3), "i1"))
    capacity = words.assign(alpha_c=values, status=status).assign_attrs(role="theory", method="c")
    tree["/simulate"] = tree["/simulate"].assign_coords(constraint="rectangle")
    figure = figures.draw_tree(xr.DataTree.from_dict(tree | {"/capacity": capacity}))
    assert [vertical(ax) for ax in figure.axes] == [[1.9], [1.4]]


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
    assert sorted(vertical(error)) == [1.245, 1.493]
    rademacher = style.colours(["gaussian", "rademacher"])["rademacher"]
    marks = [line for line in error.lines if len(set(line.get_xdata())) == 1]
    assert {line.get_color() for line in marks} == {rademacher}
    assert not lines_of(error, markers=True)


def test_what_is_left_out_is_said():
    figure = figures.draw_tree(overlap_tree({"x": "iteration"}))
    assert len(figure.axes) == 6
    assert "6 of 30 combinations" in figure.legends[0].get_title().get_text()


def test_a_place_without_curves_gets_no_panel_and_the_labels_move():
    tree = overlap_tree({"x": "alpha", "y": ["overlap", "classification_error"]}).to_dict()
    theory = tree["/state_evolution"]
    only = theory["classification_error"].where(theory["prior"] == "rademacher")
    tree["/state_evolution"] = theory.assign(classification_error=only)
    figure = figures.draw_tree(xr.DataTree.from_dict(tree))
    assert [ax.get_title() for ax in figure.axes] == ["gaussian", "rademacher", ""]
    assert [ax.get_ylabel() for ax in figure.axes] == ["overlap", "", "classification error"]
    assert all(ax.get_xlabel() for ax in (figure.axes[0], figure.axes[2]))


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


def test_letters_are_legible_at_one_column_and_the_legend_covers_no_panel():
    for tree in (window_tree(), time_tree(), overlap_tree({"hue": "prior"}), capacity_tree()):
        figure = figures.draw_tree(tree)
        figure.draw_without_rendering()
        texts = [t for t in figure.findobj(lambda a: hasattr(a, "get_fontsize")) if t.get_text()]
        assert min(t.get_fontsize() for t in texts) >= 7
        width = figure.get_figwidth() / len({ax.get_position().x0 for ax in figure.axes})
        assert width == pytest.approx(style.PANEL_WIDTH)
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
    seal(folder / ".windows.1")
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
    tree = xr.open_datatree(root / "datasets" / "windows", engine="zarr", consolidated=True)
    tree["cover"].attrs |= {"points_present": 3, "points_failed": 3}
    monkeypatch.setattr(figures, "open_dataset", lambda *_, **__: tree)
    with pytest.raises(UserError, match="windows: no point of cover"):
        figures.make("mine", root)
    monkeypatch.undo()
    monkeypatch.setattr(figures, "project_root", lambda: tmp_path)
    with pytest.raises(UserError, match=r"no dataset 'absent'.*phasesweep dataset"):
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
        with pytest.raises(UserError, match=r"ending|folder"):
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
    panels, note = plan.thin(list(range(10)), most=4)
    assert panels == [0, 3, 6, 9]
    assert note.startswith("4 of 10")
    assert plan.thin([1, 2], most=2) == ([1, 2], "")


def test_medians_are_not_drawn_away_by_one_seed():
    data = xr.DataArray([[1.0], [1.1], [0.9], [1e6], [np.nan]], dims=("seed", "alpha"))
    middle, below, above = curves.seed_median(data)
    assert middle.item() == pytest.approx(1.05)
    assert 0 < below.item() < 0.2
    assert above.item() > 0
    flags = xr.DataArray([1.0, 0.0, 0.0], dims="seed", attrs={"kind": "flag"})
    assert curves.seed_median(flags)[0].item() == pytest.approx(1 / 3)


def test_thresholds_that_coincide_share_a_line_and_its_entry():
    tree = overlap_tree(figure={"x": "alpha", "y": ["overlap"]}).to_dict()
    thresholds = tree["/thresholds"]
    full = thresholds["alpha_it"].copy()
    tree["/thresholds"] = thresholds.assign(
        alpha_full=full.assign_attrs(symbol=r"\alpha_{\mathrm{F}}")
    )
    figure = figures.draw_tree(xr.DataTree.from_dict(tree))
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert any(" = " in text and "IT" in text and "mathrm{F}" in text for text in said)
    marked = [round(x, 6) for ax in figure.axes for x in vertical(ax)]
    assert marked.count(1.245) == len([x for x in marked if x == 1.493])

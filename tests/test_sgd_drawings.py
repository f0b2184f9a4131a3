"""Small versions of the sweeps of stochastic gradient descent, drawn as the large ones are."""

from __future__ import annotations

import numpy as np

from tests.test_glm_drawings import make, texts

FEW_SEEDS = {"seed": {"count": 4}}


def test_deviation_is_scaled_to_one_level(data, tmp_path):
    few = {"dimension": [50, 200], "width": [2, 16], "step_size": [0.5, 2], "times": [0, 1]}
    figure, trees = make("sgd_deviation", data, tmp_path, **few, **FEW_SEEDS)
    scaled = [line.get_ydata() for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 2]
    levels = np.concatenate([np.asarray(y, float) for y in scaled])
    assert np.all((levels > 0.1) & (levels < 1.0))
    tree = trees["sgd_mean_field"]["ode"]["student_overlap"].isel(time=-1).sel(activation="erf")
    error = tree.sel(limit="mean_field") - tree.sel(limit="high_dimensional")
    size = np.sqrt((error**2).mean(["seed", "unit", "unit_other"]))
    lines = figure.axes[1].get_lines()  # for each dimension the errors, and the law above them
    for dimension, shown, law in zip((50, 200), lines[::2], lines[1::2], strict=True):
        np.testing.assert_allclose(shown.get_ydata(), size.sel(dimension=dimension))
        assert np.all(shown.get_ydata() <= law.get_ydata() * (1 + 1e-12))


def test_regimes_have_a_panel_for_every_dimension(data, tmp_path):
    few = {"width": [1, 2, 4, 8, 12], "dimension": [100, 1000], "teacher_width": 2}
    steps = {"step_size": {"from": 0.03, "to": 300, "points": 6, "spacing": "log"}}
    figure, trees = make("sgd_regimes", data, tmp_path, **few, **steps)
    assert [ax.get_title() for ax in figure.axes[:2]] == ["$d$ = 100", "$d$ = 1000"]
    assert len(texts(figure)) == 3
    risk = trees["sgd_regimes"]["ode"]["excess_risk"].isel(time=-1).sel(dimension=1000)
    noise = risk.sel(limit="high_dimensional") / risk.sel(limit="gradient_flow")
    assert np.all(noise.isel(step_size=0) < 1.1)
    assert np.all(noise.isel(step_size=-1) > 2)


def test_plateau_marks_the_times_at_which_it_is_left(data, tmp_path):
    few = {"width": 2, "teacher_width": 2, "dimension": [100, 200], "step_size": [4, 8]}
    times = {"times": {"from": 0.1, "to": 1000, "points": 41, "spacing": "log"}}
    figure, trees = make("sgd_plateau", data, tmp_path, **few, **times, **FEW_SEEDS)
    left = trees["sgd_plateau"]["ode"]["escape_time"].sel(noise=0).values
    marked = [
        line.get_xdata()[0]
        for line in figure.axes[0].get_lines()
        if line.get_marker() == "v" and len(line.get_xdata()) == 1
    ]
    np.testing.assert_allclose(sorted(marked), np.sort(left[np.isfinite(left)].ravel()))


def test_escape_from_mediocrity(data, tmp_path):
    few = {"width": [1, 2], "step_size": [0.1, 0.2], "noise": [0, 2], "dimension": [50, 100]}
    few |= {"times": [0, 1, 2, 4]}
    figure, trees = make("escape_mediocrity", data, tmp_path, **few, **FEW_SEEDS)
    assert {"ODE", "SDE", "SGD", "quenched formula"} <= set(texts(figure))
    formula = trees["escape_width"]["exit_time"]["exit_time"].sel(average="quenched").max("draws")
    # At the same step size/width, wider is faster: (1, 0.1) against (2, 0.2).
    assert float(formula.sel(width=2, step_size=0.2)) < float(formula.sel(width=1, step_size=0.1))


def test_weak_recovery_shows_fitted_exponents(data, tmp_path):
    few = {"dimension": [40, 80], "link": ["hermite1", "hermite2"], "span": 4, "sizes": 3}
    figure, trees = make("single_index_recovery", data, tmp_path, **few, runs=8, **FEW_SEEDS)
    fit = trees["single_index_exponents"]["fitted_chain"].sel(link="hermite1")
    shown = [text.get_text() for text in figure.axes[2].texts]
    assert len(shown) == 2
    assert shown[0].startswith(f"{float(fit['exponent'].mean()):.2f} ±")


def test_incremental_learning_has_a_line_for_every_degree(data, tmp_path):
    few = {"width": 4, "epsilon": [0.1, 10], "leap": [1, 2], "dimension": 40}
    times = {"times": {"from": 0.01, "to": 3, "points": 11, "spacing": "log"}}
    figure, _ = make("single_index_layers", data, tmp_path, **few, **times, **FEW_SEEDS)
    named = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert named == [f"degree {degree}" for degree in range(4)]

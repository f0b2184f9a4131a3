"""Small versions of the sweeps of generalised linear models, drawn as the large ones are.

Everything is the real thing but the size: sweep file, solvers, cache, datasets, drawing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

import phasesweep
from phasesweep import api, figures
from phasesweep.cache import Cache
from phasesweep.sweep import run
from phasesweep.sweepfile import parse_sweep
from tests.figure_trees import vertical
from tests.test_drawings import drawing

SWEEPS = Path(__file__).parent.parent / "config" / "sweeps"
SMALL = {"dimension": [40, 60, 80, 100], "seed": {"count": 4}}


def small(name, folder, **changes):
    """The sweep of that name with few small instances, written to a folder; returns the file."""
    content = yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())
    for method, axes in content["methods"].items():
        content["methods"][method] = {
            axis: _less(axis, form, changes) for axis, form in (axes or {}).items()
        }
    for section in ("fixed", "axes"):
        given = content.get(section) or {}
        content[section] = {axis: _changed(axis, form, changes) for axis, form in given.items()}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def _changed(axis, form, changes):
    """The new form of a shared axis; where one value stood, the first of several."""
    new = changes.get(axis, form)
    return new[0] if isinstance(new, list) and not isinstance(form, list | dict) else new


def _less(axis, form, changes):
    if isinstance(form, dict) and "window" in form:
        return form | {"points": 5}
    if axis in changes:
        return changes[axis]
    if axis == "dimension":
        many = isinstance(form, list)
        return SMALL["dimension"][: len(form)] if many else SMALL["dimension"][0]
    return SMALL.get(axis, form)


def make(name, data, tmp_path, **changes):
    """Compute the small sweeps of a drawing and draw it; returns the figure and the trees."""
    script = drawing(name)
    cache = Cache(data / "cache")
    for sweep in script.SWEEPS:
        path = small(sweep, tmp_path, **changes)
        parsed = parse_sweep(yaml.safe_load(path.read_text()), name=sweep, where=str(path))
        for points in api.sweep_points(parsed, cache).values():
            run(points, cache, cluster=None, quiet=True)
        api.build_dataset(path, data)
    trees = {sweep: phasesweep.open(sweep, data=data) for sweep in script.SWEEPS}
    files = figures.make(name, data)
    assert all(file.stat().st_size > 5000 for file in files)
    wide = {sweep: figures._tree(sweep, data) for sweep in script.SWEEPS}
    with figures.style.style():
        return script.draw(wide), trees


def texts(figure):
    """What the legends say."""
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_sign_perceptron_shows_bayes_and_every_loss(data, tmp_path):
    few = {"alpha": [0.5, 1.4, 2.5]}
    figure, trees = make("sign_perceptron", data, tmp_path, **few)
    assert {"square", "logistic", "hinge", "max margin", "hard"} <= set(texts(figure))
    bayes = trees["sign_perceptron"]["state_evolution"].classification_error
    best = trees["sign_erm"]["optimal_regularization"].classification_error
    gaussian = bayes.sel(prior="gaussian", initialization="uninformed")
    # Optimally regularised logistic regression is within a per cent or two of the optimum.
    ratio = best.sel(loss="logistic") / gaussian
    assert np.all((ratio > 1) & (ratio < 1.03))


def test_compressed_sensing_shows_both_algorithms_on_the_plane(data, tmp_path):
    few = {"sparsity": [0.1, 0.5, 0.9], "alpha": [0.3, 0.6, 0.95]}
    figure, trees = make("compressed_sensing", data, tmp_path, **few)
    assert len(figure.axes) == 3  # two maps and the scale of colours
    lines = trees["compressed_sensing"]["thresholds"]
    assert bool((lines.alpha_it < lines.alpha_amp).all())
    assert bool((lines.alpha_amp < lines.alpha_l1).all())


def test_phase_retrieval_shades_what_the_thresholds_say(data, tmp_path):
    few = {"alpha": [0.3, 0.8, 1.5], "sparsity": [0.2, 0.6, 1]}
    figure, trees = make("phase_retrieval", data, tmp_path, **few)
    first = figure.axes[0]
    thresholds = trees["phase_retrieval"]["thresholds"].to_dataset()
    found = thresholds.sel(prior="gaussian")
    marked = sorted(set(vertical(first)))
    expected = sorted(float(found[n].max()) for n in ("alpha_weak", "alpha_it", "alpha_amp"))
    assert marked == pytest.approx(expected)


def test_symmetric_door(data, tmp_path):
    figure, _ = make("symmetric_door", data, tmp_path, alpha=[0.5, 1.2, 1.8])
    assert {"impossible", "hard", "easy"} <= set(texts(figure))


def test_message_passing_in_time_has_a_line_of_theory_for_every_alpha(data, tmp_path):
    figure, trees = make("message_passing_in_time", data, tmp_path)
    law = trees["message_passing_in_time"]["state_evolution"].mse_trajectory
    for ax, alpha in zip(figure.axes, law.alpha.values, strict=False):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), law.sel(alpha=alpha))


def test_amp_threshold_collapses(data, tmp_path):
    figure, _ = make("amp_threshold", data, tmp_path)
    assert len(figure.axes) == 3

"""Small versions of the sweeps of finite networks, drawn as the large ones are."""

from __future__ import annotations

import numpy as np

from phasesweep import figures
from tests.test_drawings import drawing
from tests.test_glm_drawings import make, texts

FEW = {"depth": 5, "width": [8, 16], "networks": 40, "seed": {"count": 3}}


def test_vertex_figure_shows_the_recursion_and_the_exact_laws(data, tmp_path):
    figure, trees = make("finite_width_vertex", data, tmp_path, **FEW)
    assert {"width 8", "width 16", "exact at this width"} <= set(texts(figure))
    assert [ax.get_title().split(",")[0] for ax in figure.axes] == ["relu", "linear", "tanh"]
    theory = trees["finite_width_relu"]["vertices"].to_dataset()
    np.testing.assert_allclose(theory["V"].values.ravel(), 20.0 * np.arange(5))
    lines = [line.get_ydata() for line in figure.axes[0].get_lines()]
    for expected in (5.0 * np.arange(5), 16 * ((1 + 5 / 16) ** np.arange(5) - 1)):
        assert any(len(y) == 5 and np.allclose(y, expected) for y in lines)
    # The other drawings of the same sweeps.
    wide = {sweep: figures._tree(sweep, data) for sweep in trees}
    with figures.style.style():
        tangent = drawing("finite_width_tangent").draw(wide)
        remainder = drawing("finite_width_remainder").draw(wide)
    assert [len(f.axes) for f in (tangent, remainder)] == [12, 6]
    assert {"layer 4", "$(l-1)/n$ = 1/8"} <= set(texts(remainder))


def test_cutoff_figure_marks_where_networks_differ_as_much_as_they_agree(data, tmp_path):
    figure, _ = make("finite_width_cutoff", data, tmp_path, **FEW)
    kernels, variance = figure.axes
    assert len(kernels.collections) == 3  # spreads at three C_W
    stars = [line for line in variance.get_lines() if line.get_marker() == "*"]
    np.testing.assert_allclose(sorted(s.get_xdata()[0] for s in stars), np.log(2) / [5, 2])


def test_trained_figure_shows_both_theories(data, tmp_path):
    few = {"width": [4, 8], "networks": 20, "seed": {"count": 2}, "times": [0, 4]}
    figure, trees = make("finite_width_trained", data, tmp_path, **few)
    assert {"infinite width", "erf, first order in 1/width"} <= set(texts(figure))
    theory = trees["finite_width_correction"]["trained"].to_dataset().sel(activation="tanh")
    lines = [line for line in figure.axes[2].get_lines() if line.get_xdata()[0] == 0.0]
    starts = [line.get_ydata()[0] for line in lines]
    assert any(np.isclose(y, theory["mean"].item()) for y in starts)

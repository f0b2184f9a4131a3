"""Small versions of the sweeps of wide networks, drawn as the large ones are."""

from __future__ import annotations

import numpy as np

from tests.test_glm_drawings import make, texts


def test_depth_figure_has_two_panels_for_every_activation(data, tmp_path):
    figure, trees = make(
        "infinite_width_depth", data, tmp_path, depth=6, activation=["tanh", "gelu", "step"]
    )
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert len(shown) == 6
    titles = [ax.get_title() for ax in shown]
    assert sum("not critical" in title for title in titles) == 1
    kernels = trees["infinite_width_depth"]["kernels"].to_dataset()
    critical = kernels.sel(activation="gelu").sel(c_b=0.1729, c_w=1.98306, method="nearest")
    np.testing.assert_allclose(critical["chi_parallel"], 1.0, atol=0.03)
    # The line of the critical kernel in the panel is the stored one.
    panel = next(ax for ax in shown if ax.get_title().startswith("gelu"))
    drawn = [line.get_ydata() for line in panel.get_lines()]
    assert any(np.allclose(y, critical["nngp"].values[:, 0, 0]) for y in drawn)


def test_phase_figure_marks_the_critical_initialisation(data, tmp_path):
    plane = {"c_b": [0, 0.2, 0.4], "c_w": [0.5, 1.5, 2.5, 3]}
    figure, trees = make(
        "infinite_width_phases", data, tmp_path, activation=["tanh", "relu"], **plane
    )
    assert {"critical initialisation", "kernels explode"} <= set(texts(figure))
    stars = {
        ax.get_title(): [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.get_lines()]
        for ax in figure.axes
        if ax.get_title()
    }
    assert stars["tanh"] == [(1.0, 0.0)]
    assert stars["relu"] == [(2.0, 0.0)]
    phases = trees["infinite_width_phases"]["fixed_point"]["fixed_chi_perp"]
    assert float(phases.sel(activation="tanh", c_b=0, c_w=3)) > 1

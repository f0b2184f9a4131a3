"""Small versions of the sweeps of full-batch gradient descent, drawn as the large ones are."""

from __future__ import annotations

import numpy as np

from tests.test_glm_drawings import make, texts

FEW = {"seed": {"count": 4}, "paths": 256, "steps": 8}


def test_losses_have_lines_through_the_points(data, tmp_path):
    few = {"activation": ["erf", "relu"], "alpha": [1, 4], "dimension": 200}
    figure, _ = make("dmft_losses", data, tmp_path, **few, **FEW)
    assert [ax.get_title() for ax in figure.axes[:2]] == ["erf", "relu"]
    assert "gradient descent, $d$ = 200" in texts(figure)
    for ax in figure.axes:
        lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 9]
        theory = [line.get_ydata() for line in lines if line.get_linestyle() == "-"]
        assert len(theory) == 2
        # More samples, less to overfit: test losses fall with alpha.
        assert ax in figure.axes[2:] or np.all(theory[1][1:] < theory[0][1:])


def test_step_size_converges_at_first_order(data, tmp_path):
    few = {"dimension": 200, "alpha": 1.5, "steps": 40, "paths": 512, "seed": {"count": 2}}
    figure, trees = make("dmft_step_size", data, tmp_path, **few)
    (linear, *_) = (line for line in figure.axes[-1].get_lines() if len(line.get_xdata()) == 4)
    sizes, distance = linear.get_data()
    slope = np.polyfit(np.log(sizes[:3]), np.log(distance[:3]), 1)[0]
    assert abs(slope - 1) < 0.1
    assert trees["dmft_step_size"]["dmft"]["test_loss"].sizes["step"] == 41


def test_overfitting_marks_the_smallest_test_loss(data, tmp_path):
    few = {"alpha": [0.5, 2], "dimension": 100, "seed": {"count": 4}, "paths": 256, "steps": 30}
    figure, trees = make("dmft_overfitting", data, tmp_path, **few)
    loss = trees["dmft_overfitting"]["dmft"]["test_loss"].sel(activation="linear", alpha=2)
    best = int(loss.argmin("step"))
    assert 0 < best < 30
    marked = [line for line in figure.axes[0].get_lines() if line.get_marker() == "v"]
    assert best in [float(line.get_xdata()[0]) for line in marked]


def test_width_is_drawn_against_comparable_times(data, tmp_path):
    few = {"width": [1, 2], "dimension": 100}
    figure, _ = make("dmft_width", data, tmp_path, **few, **FEW)
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 8]
    ends = sorted(float(line.get_xdata()[-1]) for line in lines if line.get_linestyle() == "-")
    assert ends == [8.0, 16.0]

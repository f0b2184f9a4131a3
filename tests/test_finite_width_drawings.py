"""Small versions of the sweeps of finite networks, drawn as the large ones are."""

from __future__ import annotations

import numpy as np
import yaml

from phasesweep import api, figures
from phasesweep.cache import Cache
from phasesweep.sweep import run
from phasesweep.sweepfile import parse_sweep
from tests.test_drawings import drawing
from tests.test_glm_drawings import small, texts

FEW = {"depth": 5, "width": [8, 16], "networks": 40, "seed": {"count": 3}}


def trees_of(name, data, tmp_path, **changes):
    """Compute the small sweeps of a drawing; returns what it is given to draw."""
    cache, found = Cache(data / "cache"), {}
    for sweep in drawing(name).SWEEPS:
        path = small(sweep, tmp_path, **changes)
        parsed = parse_sweep(yaml.safe_load(path.read_text()), name=sweep, where=str(path))
        for points in api.sweep_points(parsed, cache).values():
            run(points, cache, cluster=None, quiet=True)
        api.build_dataset(path, data)
        found[sweep] = figures._tree(sweep, data)
    return found


def test_drawings_of_ensembles_show_the_recursion_and_the_exact_laws(data, tmp_path):
    wide = trees_of("finite_width_cutoff", data, tmp_path, **FEW)
    with figures.style.style():
        cutoff = drawing("finite_width_cutoff").draw(wide)
    kernels, variance = cutoff.axes
    assert len(kernels.collections) == 3  # spreads at three C_W
    stars = [line for line in variance.get_lines() if line.get_marker() == "*"]
    np.testing.assert_allclose(sorted(s.get_xdata()[0] for s in stars), np.log(2) / [5, 2])
    # The other drawings of the same sweeps.
    names = ("finite_width_vertex", "finite_width_tangent", "finite_width_remainder")
    del wide["finite_width_exploding"]
    with figures.style.style():
        vertex, tangent, remainder = (drawing(name).draw(wide) for name in names)
    assert {"width 8", "width 16", "exact at this width"} <= set(texts(vertex))
    assert [ax.get_title().split(",")[0] for ax in vertex.axes] == ["relu", "linear", "tanh"]
    theory = wide["finite_width_relu"]["vertices"].to_dataset()
    np.testing.assert_allclose(theory["V"].values.ravel(), 20.0 * np.arange(5))
    lines = [line.get_ydata() for line in vertex.axes[0].get_lines()]
    for expected in (5.0 * np.arange(5), 16 * ((1 + 5 / 16) ** np.arange(5) - 1)):
        assert any(len(y) == 5 and np.allclose(y, expected) for y in lines)
    assert [len(f.axes) for f in (tangent, remainder)] == [12, 6]
    assert {"layer 4", "$(l-1)/n$ = 1/8"} <= set(texts(remainder))


def test_trained_figure_shows_both_theories(data, tmp_path):
    few = {"width": [4, 8], "networks": 20, "seed": {"count": 2}, "times": [0, 4]}
    trees = trees_of("finite_width_trained", data, tmp_path, **few)
    with figures.style.style():
        figure = drawing("finite_width_trained").draw(trees)
    assert {"infinite width", "erf, first order in 1/width"} <= set(texts(figure))
    theory = trees["finite_width_correction"]["trained"].to_dataset().sel(activation="tanh")
    lines = [line for line in figure.axes[2].get_lines() if line.get_xdata()[0] == 0.0]
    starts = [line.get_ydata()[0] for line in lines]
    assert any(np.isclose(y, theory["mean"].item()) for y in starts)

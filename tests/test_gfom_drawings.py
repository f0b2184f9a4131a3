"""Small versions of the sweeps of first-order iterations, drawn as the large ones are."""

from __future__ import annotations

import numpy as np

from tests.test_glm_drawings import make, texts


def test_figure_of_iterations_shows_their_law(data, tmp_path):
    few = {"alpha": [2], "gain": [1.5], "dimension": [20, 40], "seed": {"count": 3}}
    figure, trees = make("gfom", data, tmp_path, steps=3, **few)
    titles = {ax.get_title() for ax in figure.axes}
    assert {"moments", "tanh", "ridge regression", "sparse regression", "memory"} <= titles
    law = trees["gfom_powers"]["law"].to_dataset()
    semicircle = law["moment"].sel(iteration="identity").values.reshape(-1, 4)
    semicircle = semicircle[np.isfinite(semicircle).all(axis=1)][0]
    np.testing.assert_allclose(semicircle, [1, 0, 1, 0], atol=1e-12)
    panel = next(ax for ax in figure.axes if ax.get_title() == "moments")
    drawn = [line.get_ydata() for line in panel.get_lines()]
    assert any(len(y) == 2 and np.allclose(y, [1, 1]) for y in drawn)
    assert any("dimension" in text for text in texts(figure))


def test_figure_of_spikes_has_a_column_for_every_prior(data, tmp_path):
    figure, trees = make(
        "spiked_wigner",
        data,
        tmp_path,
        iterations=3,
        dimension=[20, 40],
        seed={"count": 3},
        signal=[0.5, 1.2, 2],
    )
    assert len(figure.axes) == 6
    line = trees["spiked_wigner"]["state_evolution"].to_dataset()["overlap"]
    assert float(line.sel(prior="gaussian", signal=2)) == 0.75
    drawn = [each.get_ydata() for each in figure.axes[1].get_lines()]
    assert any(np.allclose(y, line.sel(prior="gaussian")) for y in drawn if len(y) == 3)
    assert any("infinite dimension" in text for text in texts(figure))

"""A phase diagram of state evolution, storage included, beside one point at a time."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import arguments, compare
from phasesweep import api
from phasesweep.cache import Cache
from phasesweep.sweep import run
from phasesweep.sweepfile import parse_sweep


def plane(side: int, noise: float) -> dict[str, Any]:
    """A sweep over (alpha, sparsity) of compressed sensing."""
    axis = {"from": 1 / side, "to": 1, "points": side}
    return {
        "system": "glm_bayes",
        "fixed": {"prior": "gauss_bernoulli", "channel": "linear", "noise": noise},
        "methods": {"state_evolution": {"alpha": axis, "sparsity": axis}},
    }


def main() -> None:
    """Print the times of whole planes and of single points, in one run."""
    given = arguments(side=100)
    for noise in (0.0, 1e-3):
        sweep = parse_sweep(plane(given.side, noise), name="plane", where="plane")

        def whole(sweep=sweep) -> None:
            with tempfile.TemporaryDirectory() as folder:
                cache = Cache(Path(folder))
                points = api.sweep_points(sweep, cache)["state_evolution"]
                run(points, cache, cluster=None, quiet=True)

        def singly(sweep=sweep) -> None:
            with tempfile.TemporaryDirectory() as folder:
                cache = Cache(Path(folder))
                points = api.sweep_points(sweep, cache)["state_evolution"]
                for i in np.linspace(0, len(points) - 1, 10).astype(int):
                    run(points.take(np.array([i])), cache, cluster=None, quiet=True)

        compare(
            f"(alpha, sparsity) plane, {given.side} x {given.side} points noise {noise:g}",
            ("planned, solved and stored at once (phasesweep)", whole),
            ("one point at a time", singly),
            work=given.side**2,
            other_work=10,
            unit="points",
            repeats=1,
        )


if __name__ == "__main__":
    main()

"""The power of the dimension with which weak recovery gets longer, fitted over a range of it.

Sizes d_j = dimension · span^{j/(sizes-1)}, rounded, j = 0 ... sizes-1. At each, μ_j is the mean
over runs of log(steps to the threshold), with standard error s_j (`fitted_chain`), or log(steps) of
the flow from one quantile of the start (`fitted_flow`). Then

    μ_j = const + exponent · log d_j,       μ_j - log n_k(d_j) = const + reduced_exponent · log d_j

by least squares, for a simulation with weights 1/s_j². `exponent` tends to 1, 1, k-1 for k = 1, 2
and >= 3, for k = 2 slowly: d log d has the local power 1 + 1/log d. `reduced_exponent` tends to 0
for each k. Logarithms are averaged because for k >= 3 starts near the equator dominate a mean of
the steps, while log(steps) has all moments. The flow from the median start stands for the typical
run: an average of it over all starts does not exist for k >= 3, because the closest to the equator,
m0 √d < (step_size/2) Ψ(0)/(k c_k²) at k = 3, never leave it without the diffusion of SGD.

`chi2`, for sizes - 2 degrees of freedom, judges the power law itself: where errors are small its
corrections show. The largest for k = 1 is that of the start, m0 ~ 0.67/√d, which is a share of the
way: T/d ~ artanh(threshold) - m0 at small γ, a local power 1 + 0.6/√d or so at threshold 1/2. The
flow has the same corrections and is what to compare with: at γ = 0.04 from d = 40 to 640, 32 runs,
SGD gives 1.071 ± 0.011, 1.232 ± 0.033 and 2.006 ± 0.082 for hermite1, 2, 3 (chi2 3.2, 1.5 and 3.0),
the flow 1.060, 1.219 and 2.015; beyond d, d log d and d² that is 0.071, 0.037 and 0.006.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.contract import Cost, Status
from solvers.systems.single_index.flow import recovery_steps
from solvers.systems.single_index.model import FIT_GIVES, system
from solvers.systems.single_index.runs import Run, descend_reduced, start_reduced
from solvers.systems.single_index.units import exponent_of, paper_unit, step_of

_LONGEST = 400.0
"""A run of a fit is given up after this many n_k(d)/min(step_size, 1)."""


def sizes_of(dimension: int, span: float, sizes: int) -> np.ndarray:
    """The dimensions of a fit."""
    return np.floor(dimension * span ** (np.arange(sizes) / (sizes - 1)) + 0.5).astype(np.int64)


def fit_line(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[float, float, float]:
    """Slope, its error if `weights` are 1/variance, and chi-squared."""
    centre = np.sum(weights * x) / np.sum(weights)
    spread = np.sum(weights * (x - centre) ** 2)
    slope = np.sum(weights * (x - centre) * y) / spread
    rest = y - np.sum(weights * y) / np.sum(weights) - slope * (x - centre)
    return float(slope), float(spread**-0.5), float(np.sum(weights * rest**2))


def _fits(
    d: np.ndarray, means: np.ndarray, errors: np.ndarray | None, link: str
) -> dict[str, float]:
    weights = np.ones(len(d)) if errors is None else errors**-2.0
    logs, unit = np.log(d), np.log(paper_unit(d, exponent_of(link)))
    slope, error, chi2 = fit_line(logs, means, weights)
    reduced = fit_line(logs, means - unit, weights)[0]
    centre = float(np.sum(weights * (means - unit)) / np.sum(weights))
    return {
        "exponent": slope,
        "exponent_error": 0.0 if errors is None else error,
        "reduced_exponent": reduced,
        "typical_time": float(np.exp(centre)),
        "chi2": 0.0 if errors is None else chi2,
    }


def _columns(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in FIT_GIVES}


_LOST = dict.fromkeys(FIT_GIVES, np.nan)


@system.theory(
    version=1,
    gives=FIT_GIVES,
    shares=("sizes",),
    cost=Cost(flops=lambda *, sizes, **_: sizes * 4e6, memory=lambda **_: 1000),
)
def fitted_flow(
    *,
    link: str,
    dimension: np.ndarray,
    span: np.ndarray,
    sizes: int,
    step_size: np.ndarray,
    step_scaling: str,
    noise: np.ndarray,
    start: str,
    start_overlap: np.ndarray,
    quantile: np.ndarray,
    threshold: np.ndarray,
) -> dict[str, Any]:
    """Exponent of the recovery time of the population dynamics, from one quantile of the start.

    Status: no_solution if one of the dimensions is never recovered from there.
    """
    rows = []
    for i in range(len(dimension)):
        d = sizes_of(int(dimension[i]), float(span[i]), sizes).astype(float)
        steps = [
            recovery_steps(
                link=link,
                dimension=float(size),
                step_size=float(step_size[i]),
                step_scaling=step_scaling,
                noise=float(noise[i]),
                start=start,
                start_overlap=float(start_overlap[i]),
                quantile=float(quantile[i]),
                threshold=float(threshold[i]),
            )
            for size in d
        ]
        # A start beyond the threshold takes no step; as in a simulation, it counts as one.
        lost = np.isnan(steps).any()
        rows.append(_LOST if lost else _fits(d, np.log(np.fmax(steps, 1.0)), None, link))
    found = np.isfinite([row["exponent"] for row in rows])
    return {
        **_columns(rows),
        "status": np.where(found, Status.CONVERGED, Status.NO_SOLUTION),
        "steps": np.full(len(rows), sizes),
        "residual": np.full(len(rows), 1e-11),
        "message": ["" if ok else "the flow never reaches the threshold" for ok in found],
    }


@system.simulation(
    version=1,
    gives=FIT_GIVES,
    size="dimension",
    shares=("sizes", "runs"),
    cost=Cost(
        flops=lambda *, link, dimension, span, sizes, runs, step_size, **_: (
            130.0
            * runs
            * sizes
            * (3e3 + 0.7 / step_size * paper_unit(dimension * span**0.7, exponent_of(link)))
        ),
        memory=lambda *, runs, **_: 2000 * runs,
    ),
)
def fitted_chain(
    *,
    link: str,
    dimension: np.ndarray,
    span: np.ndarray,
    sizes: int,
    runs: int,
    step_size: np.ndarray,
    step_scaling: str,
    noise: np.ndarray,
    start: str,
    start_overlap: np.ndarray,
    threshold: np.ndarray,
    seed: np.ndarray,
) -> dict[str, Any]:
    """Exponent of the recovery time of SGD with its error, from `runs` runs of each size.

    The runs are those of `chain` with the seeds seed · runs + 0 ... runs - 1. Status: max_steps,
    and no fit, if one of the runs has not recovered after 400 n_k(d)/min(step_size, 1) steps.
    """
    rows, taken = [], []
    for i in range(len(dimension)):
        d = sizes_of(int(dimension[i]), float(span[i]), sizes)
        logs = np.empty((sizes, runs))
        total = 0
        for j, size in enumerate(d):
            order = exponent_of(link)
            step = float(step_of(step_size[i], size, order, step_scaling)) / float(size)
            longest = _LONGEST / min(float(step_size[i]), 1.0) * float(paper_unit(size, order))
            for n in range(runs):
                instance = int(seed[i]) * runs + n
                run = Run(
                    step=step,
                    noise=float(noise[i]) ** 0.5,
                    level=float(threshold[i]),
                    stops=True,
                    records=np.array([0, int(min(longest, 2.0**62))]),
                    overlap=start_reduced(
                        start=start,
                        start_overlap=float(start_overlap[i]),
                        dimension=int(size),
                        seed=instance,
                    ),
                )
                descend_reduced([run], link=link, dimension=int(size), seed=instance)
                total += int(run.state[0])
                logs[j, n] = np.log(max(run.state[2], 1)) if run.state[2] >= 0 else np.nan
            if np.isnan(logs[j]).any():
                break
        taken.append(total)
        if np.isnan(logs[: j + 1]).any():
            rows.append(_LOST)
            continue
        errors = logs.std(axis=1, ddof=1) / np.sqrt(runs)
        rows.append(_fits(d.astype(float), logs.mean(axis=1), np.fmax(errors, 1e-12), link))
    found = np.isfinite([row["exponent"] for row in rows])
    return {
        **_columns(rows),
        "status": np.where(found, Status.CONVERGED, Status.MAX_STEPS),
        "steps": np.array(taken),
        "residual": np.zeros(len(rows)),
        "message": ["" if ok else "a run of the fit did not recover" for ok in found],
    }

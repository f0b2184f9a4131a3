"""What products of rounded factors cost in accuracy: half and tf32 against double, beside sampling.

For every case the same seeds are solved in double, single, tf32 and half. Printed for `overlap`,
`mse` and the error on a fresh label (`classification_error` for signs, else `label_mse`): mean and
standard deviation over the seeds in double, the root-mean-square differences to double over the
seeds, that of half in units of the standard deviation, and the mean difference of half, its bias,
with its standard error.
"""

from __future__ import annotations

from typing import Any

import array_api_compat.numpy as anp
import numpy as np
from tabulate import tabulate

from benchmarks.common import arguments
from benchmarks.gpu import solver
from solvers.contract import Status

PRECISIONS = ("single", "tf32", "half")
SPARSE = {"prior": "gauss_bernoulli", "channel": "linear", "sparsity": 0.2}
CASES: list[dict[str, Any]] = [
    {"prior": "rademacher", "channel": "sign", "alpha": [0.5, 1.0, 2.0]},
    {"prior": "gaussian", "channel": "sign", "alpha": [0.5, 1.5, 4.0]},
    {"prior": "gaussian", "channel": "sign", "alpha": [1.5], "noise": 0.1},
    {"prior": "gaussian", "channel": "relu", "alpha": [1.0, 1.5], "noise": 0.01},
    {"prior": "gaussian", "channel": "abs", "alpha": [2.0, 3.0], "noise": 0.1},
    {**SPARSE, "alpha": [0.6, 1.0], "noise": 1e-2, "damping": 0.3},
    {**SPARSE, "alpha": [0.6, 1.0], "noise": 1e-4, "damping": 0.3},
    {**SPARSE, "alpha": [0.6, 1.0], "noise": 1e-6, "damping": 0.3},
    {**SPARSE, "alpha": [0.6, 1.0], "noise": 0.0, "damping": 0.3},
]
"""Exact recovery (the last alpha of the first case, and the last case) has no sampling error."""


def measure(case: dict[str, Any], dimension: int, seeds: int, precision: str) -> dict[str, Any]:
    """overlap, mse, error and status, each (seeds, alphas)."""
    runs = [
        solver(
            **case,
            dimension=dimension,
            seed=seed,
            precision=precision,
            iterations=0,
        )(anp)
        for seed in range(seeds)
    ]
    error = "classification_error" if case["channel"] == "sign" else "label_mse"
    names = {"overlap": "overlap", "mse": "mse", "error": error, "status": "status"}
    return {short: np.stack([run[name] for run in runs]) for short, name in names.items()}


def table(case: dict[str, Any], dimension: int, seeds: int) -> list[list[Any]]:
    """Rows of one case at one dimension: one for each alpha and observable."""
    exact = measure(case, dimension, seeds, "double")
    others = {p: measure(case, dimension, seeds, p) for p in PRECISIONS}
    rows = []
    for i, alpha in enumerate(case["alpha"]):
        # A point that never settles differs between any two runs: those that did are compared.
        ended = (Status.CONVERGED, Status.UNDECIDED)
        good = np.all([np.isin(m["status"][:, i], ended) for m in (exact, *others.values())], 0)
        for name in ("overlap", "mse", "error"):
            value = exact[name][good, i]
            spread = value.std(ddof=1) if len(value) > 1 else np.nan
            differences = [
                np.sqrt(np.mean((m[name][good, i] - value) ** 2)) for m in others.values()
            ]
            rows.append([f"{alpha:g}", name, value.mean(), spread, *differences])
            rows[-1].append(differences[-1] / spread if spread > 0 else np.nan)
            bias = others["half"][name][good, i] - value
            error = bias.std(ddof=1) / np.sqrt(len(bias)) if len(bias) > 1 else np.nan
            rows[-1].append(f"{bias.mean():.1e} ± {error:.0e}")
            rows[-1].append(f"{good.sum()}/{seeds}")
    return rows


def main() -> None:
    """Print a table for each case and dimension."""
    given = arguments(dimension=500, seeds=16)
    headers = ["alpha", "", "mean", "sd of seeds", *PRECISIONS, "half/sd", "bias of half", "seeds"]
    for case in CASES:
        for dimension in (given.dimension, 4 * given.dimension):
            what = ", ".join(f"{n} {v}" for n, v in case.items() if n != "alpha")
            print(f"\n{what}, dimension {dimension}: root-mean-square difference to double")
            print(tabulate(table(case, dimension, given.seeds), headers=headers, floatfmt=".2g"))


if __name__ == "__main__":
    main()

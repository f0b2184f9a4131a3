"""Statistics over seeds: means, medians and fractions, with their errors.

Near an algorithmic threshold some instances succeed and some never settle: a mean over them is
heavy-tailed, so the median, the quartiles and the fraction of each status stand beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

    from solvers.contract import Method


def median_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(median, low, high) along the first axis of finite numbers and NaN, which are left out.

    low and high are the order statistics at ranks n/2 ∓ √n/2, one standard deviation of the
    binomial number of values below the median: an interval without assumptions on the law (H. A.
    David and H. N. Nagaraja, Order Statistics (2003), section 7.1). NaN where there are no values.
    """
    ordered = np.sort(np.asarray(values, dtype=float), axis=0)  # NaN comes last
    count = np.sum(np.isfinite(ordered), axis=0)
    half, spread = 0.5 * count, 0.5 * np.sqrt(count)
    at = [0.5 * (count - 1), half - spread - 0.5, half + spread - 0.5]
    return tuple(_at_rank(ordered, np.clip(r, 0, np.maximum(count - 1, 0))) for r in at)  # type: ignore[return-value]


def _at_rank(ordered: np.ndarray, rank: np.ndarray) -> np.ndarray:
    """The sorted values at a rank that need not be whole, interpolated."""
    below = np.floor(rank).astype(int)
    above = np.minimum(below + 1, len(ordered) - 1)
    low, high = (np.take_along_axis(ordered, i[None], axis=0)[0] for i in (below, above))
    share = rank - below
    return np.where(share > 0, low + share * (high - low), low)


def over_seeds(table: xr.Dataset, method: Method) -> list[dict[str, Any]]:
    """One record for every combination of axes but the seed, from a table of points.

    A record holds the axes, `points`, the fraction of each status that occurs under `statuses`, and
    for every scalar observable the `mean`, its `standard_error`, the `median`, the `quartiles` and
    the number `finite` of values that they are made of.
    """
    axes = [axis for axis in method.axes if axis != "seed"]
    codes = [np.unique(table[axis].values, return_inverse=True)[1] for axis in axes]
    _, first, group = np.unique(np.stack(codes), axis=1, return_index=True, return_inverse=True)
    names = table["status"].attrs["flag_meanings"].split()
    scalars = [
        name
        for name, observable in method.observables.items()
        if not observable.dims and not observable.labels
    ]
    records = []
    for number, one in enumerate(first.tolist()):
        here = np.flatnonzero(group.ravel() == number)
        status, counts = np.unique(table["status"].values[here], return_counts=True)
        record: dict[str, Any] = {axis: table[axis].values[one] for axis in axes}
        record["points"] = len(here)
        record["statuses"] = {
            names[int(s)]: c / len(here) for s, c in zip(status, counts.tolist(), strict=True)
        }
        record |= {name: _summary(table[name].values[here]) for name in scalars}
        records.append(record)
    return records


def _summary(values: np.ndarray) -> dict[str, Any]:
    finite = values[np.isfinite(values)].astype(float)
    if not len(finite):
        return {"finite": 0, "mean": None, "standard_error": None, "median": None}
    error = finite.std(ddof=1) / np.sqrt(len(finite)) if len(finite) > 1 else None
    low, median, high = np.quantile(finite, [0.25, 0.5, 0.75]).tolist()
    return {
        "finite": len(finite),
        "mean": float(finite.mean()),
        "standard_error": None if error is None else float(error),
        "median": median,
        "quartiles": [low, high],
    }

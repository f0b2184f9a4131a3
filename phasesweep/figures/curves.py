"""From a labelled dataset to the numbers of a curve: means over seeds, error bars, abscissae.

Nothing is drawn here. A dataset is one method's, in the layout of `phasesweep.dataset`: the
dimensions of `status` are the swept axes, cells that were not asked have status -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.statistics import median_interval

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Curve:
    """A curve with rising `x`; `below` and `above` are the lengths of error bars (NaN for none)."""

    x: np.ndarray
    y: np.ndarray
    below: np.ndarray
    above: np.ndarray

    @property
    def finite(self) -> bool:
        """Whether there is anything to draw."""
        return bool(np.any(np.isfinite(self.y)))

    @property
    def errors(self) -> np.ndarray | None:
        """(below, above) as matplotlib wants them, or None where no point has an error."""
        bars = np.nan_to_num(np.stack([self.below, self.above]))
        return bars if np.any(bars) else None


def swept(dataset: xr.Dataset) -> tuple[str, ...]:
    """The axes with several values, in the sweep's order."""
    return tuple(str(dim) for dim in dataset["status"].dims)


def further_dims(dataset: xr.Dataset, name: str) -> tuple[str, ...]:
    """The further axes of an observable, such as time."""
    return tuple(str(d) for d in dataset[name].dims if d not in dataset["status"].dims)


def binomial_errors(mean: Any, count: Any) -> tuple[Any, Any]:
    """(below, above): Wilson's interval of one standard deviation about a measured fraction.

    With z = 1: (p + 1/2n ± sqrt(p(1-p)/n + 1/4n²)) / (1 + 1/n) (E. B. Wilson, J. Am. Stat. Assoc.
    22, 209 (1927)). Unlike sqrt(p(1-p)/n) it keeps a width where every seed agrees.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (mean + 0.5 / count) / (1 + 1 / count)
        half = np.sqrt(mean * (1 - mean) / count + 0.25 / count**2) / (1 + 1 / count)
        return np.maximum(mean - centre + half, 0.0), np.maximum(centre + half - mean, 0.0)


def is_flag(variable: xr.DataArray) -> bool:
    """Whether a variable holds yes and no only (as 1 and 0), and both words of it are meant."""
    if "kind" in variable.attrs:
        return variable.attrs["kind"] == "flag"
    values = variable.values[np.isfinite(variable.values)]
    return bool(values.size) and bool(np.all((values == 0) | (values == 1)))


def seed_mean(variable: xr.DataArray, over: str = "seed") -> tuple[Any, Any, Any]:
    """(mean, below, above) over the seeds that have a finite value.

    The bars are one standard error of the mean, s/sqrt(n) with n - 1 in s (NaN for a single seed),
    or for flags the binomial interval of `binomial_errors`.
    """
    import xarray as xr

    flag = is_flag(variable)
    if over not in variable.dims:
        variable = variable.expand_dims(over)
    with xr.set_options(keep_attrs=True):
        good = variable.copy(data=np.isfinite(variable.values))
        count = good.sum(over).astype(float)
        count = count.where(count > 0)
        mean = variable.where(good, 0.0).sum(over) / count
        if flag:
            below, above = binomial_errors(mean, count)
        else:
            squares = ((variable - mean) ** 2).where(good, 0.0).sum(over)
            below = above = np.sqrt(squares / (count - 1).where(count > 1) / count)
    return mean, below, above


def seed_median(variable: xr.DataArray, over: str = "seed") -> tuple[Any, Any, Any]:
    """(median, below, above) over the seeds that have a finite value; flags have a fraction."""
    if is_flag(variable) or over not in variable.dims:
        return seed_mean(variable, over)
    ordered = variable.transpose(over, ...)
    template = ordered.isel({over: 0}, drop=True).astype(float)
    median, low, high = median_interval(ordered.values)
    middle, below, above = (
        template.copy(data=data) for data in (median, median - low, high - median)
    )
    return middle, below, above


def coordinate_of(dataset: xr.Dataset, dim: str) -> str:
    """The coordinate along a dimension: its own, or one that depends on an axis; or nothing."""
    names = [str(n) for n in dataset.coords if n == dim or str(n).startswith(f"{dim}_of_")]
    return names[0] if names else ""


def abscissa(dataset: xr.Dataset, x: str) -> xr.DataArray:
    """The numbers along x: a coordinate, a coordinate that depends on another axis, or 0, 1, 2, …

    It is 0 for a method that does not depend on x.
    Along alpha a method that reports `samples` is drawn at the realised samples / size, because
    rounding alpha · size to whole samples moves the points of small systems visibly.
    """
    import xarray as xr

    size = dataset.attrs.get("size")
    if x == "alpha" and "samples" in dataset and size and size in dataset.coords:
        return seed_mean(dataset["samples"])[0] / dataset[size]
    name = coordinate_of(dataset, x)
    if name:
        return dataset[name]
    if x in dataset.sizes:
        return xr.DataArray(np.arange(dataset.sizes[x]), dims=(x,))
    return xr.DataArray(0.0)


def prepare(dataset: xr.Dataset, name: str, x: str, statistic: str = "mean") -> xr.Dataset:
    """Mean or median, bars and abscissa of an observable for each choice of axes but the seed."""
    import xarray as xr

    keep = [name, "status", *(["samples"] if "samples" in dataset else [])]
    loaded = dataset[list(dict.fromkeys(keep))].load()
    summary = seed_median if statistic == "median" else seed_mean
    mean, below, above = summary(loaded[name])
    asked = loaded["status"] >= 0
    if "seed" in asked.dims:
        asked = asked.any("seed")
    parts = {"mean": mean, "below": below, "above": above, "asked": asked}
    table = xr.Dataset({k: v.drop_vars("seed", errors="ignore") for k, v in parts.items()})
    place = abscissa(loaded, x).drop_vars("seed", errors="ignore")
    return table.assign(place=place.variable if x in place.dims or not place.dims else place)


def curve(table: xr.Dataset, chosen: dict[str, Any], component: dict[str, int], x: str) -> Curve:
    """The curve of one choice of values of the axes, and of one component of a vector or matrix."""
    picked = table.isel(component, missing_dims="ignore")
    picked = picked.sel({axis: value for axis, value in chosen.items() if axis in picked.dims})
    dims = (x,) if x in picked.dims else ()
    flat = picked.broadcast_like(picked["mean"]).transpose(*dims)
    place, mean, below, above = (
        np.atleast_1d(flat[part].values).astype(float)
        for part in ("place", "mean", "below", "above")
    )
    keep = np.atleast_1d(flat["asked"].values) & np.isfinite(place)
    order = np.flatnonzero(keep)[np.lexsort((~np.isfinite(mean[keep]), place[keep]))]
    # Several asked alphas may round to the same samples: one instance, drawn once.
    _, first = np.unique(place[order], return_index=True)
    order = order[first]
    return Curve(place[order], mean[order], below[order], above[order])


def read(
    dataset: xr.Dataset, name: str, x: str, *, statistic: str = "mean", **chosen: Any
) -> Curve:
    """The curve of an observable along x, averaged over seeds, at one value of each other axis.

    `statistic` is "mean", or "median" where a mean would be heavy-tailed.
    """
    return curve(prepare(dataset, name, x, statistic), chosen, {}, x)


def log_spaced(values: np.ndarray) -> bool:
    """Whether positive values rise by a nearly constant factor over a decade and a half or more.

    A leading 0 is allowed (a start time); it does not appear on a logarithmic axis.
    """
    values = np.unique(values[np.isfinite(values)])
    if len(values) and values[0] == 0:
        values = values[1:]
    if len(values) < 4 or values[0] <= 0 or values[-1] < 30 * values[0]:
        return False
    steps = np.diff(np.log(values))
    return bool(np.std(steps) < 0.5 * np.mean(steps))

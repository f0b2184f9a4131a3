"""What drawings of several sweeps share: cases by name, entries of tensors, means over seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr


def cases(
    trees: Mapping[str, xr.DataTree], dim: str, methods: tuple[str, ...]
) -> dict[str, tuple[xr.Dataset, ...]]:
    """The datasets of the `methods` for each value of `dim`, in all the trees in turn."""
    found = {}
    for tree in trees.values():
        datasets = [tree[name].to_dataset() for name in methods]
        for value in np.atleast_1d(datasets[0][dim].values).tolist():
            found[value] = tuple(d.sel({dim: value}) if dim in d.dims else d for d in datasets)
    return found


def first_entry(array: xr.DataArray, prefix: str) -> xr.DataArray:
    """The first entry along every dimension whose name begins with `prefix`."""
    return array.isel({dim: 0 for dim in array.dims if str(dim).startswith(prefix)})


def over_seeds(array: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Mean over seeds and its standard error."""
    return array.mean("seed"), array.std("seed", ddof=1) / np.sqrt(array.sizes["seed"])

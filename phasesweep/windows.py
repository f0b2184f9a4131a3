"""Window axes in datasets: alpha placed around a threshold is another alpha for every size.

Such an axis has no values of its own along a dimension. The dataset has the dimension `window` (the
position in the window), and alpha is a coordinate over it and over the axes that it depends on.
`WindowIndex` lets it be asked all the same: `.sel(alpha=0.8, method="nearest")` takes the nearest
point of every size, and the answer's coordinate alpha says which one that was.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from xarray.core.indexing import IndexSelResult

from phasesweep.dataset import WINDOW as DIM
from phasesweep.dataset import WINDOW_AXIS as ATTRIBUTE


class WindowIndex(xr.Index):
    """Selection by the value of a coordinate that has the dimension `window` among others."""

    def __init__(self, name: Hashable, variable: xr.Variable) -> None:
        self.name = name
        self.variable = variable

    @classmethod
    def from_variables(
        cls, variables: Mapping[Any, xr.Variable], *, options: Mapping[str, Any]
    ) -> WindowIndex:
        """The index of one coordinate; see `Dataset.set_xindex`."""
        ((name, variable),) = variables.items()
        if DIM not in variable.dims:
            raise ValueError(f"{name} does not have the dimension {DIM}")
        return cls(name, variable)

    def create_variables(
        self, variables: Mapping[Any, xr.Variable] | None = None
    ) -> dict[Hashable, xr.Variable]:
        """The coordinate itself."""
        return {self.name: self.variable}

    def sel(
        self, labels: dict[Any, Any], method: str | None = None, tolerance: float | None = None
    ) -> IndexSelResult:
        """Positions along `window`: the nearest to one number, or where it is equal to it."""
        label = labels[self.name]
        if isinstance(label, slice) or np.ndim(label):
            raise ValueError(
                f"{self.name} lies in windows: select one value with method='nearest', or use "
                f".where() on the coordinate {self.name}"
            )
        if method not in (None, "nearest"):
            raise ValueError(f"method {method!r} is not supported; allowed: nearest")
        number = float(getattr(label, "item", lambda: label)())
        axis = self.variable.dims.index(DIM)
        distance = np.abs(np.nan_to_num(self.variable.values, nan=np.inf) - number)
        limit = tolerance if tolerance is not None else np.inf if method else 0.0
        if np.any(distance.min(axis=axis) > limit):
            raise KeyError(f"{self.name}={number} is not in every window; try method='nearest'")
        rest = tuple(d for d in self.variable.dims if d != DIM)
        return IndexSelResult({DIM: xr.Variable(rest, distance.argmin(axis=axis))})

    def isel(self, indexers: Mapping[Any, Any]) -> WindowIndex | None:
        """The index of a part; none once `window` itself is gone."""
        own = {d: i for d, i in indexers.items() if d in self.variable.dims}
        part = self.variable.isel(own)
        return WindowIndex(self.name, part) if DIM in part.dims else None

    def equals(self, other: xr.Index, **_: Any) -> bool:
        """Same coordinate, same values."""
        return (
            isinstance(other, WindowIndex)
            and self.name == other.name
            and self.variable.equals(other.variable)
        )

    def rename(self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]) -> Any:
        """The index under another name; the dimension `window` keeps its own."""
        return WindowIndex(name_dict.get(self.name, self.name), self.variable)

    def _repr_inline_(self, max_width: int) -> str:
        return f"WindowIndex ({self.name})"


def with_index(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with its window axis, if it has one, ready for `.sel`."""
    axis = dataset.attrs.get(ATTRIBUTE)
    return dataset.set_xindex(axis, WindowIndex) if axis else dataset


def widen(dataset: xr.Dataset) -> xr.Dataset:
    """The window axis as an ordinary dimension, the union of its values; NaN where not asked.

    What statistics and figures read. `status` is -1 in the new cells, and words are empty.
    """
    axis = dataset.attrs.get(ATTRIBUTE)
    if not axis:
        return dataset
    table = dataset[axis].variable
    values = np.unique(table.values[np.isfinite(table.values)])
    # One column more than there are values takes the cells that fell outside the axis.
    place = np.where(np.isfinite(table.values), np.searchsorted(values, table.values), len(values))
    columns = xr.Variable(table.dims, place)
    variables = {}
    for name, variable in dataset.data_vars.items():
        moved = variable.variable.transpose(..., DIM) if DIM in variable.dims else None
        if moved is None:
            variables[name] = variable.variable
            continue
        index = columns.set_dims(dict(moved.sizes)).transpose(*moved.dims).values
        empty: Any = {"f": np.nan, "i": -1, "U": ""}[moved.dtype.kind]
        wide = np.full((*moved.shape[:-1], len(values) + 1), empty, moved.dtype)
        np.put_along_axis(wide, index, moved.values, axis=-1)
        named = xr.Variable((*moved.dims[:-1], axis), wide[..., :-1], variable.attrs)
        order = [axis if d == DIM else d for d in variable.dims]
        variables[name] = named.transpose(*order)
    others = {n: c.variable for n, c in dataset.coords.items() if n not in (axis, DIM)}
    along = xr.Variable((axis,), values, table.attrs)
    return xr.Dataset(variables, {**others, axis: along}, dataset.attrs)

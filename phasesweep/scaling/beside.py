"""The theory value beside a threshold, matched on the axes that both have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.scaling.selection import SEED, Selection, Variable, find_variable
from solvers.contract import Status

if TYPE_CHECKING:
    import xarray as xr

VALIDITY = "validity"
EXACT = "exact"


@dataclass(frozen=True)
class Beside:
    """A theory's dataset, and what tells which of its cells belongs to a row.

    `fixed` are the single values of the measured side; `apart` are axes that the sweep names, that
    have a single value on either side, and not the same one: nothing is compared then.
    """

    variable: Variable
    dataset: xr.Dataset
    size_axis: str
    fixed: dict[str, Any] = field(default_factory=dict)
    apart: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def find(
        cls,
        tree: xr.DataTree,
        reference: Any,
        of: Variable,
        selection: Selection,
        mentioned: set[str],
    ) -> Beside:
        """Match the theory; ValueError with the axis in the way if that cannot be."""
        variable = find_variable(tree, reference, "beside")
        if variable.role == "simulation":
            raise ValueError(
                f"beside: {reference} is a simulation; allowed: a theory or an exact formula"
            )
        fixed = _single(of)
        for dim in variable.dims:
            if dim not in selection.cell_axes and dim not in fixed and dim != selection.size_axis:
                raise ValueError(
                    f"beside: {reference} varies with {dim}, which is no further axis of {of.label}"
                )
        apart = {
            axis: value
            for axis, value in _single(variable).items()
            if axis in mentioned
            and axis in fixed
            and axis != SEED
            and not _same(value, fixed[axis])
        }
        kept = [n for n in (variable.name, "status", VALIDITY) if n in variable.dataset]
        return cls(variable, variable.dataset[kept].load(), selection.size_axis, fixed, apart)

    def at(self, axes: Mapping[str, Any], sizes: tuple[float, ...]) -> tuple[float, bool, str]:
        """(theory value, whether it may be compared, remark) for a row's axes and sizes."""
        wanted = {**self.fixed, **axes}
        wanted.pop(self.size_axis, None)
        if len(sizes) == 1:
            wanted[self.size_axis] = sizes[0]
        cell = self.dataset
        for dim in self.variable.dims:
            if dim not in wanted:
                return (
                    float("nan"),
                    False,
                    "" if dim == self.size_axis else f"no theory for one {dim}",
                )
            labels = self.dataset[dim].values if dim in self.dataset.coords else None
            place = np.arange(self.dataset.sizes[dim]) if labels is None else labels
            found = [i for i, label in enumerate(place.tolist()) if _same(label, wanted[dim])]
            if not found:
                return float("nan"), False, f"no theory at {dim} = {wanted[dim]}"
            cell = cell.isel({dim: found[0]})
        own = _single(self.variable)
        for axis in [*axes, *([self.size_axis] if self.size_axis in own else [])]:
            if axis in own and not _same(own[axis], wanted.get(axis)):
                return float("nan"), False, f"theory is at {axis} = {own[axis]} only"
        value = float(cell[self.variable.name].values)
        notes = [f"theory is at {axis} = {other}" for axis, other in self.apart.items()]
        if VALIDITY in cell and str(cell[VALIDITY].values) not in (EXACT, ""):
            notes.append(f"theory: {str(cell[VALIDITY].values).replace('_', ' ')}")
        code = int(cell["status"].values) if "status" in cell else 0
        if code > 0:
            notes.append(f"theory: {Status(code).name.lower().replace('_', ' ')}")
        return value, np.isfinite(value) and not self.apart, "; ".join(notes)


def _single(variable: Variable) -> dict[str, Any]:
    """The axes that have a single value."""
    coords = variable.dataset.coords
    return {str(name): coords[name].values.item() for name in coords if coords[name].ndim == 0}


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return bool(np.isclose(one, other, rtol=1e-9, atol=1e-12))
    return one == other

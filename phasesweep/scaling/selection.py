"""From a labelled dataset to samples: one per size, for every value of the other axes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.scaling.samples import Sample, make_sample
from solvers.contract import Status

if TYPE_CHECKING:
    import xarray as xr

SEED = "seed"
BOOKKEEPING = ("status", "steps", "residual", "seconds")
ANSWERED = (Status.CONVERGED, Status.NO_SOLUTION)


@dataclass(frozen=True)
class Variable:
    """An observable of a method, in the dataset that holds it."""

    method: str
    name: str
    dataset: xr.Dataset

    @property
    def label(self) -> str:
        """METHOD.OBSERVABLE."""
        return f"{self.method}.{self.name}"

    @property
    def role(self) -> str:
        """theory, exact or simulation."""
        return str(self.dataset.attrs.get("role", "theory"))

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes with several values."""
        return tuple(map(str, self.dataset[self.name].dims))


@dataclass(frozen=True)
class Cell:
    """The samples of all sizes at one value of the other axes, and their status codes."""

    axes: dict[str, Any]
    samples: list[Sample]
    codes: np.ndarray

    def remarks(self, sizes: tuple[float, ...]) -> str:
        """What a reader should know of the points behind a row of these sizes."""
        used = [not sizes or sample.size in sizes for sample in self.samples]
        return remarks(self.codes[np.array(used)])


@dataclass(frozen=True)
class Selection:
    """Values (cells, sizes, seeds, points) of one observable with the labels of every axis."""

    role: str
    size_axis: str
    cell_axes: dict[str, np.ndarray]
    sizes: np.ndarray
    values: np.ndarray
    codes: np.ndarray
    x: np.ndarray
    """Abscissas (cells, sizes, points)."""

    def cells(self) -> Iterator[Cell]:
        """Every value of the other axes."""
        labels = itertools.product(*(values.tolist() for values in self.cell_axes.values()))
        for cell, label in enumerate(labels):
            samples = [
                make_sample(x=self.x[cell, i], y=self.values[cell, i], size=size)
                for i, size in enumerate(self.sizes)
            ]
            yield Cell(dict(zip(self.cell_axes, label, strict=True)), samples, self.codes[cell])


def unknown(what: str, given: object, allowed: Any) -> ValueError:
    """The error for a name that is not among `allowed`, with the nearest one suggested."""
    names = [str(name) for name in allowed]
    near = get_close_matches(str(given), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return ValueError(f"{what} {given!r} is not known; allowed: {', '.join(names) or 'none'}{hint}")


def find_variable(tree: xr.DataTree, reference: Any, where: str) -> Variable:
    """The variable that METHOD.OBSERVABLE names; ValueError if there is none or it holds words."""
    if not isinstance(reference, str) or reference.count(".") != 1:
        raise ValueError(f"{where} must be METHOD.OBSERVABLE; given {reference!r}")
    method, name = reference.split(".")
    if method not in tree.children:
        raise unknown(f"{where}: the method", method, tree.children)
    dataset = tree[method].to_dataset()
    observables = [n for n in dataset.data_vars if n not in BOOKKEEPING]
    if name not in observables:
        raise unknown(f"{where}: the observable of {method}", name, observables)
    if dataset[name].dtype.kind not in "fiub" or "flag_meanings" in dataset[name].attrs:
        raise ValueError(f"{where}: {reference} holds words, not numbers")
    return Variable(method, name, dataset)


def select(variable: Variable, along: str | None) -> Selection:
    """Load an observable, its axes in order; ValueError if `along` is no axis with many values."""
    dataset, dims = variable.dataset, variable.dims
    size_axis = str(dataset.attrs.get("size") or "")
    if along is not None and (along not in dims or along in (SEED, size_axis)):
        allowed = [d for d in dims if d not in (SEED, size_axis)]
        if along in dataset.coords and along not in dims:
            raise ValueError(f"along: {along} has a single value in {variable.label}")
        raise unknown(f"along: the axis of {variable.label}", along, allowed)
    cell_dims = [d for d in dims if d not in (SEED, size_axis, along)]
    order = [*cell_dims, size_axis or "·size", SEED, along or "·along"]
    needed = [variable.name, *(n for n in ("status", "samples") if n in dataset)]
    loaded = dataset[needed].load()
    values = _ordered(loaded[variable.name].astype(float), order)
    # A method's bookkeeping lacks the observable's further axes, such as time.
    shape = dict(zip(order, values.shape, strict=True))
    values = values.reshape(-1, *values.shape[-3:])
    codes = _like(loaded.get("status"), order, shape, -1)
    sizes = _sizes(dataset, size_axis)
    if along is None:
        x = np.zeros((len(values), len(sizes), 1))
    else:
        x = np.broadcast_to(_labels(dataset, along), (*values.shape[:2], values.shape[-1]))
        if along == "alpha" and "samples" in loaded and size_axis:
            realised = _like(loaded["samples"], order, shape, np.nan)
            known = np.isfinite(realised)
            count = np.sum(known, axis=2)
            mean = np.sum(np.where(known, realised, 0), axis=2) / np.maximum(count, 1)
            x = np.where(count > 0, mean, np.nan) / sizes[None, :, None]
    labels = {dim: _labels(dataset, dim) for dim in cell_dims}
    return Selection(variable.role, size_axis, labels, sizes, values, codes, x)


def _ordered(array: xr.DataArray, order: list[str]) -> np.ndarray:
    missing = [dim for dim in order if dim not in array.dims]
    plain = array.drop_vars(list(array.coords))
    return plain.expand_dims(missing).transpose(*order).values


def _like(
    array: xr.DataArray | None, order: list[str], shape: Mapping[str, int], absent: float
) -> np.ndarray:
    """The array over the same (cells, sizes, seeds, points) as the observable."""
    full = tuple(shape[dim] for dim in order)
    dense = (
        np.full(full, absent) if array is None else np.broadcast_to(_ordered(array, order), full)
    )
    return dense.reshape(-1, *full[-3:])


def _labels(dataset: xr.Dataset, dim: str) -> np.ndarray:
    return dataset[dim].values if dim in dataset.coords else np.arange(dataset.sizes[dim])


def _sizes(dataset: xr.Dataset, size_axis: str) -> np.ndarray:
    if not size_axis or size_axis not in dataset.coords:
        return np.array([np.nan])
    return np.atleast_1d(np.asarray(dataset[size_axis].values, float))


def remarks(codes: np.ndarray) -> str:
    """How many of the points with these status codes (-1: not asked) gave no full answer."""
    asked = codes[codes >= 0]
    failed = int(np.sum(asked == Status.FAILED))
    open_ = int(np.sum(~np.isin(asked, [*ANSWERED, Status.FAILED])))
    parts = [f"{open_} not converged"] * (open_ > 0) + [f"{failed} failed"] * (failed > 0)
    return f"of {len(asked)} points {' and '.join(parts)}" if parts else ""

"""From a method's grid to points and their keys, column by column.

A key is a 128-bit hash of (system, method, version, canonical values of every axis). Each
distinct value is hashed once, with its axis, method and version; a row's key is the exclusive or of
its values' hashes (Zobrist, 1970). Two different points have the same key with the probability
that two random numbers of 128 bits are equal, as if each row were hashed by itself, and a million
points take two tenths of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from phasesweep.cache.keys import digest_table, distinct, sortable
from phasesweep.cache.rows import KEY_BYTES
from phasesweep.errors import UserError
from phasesweep.sweepfile import MethodGrid
from solvers.axes import REQUIRED, Axis, canonical_float
from solvers.contract import Method

MAX_POINTS = 50_000_000

Centres = Callable[[str, str, "Points"], np.ndarray]
"""(method, observable, points) -> the value of a theory's observable at each point."""


@dataclass(frozen=True)
class Points:
    """Points of one method. Numeric axes are columns of values; other axes are columns of positions
    in `values`."""

    method: Method
    columns: Mapping[str, np.ndarray]
    values: Mapping[str, list[Any]]
    count: int
    window: tuple[str, np.ndarray] | None = None
    """The axis that is a window, and the position in the window of every point."""
    clipped: int = 0
    """Points of a window that fell outside the axis and were left out."""

    def __len__(self) -> int:
        return self.count

    def take(self, index: np.ndarray) -> Points:
        """The points at these positions."""
        columns = {n: c[index] for n, c in self.columns.items()}
        window = self.window and (self.window[0], self.window[1][index])
        taken = Points(self.method, columns, self.values, len(index), window)
        if "key_table" in self.__dict__:  # hashing them again would cost more than the rest
            taken.__dict__["key_table"] = self.key_table[index]
        return taken

    def value(self, axis: str, position: int) -> Any:
        """The canonical value of one axis at one point."""
        entry = self.columns[axis][position]
        return self.values[axis][entry] if axis in self.values else entry.item()

    def point(self, position: int) -> dict[str, Any]:
        """One point as a plain mapping of axes to values."""
        return {axis: self.value(axis, position) for axis in self.columns}

    @cached_property
    def key_table(self) -> np.ndarray:
        """The keys as the cache wants them, (n, 16) uint8."""
        method = self.method
        prefix = f"{method.system.name}/{method.name}/v{method.version}/"
        table = np.empty((len(self), KEY_BYTES // 8), np.uint64)
        table[:] = digest_table([prefix])
        for axis in self.columns:
            table ^= _digests(self, axis, prefix)
        return table.view(np.uint8)

    @cached_property
    def distinct(self) -> np.ndarray:
        """Position of the first point with each distinct key, in order of the keys."""
        return distinct(sortable(self.key_table))

    @cached_property
    def keys(self) -> list[bytes]:
        """The key of every point."""
        data = self.key_table.tobytes()
        return [data[at : at + KEY_BYTES] for at in range(0, len(data), KEY_BYTES)]


def _digests(points: Points, axis: str, prefix: str) -> np.ndarray:
    """The hash of `axis=value` of every point, or one row if all have the same value."""
    declared = points.method.axes[axis]
    column = points.columns[axis]
    if len(column) and np.all(column == column[0]):
        values, inverse = [points.value(axis, 0)], np.zeros(1, np.int64)
    elif axis in points.values:
        values, inverse = points.values[axis], column
    else:
        entries, inverse = np.unique(column, return_inverse=True)
        values = entries.tolist()
    return digest_table([f"{prefix}{axis}={declared.text(v)}" for v in values])[inverse]


def expand(grid: MethodGrid, centres: Centres, where: str = "") -> Points:
    """Every point of a grid; `centres` answers what a window lies around."""
    method = grid.method
    lengths = [len(v) for v in grid.values.values()]
    total = int(np.prod(lengths, dtype=float)) * (grid.window.points if grid.window else 1)
    if total > MAX_POINTS:
        raise UserError(
            f"{where}: {method.name} has {total:,} points; at most {MAX_POINTS:,} allowed; "
            "split the sweep"
        )
    columns: dict[str, np.ndarray] = {}
    values: dict[str, list[Any]] = {}
    count = int(np.prod(lengths, dtype=np.int64))
    for (axis, entries), index in zip(grid.values.items(), _product(lengths), strict=True):
        if method.axes[axis].numeric:
            columns[axis] = np.asarray(entries)[index]
        else:
            columns[axis], values[axis] = index.astype(np.int32), entries
    points = _with_meaning(Points(method, columns, values, count))
    if method.check is not None:
        _check_together(points, method.check, where)
    return points if grid.window is None else _window(grid, points, centres, where)


def _with_meaning(points: Points, *, drop: bool = True) -> Points:
    """Where an axis has no meaning it takes its one value for that; `drop` points that coincide."""
    keep = np.ones(len(points), bool)
    columns, values, changed = dict(points.columns), dict(points.values), False
    for name in points.columns:
        axis = points.method.axes[name]
        applies = _applies(axis, points)
        if applies.all():
            continue
        column = points.columns[name]
        # Of all the values the first stands for none.
        keep &= applies | (column == (0 if name in values else column.min()))
        if name in values:
            values[name] = [*values[name], axis.otherwise]
        none = len(values[name]) - 1 if name in values else axis.otherwise
        columns[name], changed = np.where(applies, column, none).astype(column.dtype), True
    if not changed:
        return points
    meant = Points(points.method, columns, values, len(points))
    return meant.take(np.flatnonzero(keep)) if drop else meant


def _applies(axis: Axis, points: Points) -> np.ndarray:
    """For which points the axis has a meaning."""
    applies = np.ones(len(points), bool)
    for choice, words in axis.when.items():
        meant = np.array([word in words for word in points.values[choice]])
        applies &= meant[points.columns[choice]]
    return applies


def _check_together(points: Points, check: Callable[..., None], where: str) -> None:
    """Ask the method whether its one-valued axes fit together, once for each combination."""
    single = points.method.single
    codes = np.stack([np.unique(points.columns[n], return_inverse=True)[1] for n in single])
    for position in np.unique(codes, axis=1, return_index=True)[1].tolist():
        try:
            check(**{axis: points.value(axis, position) for axis in single})
        except ValueError as error:
            name = points.method.name
            at = where if name in where else f"{where}: methods.{name}"
            raise UserError(f"{at}: {error}") from None


def _product(lengths: list[int]) -> Iterator[np.ndarray]:
    """Positions along each axis of a product, the last axis running fastest."""
    for axis, length in enumerate(lengths):
        inner = int(np.prod(lengths[axis + 1 :], dtype=np.int64))
        outer = int(np.prod(lengths[:axis], dtype=np.int64))
        yield np.tile(np.repeat(np.arange(length), inner), outer)


def _window(grid: MethodGrid, points: Points, centres: Centres, where: str) -> Points:
    """Replace every point by those of its window: centre + x · size^(-exponent)."""
    window, axis, method = grid.window, grid.window_axis, grid.method
    assert window is not None
    assert axis is not None
    centre = centres(window.method, window.observable, points)
    if not np.all(np.isfinite(centre)):
        at = points.point(int(np.argmin(np.isfinite(centre))))
        shown = {n: at[n] for n in at if n in method.system.methods[window.method].axes}
        raise UserError(
            f"{where}: methods.{method.name}.{axis}: {window.method}.{window.observable} "
            f"has no value at {shown}; leave that point out or give {axis} directly"
        )
    offsets = np.linspace(window.low, window.high, window.points)
    scale = np.ones((len(points), 1))
    if window.exponent:
        assert method.size is not None
        scale = points.columns[method.size].astype(float)[:, None] ** -window.exponent
    placed = (centre[:, None] + offsets * scale).ravel()
    declared = method.axes[axis]
    canonical = np.full(placed.shape, np.nan)
    for position, value in enumerate(placed.tolist()):
        try:
            canonical[position] = declared.parse(canonical_float(value))
        except ValueError:
            continue  # below alpha = 0, say: outside the axis, counted as clipped
    keep = np.isfinite(canonical)
    rows = np.repeat(np.arange(len(points)), window.points)[keep]
    if not len(rows):
        raise UserError(
            f"{where}: methods.{method.name}.{axis}: the whole window lies outside the axis "
            f"({declared.allowed()})"
        )
    columns = {**points.take(rows).columns, axis: canonical[keep]}
    positions = np.tile(np.arange(window.points), len(points))[keep]
    clipped = int((~keep).sum())
    return Points(method, columns, points.values, len(rows), (axis, positions), clipped)


def points_for(
    method: Method, points: Points, own: Mapping[str, list[Any]] | None = None
) -> Points:
    """The points of another method of the system that share these points' axes.

    Axes which `points` does not have take the single value in `own`, or their default.
    """
    columns: dict[str, np.ndarray] = {}
    values: dict[str, list[Any]] = {}
    for name in sorted(method.axes, key=lambda n: bool(method.axes[n].when)):
        axis = method.axes[name]
        if name in points.columns:
            columns[name] = points.columns[name]
            entries = points.values.get(name) or np.unique(columns[name]).tolist()
        else:
            entries = (own or {}).get(name, [axis.default])
            if not np.any(_applies(axis, Points(method, columns, values, len(points)))):
                entries = [axis.otherwise]
            if len(entries) != 1 or entries[0] is REQUIRED:
                raise UserError(
                    f"{method.name} needs one value of {name} here; give it under fixed"
                )
            columns[name] = np.zeros(len(points), np.int32)
        try:
            entries = [axis.parse(value) for value in entries]
        except ValueError as error:
            raise UserError(f"{method.name}: {name} is {entries}; allowed: {error}") from None
        if not axis.numeric:
            values[name] = entries
        elif name not in points.columns:
            columns[name] = np.full(len(points), entries[0])
    return _with_meaning(Points(method, columns, values, len(points)), drop=False)

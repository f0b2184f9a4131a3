"""Rows: results of one method as plain columns, as they enter and leave the cache.

A column is a NumPy array whose first axis is the points, or a `Coded` column: one small integer per
point and the list of the distinct values (words, sequences of times, digests of files, messages).
Nothing here is ever pickled into a file; the values of a `Coded` column are written as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

KEY_BYTES = 16
NAME = re.compile(r"[a-z][a-z0-9_]*")
LETTER = re.compile(r"[A-Z][A-Za-z0-9_]*")
STORED_TYPES = ("bool", "int8", "int64", "float64")


class CacheError(RuntimeError):
    """Something about the cache that a person must know, in one sentence."""


def _plain(value: Any) -> Any:
    """Lists become tuples, so that a sequence comes back as the tuple that went in."""
    return tuple(_plain(item) for item in value) if isinstance(value, list | tuple) else value


def value_text(value: Any) -> str:
    """One text per distinct JSON value: what tells the values of a coded column apart."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


@dataclass(frozen=True)
class Coded:
    """A dictionary-encoded column: point i has the value `values[codes[i]]`."""

    codes: np.ndarray
    """int32, one per point."""
    values: list[Any]
    """Distinct JSON values; sequences are tuples."""

    @classmethod
    def of(cls, items: Iterable[Any]) -> Coded:
        """Encode one value per point, in order of first appearance."""
        seen: dict[str, int] = {}
        values: list[Any] = []
        codes = []
        for item in items:
            code = seen.setdefault(value_text(item), len(values))
            if code == len(values):
                values.append(_plain(item))
            codes.append(code)
        return cls(np.array(codes, dtype=np.int32), values)

    @classmethod
    def constant(cls, value: Any, points: int) -> Coded:
        """The same value for every point."""
        return cls(np.zeros(points, dtype=np.int32), [_plain(value)])

    def __len__(self) -> int:
        """Number of points."""
        return len(self.codes)

    def decode(self) -> list[Any]:
        """One value per point."""
        return [self.values[code] for code in self.codes.tolist()]

    def take(self, index: Any) -> Coded:
        """The points of `index` (positions or a mask); values nobody uses any more are dropped."""
        codes = self.codes[index]
        used, inverse = np.unique(codes, return_inverse=True)
        return Coded(inverse.reshape(-1).astype(np.int32), [self.values[code] for code in used])

    @staticmethod
    def concat(columns: Iterable[Coded]) -> Coded:
        """One column after the other, equal values merged."""
        seen: dict[str, int] = {}
        values: list[Any] = []
        parts = []
        for column in columns:
            table = np.empty(len(column.values), dtype=np.int32)
            for code, value in enumerate(column.values):
                table[code] = seen.setdefault(value_text(value), len(values))
                if table[code] == len(values):
                    values.append(value)
            parts.append(table[column.codes])
        return Coded(np.concatenate(parts), values)


Column = np.ndarray | Coded


@dataclass(frozen=True)
class Rows:
    """Points of one (system, method, version), all with observables of the same trailing shapes.

    `keys` is (points, 16) uint8. `parameters` holds float64 or int64 columns for numeric axes and
    `Coded` ones for the others. `observables` have the points first: bool, int8, int64 or float64.
    `source` says where each row was computed (`phasesweep.provenance`); the cache fills it in on
    writing.
    """

    system: str
    method: str
    version: int
    keys: np.ndarray
    parameters: Mapping[str, Column]
    observables: Mapping[str, np.ndarray]
    status: np.ndarray
    steps: np.ndarray
    residual: np.ndarray
    seconds: np.ndarray
    messages: Coded
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the further axes of the observables that have some."""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Words behind the integers of the observables that are words."""
    source: Coded | None = None

    def __len__(self) -> int:
        """Number of points."""
        return len(self.keys)

    def columns(self) -> dict[str, Column]:
        """Every column under the name that its array has in a segment."""
        named = {
            "key": self.keys,
            "status": self.status,
            "steps": self.steps,
            "residual": self.residual,
            "seconds": self.seconds,
            "message": self.messages,
            **{f"parameter.{name}": column for name, column in self.parameters.items()},
            **{f"observable.{name}": column for name, column in self.observables.items()},
        }
        return named if self.source is None else {**named, "source": self.source}

    def with_columns(self, columns: Mapping[str, Column]) -> Rows:
        """The same rows with other columns, named as in `columns`."""
        fixed: dict[str, Any] = {
            {"key": "keys", "message": "messages"}.get(name, name): column
            for name, column in columns.items()
            if "." not in name
        }
        for group in ("parameter", "observable"):
            fixed[f"{group}s"] = {
                name.partition(".")[2]: column
                for name, column in columns.items()
                if name.startswith(f"{group}.")
            }
        return replace(self, **fixed)

    def take(self, index: Any) -> Rows:
        """The points of `index`: positions or a mask."""
        return self.with_columns(
            {
                name: column.take(index) if isinstance(column, Coded) else column[index]
                for name, column in self.columns().items()
            }
        )

    def signature(self) -> tuple:
        """Rows can be joined when this agrees: names, types, trailing shapes, dims, labels."""
        shape = tuple(
            (name, "coded")
            if isinstance(column, Coded)
            else (name, column.dtype.str, column.shape[1:])
            for name, column in sorted(self.columns().items())
        )
        named = tuple(
            (name, tuple(words))
            for table in (self.dims, self.labels)
            for name, words in sorted(table.items())
        )
        return (self.system, self.method, self.version, shape, named)

    @property
    def nbytes(self) -> int:
        """Bytes held by the columns."""
        return sum(
            column.codes.nbytes if isinstance(column, Coded) else column.nbytes
            for column in self.columns().values()
        )

    def check(self) -> None:
        """Raise ValueError unless types, lengths and names are those described above."""
        points = len(self.keys)
        fixed = {"status": "int8", "steps": "int64", "residual": "float64", "seconds": "float64"}
        if self.keys.shape != (points, KEY_BYTES) or self.keys.dtype != np.uint8 or not points:
            raise ValueError(
                f"keys must be ({KEY_BYTES} bytes a point) uint8, and at least one point"
            )
        for name in (self.system, self.method, *self.parameters, *self.observables):
            letter = name in self.observables and LETTER.fullmatch(name)  # V, H, ... of a source
            if not (letter or NAME.fullmatch(name)):
                raise ValueError(f"the name {name!r} must be lower-case letters, digits and _")
        for name, column in self.columns().items():
            if len(column) != points:
                raise ValueError(f"{name}: {len(column)} entries for {points} points")
            if isinstance(column, Coded):
                outside = (column.codes < 0) | (column.codes >= len(column.values))
                if column.codes.dtype != np.int32 or outside.any():
                    raise ValueError(f"{name}: codes must be int32 positions in the list of values")
            elif name in fixed and (column.dtype != fixed[name] or column.ndim != 1):
                raise ValueError(f"{name} must be one {fixed[name]} a point")
            elif name != "key" and column.dtype not in STORED_TYPES:
                raise ValueError(f"{name} is {column.dtype}; allowed: {', '.join(STORED_TYPES)}")
        for name, array in self.observables.items():
            if len(self.dims.get(name, ())) != array.ndim - 1:
                raise ValueError(
                    f"observable {name} has shape {array.shape} but dims {self.dims.get(name)}"
                )


def concat(blocks: Iterable[Rows]) -> list[Rows]:
    """Join rows of equal signature; one block for each signature, in order of first appearance."""
    groups: dict[tuple, list[Rows]] = {}
    for block in blocks:
        groups.setdefault(block.signature(), []).append(block)
    return [_join(group) for group in groups.values()]


def _join(group: list[Rows]) -> Rows:
    if len(group) == 1:
        return group[0]
    every = [rows.columns() for rows in group]

    def join(name: str) -> Column:
        parts = [columns[name] for columns in every]
        coded = [part for part in parts if isinstance(part, Coded)]
        if coded:
            return Coded.concat(coded)
        return np.concatenate([part for part in parts if not isinstance(part, Coded)])

    return group[0].with_columns({name: join(name) for name in every[0]})

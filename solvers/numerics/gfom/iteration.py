"""How an iteration is described: blocks of rows, side information, and updates.

A *block* is a set of exchangeable rows: all sites of a symmetric matrix, or the rows and the
columns of a rectangular one. An *update* evaluates its `function` on one block, multiplies by the
matrix, adds its `local` function on the block that receives the product, and so makes one iterate.

All arrays have four axes, (points, replicates, rows, columns), and every function acts row by row:
it is given the time t and a `Past`, and returns an array that broadcasts to the shape of an
iterate. Parameters that differ between points are arrays of shape (points, 1, 1, 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

Array = Any
Function = Callable[[int, "Past"], Array]
Derivative = Callable[[int, int, "Past"], Array]
Average = Callable[[int, "Past", Array], Array]


@dataclass(frozen=True)
class Normal:
    """Side information with `columns` independent N(0, 1) entries in every row."""

    columns: int = 1


@dataclass(frozen=True)
class Atoms:
    """Side information of one column with finitely many values.

    `probabilities` are numbers, or arrays of shape (points, 1, 1, 1); simulations take the value in
    whose part of (0, 1) a uniform number falls, so that values of other points are coupled.
    """

    values: tuple[float, ...]
    probabilities: tuple[Any, ...]


@dataclass(frozen=True)
class Block:
    """Rows of one kind: their number over the dimension, side information, and iterate 0.

    `start(past)`, a function of the side information alone, is what `past[0]` gives; without it
    iterate 0, if there is one, is made by an update.
    """

    size: Any = 1.0
    side: Mapping[str, Normal | Atoms] = field(default_factory=dict)
    start: Callable[[Past], Array] | None = None


@dataclass(frozen=True)
class Update:
    """Iterate `index` of block `into` = matrix·function on block `reads`, plus local on `into`.

    `time` is what the functions are called with. `derivative(t, s, past)` is ∂function/∂past[s]:
    an array of the shape of an iterate, or a number, where component a depends on column a alone;
    with one axis more, [..., a, b] = ∂function_a/∂past[s]_b, in general. Without it derivatives are
    taken by differences. `averages` are deterministic in the limit: name -> average(t, past, value)
    over the rows of `reads`, value being that of the function; `past.mean[name][t]` gives them to
    the local function of the same update and to all that follows.
    """

    index: int
    time: int
    into: str
    reads: str
    function: Function
    local: Function | None = None
    derivative: Derivative | None = None
    local_derivative: Derivative | None = None
    averages: Mapping[str, Average] = field(default_factory=dict)


@dataclass(frozen=True)
class Iteration:
    """Blocks and updates, in the order in which they are done.

    `columns` is the number q of columns of an iterate, or None for one column without an axis of
    its own in the answers; `points` likewise counts parameter values advanced side by side.
    `subtract_memory` makes it approximate message passing. `affine` declares that all functions are
    affine in past iterates and side information, which `Linear` needs and checks.
    """

    blocks: Mapping[str, Block]
    updates: tuple[Update, ...]
    columns: int | None = None
    points: int | None = None
    subtract_memory: bool = False
    affine: bool = False

    def block(self, name: str | None) -> str:
        """A block by name; the name may be left out if there is only one."""
        if name is None and len(self.blocks) == 1:
            return next(iter(self.blocks))
        if name is None or name not in self.blocks:
            raise ValueError(f"block {name!r} is not one of {', '.join(self.blocks)}")
        return name


class Past:
    """What a function may read: `past[s]` iterates of its block, `side`, `mean`, and `xp`.

    `xp` is the array namespace; what has been read is noted in `reads` and `sides_read`, which is
    how the law knows on which iterates a function depends.
    """

    def __init__(
        self,
        *,
        xp: Any,
        iterates: Mapping[int, Array],
        side: Mapping[str, Array],
        mean: Mapping[str, Mapping[int, Array]],
        start: Callable[[Past], Array] | None = None,
    ) -> None:
        self.xp, self.mean = xp, mean
        self.reads: set[int] = set()
        self.sides_read: set[str] = set()
        self.side = _Noting(side, self.sides_read)
        self._iterates, self._start = iterates, start

    def __getitem__(self, s: int) -> Array:
        """Iterate s of this block."""
        if s == 0 and self._start is not None:
            return self._start(self)
        if s not in self._iterates:
            known = ", ".join(map(str, sorted(self._iterates))) or "none"
            raise ValueError(f"past[{s}] is not made yet; iterates made before this one: {known}")
        self.reads.add(s)
        return self._iterates[s]

    def replaced(self, s: int, value: Array) -> Past:
        """The same past with another iterate s."""
        return Past(
            xp=self.xp,
            iterates={**self._iterates, s: value},
            side=self.side.values,
            mean=self.mean,
            start=self._start,
        )


class _Noting:
    """A mapping of arrays that notes which names have been read."""

    def __init__(self, values: Mapping[str, Array], noted: set[str]) -> None:
        self.values, self.noted = values, noted

    def __getitem__(self, name: str) -> Array:
        if name not in self.values:
            known = ", ".join(self.values) or "none"
            raise ValueError(f"there is no side information {name!r} in this block; known: {known}")
        self.noted.add(name)
        return self.values[name]


def symmetric(
    function: Function,
    *,
    steps: int,
    local: Function | None = None,
    derivative: Derivative | None = None,
    local_derivative: Derivative | None = None,
    averages: Mapping[str, Average] | None = None,
    side: Mapping[str, Normal | Atoms] | None = None,
    start: Callable[[Past], Array] | None = None,
    columns: int | None = None,
    points: int | None = None,
    subtract_memory: bool = False,
    affine: bool = False,
) -> Iteration:
    """z_t = W f_t(z_<t) + f̌_t(z_<t), t = 1 ... steps, on one block, `sites`."""
    updates = tuple(
        Update(
            index=t,
            time=t,
            into="sites",
            reads="sites",
            function=function,
            local=local,
            derivative=derivative,
            local_derivative=local_derivative,
            averages=averages or {},
        )
        for t in range(1, steps + 1)
    )
    return Iteration(
        blocks={"sites": Block(side=side or {}, start=start)},
        updates=updates,
        columns=columns,
        points=points,
        subtract_memory=subtract_memory,
        affine=affine,
    )


def rectangular(
    *,
    to_rows: Function,
    to_columns: Function,
    alpha: Any,
    steps: int,
    local_rows: Function | None = None,
    local_columns: Function | None = None,
    to_rows_derivative: Derivative | None = None,
    to_columns_derivative: Derivative | None = None,
    local_rows_derivative: Derivative | None = None,
    local_columns_derivative: Derivative | None = None,
    averages_rows: Mapping[str, Average] | None = None,
    averages_columns: Mapping[str, Average] | None = None,
    side_rows: Mapping[str, Normal | Atoms] | None = None,
    side_columns: Mapping[str, Normal | Atoms] | None = None,
    start: Callable[[Past], Array] | None = None,
    last_product: bool = False,
    columns: int | None = None,
    points: int | None = None,
    subtract_memory: bool = False,
    affine: bool = False,
) -> Iteration:
    """z_t = X g_t(v_≤t) + ǧ_t(z_<t), v_{t+1} = X^T f_t(z_≤t) + f̌_t(v_≤t), t = 0 ... steps - 1.

    g_t is `to_rows` and is evaluated on the block `columns`, where v lives; f_t is `to_columns`, on
    the block `rows`, where z lives. X has alpha·d rows, d columns and entries N(0, 1/d). `start`
    gives v_0. `averages_rows` average over rows (with f_t), `averages_columns` over columns (g_t).
    `last_product` adds z_steps = X g_steps at the end.
    """
    updates = []
    for t in range(steps + bool(last_product)):
        updates.append(
            Update(
                index=t,
                time=t,
                into="rows",
                reads="columns",
                function=to_rows,
                local=local_rows,
                derivative=to_rows_derivative,
                local_derivative=local_rows_derivative,
                averages=averages_columns or {},
            )
        )
        if t < steps:
            updates.append(
                Update(
                    index=t + 1,
                    time=t,
                    into="columns",
                    reads="rows",
                    function=to_columns,
                    local=local_columns,
                    derivative=to_columns_derivative,
                    local_derivative=local_columns_derivative,
                    averages=averages_rows or {},
                )
            )
    return Iteration(
        blocks={
            "rows": Block(size=alpha, side=side_rows or {}),
            "columns": Block(side=side_columns or {}, start=start),
        },
        updates=tuple(updates),
        columns=columns,
        points=points,
        subtract_memory=subtract_memory,
        affine=affine,
    )

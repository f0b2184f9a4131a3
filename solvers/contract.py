"""The contract between a system and the engine.

A *system* is one model of learning: axes (control parameters), observables, a source. Its
*methods* have one of three roles: `theory` (dimension to infinity), `exact` (a formula at finite
dimension) and `simulation`. They stand together because each is the test of the others:

    system = System("my_system", title=..., axes={...}, observables={...}, source=..., demo={...})

    @system.theory(version=1, gives=("overlap",), cost=Cost(flops=..., memory=...))
    def state_evolution(*, alpha, prior): ...

    @system.simulation(version=1, gives=("overlap",), size="dimension",
                       shares=("dimension", "seed"), varies=("start",),
                       devices=("cpu", "gpu"), cost=...)
    def gamp(*, alpha, prior, start, dimension, seed, xp): ...

**Columns in, columns out.** A function takes keyword arguments only, named after the axes.
Numeric axes arrive as 1-D arrays of one length, the points of the batch. Choices, sequences,
files and the axes named in `shares` arrive as one value, but the choices named in `varies` arrive
as columns of words (arrays of str), so that all starts of one instance advance together. `xp`, if
the function asks for it, is the array namespace (NumPy or CuPy, both under the array API). It
returns a dict with every observable in `gives` and with `status`, `steps` and `residual`, as NumPy
arrays whose first axis is the points; further axes are those named in the observable's `dims`, and
their lengths may depend on one-valued axes only. It may add `message`, a sentence for every point
("" for none), such as why a threshold does not exist; it is stored with the point.

A point's answer belongs to the point: not to its batch, its order, its worker or its device
(beyond rounding). Everything that changes a number is an axis. `version` is raised by hand when
numbers change.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import IntEnum
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np

from solvers.axes import REQUIRED, Axis, Choice, File
from solvers.axes import Sequence as SequenceAxis


class Status(IntEnum):
    """How a point ended. Not converging is a result; only FAILED (an exception) is not."""

    CONVERGED = 0
    MAX_STEPS = 1
    DIVERGED = 2
    NOT_FINITE = 3
    NO_SOLUTION = 4
    UNDECIDED = 5
    FAILED = 6

    @property
    def advice(self) -> str:
        """What it means and what to try."""
        return {
            Status.CONVERGED: "the answer stands within the method's tolerance",
            Status.MAX_STEPS: "stopped before the tolerance was met; allow more steps",
            Status.DIVERGED: "the iteration ran away; try damping or another start",
            Status.NOT_FINITE: "a number overflowed or was not defined; look at the parameters",
            Status.NO_SOLUTION: "the quantity does not exist at these parameters",
            Status.UNDECIDED: "no certificate either way; allow more steps or a looser tolerance",
            Status.FAILED: "the solver raised an exception; its message is stored with the point",
        }[self]


@dataclass(frozen=True)
class Observable:
    """A measured or computed quantity: words, symbol, unit, further axes, and its type.

    `dims` names the axes after the points ("time", "iteration", ...). `labels` makes it a word
    out of the ones given (solvers return arrays of str). `kind` is "real", "integer" or "flag".
    Axes in `folded` are left out of what is printed where all of them have length one: a tensor
    over inputs is a number when there is one input.
    """

    description: str
    symbol: str = ""
    unit: str = "1"
    dims: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    kind: str = "real"
    folded: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype:
        """How it is stored; words are stored as their position in `labels`."""
        if self.labels:
            return np.dtype("int8")
        return np.dtype({"real": "float64", "integer": "int64", "flag": "bool"}[self.kind])


def _nothing(**_: Any) -> float:
    return 0.0


@dataclass(frozen=True)
class Cost:
    """What a point costs, as functions of the axes given by keyword (columns, of words too, or one
    value).

    `flops` floating-point operations and `bytes` of memory traffic give the time; `memory` is the
    number of bytes held per point of a batch, `shared_memory` what the batch holds once (its
    largest value over the points counts). Write `lambda *, alpha, dimension, **_: ...`.
    """

    flops: Callable[..., Any]
    memory: Callable[..., Any] = _nothing
    shared_memory: Callable[..., Any] = _nothing
    bytes: Callable[..., Any] = _nothing


@dataclass(frozen=True)
class Limit:
    """A value that a method must reproduce: a published number, a limit, an exact small case."""

    statement: str
    method: str
    point: Mapping[str, Any]
    observable: str
    value: float | str
    rtol: float = 1e-9
    atol: float = 0.0
    source: str = ""


class DeclarationError(TypeError):
    """A system or method is declared wrongly; raised at import."""


class ContractError(RuntimeError):
    """A solver returned something other than what it declared."""


@dataclass(frozen=True)
class Method:
    """One way to compute observables of a system."""

    name: str
    system: System = field(repr=False)
    role: str
    version: int
    function: Callable[..., dict[str, Any]] = field(repr=False)
    axes: Mapping[str, Axis] = field(repr=False)
    gives: tuple[str, ...]
    size: str | None
    shares: tuple[str, ...]
    varies: tuple[str, ...]
    devices: tuple[str, ...]
    cost: Cost = field(repr=False)
    wants_xp: bool
    check: Callable[..., None] | None = field(default=None, repr=False)

    @property
    def doc(self) -> str:
        """The docstring, cleaned."""
        return inspect.getdoc(self.function) or ""

    @property
    def single(self) -> tuple[str, ...]:
        """The axes that take one value per batch: choices, sequences, files and shared axes."""
        return tuple(
            n
            for n, axis in self.axes.items()
            if n in self.shares or not (axis.numeric or n in self.varies)
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The axes that arrive as columns: of numbers, or of words for a choice in `varies`."""
        single = self.single
        return tuple(n for n in self.axes if n not in single)

    @property
    def observables(self) -> dict[str, Observable]:
        """The observables that it gives."""
        return {name: self.system.observables[name] for name in self.gives}

    def __call__(self, points: int, values: Mapping[str, Any], xp: Any = np) -> dict[str, Any]:
        """Solve one batch of canonical values and check what came back.

        `values` holds a column of length `points` for each of `columns` and one value for each of
        `single`. Returns NumPy arrays: the observables (words as their position in `labels`), and
        `status` int8, `steps` int64, `residual` float64, and `message` if the solver gave one.
        Points that came back converged with a not-finite scalar observable keep their status: a
        method may have nothing to give there.
        """
        answer = self.function(**values, **({"xp": xp} if self.wants_xp else {}))
        where = f"{self.system.name} {self.name}"
        expected = {*self.gives, "status", "steps", "residual"}
        if not isinstance(answer, Mapping) or set(answer) - {"message"} != expected:
            got = sorted(answer) if isinstance(answer, Mapping) else type(answer).__name__
            raise ContractError(f"{where} must return {sorted(expected)}; it returned {got}")
        result = {}
        for name, observable in self.observables.items():
            array = np.asarray(answer[name])
            if observable.labels:
                array = _codes(array, observable.labels, f"{where}: {name}")
            if array.ndim != 1 + len(observable.dims) or len(array) != points:
                raise ContractError(
                    f"{where}: {name} must have shape ({points}, {', '.join(observable.dims)}); "
                    f"it has {array.shape}"
                )
            result[name] = _stored(array, observable, f"{where}: {name}")
        for name, dtype in (("status", np.int8), ("steps", np.int64), ("residual", np.float64)):
            result[name] = np.broadcast_to(np.asarray(answer[name]), (points,)).astype(dtype)
        if "message" in answer:
            result["message"] = np.array([str(text) for text in answer["message"]], dtype=object)
            if len(result["message"]) != points:
                raise ContractError(f"{where}: message must have one sentence (or none) per point")
        return result


def _stored(array: np.ndarray, observable: Observable, where: str) -> np.ndarray:
    """The numbers as they are stored; what would become another number on the way is refused."""
    if array.dtype.kind not in "biuf":
        raise ContractError(f"{where} must be real numbers; it has the type {array.dtype}")
    if observable.dtype.kind != "f" and not np.all(np.isfinite(array)):
        raise ContractError(f"{where} must be whole numbers or flags; it is not finite somewhere")
    return array.astype(observable.dtype)


def _codes(words: np.ndarray, labels: Sequence[str], where: str) -> np.ndarray:
    unknown = set(np.unique(words).tolist()) - set(labels)
    if unknown:
        raise ContractError(f"{where} must be one of {', '.join(labels)}; it is {sorted(unknown)}")
    position = {label: code for code, label in enumerate(labels)}
    return np.vectorize(position.__getitem__, otypes=[np.int8])(words)


@dataclass
class System:
    """One model of learning.

    `demo` is a small sweep (the content of a sweep file without `system`): the default sweep and
    figure, and the rows of the contract tests. It must run in a few seconds. `limits` are values
    the methods must reproduce. The docstring of the module states the model, its scaling and its
    symbols.
    """

    name: str
    _: KW_ONLY
    title: str
    axes: Mapping[str, Axis]
    observables: Mapping[str, Observable]
    source: str
    demo: Mapping[str, Any]
    limits: Sequence[Limit] = ()
    methods: dict[str, Method] = field(default_factory=dict, init=False)

    def theory(self, **declaration: Any) -> Callable:
        """Declare a method for dimension to infinity; see `_declare` for the arguments."""
        return self._declare("theory", **declaration)

    def exact(self, **declaration: Any) -> Callable:
        """Declare a formula that is exact at finite dimension."""
        return self._declare("exact", **declaration)

    def simulation(self, **declaration: Any) -> Callable:
        """Declare a measurement on random instances; needs `size` and a `seed` axis."""
        return self._declare("simulation", **declaration)

    def _declare(
        self,
        role: str,
        *,
        version: int,
        gives: Iterable[str],
        cost: Cost,
        size: str | None = None,
        shares: Iterable[str] = (),
        varies: Iterable[str] = (),
        devices: Iterable[str] = ("cpu",),
        axes: Mapping[str, Axis] | None = None,
        check: Callable[..., None] | None = None,
    ) -> Callable:
        """Decorator that adds a method.

        `gives`: its observables. `size`: the axis that is the system size of finite-size scaling.
        `shares`: axes of one value per batch, because the batch shares an instance or because
        they set the shape of an answer. `varies`: choices that do neither and may differ from point
        to point of a batch, such as the start of an iteration. `axes`: narrower axes or other
        defaults for this method alone. `check`: gets the one-valued axes by keyword before anything
        runs, and raises ValueError with a sentence if they do not fit together (a file whose arrays
        have another width, say).
        """
        gives, shares, devices = tuple(gives), tuple(shares), tuple(devices)
        varies = tuple(varies)

        def add(function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
            name = function.__name__
            where = f"{self.name} {name}"
            parameters = inspect.signature(function).parameters
            takes = [n for n in parameters if n != "xp"]
            all_axes = {**self.axes, **(axes or {})}

            def none_unexpected(what: str, names: Iterable[str], known: Iterable[str]) -> None:
                unexpected = [n for n in names if n not in known]
                if unexpected:
                    raise DeclarationError(
                        f"{where}: {what} {', '.join(unexpected)} unexpected; "
                        f"known: {', '.join(known)}"
                    )

            if any(p.kind is not p.KEYWORD_ONLY for p in parameters.values()):
                raise DeclarationError(
                    f"{where}: every argument must be keyword-only (start with *)"
                )
            if any(p.default is not p.empty for p in parameters.values()):
                raise DeclarationError(
                    f"{where}: defaults belong to the axes, not to the signature"
                )
            if not inspect.getdoc(function):
                raise DeclarationError(f"{where}: a docstring is missing")
            if not gives:
                raise DeclarationError(f"{where}: observables are missing (gives=...)")
            none_unexpected("arguments", takes, all_axes)
            none_unexpected("narrowed axes", axes or {}, takes)
            none_unexpected("shared axes", shares, takes)
            words = [n for n in takes if isinstance(all_axes[n], Choice) and n not in shares]
            none_unexpected("choices that vary,", varies, words)
            for axis in takes:
                choices = [n for n in takes if isinstance(all_axes[n], Choice | File)]
                none_unexpected(f"choices that decide on {axis},", all_axes[axis].when, choices)
                if all_axes[axis].when:
                    all_axes[axis].parse(all_axes[axis].otherwise)
            none_unexpected("observables", gives, self.observables)
            none_unexpected("devices", devices, ("cpu", "gpu"))
            if role == "simulation" and (size is None or "seed" not in takes):
                missing = [
                    w for w, gone in (("size", size is None), ("seed", "seed" not in takes)) if gone
                ]
                raise DeclarationError(
                    f"{where}: a simulation's {' and '.join(missing)} is missing"
                )
            if size is not None:
                none_unexpected("size axis", [size], takes)
            if name in self.methods:
                raise DeclarationError(f"{where}: declared twice")
            self.methods[name] = Method(
                name=name,
                system=self,
                role=role,
                version=version,
                function=function,
                axes={n: all_axes[n] for n in takes},
                gives=gives,
                size=size,
                shares=shares,
                varies=varies,
                devices=devices,
                cost=cost,
                wants_xp="xp" in parameters,
                check=check,
            )
            return function

        return add

    def dim_axis(self, dim: str) -> str | None:
        """The sequence axis that labels an observable's further axis, if there is one."""
        for name, axis in self.axes.items():
            if isinstance(axis, SequenceAxis) and axis.dim == dim:
                return name
        return None

    def check(self) -> None:
        """Whole-system checks after its methods are declared; raises DeclarationError."""
        given = {name for method in self.methods.values() for name in method.gives}
        used = {name for method in self.methods.values() for name in method.axes}
        problems = [
            *(f"observable {n} is given by no method" for n in self.observables if n not in given),
            *(f"axis {n} is used by no method" for n in self.axes if n not in used),
            # A record and a dataset have one entry of a name.
            *(
                f"observable {n} has the name of an axis; rename one of them"
                for n in self.observables
                if n in used
            ),
            *(
                f"limit {limit.statement!r} names {limit.method} -> {limit.observable}: missing"
                for limit in self.limits
                if limit.method not in self.methods
                or limit.observable not in self.methods[limit.method].gives
            ),
            *(
                f"demo names the method {n}, which is missing"
                for n in self.demo.get("methods", {})
                if n not in self.methods
            ),
            *(
                f"method {n} is missing from the demo"
                for n in self.methods
                if n not in self.demo.get("methods", {})
            ),
        ]
        if not self.methods:
            problems = ["methods are missing"]
        if problems:
            raise DeclarationError(f"{self.name}: {'; '.join(problems)}")


@cache
def system_names() -> tuple[str, ...]:
    """Names of every system found: the files of `solvers/systems`, and installed entry points."""
    import solvers.systems

    own = [module.name for module in pkgutil.iter_modules(solvers.systems.__path__)]
    return tuple(
        sorted({*own, *(point.name for point in entry_points(group="phasesweep.systems"))})
    )


@cache
def load_system(name: str) -> System:
    """Import one system and check its declaration; KeyError if there is none of that name."""
    foreign = {point.name: point for point in entry_points(group="phasesweep.systems")}
    if name not in system_names():
        raise KeyError(name)
    if name in foreign:
        system = foreign[name].load()
    else:
        module = importlib.import_module(f"solvers.systems.{name}")
        system = getattr(module, "system", None)
    if not isinstance(system, System):
        raise DeclarationError(f"{name}: the module must hold `system = System(...)`")
    if system.name != name:
        raise DeclarationError(f"{name}: the system calls itself {system.name!r}")
    system.check()
    return system


__all__ = [
    "REQUIRED",
    "ContractError",
    "Cost",
    "DeclarationError",
    "Limit",
    "Method",
    "Observable",
    "Status",
    "System",
    "load_system",
    "system_names",
]

"""Sweep files: read, validated, with defaults filled in; nothing is computed here.

A sweep file is plain data (YAML or JSON). Every error names the file, the field, what was given and
what is allowed. The demo of a system is a sweep like any other: its name stands in for a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from phasesweep.axisforms import AXIS_FORMS, axis_values, show
from phasesweep.errors import UserError, unknown
from phasesweep.limits import Limits
from phasesweep.plain import read_plain
from solvers.axes import REQUIRED, Axis, File
from solvers.contract import DeclarationError, Method, System, load_system, system_names


@dataclass(frozen=True)
class Window:
    """Points of one axis placed around a theory value: centre + x · size^(-exponent)."""

    method: str
    observable: str
    low: float
    high: float
    points: int
    exponent: float


@dataclass(frozen=True)
class MethodGrid:
    """What one method is asked: canonical values per axis, of which at most one is a window."""

    method: Method
    values: Mapping[str, list[Any]]
    window_axis: str | None = None
    window: Window | None = None


@dataclass(frozen=True)
class Sweep:
    """A validated sweep."""

    name: str
    title: str
    system: System
    grids: Mapping[str, MethodGrid]
    thresholds: list[dict[str, Any]] = field(default_factory=list)
    figure: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    content: str = ""
    """Canonical text of the file, for provenance."""


def read_sweep(source: str | Path) -> Sweep:
    """Read a sweep file, or the demo of the system of that name."""
    if str(source) in system_names():
        system = find_system(str(source))
        return parse_sweep({"system": system.name, **system.demo}, name=system.name, where="demo")
    path = Path(source)
    if path.suffix not in (".yaml", ".yml", ".json"):
        if not path.exists():
            raise unknown("sweep file or system", str(source), system_names())
        raise UserError(f"{path}: a sweep file ends in .yaml, .yml or .json")
    return parse_sweep(read_plain(path), name=path.stem, where=str(path), folder=path.parent)


def parse_sweep(data: Any, *, name: str, where: str, folder: Path = Path()) -> Sweep:
    """Validate a sweep file's content; `where` opens every message, `folder` holds its files."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UserError(f"{where}: the name {name!r} must consist of letters, digits, _ and -")
    _check_schema(data, where)
    system = find_system(data["system"], where)
    shared: dict[str, Any] = {}
    for section in ("fixed", "axes"):
        for axis, spec in (data.get(section) or {}).items():
            if axis not in system.axes:
                raise unknown(f"axis of {system.name}", axis, system.axes, f"{where}: {section}")
            if axis in shared:
                raise UserError(f"{where}: {axis} is given under both fixed and axes")
            shared[axis] = (f"{section}.{axis}", spec)
    methods = {n: find_method(system, n, f"{where}: methods") for n in data["methods"]}
    for axis, (label, _) in shared.items():
        if not any(axis in method.axes for method in methods.values()):
            raise UserError(f"{where}: {label} is used by none of the methods {', '.join(methods)}")
    grids = {
        n: _method_grid(method, shared, data["methods"][n] or {}, where, folder)
        for n, method in methods.items()
    }
    _check_meaning(shared, grids, where)
    for axis, (label, spec) in shared.items():
        if label.startswith("fixed.") and any(
            len(grid.values.get(axis, [0])) != 1
            for n, grid in grids.items()
            if axis not in (data["methods"][n] or {})
        ):
            raise UserError(
                f"{where}: {label} must have one value; given {show(spec)}; "
                "put several values under axes"
            )
    _check_results(data, grids, where)
    return Sweep(
        name=name,
        title=data.get("title", name.replace("_", " ")),
        system=system,
        grids=grids,
        thresholds=list(data.get("thresholds") or []),
        figure=dict(data.get("figure") or {}),
        limits=Limits.of(data.get("limits") or {}),
        content=json.dumps(data, sort_keys=True, default=str),
    )


def _check_meaning(shared: Mapping[str, Any], grids: Mapping[str, MethodGrid], where: str) -> None:
    """A shared axis has a meaning for one method at least."""
    for axis, (label, _) in shared.items():
        takers = [grid for grid in grids.values() if axis in grid.method.axes]
        if not any(_has_meaning(g.method.axes[axis], g.values) for g in takers):
            raise UserError(f"{where}: {label}: {_meaningless(axis, takers[0])}")


def _has_meaning(axis: Axis, values: Mapping[str, list[Any]]) -> bool:
    """Whether the axis has a meaning for some of the chosen words."""
    return all(set(words) & set(values[choice]) for choice, words in axis.when.items())


def _meaningless(name: str, grid: MethodGrid) -> str:
    axis = grid.method.axes[name]
    given = ", ".join(f"{c}={'|'.join(map(str, grid.values[c]))}" for c in axis.when)
    return f"{name} has a meaning only with {axis.condition()}; given {given}; leave {name} out"


def _check_results(data: Mapping[str, Any], grids: Mapping[str, MethodGrid], where: str) -> None:
    """The thresholds and the figure of a sweep name only what its methods have."""
    for number, entry in enumerate(data.get("thresholds") or []):
        at = f"{where}: thresholds.{number}"
        for role in ("of", "beside"):
            if role in entry:
                method, observable = entry[role].split(".")
                if method not in grids:
                    raise unknown("method in this sweep", method, grids, f"{at}.{role}")
                gives = grids[method].method.gives
                if observable not in gives:
                    raise unknown(f"observable of {method}", observable, gives, f"{at}.{role}")
        axes = grids[entry["of"].split(".")[0]].method.axes
        if "along" in entry and entry["along"] not in axes:
            raise unknown("axis", entry["along"], axes, f"{at}.along")
    figure = data.get("figure") or {}
    given = {n: o for grid in grids.values() for n, o in grid.method.observables.items()}
    swept = {axis for grid in grids.values() for axis in grid.method.axes}
    further = {dim for observable in given.values() for dim in observable.dims}
    same = figure.get("same") or {}
    for name in (*figure.get("y", ()), *same, *same.values()):
        if name not in given:
            raise unknown("observable", name, given, f"{where}: figure")
    for role, allowed in (("x", swept | further), ("hue", swept)):
        if role in figure and figure[role] not in allowed:
            raise unknown("axis", figure[role], sorted(allowed), f"{where}: figure.{role}")


def find_system(name: str, where: str = "") -> System:
    """The system of that name, or a UserError that lists them."""
    if name not in system_names():
        raise unknown("system", name, system_names(), where)
    try:
        return load_system(name)
    except (ImportError, DeclarationError) as error:
        raise UserError(f"system {name} cannot be loaded: {error}") from error


def find_method(system: System, name: str, where: str = "") -> Method:
    """The method of that name, or a UserError that lists them."""
    if name not in system.methods:
        raise unknown(f"method of {system.name}", name, system.methods, where)
    return system.methods[name]


def single_method(method: Method, given: Mapping[str, Any], where: str) -> MethodGrid:
    """The grid of one method from axis forms given directly (the command line, `solve`)."""
    return _method_grid(method, {}, given, where, Path(), direct=True)


def _method_grid(
    method: Method,
    shared: Mapping[str, Any],
    own: Mapping[str, Any],
    where: str,
    folder: Path,
    *,
    direct: bool = False,
) -> MethodGrid:
    """The grid of a method; `direct` axes were not read from a file, and have no place in one."""
    prefix = "" if direct else f"methods.{method.name}."
    for given in own:
        if given not in method.axes:
            raise unknown(
                f"axis of {method.name}", given, method.axes, f"{where}: {prefix}".rstrip(".: ")
            )
    values: dict[str, list[Any]] = {}
    window_axis, window = None, None
    # A sweep's own order of axes is the order of a dataset's dimensions.
    order = sorted(method.axes, key=lambda n: _rank(n, shared, own))
    # Choices come first: other axes may have a meaning for some of their words only.
    for name in sorted(order, key=lambda n: bool(method.axes[n].when)):
        axis = method.axes[name]
        if not _has_meaning(axis, values):
            if name in own:
                grid = MethodGrid(method, values)
                label = f"{where}: {prefix}{name}" if prefix else where
                raise UserError(f"{label}: {_meaningless(name, grid)}")
            values[name] = [axis.otherwise]
            continue
        label, spec = shared.get(name, ("", axis.default))
        if name in own:
            label, spec = f"{prefix}{name}", own[name]
        if spec is REQUIRED:
            needs = f"needs the axis {name} ({axis.description or axis.allowed()})"
            needs += f" with {axis.condition()}" if axis.when else ""
            if direct:
                raise UserError(f"{where} {needs}; give {name}=VALUES, {axis.allowed()}")
            raise UserError(
                f"{where}: {method.name} {needs}; give it under axes or methods.{method.name}, "
                f"as {AXIS_FORMS}"
            )
        at = f"{where}: {label or name}"
        if isinstance(spec, Mapping) and "around" in spec and not isinstance(axis, File):
            if window_axis:
                raise UserError(
                    f"{at}: only one axis can be a window; {window_axis} is one already"
                )
            window_axis, window = name, _window(spec, method, axis, at)
        else:
            values[name] = axis_values(axis, spec, at, folder)
    ordered = {name: values[name] for name in order if name in values}
    return MethodGrid(method, ordered, window_axis, window)


def _rank(name: str, shared: Mapping[str, Any], own: Mapping[str, Any]) -> int:
    order = [n for n in shared if n not in own] + list(own)
    return order.index(name) if name in order else len(order)


def _window(spec: Mapping[str, Any], method: Method, axis: Axis, at: str) -> Window:
    reference, observable = spec["around"].split(".")
    other = find_method(method.system, reference, f"{at}: around")
    if observable not in other.gives:
        raise unknown(f"observable of {reference}", observable, other.gives, f"{at}: around")
    if other.role == "simulation" or method.system.observables[observable].dims:
        raise UserError(
            f"{at}: around must name a scalar observable of a theory; given {spec['around']}"
        )
    low, high = spec["window"]
    exponent = float(spec.get("exponent", 0))
    if not low <= high:
        raise UserError(f"{at}: window must rise; given {spec['window']}")
    if not axis.numeric:
        raise UserError(f"{at}: a window needs a numeric axis")
    if exponent and method.size is None:
        raise UserError(f"{at}: exponent needs a method with a size axis; {method.name} has none")
    return Window(reference, observable, low, high, spec["points"], exponent)


@cache
def _validator() -> Any:
    import jsonschema

    text = resources.files("phasesweep").joinpath("schemas/sweep.schema.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


def _check_schema(data: Any, where: str) -> None:
    errors = sorted(_validator().iter_errors(data), key=lambda e: [str(p) for p in e.absolute_path])
    if not errors:
        return
    error = errors[0]
    path = [str(part) for part in error.absolute_path]
    at = f"{where}: {'.'.join(path)}" if path else where
    given = show(error.instance)
    in_axis = (path[:1] in (["fixed"], ["axes"]) and len(path) >= 2) or (
        path[:1] == ["methods"] and len(path) >= 3
    )
    if in_axis:
        limits = " (count and points: whole numbers up to ten million)"
        raise UserError(
            f"{at}: given {given}; allowed: {AXIS_FORMS}"
            f"{limits if isinstance(error.instance, Mapping) else ''}"
        )
    if error.validator == "required":
        missing = [n for n in error.validator_value if n not in error.instance]
        raise UserError(f"{at}: {' and '.join(missing)} missing; given {given}")
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        extra = next(n for n in error.instance if n not in known)
        raise unknown("field", extra, known, at)
    meaning = error.schema.get("description") or error.message
    allowed = {
        "type": _type_words(error.validator_value) if error.validator == "type" else "",
        "pattern": meaning,
        "enum": ", ".join(map(str, error.validator_value)) if error.validator == "enum" else "",
    }.get(error.validator, error.message)
    raise UserError(f"{at}: given {given}; allowed: {allowed}")


def _type_words(types: str | list[str]) -> str:
    """JSON's names of types as a person would say them."""
    words = {"object": "a mapping", "array": "a list", "string": "text", "null": "nothing"}
    names = [types] if isinstance(types, str) else types
    return " or ".join(words.get(name, f"a {name}") for name in names)

"""What Snakemake needs to know of a configuration, without importing a solver.

A Snakefile is parsed at every start and again in every SLURM job, so this reads the sweep files as
plain data, and the versions of methods from the source text of the systems.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from phasesweep.errors import UserError, unknown
from phasesweep.paths import CHECKOUT, project_root
from phasesweep.plain import read_plain

FIELDS = (
    "sweeps",
    "figures",
    "shards",
    "cluster",
    "gpus",
    "gpu_cluster",
    "longest_job",
    "data",
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class SweepOutline:
    """One sweep: its name and file, its methods with their versions and shards, a digest of it."""

    name: str
    file: str
    methods: dict[str, int | str]
    shards: dict[str, int]
    digest: str
    on_gpu: frozenset[str] = frozenset()
    """The methods that are written for GPUs too."""


@dataclass(frozen=True)
class Outline:
    """A configuration: its sweeps, and its figures with the sweeps that each one draws."""

    sweeps: tuple[SweepOutline, ...]
    figures: dict[str, tuple[str, ...]]

    def sweep(self, name: str) -> SweepOutline:
        """The sweep of that name."""
        return next(sweep for sweep in self.sweeps if sweep.name == name)


def read_outline(path: Path) -> Outline:
    """Outline of a configuration file; its sweep files are relative to the project's root."""
    config = read_plain(path)
    if not isinstance(config, dict) or "sweeps" not in config:
        raise UserError(f"{path}: not a configuration: sweeps is missing")
    return outline(config, str(path))


def outline(config: dict, where: str = "config") -> Outline:
    """Outline of a configuration that was read already."""
    _check(config, where)
    shards = config.get("shards") or {}
    sweeps = tuple(_sweep(file, shards, where) for file in config["sweeps"])
    names = [sweep.name for sweep in sweeps]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"{where}: sweeps: the name {', '.join(sorted(twice))} is given twice")
    for name, parts in shards.items():
        if name not in names:
            raise UserError(
                f"{where}: shards: there is no sweep {name!r}; allowed: {', '.join(names)}"
            )
        for method in parts:
            methods = next(sweep.methods for sweep in sweeps if sweep.name == name)
            if method not in methods:
                raise UserError(
                    f"{where}: shards.{name}: there is no method {method!r}; "
                    f"allowed: {', '.join(methods)}"
                )
    figures = {name: figure_sweeps(name, names, where) for name in config.get("figures") or []}
    return Outline(sweeps, figures)


def _check(config: dict, where: str) -> None:
    """The fields that are read here have the types of workflow/schemas/config.schema.yaml."""
    for name in config:
        if name not in FIELDS:
            raise unknown("field", name, FIELDS, where)

    def wrong(field: str, value: Any, allowed: str) -> UserError:
        return UserError(f"{where}: {field}: given {repr(value)[:80]}; allowed: {allowed}")

    sweeps, figures = config.get("sweeps"), config.get("figures") or []
    if not isinstance(sweeps, list) or not sweeps or not all(map(_is_path, sweeps)):
        raise wrong("sweeps", sweeps, "a list of sweep files")
    if not isinstance(figures, list) or not all(_is_name(name) for name in figures):
        raise wrong("figures", figures, "a list of names: letters, digits, _ and -")
    shards = config.get("shards") or {}
    if not isinstance(shards, dict):
        raise wrong("shards", shards, "a mapping of sweeps to methods to numbers of jobs")
    for name, parts in shards.items():
        if not isinstance(parts, dict):
            raise wrong(f"shards.{name}", parts, "a mapping of methods to numbers of jobs")
        for method, jobs in parts.items():
            if isinstance(jobs, bool) or not isinstance(jobs, int) or not 1 <= jobs <= 1000:
                raise wrong(f"shards.{name}.{method}", jobs, "a whole number from 1 to 1000")


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and "\x00" not in value and value.strip() != ""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and NAME.fullmatch(value) is not None


def _sweep(file: str, shards: dict, where: str) -> SweepOutline:
    path = project_root() / file
    data = read_plain(path)
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("methods"), dict)
        or "system" not in data
    ):
        raise UserError(
            f"{where}: sweeps: {file} is not a sweep file (system and methods are missing)"
        )
    versions = method_versions(str(data["system"]))
    name = Path(file).stem
    return SweepOutline(
        name=name,
        file=file,
        methods={method: versions.get(method, versions.get("", 0)) for method in data["methods"]},
        shards=shards.get(name, {}),
        digest=_digest(data, path.parent),
        on_gpu=methods_on_gpu(str(data["system"])) & set(data["methods"]),
    )


def _digest(data: object, folder: Path) -> str:
    """Hash of what a sweep file says, and of the files that it names."""
    text = json.dumps(data, sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode())
    for name in re.findall(r'"([^"]+\.(?:npz|json))"', text):
        if (folder / name).is_file():
            digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def figure_sweeps(name: str, sweeps: list[str], where: str) -> tuple[str, ...]:
    """The sweeps that a figure draws: its own SWEEPS, or the sweep of the same name."""
    path = project_root() / "workflow" / "figures" / f"{name}.py"
    if not path.exists():
        needed: tuple[str, ...] = (name,)
    else:
        needed = next(
            (
                tuple(ast.literal_eval(node.value))
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.Assign)
                and [getattr(target, "id", "") for target in node.targets] == ["SWEEPS"]
            ),
            (),
        )
    lost = [sweep for sweep in needed if sweep not in sweeps]
    if lost:
        raise UserError(
            f"{where}: figures: {name} draws the sweep {', '.join(lost)}, which is not among "
            f"the sweeps {', '.join(sweeps)}"
        )
    return needed


def method_versions(system: str) -> dict[str, int | str]:
    """Versions of a system's methods, read from the decorators in its source text.

    A system from another package has one version for all, under "": that of its distribution.
    """
    found: dict[str, int | str] = {
        name: int(str(version))
        for name, version in _declared(system, "version").items()
        if isinstance(version, int)
    }
    for point in entry_points(group="phasesweep.systems"):
        if point.name == system and point.dist is not None:
            found[""] = point.dist.version
    return found


def methods_on_gpu(system: str) -> frozenset[str]:
    """Methods of a system that say devices=("cpu", "gpu"), read from its source text."""
    declared = _declared(system, "devices")
    return frozenset(name for name, devices in declared.items() if "gpu" in (devices or ()))


def _declared(system: str, field: str) -> dict[str, Any]:
    """{method: value} of a field in the decorators of a system, @system.theory(version=1, ...)."""
    folder = CHECKOUT / "solvers" / "systems"
    found = {}
    for file in [folder / f"{system}.py", *sorted((folder / system).glob("*.py"))]:
        if not file.exists():
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute):
                    for keyword in decorator.keywords:
                        if keyword.arg == field:
                            found[node.name] = _literal(keyword, file)
    return found


def _literal(keyword: ast.keyword, file: Path) -> Any:
    try:
        return ast.literal_eval(keyword.value)
    except ValueError:
        raise UserError(
            f"{file}, line {keyword.value.lineno}: {keyword.arg} must be written out, since it is "
            "read here without running the file"
        ) from None

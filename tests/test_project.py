"""The project keeps its own rules: who imports whom, dependencies in step, configurations that parse."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import requires
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement

from phasesweep.outline import method_versions, methods_on_gpu, outline, read_outline
from phasesweep.sweepfile import read_sweep
from solvers.contract import load_system
from tests.demo import OWN

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "solvers": {
        "phasesweep",
        "workflow",
        "dask",
        "distributed",
        "zarr",
        "xarray",
        "snakemake",
        "matplotlib",
    },
    "phasesweep": {"workflow", "snakemake", "benchmarks", "tests"},
}
CONDA_ONLY = {"python", "pip", "cuda-version"}
SLURM = {"dask-jobqueue", "snakemake-executor-plugin-slurm"}


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_run_one_way(package):
    for file in sorted((ROOT / package).rglob("*.py")):
        crossed = imported(file) & FORBIDDEN[package]
        assert not crossed, f"{file.relative_to(ROOT)} imports {', '.join(crossed)}"


def test_only_dependencies_are_imported():
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    named = {Requirement(r).name.replace("-", "_") for r in project["dependencies"]}
    optional = {"cupy", "dask_jobqueue", "cupyx"}
    modules = {"pyyaml": "yaml"}
    allowed = {modules.get(n, n) for n in named} | optional | {"solvers", "phasesweep", "pandas"}
    for package in FORBIDDEN:
        for file in sorted((ROOT / package).rglob("*.py")):
            foreign = imported(file) - allowed - set(sys.stdlib_module_names)
            assert not foreign, f"{file.relative_to(ROOT)} imports {', '.join(foreign)}"


def requirements(extra: str = "") -> dict[str, str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    listed = project["optional-dependencies"][extra] if extra else project["dependencies"]
    return {Requirement(r).name: str(Requirement(r).specifier) for r in listed}


@pytest.mark.parametrize(
    ("file", "gpu"), [("environment.yml", False), ("environment-gpu.yml", True)]
)
def test_conda_environments_agree_with_pyproject(file, gpu):
    entries = yaml.safe_load((ROOT / file).read_text())["dependencies"]
    conda = {Requirement(e).name: str(Requirement(e).specifier) for e in entries}
    wanted = requirements() | requirements("slurm")
    if gpu:
        wanted |= {"cupy": requirements("gpu")["cupy-cuda13x"]}
    assert {n: v for n, v in conda.items() if n not in CONDA_ONLY} == wanted
    with (ROOT / "pyproject.toml").open("rb") as source:
        assert conda["python"] == tomllib.load(source)["project"]["requires-python"]


def test_constraints_pin_every_dependency():
    pins = [
        Requirement(line)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    pinned = {p.name.lower().replace("_", "-"): p.specifier for p in pins}
    for extra in ("", "dev", "slurm"):
        for name, bound in requirements(extra).items():
            assert name.lower() in pinned, f"{name} is not pinned"
            version = next(iter(pinned[name.lower()])).version
            assert not bound or Requirement(f"{name}{bound}").specifier.contains(version)


def test_the_installed_package_declares_the_same():
    declared = {Requirement(r).name for r in requires("phasesweep") or [] if "extra ==" not in r}
    assert declared == set(requirements())


def test_every_dependency_has_a_reason():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for extra in ("", "gpu", "slurm", "dev"):
        for name in requirements(extra):
            assert f"`{name}`" in text, f"docs/architecture.md does not say why {name} is needed"


@pytest.mark.parametrize("file", ["config/config.yaml", "config/quickstart/config.yaml"])
def test_configurations_parse(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = yaml.safe_load((ROOT / file).read_text())
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    jsonschema.validate(config, schema)
    for sweep in read_outline(ROOT / file).sweeps:
        read = read_sweep(ROOT / sweep.file)
        assert read.name == sweep.name
        assert {n: g.method.version for n, g in read.grids.items()} == sweep.methods


def test_a_sweep_changes_with_the_files_that_it_names(tmp_path):
    sweep, start = tmp_path / "filed.yaml", tmp_path / "start.json"
    sweep.write_text("system: toy\nmethods: {line: {alpha: 1, start: start.json}}")
    digests = set()
    for content in ('{"x": 1}', '{"x": 2}'):
        start.write_text(content)
        digests.add(outline({"sweeps": [str(sweep)]}).sweep("filed").digest)
    sweep.write_text("system: toy\nmethods: {line: {alpha: 2, start: start.json}}")
    digests.add(outline({"sweeps": [str(sweep)]}).sweep("filed").digest)
    assert len(digests) == 3


@pytest.mark.parametrize("system", OWN)
def test_versions_and_devices_are_read_from_source_text(system):
    declared = {name: method.version for name, method in load_system(system).methods.items()}
    assert method_versions(system) == declared
    on_gpu = {name for name, m in load_system(system).methods.items() if "gpu" in m.devices}
    assert methods_on_gpu(system) == on_gpu


def test_schemas_are_schemas():
    for file in (ROOT / "phasesweep" / "schemas").glob("*.json"):
        jsonschema.Draft202012Validator.check_schema(json.loads(file.read_text()))


def test_every_file_of_a_package_is_installed():
    with (ROOT / "pyproject.toml").open("rb") as file:
        data = tomllib.load(file)["tool"]["setuptools"]["package-data"]
    for package in FORBIDDEN:
        folder = ROOT / package
        installed = {file for pattern in data[package] for file in folder.glob(pattern)}
        files = {file for file in folder.rglob("*") if file.is_file()}
        beside = {f for f in files if f.suffix != ".py" and "__pycache__" not in f.parts}
        assert beside == installed


def test_help_imports_nothing_heavy():
    code = (
        "import sys, click.testing, phasesweep.cli as c; "
        "r = click.testing.CliRunner().invoke(c.cli, ['--help']); assert r.exit_code == 0, r; "
        "print(sorted({'numpy', 'xarray', 'dask', 'numba', 'scipy', 'matplotlib', 'zarr', 'yaml', 'jsonschema'}"
        " & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("system", OWN)
def test_a_system_is_declared_without_what_it_computes_with(system):
    """To plan needs declarations alone, and takes less time than SciPy and Numba take to import."""
    heavy = {
        "numba",
        *(f"scipy.{n}" for n in ("special", "optimize", "integrate", "stats", "linalg")),
    }
    code = (
        f"import sys; from solvers.contract import load_system; load_system({system!r}); "
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_published_values_have_sources():
    files = sorted((ROOT / "data" / "published").glob("*.csv"))
    assert files
    for file in files:
        header, *rows = file.read_text().strip().splitlines()
        assert header == "quantity,parameters,value,uncertainty,source", file.name
        assert rows
        for row in rows:
            assert re.search(r"\d{4}", row.rsplit(",", 1)[-1]) or '"' in row, f"{file.name}: {row}"

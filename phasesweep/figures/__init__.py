"""Figures from datasets alone: the drawings in `workflow/figures`, and a generic one for any sweep.

A drawing is a file `workflow/figures/NAME.py` with a literal tuple `SWEEPS` of the sweeps whose
datasets it reads and a function `draw(trees)` that returns a matplotlib figure; `trees` maps the
name of a sweep to its dataset. A sweep without a drawing of its own gets the generic figure
(`generic.py`).

Matplotlib is imported when something is drawn, so that the command line answers at once.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from phasesweep.errors import UserError, unknown
from phasesweep.paths import data_root, project_root
from phasesweep.query import dataset_names, open_dataset

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

FORMATS = (".pdf", ".png", ".svg")
RESOLUTION = 200  # dots per inch of a PNG
# What matplotlib would write of the moment and of itself; without it equal figures are equal bytes.
UNDATED = {
    ".pdf": {"CreationDate": None, "Producer": None, "Creator": None},
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
}


def make(name: str, data: str | Path | None = None, output: str | Path | None = None) -> list[Path]:
    """Draw the figure NAME from datasets, as PDF and PNG; returns the files.

    NAME is a drawing in `workflow/figures`, or else a sweep whose dataset exists (the name of its
    file will do). The files go to `output`, or to `figures` of the data folder. Raises UserError if
    there is no such figure, or if a dataset that it reads was not made yet.
    """
    from phasesweep.figures.style import style

    root = data_root(data)
    if Path(name).suffix in (".yaml", ".yml", ".json"):
        name = Path(name).stem
    folder = Path(output) if output is not None else root / "figures"
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give a folder for the figures")
    script = project_root() / "workflow" / "figures" / f"{name}.py"
    with style():
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) and script.is_file():
            drawing = _load(script)
            trees = {s: _tree(s, root) for s in drawing.SWEEPS}
            _check_computed(trees)
            figure = drawing.draw(trees)
        elif name in dataset_names(root):
            figure = draw_tree(_tree(name, root))
        else:
            raise _no_figure(name, root)
        folder.mkdir(parents=True, exist_ok=True)
        return [save(figure, folder / f"{name}{kind}") for kind in (".pdf", ".png")]


def draw_tree(tree: xr.DataTree) -> Figure:
    """The generic figure of a sweep's dataset; see `generic.py` for what it shows."""
    from phasesweep.figures.generic import draw

    datasets = {name: node.to_dataset() for name, node in tree.children.items()}
    return draw(datasets, title=str(tree.attrs.get("title", tree.name)), wish=_wish(tree))


def draw_dataset(dataset: xr.Dataset) -> Figure:
    """The generic figure of one method's dataset, with axes chosen from what was swept."""
    from phasesweep.figures.generic import draw

    title = str(dataset.attrs.get("title", "")).replace("_", " ")
    return draw({dataset.attrs["method"]: dataset}, title=title, wish={})


def check_target(path: str | Path) -> Path:
    """The file to draw to; UserError unless it ends in .png, .pdf or .svg and its folder exists."""
    target = Path(path)
    if target.suffix not in FORMATS:
        raise UserError(
            f"{target}: given the ending {target.suffix!r}; allowed: {', '.join(FORMATS)}"
        )
    if not target.parent.is_dir():
        raise UserError(f"{target}: there is no folder {target.parent}; make it first")
    if target.is_dir():
        raise UserError(f"{target} is a folder; give the name of a file")
    return target


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure under a temporary name in its folder, then rename it; returns the path."""
    from phasesweep.figures.style import style

    target = Path(path)
    temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        with style(), temporary.open("wb") as file:
            kind = target.suffix
            figure.savefig(file, format=kind[1:], dpi=RESOLUTION, metadata=UNDATED[kind])
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def _load(script: Path) -> ModuleType:
    """The drawing in a file, which is in no package."""
    spec = importlib.util.spec_from_file_location(f"phasesweep_figure_{script.stem}", script)
    if spec is None or spec.loader is None:
        raise UserError(f"{script} cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    missing = [name for name in ("SWEEPS", "draw") if not hasattr(module, name)]
    if missing:
        raise UserError(f"{script}: {' and '.join(missing)} missing; a drawing has SWEEPS and draw")
    return module


def _tree(name: str, root: Path) -> xr.DataTree:
    import xarray as xr

    tree = open_dataset(name, None, root, wide=True)
    assert isinstance(tree, xr.DataTree)
    return tree


def _check_computed(trees: Mapping[str, xr.DataTree]) -> None:
    """A drawing shows every method of its sweeps; empty panels would pass for results."""
    for sweep, tree in trees.items():
        for name, node in tree.children.items():
            counts = [node.attrs.get(f"points_{what}", 1) for what in ("present", "failed")]
            if "points_present" in node.attrs and counts[0] <= counts[1]:
                raise UserError(
                    f"dataset {sweep}: no point of {name} is there; compute it with: "
                    f"phasesweep run, then phasesweep dataset"
                )


def _wish(tree: xr.DataTree) -> dict[str, object]:
    """What the sweep asks of its figure."""
    import json

    return json.loads(tree.attrs.get("figure", "{}"))


def _no_figure(name: str, root: Path) -> UserError:
    drawings = sorted(p.stem for p in (project_root() / "workflow" / "figures").glob("[!_]*.py"))
    names = dict.fromkeys([*drawings, *dataset_names(root)])
    error = unknown("figure", name, names or ["none yet"], str(root / "datasets"))
    return UserError(f"{error}; a sweep can be drawn after: phasesweep dataset SWEEP.yaml")

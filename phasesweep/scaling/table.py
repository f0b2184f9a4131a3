"""The threshold table: what a sweep's `thresholds` ask for, theory beside simulation.

An entry is a mapping, as in a sweep file:

    of          METHOD.OBSERVABLE, the measured (or computed) quantity
    along       the axis along which a level is looked for; without it the values are listed
    level       the level; 0.5 by default for a quantity between 0 and 1
    beside      METHOD.OBSERVABLE, the theory value, matched on the axes that both have
    exponent    w of the extrapolation a + b size^(-w); fitted if left out and three sizes are there
    collapse    whether to fit (alpha_c, nu) to all sizes

Each entry gives rows for every value of the other axes, of the kinds "level" (each size),
"crossing" (of successive sizes), "extrapolated", "collapse"; or "value". `exponent` does not enter
the collapse, whose nu is always fitted: a median may drift with another power than the width
shrinks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from phasesweep.scaling.beside import Beside
from phasesweep.scaling.collapse import collapse_fits
from phasesweep.scaling.crossings import (
    Estimate,
    curve_crossing,
    curve_level,
    exact_crossing,
    level_of,
)
from phasesweep.scaling.curves import OK, fit_curve
from phasesweep.scaling.extrapolation import extrapolate
from phasesweep.scaling.selection import Selection, find_variable, select
from solvers.contract import Status

if TYPE_CHECKING:
    import xarray as xr

FIELDS = ("of", "along", "level", "beside", "exponent", "collapse")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    `axes` holds the axes with several values; `sizes` the sizes that took part. `theory` is the
    value beside, and `deviation` = (value - theory)/error. `nu` = 1/exponent of an extrapolation or
    a collapse, with error 0 where it was given. `status` is "ok" or the sentence why the number is
    missing or not to be trusted; `note` remarks on a number that stands. NaN where a field does not
    apply.
    """

    of: str
    kind: str
    axes: Mapping[str, Any] = field(default_factory=dict)
    along: str = ""
    level: float = float("nan")
    sizes: tuple[float, ...] = ()
    value: float = float("nan")
    error: float = float("nan")
    theory: float = float("nan")
    deviation: float = float("nan")
    nu: float = float("nan")
    nu_error: float = float("nan")
    chi2: float = float("nan")
    degrees_of_freedom: int = 0
    status: str = OK
    note: str = ""


def threshold_table(
    tree: xr.DataTree,
    entries: Sequence[Mapping[str, Any]],
    *,
    resamples: int = 400,
    bootstrap_seed: int = 0,
) -> list[Row]:
    """The rows that the `entries` ask for, in order.

    Args:
        tree: the dataset of a sweep, a group per method; attrs `size` and `role` of a group name
        its
            size axis and its role. An observable `samples` along alpha replaces the asked alpha by
            samples/size, since rounding to whole samples moves a transition at small sizes.
        entries: mappings of the form above.
        resamples, bootstrap_seed: number and draw of the resamples of the seeds.

    Raises:
        ValueError: one sentence that says which entry and field, what was given and what is
        allowed.
    """
    rows: list[Row] = []
    for number, entry in enumerate(entries, start=1):
        try:
            rows += _entry_rows(tree, entry, resamples, bootstrap_seed)
        except ValueError as error:
            raise ValueError(f"entry {number}: {error}") from None
    return rows


def _entry_rows(
    tree: xr.DataTree, entry: Mapping[str, Any], resamples: int, bootstrap_seed: int
) -> list[Row]:
    unknown = [name for name in entry if name not in FIELDS]
    if unknown or "of" not in entry:
        problem = f"unknown field {unknown[0]!r}" if unknown else "the field of is missing"
        raise ValueError(f"{problem}; allowed: {', '.join(FIELDS)}")
    variable = find_variable(tree, entry["of"], "of")
    along = entry.get("along")
    if along is None and (entry.get("collapse") or "level" in entry or "exponent" in entry):
        raise ValueError("level, exponent and collapse need the field along")
    selection = select(variable, along)
    mentioned = _mentioned(tree)
    beside = (
        Beside.find(tree, entry["beside"], variable, selection, mentioned)
        if entry.get("beside")
        else None
    )
    if along is None:
        return [_beside(row, beside) for row in _value_rows(selection, entry)]
    if entry.get("collapse") and selection.role != "simulation":
        raise ValueError(
            f"collapse needs a simulation; {entry['of']} is of the role {selection.role}"
        )
    if entry.get("collapse") and not selection.size_axis:
        raise ValueError(f"collapse needs a size axis; {entry['of']} has none")
    level = _level(entry, selection)
    rows = []
    for cell in selection.cells():
        blank = Row(entry["of"], "", cell.axes, along, level)
        if selection.role == "simulation":
            found = _measured_rows(blank, cell.samples, entry, resamples, bootstrap_seed)
        else:
            found = _computed_rows(blank, cell.samples, entry)
        rows += [_beside(_noted(row, cell.remarks(row.sizes)), beside) for row in found]
    return rows


def _level(entry: Mapping[str, Any], selection: Selection) -> float:
    if "level" in entry:
        return float(entry["level"])
    known = selection.values[np.isfinite(selection.values)]
    if known.size and (known.min() < 0 or known.max() > 1):
        raise ValueError(
            f"the field level is missing; {entry['of']} lies between {known.min():.4g} "
            f"and {known.max():.4g}"
        )
    return 0.5


def _measured_rows(
    blank: Row, samples: list, entry: Mapping[str, Any], resamples: int, bootstrap_seed: int
) -> Iterator[Row]:
    """Rows of one cell of a simulation: a level per size, crossings, extrapolation, collapse."""
    fits = [
        fit_curve(sample, level=blank.level, resamples=resamples, bootstrap_seed=bootstrap_seed)
        for sample in samples
    ]
    levels = [level_of(fit) for fit in fits]
    for sample, estimate in zip(samples, levels, strict=True):
        yield _row(blank, "level", (sample.size,), estimate)
    for small, large in pairwise(fits):
        yield _row(blank, "crossing", (small.size, large.size), curve_crossing(small, large))
    if len(samples) > 1:
        yield _extrapolated(blank, samples, levels, entry.get("exponent"), measured=True)
    if entry.get("collapse"):
        result = collapse_fits(fits)
        note = f"height {result.height:.4g}" if np.isfinite(result.height) else ""
        note += ", with the leading correction to scaling" if result.corrected and note else ""
        sizes = tuple(fit.size for fit in fits if fit.ok and not fit.gap)
        yield replace(
            blank,
            kind="collapse",
            sizes=sizes,
            value=result.value,
            error=result.error,
            nu=result.nu,
            nu_error=result.nu_error,
            chi2=result.chi2,
            degrees_of_freedom=result.degrees_of_freedom,
            status=result.status,
            note=note,
        )


def _computed_rows(blank: Row, samples: list, entry: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of one cell of a theory or an exact formula: no seeds, so no errors."""
    levels = [
        curve_level(x=s.x, y=s.y[0], level=blank.level)
        if len(s.y)
        else Estimate(status="no point has a value")
        for s in samples
    ]
    sized = [s for s in samples if np.isfinite(s.size)]
    for sample, estimate in zip(samples, levels, strict=True):
        yield _row(blank, "level", (sample.size,) if sized else (), estimate)
    for small, large in pairwise(sized):
        if len(small.x) > 1 and len(large.x) > 1:
            yield _row(blank, "crossing", (small.size, large.size), exact_crossing(small, large))
    if len(sized) > 1:
        yield _extrapolated(blank, samples, levels, entry.get("exponent"), measured=False)


def _row(blank: Row, kind: str, sizes: tuple[float, ...], estimate: Estimate) -> Row:
    note = estimate.note
    if np.isfinite(estimate.height):
        note = ", ".join(filter(None, [f"height {estimate.height:.4g}", note]))
    return replace(
        blank,
        kind=kind,
        sizes=sizes,
        value=estimate.value,
        error=estimate.error,
        status=estimate.status,
        note=note,
    )


def _extrapolated(
    blank: Row, samples: list, levels: list[Estimate], exponent: float | None, *, measured: bool
) -> Row:
    used = [
        (sample.size, estimate)
        for sample, estimate in zip(samples, levels, strict=True)
        if estimate.status == OK and (not measured or estimate.error > 0)
    ]
    result = extrapolate(
        sizes=[size for size, _ in used],
        values=[estimate.value for _, estimate in used],
        errors=[estimate.error for _, estimate in used] if measured else None,
        exponent=exponent,
    )
    left_out = [f"{s.size:g}" for s in samples if s.size not in [size for size, _ in used]]
    note = f"without size {', '.join(left_out)}" if left_out and used else ""
    nu, nu_error = 1 / result.exponent, result.exponent_error / result.exponent**2
    return replace(
        blank,
        kind="extrapolated",
        sizes=tuple(size for size, _ in used),
        value=result.value,
        error=result.error,
        nu=nu,
        nu_error=nu_error,
        chi2=result.chi2,
        degrees_of_freedom=result.degrees_of_freedom,
        status=result.status,
        note=note,
    )


def _value_rows(selection: Selection, entry: Mapping[str, Any]) -> Iterator[Row]:
    """The values themselves; a mean over seeds with its standard error for a simulation."""
    for cell in selection.cells():
        for sample in cell.samples:
            known = sample.y[np.isfinite(sample.y)]
            value = float(np.mean(known)) if len(known) else float("nan")
            error = (
                float(np.std(known, ddof=1) / np.sqrt(len(known)))
                if len(known) > 1
                else float("nan")
            )
            status = OK if len(known) else "no value"
            code = int(np.max(cell.codes, initial=0))
            if selection.role != "simulation" and code > 0:
                status = f"{Status(code).name.lower().replace('_', ' ')}: {Status(code).advice}"
            sizes = (sample.size,) if np.isfinite(sample.size) else ()
            row = Row(
                entry["of"],
                "value",
                cell.axes,
                sizes=sizes,
                value=value,
                error=error,
                status=status,
            )
            yield _noted(row, cell.remarks(sizes)) if selection.role == "simulation" else row


def _noted(row: Row, further: str) -> Row:
    return replace(row, note="; ".join(filter(None, [row.note, further])))


def _beside(row: Row, beside: Beside | None) -> Row:
    """The row with its theory value and the difference in standard errors."""
    if beside is None:
        return row
    theory, comparable, remark = beside.at(row.axes, row.sizes)
    deviation = float("nan")
    if comparable and row.status == OK and row.error > 0:
        deviation = (row.value - theory) / row.error
    return _noted(replace(row, theory=theory, deviation=deviation), remark)


def _mentioned(tree: xr.DataTree) -> set[str]:
    """The axes that the sweep file names: others have defaults, which may differ by method."""
    content = json.loads(tree.attrs.get("description") or "{}")
    methods = [axes or {} for axes in (content.get("methods") or {}).values()]
    sections = [content.get("fixed") or {}, content.get("axes") or {}, *methods]
    return {axis for section in sections for axis in section}

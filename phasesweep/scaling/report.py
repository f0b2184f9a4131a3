"""Writing the rows of a threshold table: text, CSV, plain records, a pandas table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from phasesweep.scaling.table import Row

if TYPE_CHECKING:
    import pandas as pd


def to_records(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One flat mapping per row, with a column per axis; what does not apply is None."""
    axes = list(dict.fromkeys(axis for row in rows for axis in row.axes))
    records = []
    for row in rows:
        record: dict[str, Any] = {}
        for column in fields(Row):
            if column.name == "axes":
                record |= {axis: row.axes.get(axis) for axis in axes}
            elif column.name == "sizes":
                record["sizes"] = " ".join(f"{size:g}" for size in row.sizes)
            else:
                record[column.name] = getattr(row, column.name)
        if math.isnan(row.chi2):
            record["degrees_of_freedom"] = None
        records.append(
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in record.items()}
        )
    return records


def to_csv(rows: Sequence[Row]) -> str:
    """The records as CSV with a header; empty where nothing applies. Numbers keep every digit."""
    records = to_records(rows)
    names = list(records[0]) if records else [column.name for column in fields(Row)]
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The records as a pandas table."""
    import pandas as pd

    records = to_records(rows)
    return pd.DataFrame(records, columns=list(records[0]) if records else None)


def to_text(rows: Sequence[Row]) -> str:
    """A table for people: values with their errors, one line per row, sentences below."""
    from tabulate import tabulate

    axes = list(dict.fromkeys(axis for row in rows for axis in row.axes))
    head = ["of", *axes, "kind", "size", "value", "nu", "chi2/dof", "theory", "sigmas", ""]
    lines, sentences = [], []
    for row in rows:
        remark = "; ".join(filter(None, [row.status if row.status != "ok" else "", row.note]))
        if remark and remark not in sentences:
            sentences.append(remark)
        fit = f"{row.chi2:.1f}/{row.degrees_of_freedom}" if not math.isnan(row.chi2) else ""
        what = row.of if math.isnan(row.level) else f"{row.of} = {row.level:g}"
        lines.append(
            [
                what,
                *(row.axes.get(axis, "") for axis in axes),
                row.kind,
                " ".join(f"{size:g}" for size in row.sizes),
                with_error(row.value, row.error),
                with_error(row.nu, row.nu_error),
                fit,
                with_error(row.theory, math.nan),
                f"{row.deviation:+.1f}" if not math.isnan(row.deviation) else "",
                f"[{sentences.index(remark) + 1}]" if remark else "",
            ]
        )
    empty = [i for i in range(len(head)) if all(line[i] in ("", None) for line in lines)]
    keep = [i for i in range(len(head)) if i not in empty]
    table = tabulate(
        [[line[i] for i in keep] for line in lines], [head[i] for i in keep], disable_numparse=True
    )
    notes = [f"[{i}] {sentence}" for i, sentence in enumerate(sentences, start=1)]
    return "\n".join([table, *notes])


def with_error(value: float, error: float) -> str:
    """0.8332(15): the error in units of the last digit; seven digits without one."""
    if math.isnan(value):
        return ""
    if not (math.isfinite(error) and error > 0 and math.isfinite(value)):
        return f"{value:.7g}"
    # Rounded to two figures first: 0.00996 is 0.010, which has one decimal less.
    digits = max(0, 1 - math.floor(math.log10(float(f"{error:.1e}"))))
    if digits == 0 or error >= 1:
        return f"{value:.{digits}f}({error:.{digits}f})"
    return f"{value:.{digits}f}({round(error * 10**digits)})"

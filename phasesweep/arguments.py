"""What is typed on the command line, as Python values: AXIS=VALUES and I/N."""

from __future__ import annotations

from typing import Any

from phasesweep.errors import UserError
from solvers.axes import File
from solvers.contract import Method


def shard(text: str | None) -> tuple[int, int]:
    """I/N as (I, N); the whole if nothing was given."""
    if text is None:
        return 1, 1
    part, slash, of = text.partition("/")
    if not (slash and part.isdigit() and of.isdigit() and 1 <= int(part) <= int(of)):
        raise UserError(f"--shard: given {text!r}; allowed: I/N with 1 <= I <= N, such as 2/8")
    return int(part), int(of)


def axis_forms(method: Method, assignments: tuple[str, ...]) -> dict[str, Any]:
    """AXIS=VALUES as the forms of a sweep file."""
    forms: dict[str, Any] = {}
    for name, text in _assignments(assignments).items():
        axis = method.axes.get(name)
        parts = text.split(":")
        if axis is None or isinstance(axis, File):
            forms[name] = text
        elif len(parts) in (3, 4) and (len(parts) == 3 or parts[3] in ("log", "linear")):
            spacing = {"spacing": parts[3]} if len(parts) == 4 else {}
            forms[name] = {
                "from": parts[0],
                "to": parts[1],
                "points": _points(name, text),
                **spacing,
            }
        elif "," in text:
            forms[name] = text.split(",")
        else:
            forms[name] = text
    return forms


def _points(name: str, text: str) -> int:
    points = text.split(":")[2]
    if not points.isdigit() or int(points) < 1 or int(points) > 10_000_000:
        raise UserError(
            f"{name}: given {text!r}; allowed: FROM:TO:POINTS with a whole number of points"
        )
    return int(points)


def selection(assignments: tuple[str, ...]) -> dict[str, Any]:
    """AXIS=VALUES as values, lists and slices."""
    chosen: dict[str, Any] = {}
    for name, text in _assignments(assignments).items():
        if ":" in text and not text.startswith("sha256:"):
            try:
                low, high = (float(part) if part else None for part in text.split(":"))
            except ValueError:
                raise UserError(f"{name}: given {text!r}; allowed: FROM:TO") from None
            chosen[name] = slice(low, high)
        else:
            chosen[name] = text.split(",") if "," in text else text
    return chosen


def _assignments(assignments: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not (name and equals and text):
            raise UserError(f"given {assignment!r}; allowed: AXIS=VALUES, such as alpha=0.5:3:26")
        if name in found:
            raise UserError(f"the axis {name} is given twice")
        found[name] = text
    return found

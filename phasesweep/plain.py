"""Plain data from YAML and JSON files: nothing in them can run; what is ambiguous is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from phasesweep.errors import UserError

LARGEST = 10_000_000
"""Values of a file: a few lines can stand for more than any memory holds."""


class _Loader(yaml.SafeLoader):
    """Plain data only, and a key given twice is an error instead of a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the name {key!r} is not text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_plain(path: Path) -> Any:
    """The plain data in a YAML or JSON file."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from None
    try:
        data = yaml.load(text, _Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        # ValueError: a date that is none, a number of a hundred thousand digits.
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error) or type(error).__name__
        problem = " ".join(str(problem).split())
        raise UserError(f"{path}{line}: not valid YAML: {problem}") from None
    if _written_out(data, {}, path) > LARGEST:
        raise UserError(
            f"{path}: what it refers to repeatedly is more than {LARGEST:,} values when written "
            "out; give ranges as {from, to, points}"
        )
    return data


def _written_out(data: Any, known: dict[int, int], path: Path) -> int:
    """How many values there are with every reference followed, without following them all."""
    if not isinstance(data, dict | list | tuple):
        return 1
    if id(data) in known:
        if not known[id(data)]:
            raise UserError(f"{path}: the file refers to itself; write the values out")
        return known[id(data)]
    known[id(data)] = 0
    items = data.values() if isinstance(data, dict) else data
    try:
        total = 1 + sum(_written_out(item, known, path) for item in items)
    except RecursionError:
        raise UserError(f"{path}: nested too deeply to be a sweep or a configuration") from None
    known[id(data)] = total
    return total

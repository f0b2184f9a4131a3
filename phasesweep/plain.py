"""Plain data from YAML and JSON files: nothing in them can run; what is ambiguous is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from phasesweep.errors import UserError


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
        json.dumps(data, default=str)
        return data
    except ValueError:
        raise UserError(f"{path}: the file refers to itself; write the values out") from None
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise UserError(f"{path}{line}: not valid YAML: {problem}") from None

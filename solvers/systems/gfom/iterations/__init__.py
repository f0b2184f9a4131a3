"""Built-in iterations: one file each, found by listing this folder.

The file `NAME.py` holds `PARAMETERS`, the axes that the iteration depends on; `EXACT_STEPS`, up to
how many steps its averages are exact without paths (None: any number); and

    build(steps, points, xp, **parameters) -> Case

with the parameters as arrays of shape (points, 1, 1, 1), of the namespace `xp`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from solvers.numerics.gfom import Iteration, Past


@dataclass(frozen=True)
class Case:
    """An iteration and what is recorded of it, all on the rows of one block.

    `iterate(t, past)` is the recorded z_t, `reference(past)` what moments and risks refer to.
    `response_index(t)` gives the (iterate of `response_block`, first source) to which row t of the
    response belongs.
    """

    iteration: Iteration
    block: str
    iterate: Callable[[int, Past], Any]
    reference: Callable[[Past], Any]
    response_block: str

    def response_pairs(self, steps: int) -> list[tuple[int, int]]:
        """The (t, s) of responses that exist."""
        if self.response_block == "sites":
            return [(t, s) for t in range(1, steps + 1) for s in range(1, t)]
        return [(t, s) for t in range(1, steps + 1) for s in range(1, t + 1)]


def names() -> tuple[str, ...]:
    """Every built-in iteration."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Any:
    """The module of one iteration."""
    return importlib.import_module(f"{__name__}.{name}")


def using(parameter: str) -> tuple[str, ...]:
    """The iterations that depend on a parameter."""
    return tuple(name for name in names() if parameter in load(name).PARAMETERS)

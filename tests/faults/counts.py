"""How often the harness does a thing, and what it counted.

`make test` does the short version; `make test-faults` sets PHASESWEEP_FAULTS=long, and every count
may be given by itself: PHASESWEEP_FAULTS_KILLS=200.
"""

from __future__ import annotations

import os

LONG = os.environ.get("PHASESWEEP_FAULTS") == "long"
COUNTED: dict[str, object] = {}


def times(name: str, *, short: int, long: int) -> int:
    """How often: the short or the long count, or the one of the environment."""
    given = os.environ.get(f"PHASESWEEP_FAULTS_{name.upper()}")
    return int(given) if given else long if LONG else short


def counted(what: str, value: object) -> None:
    """Remember a count; the summary of the tests prints it."""
    COUNTED[what] = value

"""How long a point may take, how often it is tried, and whether a failed one is asked again.

A sweep file says so under `limits`, and the command line goes before it:

    limits: {seconds: 600, attempts: 2, failed: keep}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

LEAST_SECONDS = 1800.0
PATIENCE = 50.0
"""Declared seconds are of a modest core that nobody else uses; without a limit of the user's a
computation may take so many times as long, and half an hour at the least."""


@dataclass(frozen=True)
class Limits:
    """What a run may spend on a point."""

    seconds: float = 0.0
    """Longest time of one batch, and then of each of its points alone; 0 takes it from the cost."""
    attempts: int = 1
    """How often a point that raises or runs past its time is tried in one run."""
    failed: str = "again"
    """Points that failed in an earlier run: "again" asks them again, "keep" leaves them."""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Limits:
        """From the `limits` of a sweep file, which its schema has checked."""
        return cls(**given)

    def override(self, **given: Any) -> Limits:
        """With what was given on the command line; None was not given."""
        return replace(self, **{name: value for name, value in given.items() if value is not None})

    def allowed(self, declared: float) -> float:
        """Seconds that a computation of so many declared seconds may take."""
        return self.seconds or max(LEAST_SECONDS, PATIENCE * declared)


def out_of_time(seconds: float) -> str:
    """The message of a point that took too long."""
    return (
        f"ran past its time limit of {seconds:g} s; give it more with `limits: {{seconds: N}}` in "
        "the sweep file, or --time-limit N"
    )

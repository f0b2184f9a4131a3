"""The exceptions that a person sees as a sentence instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Misuse: says what, where, what is allowed and what to try. The command line exits with 2."""


class StoppedError(Exception):
    """Work that was asked correctly cannot go on; the command line exits with 1."""


def unknown(what: str, given: object, allowed: Iterable[str], where: str = "") -> UserError:
    """The error for a name that is not one of `allowed`, with the nearest one suggested."""
    names = list(allowed)
    near = get_close_matches(str(given), names, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    prefix = f"{where}: " if where else ""
    return UserError(f"{prefix}there is no {what} {given!r}; allowed: {', '.join(names)}{hint}")

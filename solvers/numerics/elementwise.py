"""Roots and minima of many functions of one variable at once: `scipy.optimize.elementwise`.

SciPy's optimizers are imported when something is looked for: it takes longer than a command that
computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def find_root(function: Callable[..., Any], bracket: tuple[Any, Any], /, **options: Any) -> Any:
    """As SciPy's: a root in every bracket (Chandrupatla's method)."""
    from scipy.optimize import elementwise

    return elementwise.find_root(function, bracket, **options)


def find_minimum(function: Callable[..., Any], bracket: tuple[Any, ...], /, **options: Any) -> Any:
    """As SciPy's: a minimum in every bracket of three points."""
    from scipy.optimize import elementwise

    return elementwise.find_minimum(function, bracket, **options)

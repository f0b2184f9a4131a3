"""`denoise` of channels and priors on a device: one kernel that reads and writes every array once.

In array-API operations a response is many launches over arrays of (rows, points), each of which
reads one to three of them and writes one; counted with noise, 18 launches for sign (43 arrays read
or written), 117 for abs (295), 108 for relu (266), 435 for door (1109), 21 for gauss_bernoulli
(50), 8 for rademacher (17), 4 for linear (9). `fused` puts one kernel of CuPy in their place, which
reads two arrays and writes two.

The decorated function stays the definition, for NumPy and every other namespace, and what the
kernel is tested against; the formulas of one element stand in `channels.cu`, `door.cu` and
`priors.cu`. A choice that the function makes for a whole array to save time (no noise anywhere, no
thin door) is made here for every element, so that the host is never asked. log Z and labels, which
are needed once a run and not once an iteration, stay in array-API operations.

CuPy makes a variant of the kernel for every layout of the arrays. Without fused multiply-add all
round alike, so that a point's answer does not depend on the batch in which it was asked.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from array_api_compat import is_cupy_namespace

from solvers.numerics.cuda import text

Response = Callable[..., tuple[Any, Any]]

_TEXTS = ("tails", "channels", "door", "priors")


def fused(name: str) -> Callable[[Response], Response]:
    """Decorate a function of keywords and `xp` with the function `name` of the CUDA texts.

    That takes the keywords in their order, but for `xp`, and then its two results by reference.
    """

    def decorate(portable: Response) -> Response:
        order = tuple(key for key in inspect.signature(portable).parameters if key != "xp")

        @wraps(portable)
        def response(*, xp: Any, **given: Any) -> tuple[Any, Any]:
            if not is_cupy_namespace(xp):
                return portable(xp=xp, **given)
            return _kernel(name, order, xp)(*_alike([given[key] for key in order], xp))

        return response

    return decorate


@cache
def _kernel(name: str, order: tuple[str, ...], xp: Any) -> Any:
    return xp.ElementwiseKernel(
        ", ".join(f"T {key}" for key in order),
        "T first, T second",
        f"{name}({', '.join(order)}, first, second)",
        f"fused_{name}",
        preamble="".join(text(part) for part in _TEXTS),
        options=("--fmad=false",),
    )


def _alike(values: list[Any], xp: Any) -> list[Any]:
    """Arrays of one floating-point type, and numbers of Python, which take it."""
    real = xp.result_type(*(value for value in values if not isinstance(value, numbers.Real)))
    return [
        float(value) if isinstance(value, numbers.Real) else xp.asarray(value, dtype=real)
        for value in values
    ]

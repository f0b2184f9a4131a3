"""How the factors of a product are held: as they are, in binary16 (`half`), or in TF32.

A matrix X multiplies columns w, and its transpose multiplies columns g. In a format of few bits

    X = scale · R,     R rounded once, when it is drawn, to nearest, ties to even,
    X·w  = scale · p · (R · round(w/p)),       X^T g = scale · p · (R^T round(g/p)),

with one power of two p a column (a block of rows of a column for g), the largest that is not above
max|w|: it changes no digit, and a column of any size keeps its digits. `scale` = 1/√dimension for
entries of variance 1/dimension, so that R has entries of order one. Products of two rounded numbers
are exact in single precision, sums are taken in single precision, and all else in an iteration is
single. So R, scale and nothing else is the instance.

    half   IEEE binary16: 10 bits of mantissa, numbers from 2^-24 (2^-14 in full) to 65504; a
           Gaussian entry is at most 6.8, and what lies 2^-14 below a column's largest loses digits
    tf32   10 bits of mantissa, the exponents of single precision

Both round by at most 2^-11 relatively, `eps` = 2^-10 as `finfo` has it. The rounding of w moves
X·w by some 2e-4 |w|/√dimension, at random: independent entries round independently.

**Accurate products** (`accurate`; labels, and what is measured at the end) are those of R with
columns of single precision: on a device w/p = round(w/p) + round(rest), two products, which keeps
22 bits of mantissa.

**Storage.** A device holds R in two bytes an entry for half, and in single precision for tf32. On a
CPU the formats are emulated: R and the rounded columns are numbers of single precision, whose
products are then those of a device up to the order of the sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

_EXPONENT = 0x7F800000
_DROPPED = 13
"""Bits of a single-precision mantissa that TF32 lacks."""


@dataclass(frozen=True)
class Held:
    """A format, "plain", "half" or "tf32", and the factor of what is held in it."""

    word: str = "plain"
    scale: float = 1.0

    @classmethod
    def of(cls, precision: str) -> Held:
        """What the word of an axis `precision` asks for; single and double are plain."""
        return cls(precision if precision in ("half", "tf32") else "plain")

    @property
    def plain(self) -> bool:
        """Whether factors are used as they are."""
        return self.word == "plain"

    def eps(self, dtype: Any) -> float:
        """Distance from 1 to the next number of the factors, `dtype` that of all else."""
        return float(np.finfo(np.dtype(dtype)).eps) if self.plain else 2.0**-10

    def dtype(self, dtype: Any, xp: Any) -> Any:
        """What the matrix is stored in."""
        small = self.word == "half" and not array_api_compat.is_numpy_namespace(xp)
        return xp.float16 if small else dtype

    def hold(self, x: Any, xp: Any) -> Any:
        """`x`, in single precision or rounded, in the format and in its storage."""
        if self.plain:
            return x
        if self.word == "tf32":
            return round_to_tf32(x, xp)
        small = xp.astype(x, xp.float16, copy=False)
        return xp.astype(small, self.dtype(xp.float32, xp), copy=False)

    def lower(
        self, columns: Any, xp: Any, *, accurate: bool = False
    ) -> tuple[tuple[Any, ...], Any | None]:
        """Factors of a product, and by what each column of it is then to be multiplied.

        `columns` (columns, length) in single precision. Usually one factor; where accurate products
        take two, they are to be added. None if there is nothing to multiply by.
        """
        if self.plain:
            return (columns,), None
        if accurate and array_api_compat.is_numpy_namespace(xp):
            return (columns,), np.full(len(columns), self.scale, dtype=columns.dtype)
        power = power_of_two(xp.max(xp.abs(columns), axis=1), xp)
        columns = columns / power[:, None]
        first = self.hold(columns, xp)
        if not accurate:
            return (first,), self.scale * power
        rest = columns - xp.astype(first, columns.dtype)
        return (first, self.hold(rest, xp)), self.scale * power


PLAIN = Held()


def power_of_two(size: Any, xp: Any) -> Any:
    """The largest power of two not above each `size` >= 0; 1 for what is zero or not finite."""
    power = (size.view(np.int32) & _EXPONENT).view(np.float32)
    return xp.where((power > 0) & xp.isfinite(power), power, xp.ones_like(power))


def round_to_tf32(x: Any, xp: Any) -> Any:
    """Single precision to 10 bits of mantissa, to nearest, ties to even, in integer arithmetic.

    Half a unit of the last place is added, less one bit if that place is even; a carry into the
    exponent is the next binade, or infinity. NaNs, which a carry would spoil, stay.
    """
    bits = x.view(np.int32)
    odd = (bits >> _DROPPED) & 1
    kept = (bits + (odd + ((1 << (_DROPPED - 1)) - 1))) & -(1 << _DROPPED)
    return xp.where(xp.isnan(x), x, kept.view(np.float32))

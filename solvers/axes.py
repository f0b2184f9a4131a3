"""Axes: the control parameters of a system, and what values they take.

`Real` and `Integer` axes are numeric: a solver receives them as columns (unless they are shared
by a batch). `Choice`, `Sequence` and `File` axes are not: a solver receives one value for the
whole batch.

Every axis has `parse`, which turns what a person or a file gives into the canonical value, or
raises `ValueError` with a sentence that says what is allowed. Floats are canonical at 12
significant digits, so that `linspace`, `arange` and typed values meet on one point, and the
canonical value is also the one that the solver receives.
"""

from __future__ import annotations

import hashlib
import json
import math
import numbers
import zipfile
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np


class _Required:
    def __repr__(self) -> str:
        return "required"


REQUIRED: Any = _Required()


def canonical_float(value: float) -> float:
    """Round to 12 significant digits; -0.0 becomes 0.0."""
    return float(f"{value:.11e}") + 0.0


@dataclass(frozen=True)
class Axis:
    """What every axis says of itself."""

    description: str = ""
    _: KW_ONLY
    default: Any = REQUIRED
    symbol: str = ""
    """Mathematical symbol, in matplotlib's math text without the dollar signs."""
    unit: str = "1"
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Choice or file axes and the words with which this axis has a meaning: {"channel": ("door",)}.

    With other words it cannot be given, and the solver receives `otherwise`.
    """
    otherwise: Any = None

    numeric: ClassVar[bool] = False

    def condition(self) -> str:
        """When the axis has a meaning, in words; empty if always."""
        return " and ".join(f"{name}={'|'.join(words)}" for name, words in self.when.items())

    def parse(self, value: Any) -> Any:
        """Canonical form of `value`; raises ValueError with the allowed values otherwise."""
        raise NotImplementedError

    def allowed(self) -> str:
        """What the axis accepts, for messages."""
        raise NotImplementedError

    def text(self, value: Any) -> str:
        """Canonical text of a canonical value: what is hashed into the key and shown."""
        return str(value)


@dataclass(frozen=True)
class Real(Axis):
    """A real number between `low` and `high`; the ends belong to it unless named in `open`."""

    _: KW_ONLY
    low: float = -math.inf
    high: float = math.inf
    open: str = ""
    """'low', 'high' or 'both': the ends that are excluded."""

    numeric: ClassVar[bool] = True

    def parse(self, value: Any) -> float:
        """Canonical float, checked against the range."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real | str):
            raise ValueError(self.allowed())
        try:
            number = canonical_float(float(value))
        except (ValueError, OverflowError):
            raise ValueError(self.allowed()) from None
        below = number <= self.low if self.open in ("low", "both") else number < self.low
        above = number >= self.high if self.open in ("high", "both") else number > self.high
        if not math.isfinite(number) or below or above:
            raise ValueError(self.allowed())
        return number

    def allowed(self) -> str:
        """The range in words."""
        low = f"{'>' if self.open in ('low', 'both') else '>='} {self.low:g}"
        high = f"{'<' if self.open in ('high', 'both') else '<='} {self.high:g}"
        if self.low == self.high:
            return f"{self.low:g} only"
        parts = [low] * math.isfinite(self.low) + [high] * math.isfinite(self.high)
        return (
            " and ".join(["a number", *parts]) if not parts else f"a number {' and '.join(parts)}"
        )

    def text(self, value: float) -> str:
        """Twelve significant digits, always in the same form."""
        return f"{value:.11e}"


@dataclass(frozen=True)
class Integer(Axis):
    """A whole number from `low` to `high`, both included."""

    _: KW_ONLY
    low: int | None = None
    high: int | None = None

    numeric: ClassVar[bool] = True

    def parse(self, value: Any) -> int:
        """Canonical int; 3.0 and '3' are accepted, 3.5 is not."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real | str):
            raise ValueError(self.allowed())
        try:
            whole = int(value) if isinstance(value, numbers.Integral) else float(value)
            number = int(whole)
        except (ValueError, OverflowError):
            raise ValueError(self.allowed()) from None
        outside = (self.low is not None and number < self.low) or (
            self.high is not None and number > self.high
        )
        if number != whole or abs(number) >= 2**63 or outside:
            raise ValueError(self.allowed())
        return number

    def allowed(self) -> str:
        """The range in words."""
        low = [] if self.low is None else [f">= {self.low}"]
        high = [] if self.high is None else [f"<= {self.high}"]
        return " ".join(["a whole number", " and ".join(low + high)]).strip()


@dataclass(frozen=True, init=False)
class Choice(Axis):
    """One of a few words: `Choice("step", "rectangle", description=...)`."""

    options: tuple[str, ...] = ()

    def __init__(
        self,
        *options: str,
        description: str = "",
        default: Any = REQUIRED,
        symbol="",
        when: Mapping[str, tuple[str, ...]] | None = None,
        otherwise: str | None = None,
    ) -> None:
        for name, value in (
            ("options", options),
            ("description", description),
            ("default", default),
            ("symbol", symbol),
            ("unit", "1"),
            ("when", when or {}),
            ("otherwise", otherwise),
        ):
            object.__setattr__(self, name, value)

    def parse(self, value: Any) -> str:
        """The word itself."""
        if not isinstance(value, str) or value not in self.options:
            raise ValueError(self.allowed())
        return value

    def allowed(self) -> str:
        """The words."""
        return " | ".join(self.options)


@dataclass(frozen=True)
class Sequence(Axis):
    """An increasing list of numbers that is ONE value, such as the recorded times of a run.

    It labels the further axis `dim` of the observables: `Sequence("recorded times", dim="time")`.
    """

    _: KW_ONLY
    dim: str = ""
    low: float = -math.inf

    def parse(self, value: Any) -> tuple[float, ...]:
        """A tuple of canonical floats."""
        if isinstance(value, np.ndarray):
            value = value.tolist()
        if not isinstance(value, list | tuple) or not value:
            raise ValueError(self.allowed())
        entry = Real(low=self.low)
        try:
            numbers_ = tuple(entry.parse(item) for item in value)
        except ValueError:
            raise ValueError(self.allowed()) from None
        if any(after <= before for before, after in pairwise(numbers_)):
            raise ValueError(self.allowed())
        return numbers_

    def allowed(self) -> str:
        """What a list must look like."""
        floor = f" >= {self.low:g}" if math.isfinite(self.low) else ""
        return f"a strictly increasing list of numbers{floor}"

    def text(self, value: tuple[float, ...]) -> str:
        """All entries, in canonical form."""
        return ",".join(f"{item:.11e}" for item in value)


@dataclass(frozen=True)
class FileContent:
    """Named arrays read from a file; `digest` is a hash of names, shapes and numbers.

    Two files with the same content (an .npz and a .json, say) are the same value; the name of the
    file is kept for display only and takes no part in equality.
    """

    digest: str
    arrays: Mapping[str, np.ndarray]
    name: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileContent) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __str__(self) -> str:
        return f"sha256:{self.digest}"

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    @classmethod
    def of(cls, arrays: Mapping[str, Any], name: str = "") -> FileContent:
        """Content from arrays in memory (converted to float64, finite numbers only)."""
        clean = {key: np.array(arrays[key], dtype="<f8", order="C") for key in sorted(arrays)}
        digest = hashlib.sha256()
        for key, array in clean.items():
            if not np.all(np.isfinite(array)):
                raise ValueError(f"array {key!r} holds a number that is not finite")
            digest.update(f"{key}:{array.shape};".encode())
            digest.update((array + 0.0).tobytes())
        return cls(digest.hexdigest()[:32], clean, name)

    @classmethod
    def read(cls, path: Path) -> FileContent:
        """Content of an .npz (never unpickled) or a .json file of nested lists."""
        if path.suffix not in (".npz", ".json"):
            raise ValueError(f"{path}: the file must end in .npz or .json")
        try:
            if path.suffix == ".npz":
                if path.exists() and not zipfile.is_zipfile(path):
                    raise TypeError("it is no .npz archive; write one with numpy.savez")
                with np.load(path, allow_pickle=False) as archive:
                    arrays = {key: archive[key] for key in archive.files}
            else:
                arrays = json.loads(path.read_text())
                if not isinstance(arrays, dict):
                    raise TypeError("it must hold an object of named arrays")
                arrays = {key: np.asarray(item, dtype=float) for key, item in arrays.items()}
            return cls.of(arrays, path.name)
        except FileNotFoundError:
            raise ValueError(f"there is no file {path}") from None
        except (OSError, EOFError, TypeError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} cannot be read ({error})") from None


@dataclass(frozen=True)
class File(Axis):
    """Named arrays given as a file; the hash of the content is the value.

    `names` are the arrays the file must hold. `words` are values that need no file, such as
    "random". The solver receives the word, or a `FileContent`, which reads like a mapping of
    arrays.
    """

    _: KW_ONLY
    names: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def parse(self, value: Any) -> str | FileContent:
        """A word, a path, a mapping of arrays, or content already read."""
        if isinstance(value, str) and value in self.words:
            return value
        if isinstance(value, str | Path):
            content = FileContent.read(Path(value))
        elif isinstance(value, FileContent):
            content = value
        elif isinstance(value, Mapping):
            content = FileContent.of(value)
        else:
            raise ValueError(self.allowed())
        if set(content.arrays) != set(self.names):
            held = ", ".join(content.arrays) or "nothing"
            source = content.name or "the mapping"
            raise ValueError(f"{source} holds {held}; needed: {', '.join(self.names)}")
        return content

    def allowed(self) -> str:
        """Words and required names."""
        file = f"an .npz or .json file with the arrays {', '.join(self.names)}"
        return " | ".join([*self.words, file])

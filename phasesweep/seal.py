"""A seal on a folder of files: what was written is what is read.

The chunks of a dataset carry checksums, its descriptions do not, and a chunk that is missing reads
as not-a-number. So the names, sizes and digests of all files are written down last.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

SEAL = "seal.json"
ENTRANCE = "zarr.json"
"""What a lazy reader reads first, and trusts."""


def digest(data: bytes) -> str:
    """A digest of bytes, as text."""
    return blake2b(data, digest_size=16).hexdigest()


def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """JSON content with its own digest."""
    return content | {"digest": digest(_text(content))}


def unsealed(content: Any) -> dict[str, Any]:
    """The content without its digest; ValueError unless it is as it was written."""
    if not isinstance(content, dict) or "digest" not in content:
        raise ValueError("its digest is missing")
    rest = {name: value for name, value in content.items() if name != "digest"}
    if content["digest"] != digest(_text(rest)):
        raise ValueError("it is not as it was written")
    return rest


def _text(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


def seal(folder: Path) -> None:
    """Write down every file of a folder."""
    files = {}
    for path in _files(folder):
        data = path.read_bytes()
        files[path.relative_to(folder).as_posix()] = [len(data), digest(data)]
    (folder / SEAL).write_text(json.dumps(sealed({"files": files})))


def broken(folder: Path, *, deep: bool) -> str:
    """Which file is not as it was sealed, and why; "" if all are.

    Not `deep`: only the entrance is read, of the others the sizes are looked at.
    """
    try:
        files = unsealed(json.loads((folder / SEAL).read_text()))["files"]
        for name, (size, expected) in files.items():
            path = folder / name
            if path.stat().st_size != size:
                return f"{name} has another size"
            if (deep or name == ENTRANCE) and digest(path.read_bytes()) != expected:
                return f"{name} does not match its digest"
    except FileNotFoundError as error:
        return f"{Path(error.filename or SEAL).name} is missing"
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return f"{SEAL}: {error}"
    return ""


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL)

"""One segment: rows of one method in one immutable file, a Zarr v3 group inside a stored zip.

Any Zarr reader opens it (`zarr.open_group(zarr.storage.ZipStore(path, mode="r"))`). It is written
and read here without zarr's own machinery, which costs 60 ms to write 20 small arrays and 6 ms to
open two; this takes about 3 ms and 0.1 ms. Each array is one chunk with a crc32c checksum, zstd
before it.

Layout of the zip, in this order, so that keys and status can be read with one look at the head:

    key/c/0/0, status/c/0, zarr.json, key/zarr.json, status/zarr.json, NAME/zarr.json,
    NAME/c/0/..., ...

The zip comment, the last bytes of the file, is `phasesweep-segment-1:` and the BLAKE2b digest of
all bytes before the digest. A truncated file lacks it; a flipped bit anywhere contradicts it.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import zipfile
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.zstd import Zstd

from phasesweep.cache.rows import KEY_BYTES, STORED_TYPES, Coded, Column, Rows

FORMAT = 2
MARK = f"phasesweep-segment-{FORMAT}:".encode()
DIGEST_BYTES = 16
TAIL = len(MARK) + 2 * DIGEST_BYTES
_END = struct.Struct("<4s4H2LH")  # the zip's end-of-directory record
_LOCAL = struct.Struct("<4s5H3L2H")  # the header before each member
HEAD = 1 << 16
_ZSTD = Zstd(level=1)


class SegmentError(Exception):
    """A file that is not to be read; `kind` is "damaged" or "foreign"."""

    def __init__(self, kind: str, reason: str) -> None:
        """A kind for programs, a reason for people."""
        super().__init__(f"{kind}: {reason}")
        self.kind = kind
        self.reason = reason


def _damaged(reason: str) -> SegmentError:
    return SegmentError("damaged", reason)


# -- encoding ------------------------------------------------------------------------------


def _codecs(name: str, *, item_size: int) -> list[dict[str, Any]]:
    # Keys are hashes: zstd would only slow the reading of them down.
    order = (
        {"name": "bytes"}
        if item_size == 1
        else {"name": "bytes", "configuration": {"endian": "little"}}
    )
    zstd = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
    return [order, *([] if name == "key" else [zstd]), {"name": "crc32c"}]


def _array_metadata(
    name: str, array: np.ndarray, dims: tuple[str, ...], attributes: dict
) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(array.shape),
        "data_type": array.dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": [max(1, length) for length in array.shape]},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": False if array.dtype == bool else array.dtype.type(0).item(),
        "codecs": _codecs(name, item_size=array.dtype.itemsize),
        "dimension_names": ["point", *dims],
        "attributes": attributes,
    }


def _chunk(name: str, array: np.ndarray) -> bytes:
    data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    packed = data if name == "key" else bytes(_ZSTD.encode(data))
    return packed + struct.pack("<I", google_crc32c.value(packed))


def _unchunk(name: str, payload: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    packed = payload[:-4]
    if len(payload) < 4 or struct.pack("<I", google_crc32c.value(packed)) != payload[-4:]:
        raise _damaged(f"checksum of {name}")
    array = np.empty(shape, dtype=dtype)
    if name == "key":
        data: bytes | bytearray = packed
    else:
        # `out` fixes the size beforehand: a forged frame cannot ask for more memory than the shape.
        data = bytearray(array.nbytes)
        try:
            _ZSTD.decode(packed, out=data)
        except (RuntimeError, ValueError) as error:
            raise _damaged(f"{name} does not decompress ({error})") from None
    if len(data) != array.nbytes:
        raise _damaged(f"length of {name}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def encode(rows: Rows, *, created: str, replaces: tuple[str, ...] = ()) -> bytes:
    """The whole file as bytes. `replaces` names the segments that this one was merged from."""
    columns = rows.columns()
    arrays = {n: c.codes if isinstance(c, Coded) else c for n, c in columns.items()}
    dims = {
        "key": ("byte",),
        **{f"observable.{name}": tuple(names) for name, names in rows.dims.items()},
    }
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {
            "format": FORMAT,
            "system": rows.system,
            "method": rows.method,
            "version": rows.version,
            "rows": len(rows),
            "created": created,
            "replaces": list(replaces),
            "dims": {name: list(names) for name, names in rows.dims.items()},
            "labels": {name: list(words) for name, words in rows.labels.items()},
            "columns": list(arrays),
        },
    }

    def metadata(name: str) -> str:
        column = columns[name]
        attributes = {"values": column.values} if isinstance(column, Coded) else {}
        described = _array_metadata(name, arrays[name], dims.get(name, ()), attributes)
        return json.dumps(described, allow_nan=False)

    def chunk_name(name: str) -> str:
        return "/".join([name, "c", *("0" * arrays[name].ndim)])

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:

        def put(member: str, data: bytes | str) -> None:
            # ZipInfo's own date, 1980, keeps the bytes a function of the content.
            archive.writestr(zipfile.ZipInfo(member), data)

        for name in ("key", "status"):
            put(chunk_name(name), _chunk(name, arrays[name]))
        put("zarr.json", json.dumps(group, allow_nan=False))
        for name, array in arrays.items():
            put(f"{name}/zarr.json", metadata(name))
            if name not in ("key", "status") and array.size:
                put(chunk_name(name), _chunk(name, array))
        archive.comment = MARK + b"0" * (2 * DIGEST_BYTES)
    with buffer.getbuffer() as view:
        digest = blake2b(view[: -2 * DIGEST_BYTES], digest_size=DIGEST_BYTES).hexdigest().encode()
        view[-2 * DIGEST_BYTES :] = digest
    return buffer.getvalue()


# -- decoding ------------------------------------------------------------------------------


def check_digest(data: bytes | memoryview) -> None:
    """Raise SegmentError unless these are the bytes that were once written as a segment."""
    _check_tail(bytes(data[:4]), bytes(data[-TAIL - _END.size :]), len(data))
    digest = blake2b(data[: -2 * DIGEST_BYTES], digest_size=DIGEST_BYTES).hexdigest().encode()
    if digest != bytes(data[-2 * DIGEST_BYTES :]):
        raise _damaged("the digest of the file")


def _check_tail(start: bytes, tail: bytes, size: int) -> None:
    """The end of the file is where it must be and has this format's mark."""
    if tail[_END.size : _END.size + len(MARK)] == MARK:
        record = _END.unpack(tail[: _END.size])
        if record[0] == b"PK\5\6" and record[5] + record[6] + _END.size + TAIL == size:
            return
        raise _damaged("the end of the file")
    if b"phasesweep-segment-" in tail and MARK not in tail:
        raise SegmentError("foreign", "a segment of another format")
    if start != b"PK\3\4" or b"PK\5\6" in tail:
        raise SegmentError("foreign", "not a segment")
    raise _damaged("the file is cut short")


def _member(head: bytes, at: int, expected: str) -> tuple[bytes | None, int]:
    """The member that starts at `at`, None if `head` ends before it does; where the next starts."""
    record = _LOCAL.unpack_from(head, at)
    packed, plain, name_length, extra = record[7:]
    begin = at + _LOCAL.size + name_length + extra
    name = head[at + _LOCAL.size : at + _LOCAL.size + name_length]
    if record[0] != b"PK\3\4" or name != expected.encode() or packed != plain:
        raise _damaged(f"the place of {expected}")
    end = begin + packed
    return (head[begin:end] if end <= len(head) else None), end


def read_keys(path: Path, *, tail: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Keys (points, 16) uint8 and status (points,) int8, from the head of the file alone.

    With `tail=False` a file that is cut short or damaged further on still gives its keys.
    """
    # Plain system calls: opening ten thousand files is what the time goes into.
    file = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(file).st_size
        head = os.pread(file, HEAD, 0)
        if tail:
            end = head[-TAIL - _END.size :]
            if len(head) < size:
                end = os.pread(file, TAIL + _END.size, max(0, size - TAIL - _END.size))
            _check_tail(head[:4], end, size)
        try:
            keys, middle = _member(head, 0, "key/c/0/0")
            if keys is None:
                # Many rows: read on to the end of the keys and enough for a byte of status a row.
                head = os.pread(file, min(size, middle + middle // 8 + 4096), 0)
                keys, middle = _member(head, 0, "key/c/0/0")
            if keys is None or len(keys) < 4 or (len(keys) - 4) % KEY_BYTES:
                raise _damaged("length of key")
            points = (len(keys) - 4) // KEY_BYTES
            status, _ = _member(head, middle, "status/c/0")
        except struct.error:
            raise _damaged("the head of the file") from None
    finally:
        os.close(file)
    key = _unchunk("key", keys, np.dtype("u1"), (points, KEY_BYTES))
    if status is None:
        raise _damaged("length of status")
    return key, _unchunk("status", status, np.dtype("i1"), (points,))


def _json(archive: zipfile.ZipFile, member: str) -> dict[str, Any]:
    described = json.loads(archive.read(member))
    if not isinstance(described, dict):
        raise _damaged(member)
    return described


def _read_array(archive: zipfile.ZipFile, name: str, points: int) -> Column:
    about = _json(archive, f"{name}/zarr.json")
    shape = tuple(int(length) for length in about["shape"])
    kind = about["data_type"]
    if kind not in (*STORED_TYPES, "uint8", "int32") or shape[:1] != (points,) or min(shape) < 0:
        raise _damaged(f"description of {name}")
    dtype = np.dtype(kind).newbyteorder("<")
    if math.prod(shape):
        chunk = archive.read("/".join([name, "c", *("0" * len(shape))]))
        array = _unchunk(name, chunk, dtype, shape).astype(np.dtype(kind), copy=False)
    else:
        array = np.empty(shape, dtype=np.dtype(kind))
    if "values" not in about["attributes"]:
        return array
    values = about["attributes"]["values"]
    return Coded(array, [tuple(v) if isinstance(v, list) else v for v in values])


def read_attributes(path: Path) -> Mapping[str, Any]:
    """The attributes of the group (rows, replaces, ...) without reading the arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            attributes = _json(archive, "zarr.json")["attributes"]
            if isinstance(attributes["rows"], int) and isinstance(attributes["replaces"], list):
                return attributes
    except (
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        TypeError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from None
    raise _damaged("the attributes of the group")


def decode(
    data: bytes, *, place: tuple[str, str, int] | None = None
) -> tuple[Rows, Mapping[str, Any]]:
    """The rows of a file and the attributes of its group; SegmentError if anything is amiss.

    Every byte that ends up in a number passes two checksums. `place` is the (system, method,
    version) that the file's folder stands for.
    """
    _check_tail(data[:4], data[-TAIL - _END.size :], len(data))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # Stored members only: a forged compressed one could unfold to any size.
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise _damaged("a compressed member")
            about = _json(archive, "zarr.json")["attributes"]
            if about["format"] != FORMAT:
                raise SegmentError("foreign", f"format {about['format']}; this is format {FORMAT}")
            found = (about["system"], about["method"], about["version"])
            if place is not None and found != place:
                raise SegmentError(
                    "foreign", f"it belongs to {found[0]} {found[1]} version {found[2]}"
                )
            columns = {name: _read_array(archive, name, about["rows"]) for name in about["columns"]}
            blank = np.empty(0)
            rows = Rows(
                *found,
                keys=blank,
                parameters={},
                observables={},
                status=blank,
                steps=blank,
                residual=blank,
                seconds=blank,
                messages=Coded(blank, []),
                dims={name: tuple(names) for name, names in about["dims"].items()},
                labels={name: tuple(words) for name, words in about["labels"].items()},
            ).with_columns(columns)
            rows.check()
            return rows, about
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, RuntimeError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from None
    except (AttributeError, IndexError, OverflowError, MemoryError, NotImplementedError) as error:
        raise _damaged(f"{type(error).__name__}: {error}") from None

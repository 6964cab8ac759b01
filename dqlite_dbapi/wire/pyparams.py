"""The parameter encoder in Python, the reference for its twin in native/rows/rows.c.

Both encode plain values themselves and leave all others to `slow`, which `wire.params` passes in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from dqlite_dbapi.wire.constants import ValueType
from dqlite_dbapi.wire.values import F64, I64, U32

#: Encodes the value at a position from 1, or raises: `(value, position, adapters)` to type code
#: and bytes.
Slow = Callable[[Any, int, Any], tuple[int, bytes]]

_NULL_WORD = b"\0" * 8
_PADDING = tuple(b"\0" * count for count in range(1, 9))
_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL = (
    int(ValueType.INTEGER),
    int(ValueType.FLOAT),
    int(ValueType.TEXT),
    int(ValueType.BLOB),
    int(ValueType.NULL),
)


def encode_params(
    head: bytes, values: Sequence[object], wide: bool, slow: Slow, adapters: object, /
) -> bytes:
    """Put the tuple of `values` behind `head`.

    A head begins with the header of a message, whose size is filled in; it may be empty.
    """
    codes = bytearray(U32.pack(len(values)) if wide else (len(values),))
    parts = [head, b""]
    _encode(values, codes, parts, slow, adapters)
    codes.extend(bytes(-len(codes) & 7))
    parts[1] = bytes(codes)
    return _joined(parts)


def _joined(parts: list[bytes]) -> bytes:
    """The parts, the size filled in at the first one's beginning, where a message begins."""
    if parts[0]:
        size = sum(map(len, parts)) - 8
        parts[0] = U32.pack(size >> 3) + parts[0][4:]
    return b"".join(parts)


def encode_row(values: Sequence[object], slow: Slow, adapters: object, /) -> bytes:
    """The type codes of `values` without padding, then their bytes."""
    codes = bytearray()
    parts: list[bytes] = []
    _encode(values, codes, parts, slow, adapters)
    return bytes(codes) + b"".join(parts)


def encode_rows(
    items: Sequence[object],
    start: int,
    slots: int,
    order: tuple[int, ...],
    out: list[bytes],
    most: int,
    room: int,
    /,
) -> tuple[int, int]:
    """Append what `encode_row` makes of `items` from `start` on to `out`, while they are plain.

    That ends at an item that is no tuple of `slots` values all of which are plain, when `out` holds
    `most` rows or when more than `room` bytes were appended. A row's values are those at the places
    that `order` names, all if it is empty. Returns the number of the first item that was not taken,
    and the bytes that were appended.
    """
    size = 0
    for position in range(start, len(items)):
        item = items[position]
        if len(out) >= most or size > room or type(item) is not tuple or len(item) != slots:
            return position, size
        values = [item[slot] for slot in order] if order else item
        try:
            row = encode_row(values, _refuse, None)
        except _NotPlainError:
            return position, size
        out.append(row)
        size += len(row)
    return max(start, len(items)), size


def join_rows(head: bytes, rows: list[bytes], count: int, wide: bool, /) -> bytes:
    """Put `rows` that `encode_row` made of `count` values each behind `head`, as one tuple."""
    if any(len(row) < count for row in rows):
        raise ValueError("a row has fewer bytes than values")
    header = (count * len(rows)).to_bytes(4 if wide else 1, "little")
    header += b"".join([row[:count] for row in rows])
    return _joined([head, header, bytes(-len(header) & 7), *[row[count:] for row in rows]])


class _NotPlainError(Exception):
    """A value is for `slow`."""


def _refuse(_value: object, _position: int, _adapters: object) -> tuple[int, bytes]:
    raise _NotPlainError


def _encode(
    values: Sequence[object], codes: bytearray, parts: list[bytes], slow: Slow, adapters: object
) -> None:
    encoder_of = _ENCODERS.get
    for position, value in enumerate(values, 1):
        encoder = encoder_of(type(value))
        found = encoder(value) if encoder is not None else None
        code, raw = found or slow(value, position, adapters)
        codes.append(code)
        parts.append(raw)


def _null(_value: None) -> tuple[int, bytes]:
    return _NULL, _NULL_WORD


def _integer(value: int) -> tuple[int, bytes] | None:
    try:
        return _INTEGER, I64.pack(value)
    except struct.error:
        return None


def _float(value: float) -> tuple[int, bytes]:
    return _FLOAT, F64.pack(value)


def _text(value: str) -> tuple[int, bytes] | None:
    try:
        raw = value.encode()
    except UnicodeEncodeError:
        return None
    return None if b"\0" in raw else (_TEXT, raw + _PADDING[~len(raw) & 7])


def _blob(value: bytes) -> tuple[int, bytes]:
    return _BLOB, len(value).to_bytes(8, "little") + value + bytes(-len(value) & 7)


_ENCODERS: dict[type, Callable[[Any], tuple[int, bytes] | None]] = {
    type(None): _null,
    str: _text,
    int: _integer,
    bool: _integer,
    float: _float,
    bytes: _blob,
}

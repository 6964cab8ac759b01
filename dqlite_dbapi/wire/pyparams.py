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
    if head:
        size = sum(map(len, parts)) - 8
        parts[0] = U32.pack(size >> 3) + head[4:]
    return b"".join(parts)


def encode_row(values: Sequence[object], slow: Slow, adapters: object, /) -> tuple[bytes, bytes]:
    """The type codes of `values` without padding, and their bytes."""
    codes = bytearray()
    parts: list[bytes] = []
    _encode(values, codes, parts, slow, adapters)
    return bytes(codes), b"".join(parts)


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

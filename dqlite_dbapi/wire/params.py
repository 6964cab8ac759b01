"""Parameter tuples: a count, one type code each, padding, then the values (wire-protocol 3.2)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from dqlite_dbapi.errors import DataError, ProgrammingError
from dqlite_dbapi.wire.constants import MAX_NARROW_PARAMS, ValueType
from dqlite_dbapi.wire.values import F64, I64, U32, encode_blob, encode_text

_NULL = b"\0" * 8
_INTEGER, _FLOAT, _TEXT, _BLOB = (
    int(ValueType.INTEGER),
    int(ValueType.FLOAT),
    int(ValueType.TEXT),
    int(ValueType.BLOB),
)
_NULL_CODE = int(ValueType.NULL)


def encode_params(values: Sequence[object], *, wide: bool = False) -> bytes:
    """Encode `values`, in the form of schema 0 or, with `wide`, of schema 1 (32-bit count).

    Accepts None, int (64 bits, signed), float, str, bytes, bytearray and memoryview.
    `DataError` for a value out of range or with NUL, `ProgrammingError` for another type.
    """
    count = len(values)
    if not count:
        return b""
    if not wide and count > MAX_NARROW_PARAMS:
        raise ProgrammingError(f"{count} parameters do not fit a tuple of schema 0")
    codes = bytearray(U32.pack(count) if wide else (count,))
    parts: list[bytes] = []
    for position, value in enumerate(values, 1):
        code, raw = encode_value(value, position)
        codes.append(code)
        parts.append(raw)
    codes.extend(bytes(-len(codes) & 7))
    return bytes(codes) + b"".join(parts)


def encode_value(value: object, position: int) -> tuple[int, bytes]:
    """Encode one parameter; returns its type code and its words. `position` counts from 1."""
    if value is None:
        return _NULL_CODE, _NULL
    if isinstance(value, str):
        return _TEXT, encode_text(value, f"parameter {position}")
    if isinstance(value, int):
        try:
            return _INTEGER, I64.pack(value)
        except struct.error:
            raise DataError(
                f"parameter {position} is {_short(value)}, beyond a signed 64-bit integer",
                hint="store it as TEXT or REAL",
            ) from None
    if isinstance(value, float):
        return _FLOAT, F64.pack(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _BLOB, encode_blob(value)
    raise ProgrammingError(
        f"parameter {position} is of type {type(value).__qualname__}, which has no SQLite type",
        hint="pass None, int, float, str or bytes",
    )


def _short(value: int) -> str:
    return f"{value}" if value.bit_length() <= 128 else f"an integer of {value.bit_length()} bits"

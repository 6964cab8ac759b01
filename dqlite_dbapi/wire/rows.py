"""Rows: column names once a part, then row tuples until a marker (wire-protocol 3.3 and 4)."""

from __future__ import annotations

from struct import error
from typing import Any, NamedTuple

from dqlite_dbapi.errors import DataError, ProtocolViolation
from dqlite_dbapi.wire._accel import decode, decode_answer, decode_parts
from dqlite_dbapi.wire.constants import ValueType
from dqlite_dbapi.wire.pyrows import Answer, Blob
from dqlite_dbapi.wire.values import decode_text, decode_u64

__all__ = [
    "Answer",
    "Blob",
    "Row",
    "RowsHeader",
    "decode_answer",
    "decode_header",
    "decode_parts",
    "decode_rows",
    "find_blob",
    "type_codes",
]

Row = tuple[Any, ...]
_TEXTS = frozenset({ValueType.TEXT, ValueType.ISO8601})
_MAX_COLUMNS = 32767  # SQLITE_MAX_COLUMN's upper limit


class RowsHeader(NamedTuple):
    """Column names of a part and the offset of its first row."""

    names: tuple[str, ...]
    offset: int


def decode_header(body: bytes | bytearray) -> RowsHeader:
    """Read the number of columns and their names."""
    if len(body) < 8:
        raise ProtocolViolation(f"a ROWS of {len(body)} bytes")
    count = int.from_bytes(body[:8], "little")
    if count > _MAX_COLUMNS or count * 8 > len(body):
        raise ProtocolViolation(f"ROWS announces {count} columns in {len(body)} bytes")
    names = []
    offset = 8
    for _ in range(count):
        name, offset = decode_text(body, offset)
        names.append(name)
    return RowsHeader(tuple(names), offset)


def decode_rows(
    body: bytes | bytearray, offset: int, columns: int, out: list[Row], blob: Blob | None = None
) -> bool:
    """Append the rows from `offset` on to `out`; True when another part follows.

    `blob`: a value that was received apart from the body (`Frame`).

    Values: int, float, str, bytes, None; a NULL in a date column arrives as `''` and becomes None
    again (wire-protocol 3.4). Raises `ProtocolViolation` for anything that no server sends,
    `DataError` for text that is not UTF-8.
    """
    try:
        return decode(body, offset, columns, out, blob)
    except UnicodeDecodeError as problem:
        raise DataError(
            f"a text value is not UTF-8: {problem.object[:40]!r}",
            hint="select it with CAST(column AS BLOB)",
        ) from None
    except (IndexError, ValueError, error) as problem:
        raise ProtocolViolation(f"a ROWS message is damaged: {problem}") from None


def find_blob(body: bytes, least: int) -> tuple[int, int] | None:
    """Offset and size of the first blob of `least` bytes or more in the beginning of a body.

    None if there is none, or if something else is in the way.
    """
    try:
        names, at = decode_header(body)
        while names:
            _, behind = decode_u64(body, at)
            codes = type_codes(body[at : at + (len(names) + 1 >> 1)], len(names))
            at = behind + (len(names) - 1 >> 4 << 3)
            for code in codes:
                if code in _TEXTS:
                    _, at = decode_text(body, at)
                    continue
                word, at = decode_u64(body, at)
                if code == ValueType.BLOB:
                    if word >= least:
                        return at, word
                    at += (word + 7) & ~7
    except ProtocolViolation:
        pass
    return None


def type_codes(head: bytes, columns: int) -> tuple[int, ...]:
    """Type code of each value of a row, from its header without padding (wire-protocol 3.3)."""
    return tuple(code for byte in head for code in (byte & 15, byte >> 4))[:columns]

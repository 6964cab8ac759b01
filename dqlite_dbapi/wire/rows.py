"""Rows: column names once a part, then row tuples until a marker (wire-protocol 3.3 and 4).

The whole body is unpacked into words once; integers are then plain tuple items, and only text
and blobs look at bytes again. Rows of one shape without text or blobs are cut out in one `zip`.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import error, unpack_from
from typing import Any, NamedTuple

from dqlite_dbapi.errors import DataError, ProtocolViolation
from dqlite_dbapi.wire.constants import ROWS_DONE, ROWS_PART, ValueType
from dqlite_dbapi.wire.values import F64, decode_text

Row = tuple[Any, ...]
_SIGNED_DONE = ROWS_DONE - (1 << 64)
_SIGNED_PART = ROWS_PART - (1 << 64)
_MAX_COLUMNS = 32767  # SQLITE_MAX_COLUMN's upper limit

_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL, _UNIXTIME, _ISO8601, _BOOLEAN = map(int, ValueType)
_WORDS = frozenset({_INTEGER, _UNIXTIME, _BOOLEAN})
_TEXTS = frozenset({_TEXT, _ISO8601})
_KNOWN = frozenset(map(int, ValueType))


class RowsHeader(NamedTuple):
    """Column names of a part and the offset of its first row."""

    names: tuple[str, ...]
    offset: int


def decode_header(body: bytes) -> RowsHeader:
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
    body: bytes,
    offset: int,
    columns: int,
    out: list[Row],
    to_text: Callable[[bytes], Any] = bytes.decode,
) -> bool:
    """Append the rows from `offset` on to `out`; True when another part follows.

    Values: int, float, str, bytes, None; a date column's `''` stays (see `types`). Raises
    `ProtocolViolation` for anything that no server sends, `DataError` where `to_text` refuses.
    """
    try:
        words = unpack_from(f"<{(len(body) - offset) >> 3}q", body, offset)
        if not columns:
            return _marker(words, 0)
        return _decode(body, offset, words, columns, out, to_text)
    except UnicodeDecodeError as problem:
        raise DataError(
            f"a text value is not UTF-8: {problem.object[:40]!r}",
            hint="select it with CAST(column AS BLOB), or set text_factory",
        ) from None
    except (IndexError, ValueError, error):
        raise ProtocolViolation("a ROWS message ends inside a row") from None


def _marker(words: tuple[int, ...], index: int) -> bool:
    if words[index] == _SIGNED_DONE:
        return False
    if words[index] == _SIGNED_PART:
        return True
    raise ProtocolViolation("a ROWS message ends without a marker")


def _decode(
    body: bytes,
    base: int,
    words: tuple[int, ...],
    columns: int,
    out: list[Row],
    to_text: Callable[[bytes], Any],
) -> bool:
    header_words = (columns + 15) >> 4
    index = 0
    end = len(words) - 1
    shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
    while index < end:
        key = words[index : index + header_words]
        codes = shapes.get(key)
        if codes is not None:
            index = _rows(body, base, words, index, key, codes, out, to_text)
            continue
        if key[0] == _SIGNED_DONE or key[0] == _SIGNED_PART:
            break
        codes = shapes[key] = _codes(key, columns)
        if _WORDS.issuperset(codes):
            index += _uniform(words, index, key, columns, out)
    if index != end:
        raise ProtocolViolation("a ROWS message has bytes behind its last row")
    return _marker(words, end)


def _codes(key: tuple[int, ...], columns: int) -> tuple[int, ...]:
    raw = b"".join((word & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little") for word in key)
    codes = tuple(code for byte in raw for code in (byte & 15, byte >> 4))[:columns]
    if not _KNOWN.issuperset(codes):
        raise ProtocolViolation(f"a row with the value types {codes}")
    return tuple(
        _INTEGER if code in _WORDS else _TEXT if code in _TEXTS else code for code in codes
    )


def _uniform(
    words: tuple[int, ...], index: int, key: tuple[int, ...], columns: int, out: list[Row]
) -> int:
    """Take the rows that follow with this very header, all of whose values are words."""
    stride = len(key) + columns
    limit = (len(words) - 1 - index) // stride
    stop = index + limit * stride
    taken = 0
    if len(key) == 1:
        heads = words[index:stop:stride]
        differing = (position for position, head in enumerate(heads) if head != key[0])
        taken = limit if heads.count(key[0]) == limit else next(differing)
    stop = index + taken * stride
    first = index + len(key)
    out.extend(zip(*(words[first + n : stop : stride] for n in range(columns)), strict=True))
    return taken * stride


def _rows(
    body: bytes,
    base: int,
    words: tuple[int, ...],
    index: int,
    key: tuple[int, ...],
    codes: tuple[int, ...],
    out: list[Row],
    to_text: Callable[[bytes], Any],
) -> int:
    """Take rows of any values for as long as their header is `key`; the next row's index."""
    header_words = len(key)
    head = key[0]
    find = body.index
    integer, text = _INTEGER, _TEXT
    while words[index] == head and words[index : index + header_words] == key:
        index += header_words
        row: list[Any] = []
        for code in codes:
            if code == integer:
                row.append(words[index])
                index += 1
            elif code == text:
                start = base + (index << 3)
                stop = find(0, start)
                row.append(to_text(body[start:stop]))
                index = (stop - base >> 3) + 1
            elif code == _NULL:
                row.append(None)
                index += 1
            elif code == _FLOAT:
                row.append(F64.unpack_from(body, base + (index << 3))[0])
                index += 1
            else:
                start = base + (index << 3) + 8
                length = words[index]
                if not 0 <= length <= len(body) - start:
                    raise ProtocolViolation(f"a blob of {length} bytes exceeds its message")
                row.append(body[start : start + length])
                index += 1 + (length + 7 >> 3)
        out.append(tuple(row))
    return index

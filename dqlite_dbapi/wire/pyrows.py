"""The row decoder in Python, the reference for its twin in native/rows/rows.c.

The whole body is unpacked into words once; integers are then plain tuple items, and only text
and blobs look at bytes again. Rows of one shape without text or blobs are cut out in one `zip`.
"""

from __future__ import annotations

from struct import error, unpack_from
from typing import Any

from dqlite_dbapi.wire.constants import ROWS_DONE, ROWS_PART, Response, ValueType
from dqlite_dbapi.wire.values import F64, U32, U64

Row = tuple[Any, ...]
Answer = tuple[tuple[str, ...], list[Row], bool, bytes]
#: A value that was received apart from its message's body, and the offset it would begin at there.
Blob = tuple[int, bytes]
_SIGNED_DONE = ROWS_DONE - (1 << 64)
_SIGNED_PART = ROWS_PART - (1 << 64)

_INTEGER, _FLOAT, _TEXT, _BLOB, _NULL, _UNIXTIME, _ISO8601, _BOOLEAN = map(int, ValueType)
_WORDS = frozenset({_INTEGER, _UNIXTIME, _BOOLEAN})
_KNOWN = frozenset(map(int, ValueType))


def decode(
    body: bytes | bytearray, offset: int, columns: int, out: list[Row], blob: Blob | None = None, /
) -> bool:
    """Append the rows from `offset` on to `out`; True when another part follows.

    `blob` is not in the body, its padding neither. ValueError (UnicodeDecodeError too), IndexError
    or struct.error for damaged bytes.
    """
    words = unpack_from(f"<{(len(body) - offset) >> 3}q", body, offset)
    if not columns:
        return _marker(words, 0)
    return _decode(body, offset, words, columns, out, blob)


def decode_parts(
    data: bytes, offset: int, header: bytes, columns: int, out: list[Row], /
) -> tuple[int, bool]:
    """Append the rows of the whole ROWS messages from `offset` on that begin with `header`.

    Returns the offset behind those that were taken, and True when another part follows. A part
    that is damaged or has no rows is left for `decode`.
    """
    more = True
    while more and len(data) - offset >= 8 + len(header):
        size = U32.unpack_from(data, offset)[0] * 8
        start = offset + 8
        body = data[start : start + size]
        if data[offset + 4] != Response.ROWS or len(body) < size or not body.startswith(header):
            break
        rows: list[Row] = []
        try:
            follows = decode(body, len(header), columns, rows)
        except (ValueError, IndexError, error):
            break
        if follows and not rows:
            break
        out += rows
        more, offset = follows, start + size
    return offset, more


def blank(size: int, /) -> bytes:
    """Memory to be filled before anybody sees it. What is in it is not defined."""
    return bytes(size)


def enlarge(memory: bytearray, size: int, /) -> None:
    """Make `memory` longer, up to `size` bytes. What is in the new part is not defined."""
    memory += bytes(size - len(memory))


def decode_answer(chunk: bytes, /) -> Answer | None:
    """Decode a chunk that is all ROWS messages of one result, whole; None for others.

    Names, rows, False (no more parts follow) and the type codes of the first row.
    """
    if len(chunk) < 24 or chunk[4] != Response.ROWS:
        return None
    size, count = U32.unpack_from(chunk)[0] * 8, U64.unpack_from(chunk, 8)[0]
    if not 16 <= size <= len(chunk) - 8 or count > 32767 or count * 8 > size:
        return None
    rows: list[Row] = []
    try:
        names, offset = _names(chunk[: size + 8], count)
    except (ValueError, IndexError):
        return None
    end, more = decode_parts(chunk, 0, chunk[8:offset], count, rows)
    if more or end < len(chunk):
        return None
    return names, rows, False, chunk[offset : offset + (count + 1 >> 1)] if rows else b""


def _names(chunk: bytes, count: int) -> tuple[tuple[str, ...], int]:
    names = []
    offset = 16
    for _ in range(count):
        end = chunk.index(b"\0", offset)
        names.append(chunk[offset:end].decode("utf-8", "surrogateescape"))
        offset = (end + 8) & ~7
    return tuple(names), offset


def _marker(words: tuple[int, ...], index: int) -> bool:
    if index != len(words) - 1:
        raise ValueError("bytes stand behind its last row")
    if words[index] == _SIGNED_DONE:
        return False
    if words[index] == _SIGNED_PART:
        return True
    raise ValueError("it ends without a marker")


def _decode(
    body: bytes | bytearray,
    base: int,
    words: tuple[int, ...],
    columns: int,
    out: list[Row],
    blob: Blob | None,
) -> bool:
    header_words = (columns + 15) >> 4
    index = 0
    end = len(words) - 1
    shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
    while index < end:
        key = words[index : index + header_words]
        codes = shapes.get(key)
        if codes is not None:
            index = _rows(body, base, words, index, key, codes, out, blob)
            continue
        if key[0] == _SIGNED_DONE or key[0] == _SIGNED_PART:
            break
        codes = shapes[key] = _codes(key, columns)
        if _WORDS.issuperset(codes):
            index += _uniform(words, index, key, columns, out)
    return _marker(words, index)


def _codes(key: tuple[int, ...], columns: int) -> tuple[int, ...]:
    raw = b"".join((word & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little") for word in key)
    codes = tuple(code for byte in raw for code in (byte & 15, byte >> 4))[:columns]
    if not _KNOWN.issuperset(codes):
        raise ValueError(f"a row with the value types {codes}")
    return tuple(_INTEGER if code in _WORDS else code for code in codes)


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
    body: bytes | bytearray,
    base: int,
    words: tuple[int, ...],
    index: int,
    key: tuple[int, ...],
    codes: tuple[int, ...],
    out: list[Row],
    blob: Blob | None,
) -> int:
    """Take rows of any values for as long as their header is `key`; the next row's index."""
    head = key[0]
    more_header = key[1:]
    find = body.index
    integer, text = _INTEGER, _TEXT
    flat: list[Any] = []
    append = flat.append
    base -= 8  # an index is taken one too far before its offset is needed
    while words[index] == head:
        index += 1
        if more_header:
            behind = index + len(more_header)
            if words[index:behind] != more_header:
                index -= 1
                break
            index = behind
        for code in codes:
            word = words[index]
            index += 1
            if code == integer:
                append(word)
            elif code == text:
                start = base + (index << 3)
                stop = find(0, start)
                append(body[start:stop].decode())
                index += (stop - start) >> 3
            elif code == _NULL:
                append(None)
            elif code == _FLOAT:
                append(F64.unpack_from(body, base + (index << 3))[0])
            elif code == _ISO8601:
                start = base + (index << 3)
                stop = find(0, start)
                append(body[start:stop].decode() if stop > start else None)
                index += (stop - start) >> 3
            else:
                start = base + 8 + (index << 3)
                if blob is not None and start == blob[0] and word == len(blob[1]):
                    append(blob[1])
                    continue
                if not 0 <= word <= len(body) - start:
                    raise ValueError(f"a blob of {word} bytes exceeds its message")
                append(bytes(body[start : start + word]))
                index += (word + 7) >> 3
    out.extend(zip(*[iter(flat)] * len(codes), strict=True))
    return index

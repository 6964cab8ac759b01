"""Single fields: words, text and blobs, each padded to a multiple of eight bytes (1.3)."""

from __future__ import annotations

from struct import Struct

from dqlite_dbapi.errors import DataError, ProtocolViolation

U64 = Struct("<Q")
I64 = Struct("<q")
U32 = Struct("<I")
F64 = Struct("<d")

_PADDING = tuple(b"\0" * count for count in range(8))


def encode_text(value: str, what: str = "text") -> bytes:
    """Encode `value` with its NUL and padding; `DataError` for NUL or lone surrogates inside.

    A NUL would make the server misread every later field (wire-protocol 1.3).
    """
    try:
        raw = value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{what} is not valid Unicode: {error}") from None
    if b"\0" in raw:
        raise DataError(
            f"{what} contains a NUL character at position {raw.index(0)}",
            hint="dqlite cuts text at NUL; store such data as bytes (a BLOB)",
        )
    return raw + b"\0" + _PADDING[-(len(raw) + 1) & 7]


def encode_blob(value: bytes | bytearray | memoryview) -> bytes:
    """Encode `value` as its length in bytes, its bytes and padding."""
    raw = bytes(value)
    return U64.pack(len(raw)) + raw + _PADDING[-len(raw) & 7]


def decode_u64(body: bytes | bytearray, offset: int) -> tuple[int, int]:
    """Read an unsigned word; returns the value and the offset behind it."""
    end = offset + 8
    if end > len(body):
        raise ProtocolViolation(f"message ends inside a word at byte {offset}")
    return U64.unpack_from(body, offset)[0], end


def decode_text(body: bytes | bytearray, offset: int) -> tuple[str, int]:
    """Read a text; bytes that are not UTF-8 come back as surrogate escapes."""
    end = body.find(b"\0", offset)
    if end < 0:
        raise ProtocolViolation(f"text without its NUL at byte {offset}")
    return body[offset:end].decode("utf-8", "surrogateescape"), (end + 8) & ~7


def decode_blob(body: bytes | bytearray, offset: int) -> tuple[bytes, int]:
    """Read a blob; returns its bytes and the offset behind its padding."""
    length, start = decode_u64(body, offset)
    end = start + length
    if end > len(body):
        raise ProtocolViolation(f"blob of {length} bytes at byte {offset} exceeds its message")
    return bytes(body[start:end]), (end + 7) & ~7

"""One NamedTuple for each response and the decoders from bodies to them."""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, NamedTuple

from dqlite_dbapi.errors import ProtocolViolation
from dqlite_dbapi.wire.constants import Response, Role
from dqlite_dbapi.wire.frames import Frame
from dqlite_dbapi.wire.schema import RESPONSES
from dqlite_dbapi.wire.values import I64, U32, U64, decode_text, decode_u64


class Failure(NamedTuple):
    """FAILURE: `code` of SQLite or dqlite (wire-protocol 8.1) and the server's text."""

    code: int
    message: str


class Server(NamedTuple):
    """SERVER: the leader that the member knows; `(0, "")` when it knows none."""

    id: int
    address: str


class Welcome(NamedTuple):
    """WELCOME: heartbeat timeout in ms, which no engine enforces."""

    heartbeat_timeout: int


class Member(NamedTuple):
    """One row of SERVERS."""

    id: int
    address: str
    role: int


class Servers(NamedTuple):
    """SERVERS: the configuration as the asked member sees it."""

    members: tuple[Member, ...]


class Database(NamedTuple):
    """DB: the id of the opened database, always 0."""

    id: int
    unused: int


class PreparedStatement(NamedTuple):
    """STMT: ids and the number of parameters; `tail` is a byte offset in schema 1, else None."""

    db: int
    id: int
    params: int
    tail: int | None = None


class Result(NamedTuple):
    """RESULT: rowid of the last insert and rows changed, both stale after other statements."""

    last_insert_id: int
    rows_affected: int


class Empty(NamedTuple):
    """EMPTY: done."""

    unused: int


class Files(NamedTuple):
    """FILES: name and content of the database file and of its write-ahead log."""

    files: tuple[tuple[str, bytes], ...]


class Metadata(NamedTuple):
    """METADATA: failure domain and weight of the member asked."""

    failure_domain: int
    weight: int


_RESULT = Struct("<qQ")


def decode_result(body: bytes | bytearray) -> Result:
    """Decode a RESULT body; `ProtocolViolation` when it is shorter than two words."""
    if len(body) < _RESULT.size:
        raise ProtocolViolation(f"a RESULT of {len(body)} bytes")
    return Result(*_RESULT.unpack_from(body))


def decode_failure(body: bytes | bytearray) -> Failure:
    """Decode a FAILURE body, also one that stands behind partial rows (wire-protocol 4.4).

    A body that is exactly `u64 code, text` is plain. Else the text is the longest run of words
    without a zero byte before the last word, and the word in front of it is the code.
    """
    if len(body) < 16:
        raise ProtocolViolation(f"a FAILURE of {len(body)} bytes")
    code = U64.unpack_from(body)[0]
    end = body.find(b"\0", 8)
    if (end + 8) & ~7 == len(body) and code < 1 << 32:
        return Failure(code, _message(body[8:end]))
    start = len(body) - 8
    while start >= 8 and b"\0" not in body[start - 8 : start]:
        start -= 8
    if start < 8:
        raise ProtocolViolation("a FAILURE without a code")
    code = U64.unpack_from(body, start - 8)[0]
    if code >= 1 << 32:
        raise ProtocolViolation(f"a FAILURE with the code {code:#x}")
    return Failure(code, _message(body[start:].split(b"\0", 1)[0]))


def _message(raw: bytes | bytearray) -> str:
    return raw.decode("utf-8", "backslashreplace")


def first_failure(*frames: Frame) -> Failure | None:
    """The first failure among answers of which each should be a RESULT."""
    for frame in frames:
        if frame.kind != Response.RESULT:
            return decode_failure(frame.body)
    return None


def decode_servers(body: bytes | bytearray) -> Servers:
    """Decode SERVERS of CLUSTER format 1 (with roles)."""
    count, offset = decode_u64(body, 0)
    if count > len(body) // 24:
        raise ProtocolViolation(f"SERVERS announces {count} members in {len(body)} bytes")
    members = []
    for _ in range(count):
        member_id, offset = decode_u64(body, offset)
        address, offset = decode_text(body, offset)
        role, offset = decode_u64(body, offset)
        members.append(Member(member_id, address, Role(role) if role in _ROLES else role))
    return Servers(tuple(members))


_ROLES = frozenset(Role)


def decode_files(body: bytes | bytearray) -> Files:
    """Decode FILES; the contents carry no padding, their sizes are whole words."""
    count, offset = decode_u64(body, 0)
    if count > len(body) // 16:
        raise ProtocolViolation(f"FILES announces {count} files in {len(body)} bytes")
    files = []
    for _ in range(count):
        name, offset = decode_text(body, offset)
        size, offset = decode_u64(body, offset)
        if offset + size > len(body):
            raise ProtocolViolation(f"file {name!r} of {size} bytes exceeds its message")
        with memoryview(body)[offset : offset + size] as content:
            files.append((name, bytes(content)))
        offset += size
    return Files(tuple(files))


_RESULTS: dict[Response, Callable[..., Any]] = {
    Response.SERVER: Server,
    Response.WELCOME: Welcome,
    Response.DB: Database,
    Response.STMT: PreparedStatement,
    Response.EMPTY: Empty,
    Response.METADATA: Metadata,
}
_SPECIAL: dict[int, Callable[[bytes | bytearray], Any]] = {
    Response.FAILURE: decode_failure,
    Response.SERVERS: decode_servers,
    Response.RESULT: decode_result,
    Response.FILES: decode_files,
}


def decode(frame: Frame) -> Any:
    """Decode any response but ROWS, which `rows` reads; `ProtocolViolation` for another type."""
    special = _SPECIAL.get(frame.kind)
    if special is not None:
        return special(frame.body)
    try:
        kind = Response(frame.kind)
        build, fields = _RESULTS[kind], RESPONSES[kind]
    except (ValueError, KeyError):
        raise ProtocolViolation(f"a response of the unexpected type {frame.kind}") from None
    offset = 0
    values: list[Any] = []
    for _, form in fields:
        value, offset = _field(form, frame.body, offset)
        values.append(value)
    if kind is Response.STMT and frame.schema == 1:
        values.append(decode_u64(frame.body, offset)[0])
    return build(*values)


_WIDTHS = {"u64": U64, "i64": I64, "u32": U32}


def _field(form: str, body: bytes | bytearray, offset: int) -> tuple[Any, int]:
    if form == "text":
        return decode_text(body, offset)
    word = _WIDTHS[form]
    if offset + word.size > len(body):
        raise ProtocolViolation(f"a response ends inside a field at byte {offset}")
    return word.unpack_from(body, offset)[0], offset + word.size

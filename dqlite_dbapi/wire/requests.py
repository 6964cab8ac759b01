"""Encoders of requests, driven by the table in `schema`."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any

from dqlite_dbapi.errors import DataError
from dqlite_dbapi.wire._accel import join_rows
from dqlite_dbapi.wire.constants import PROTOCOL_VERSION, Request
from dqlite_dbapi.wire.params import Adapting, encode_params
from dqlite_dbapi.wire.schema import REQUESTS
from dqlite_dbapi.wire.values import U32, U64, encode_text

HANDSHAKE = U64.pack(PROTOCOL_VERSION)
HEADER = Struct("<IBBH")  #: body size in words, type, schema version, unused
#: The server's size arithmetic is 32-bit (wire-protocol 1.2).
MAX_BODY = (1 << 31) - 8


def frame(kind: int, body: bytes, schema: int = 0) -> bytes:
    """Put the header before `body`; `DataError` when the message is 2 GiB or more."""
    _check_size(len(body))
    return HEADER.pack(len(body) >> 3, kind, schema, 0) + body


def _check_size(size: int) -> None:
    if size > MAX_BODY:
        raise DataError(
            f"a message of {size} bytes is too big; the limit is {MAX_BODY}",
            hint="split the value or the batch",
        )


def encode(kind: Request, *values: Any, schema: int = 0) -> bytes:
    """Encode the request `kind` with the values of its fields in the table's order.

    A `params` field takes a sequence; with `schema=1` it is written with a 32-bit count.
    """
    parts = [
        _field(form, name, value, schema)
        for (name, form), value in zip(REQUESTS[kind], values, strict=True)
    ]
    return frame(kind, b"".join(parts), schema)


def _field(form: str, name: str, value: Any, schema: int) -> bytes:
    if form == "u64":
        return U64.pack(value)
    if form == "u32":
        return U32.pack(value)
    if form == "text":
        return encode_text(value, name)
    return encode_params(value, wide=schema == 1)


SQL_PREFIX = bytes(8)  # database 0: a connection opens exactly one (wire-protocol 2.4)


def encode_sql(
    kind: int,
    sql: bytes,
    params: Sequence[object],
    schema: int = 0,
    adapters: Adapting | None = None,
) -> bytes:
    """Encode EXEC_SQL or QUERY_SQL for SQL that `encode_text` has already encoded."""
    if not params:
        return frame(kind, SQL_PREFIX + sql)
    head = HEADER.pack(0, kind, schema, 0) + SQL_PREFIX + sql
    message = encode_params(params, wide=schema == 1, adapters=adapters, head=head)
    _check_size(len(message) - HEADER.size)
    return message


def encode_many(kind: int, start: bytes, rows: list[bytes], count: int, schema: int) -> bytes:
    """Encode EXEC_SQL or EXEC with `rows` of `count` values each (`params.encode_row`).

    `start` stands before them: `SQL_PREFIX` and the text, or two words of 32 bits for EXEC.
    """
    if not count:
        return frame(kind, start, schema)
    message = join_rows(HEADER.pack(0, kind, schema, 0) + start, rows, count, schema == 1)
    _check_size(len(message) - HEADER.size)
    return message

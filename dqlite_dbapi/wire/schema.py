"""One table of every request and response: its number and its fields, in order.

Field kinds: `u64`, `u32`, `i64`, `text` (NUL-terminated, padded to a word) and `params` (a
parameter tuple). Responses whose bodies repeat (SERVERS, ROWS, FILES, FAILURE) have decoders of
their own in `responses` and `rows`.
"""

from __future__ import annotations

from dqlite_dbapi.wire.constants import Request, Response

REQUESTS: dict[Request, tuple[tuple[str, str], ...]] = {
    Request.LEADER: (("unused", "u64"),),
    Request.CLIENT: (("client_id", "u64"),),
    Request.OPEN: (("name", "text"), ("flags", "u64"), ("vfs", "text")),
    Request.PREPARE: (("db", "u64"), ("sql", "text")),
    Request.EXEC: (("db", "u32"), ("stmt", "u32"), ("params", "params")),
    Request.QUERY: (("db", "u32"), ("stmt", "u32"), ("params", "params")),
    Request.FINALIZE: (("db", "u32"), ("stmt", "u32")),
    Request.EXEC_SQL: (("db", "u64"), ("sql", "text"), ("params", "params")),
    Request.QUERY_SQL: (("db", "u64"), ("sql", "text"), ("params", "params")),
    Request.INTERRUPT: (("db", "u64"),),
    Request.ADD: (("id", "u64"), ("address", "text")),
    Request.ASSIGN: (("id", "u64"), ("role", "u64")),
    Request.REMOVE: (("id", "u64"),),
    Request.DUMP: (("name", "text"),),
    Request.CLUSTER: (("format", "u64"),),
    Request.TRANSFER: (("id", "u64"),),
    Request.DESCRIBE: (("format", "u64"),),
    Request.WEIGHT: (("weight", "u64"),),
}

RESPONSES: dict[Response, tuple[tuple[str, str], ...]] = {
    Response.SERVER: (("id", "u64"), ("address", "text")),
    Response.WELCOME: (("heartbeat_timeout", "u64"),),
    Response.DB: (("id", "u32"), ("unused", "u32")),
    Response.STMT: (("db", "u32"), ("id", "u32"), ("params", "u64")),
    Response.RESULT: (("last_insert_id", "i64"), ("rows_affected", "u64")),
    Response.EMPTY: (("unused", "u64"),),
    Response.METADATA: (("failure_domain", "u64"), ("weight", "u64")),
}

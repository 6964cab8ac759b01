"""Golden bytes of every request, written by hand from the protocol's field tables."""

from __future__ import annotations

import struct

import pytest

from dqlite_dbapi.errors import DataError
from dqlite_dbapi.wire.constants import Request
from dqlite_dbapi.wire.requests import HANDSHAKE, encode, encode_sql
from dqlite_dbapi.wire.schema import REQUESTS
from dqlite_dbapi.wire.values import encode_text


def u64(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def text(value):
    raw = value.encode() + b"\0"
    return raw + bytes(-len(raw) % 8)


GOLDEN = [
    (Request.LEADER, (0,), "01000000 00 00 0000", u64(0)),
    (Request.CLIENT, (7,), "01000000 01 00 0000", u64(7)),
    (Request.OPEN, ("app", 0, ""), "03000000 03 00 0000", text("app") + u64(0) + text("")),
    (Request.PREPARE, (0, "SELECT 1"), "03000000 04 00 0000", u64(0) + text("SELECT 1")),
    (Request.EXEC, (0, 3, ()), "01000000 05 00 0000", struct.pack("<II", 0, 3)),
    (Request.QUERY, (0, 3, ()), "01000000 06 00 0000", struct.pack("<II", 0, 3)),
    (Request.FINALIZE, (0, 3), "01000000 07 00 0000", struct.pack("<II", 0, 3)),
    (
        Request.EXEC_SQL,
        (0, "DELETE FROM t WHERE a=?", (5,)),
        "06000000 08 00 0000",
        u64(0) + text("DELETE FROM t WHERE a=?") + b"\x01\x01" + bytes(6) + u64(5),
    ),
    (Request.QUERY_SQL, (0, "SELECT 1", ()), "03000000 09 00 0000", u64(0) + text("SELECT 1")),
    (Request.INTERRUPT, (0,), "01000000 0a 00 0000", u64(0)),
    (Request.ADD, (2, "h:9001"), "02000000 0c 00 0000", u64(2) + text("h:9001")),
    (Request.ASSIGN, (2, 0), "02000000 0d 00 0000", u64(2, 0)),
    (Request.REMOVE, (2,), "01000000 0e 00 0000", u64(2)),
    (Request.DUMP, ("app",), "01000000 0f 00 0000", text("app")),
    (Request.CLUSTER, (1,), "01000000 10 00 0000", u64(1)),
    (Request.TRANSFER, (2,), "01000000 11 00 0000", u64(2)),
    (Request.DESCRIBE, (0,), "01000000 12 00 0000", u64(0)),
    (Request.WEIGHT, (9,), "01000000 13 00 0000", u64(9)),
]


@pytest.mark.parametrize(
    ("kind", "values", "header", "body"), GOLDEN, ids=[row[0].name for row in GOLDEN]
)
def test_golden_bytes(kind, values, header, body):
    assert encode(kind, *values) == bytes.fromhex(header) + body


def test_every_request_has_golden_bytes():
    assert {row[0] for row in GOLDEN} == set(REQUESTS) == set(Request)


def test_handshake_is_protocol_one():
    assert u64(1) == HANDSHAKE


@pytest.mark.parametrize("kind", [Request.EXEC_SQL, Request.QUERY_SQL])
@pytest.mark.parametrize("params", [(), (1, "two", None)])
def test_the_short_way_for_sql_is_the_table_s(kind, params):
    assert encode_sql(kind, encode_text("SELECT ?"), params) == encode(kind, 0, "SELECT ?", params)


def test_wide_parameter_counts_set_the_schema():
    message = encode(Request.EXEC_SQL, 0, "x", (1,), schema=1)
    assert message[5] == 1
    assert message[24:32] == b"\x01\0\0\0\x01\0\0\0"


@pytest.mark.parametrize("kind", list(Request))
def test_no_body_is_empty(kind):
    values = [0 if form in ("u64", "u32") else () if form == "params" else ""
              for _, form in REQUESTS[kind]]  # fmt: skip
    message = encode(kind, *values)
    assert struct.unpack_from("<I", message)[0] == len(message) // 8 - 1 > 0


def test_nul_in_sql_is_refused():
    with pytest.raises(DataError):
        encode(Request.EXEC_SQL, 0, "SELECT '\0'", ())

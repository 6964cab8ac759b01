"""Responses decoded from bytes written by hand."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqlite_dbapi.errors import ProtocolViolation
from dqlite_dbapi.wire import responses
from dqlite_dbapi.wire.constants import Response
from dqlite_dbapi.wire.frames import Frame


def u64(*values):
    return struct.pack(f"<{len(values)}Q", *values)


def text(value):
    raw = value + b"\0"
    return raw + bytes(-len(raw) % 8)


def decode(kind, body, schema=0):
    return responses.decode(Frame(int(kind), schema, body))


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (Response.FAILURE, u64(5) + text(b"database is locked"), (5, "database is locked")),
        (Response.SERVER, u64(1) + text(b"h:9001"), (1, "h:9001")),
        (Response.SERVER, u64(0) + text(b""), (0, "")),
        (Response.WELCOME, u64(15000), (15000,)),
        (
            Response.SERVERS,
            u64(2, 1) + text(b"a:1") + u64(0, 2) + text(b"b:2") + u64(2),
            (((1, "a:1", 0), (2, "b:2", 2)),),
        ),
        (Response.SERVERS, u64(0), ((),)),
        (Response.DB, u64(0), (0, 0)),
        (Response.STMT, struct.pack("<IIQ", 0, 4, 2), (0, 4, 2, None)),
        (Response.RESULT, struct.pack("<qQ", -3, 2), (-3, 2)),
        (Response.EMPTY, u64(0), (0,)),
        (
            Response.FILES,
            u64(2) + text(b"app") + u64(8) + b"12345678" + text(b"app-wal") + u64(0),
            ((("app", b"12345678"), ("app-wal", b"")),),
        ),
        (Response.METADATA, u64(3, 9), (3, 9)),
    ],
)
def test_golden_bytes(kind, body, expected):
    assert tuple(decode(kind, body)) == expected


def test_prepare_of_schema_one_has_a_tail():
    assert decode(Response.STMT, struct.pack("<IIQQ", 0, 1, 2, 9), schema=1).tail == 9


@pytest.mark.parametrize("kind", [kind for kind in Response if kind is not Response.ROWS])
@pytest.mark.parametrize("body", [b"", u64(2**63), b"\xff" * 24])
def test_damaged_bodies_are_violations_or_values(kind, body):
    with contextlib.suppress(ProtocolViolation):
        decode(kind, body)


@pytest.mark.parametrize("kind", [7, 11, 255])
def test_unexpected_types_are_violations(kind):
    with pytest.raises(ProtocolViolation):
        decode(kind, u64(0, 0))


MESSAGES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(
    st.lists(st.binary(min_size=1, max_size=20).filter(lambda name: 0 not in name), max_size=5),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6),
    st.integers(0, 2**31),
    MESSAGES,
)
def test_failure_behind_partial_rows(names, words, code, message):
    """The server appends a failure to whatever it had written already (wire-protocol 4.4)."""
    prefix = b""
    if names:
        prefix = (
            u64(len(names)) + b"".join(map(text, names)) + struct.pack(f"<{len(words)}q", *words)
        )
    failure = responses.decode_failure(prefix + u64(code) + text(message.encode()))
    assert failure == (code, message)

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqlite_node.frames import (
    CONNECT,
    NAMES,
    ROLES,
    VERSIONS,
    Forbidden,
    Inspector,
    Malformed,
    check_name,
    failure,
)

HELLO = struct.pack("<Q", 1)


def header(words, kind, schema=0):
    return struct.pack("<IBBH", words, kind, schema, 0)


def message(kind, body=bytes(8), schema=0):
    return header(len(body) // 8, kind, schema) + body


def text(value):
    raw = value.encode() + b"\0"
    return raw + bytes(-len(raw) % 8)


def connect(node_id=2, address="127.0.0.1:9002"):
    return message(CONNECT, struct.pack("<Q", node_id) + text(address))


def inspector(*roles, connects=lambda _id, _address: None):
    allowed = frozenset().union(*(ROLES[role] for role in roles or ["member"]))
    return Inspector(allowed, connects)


def bad(stream, *roles):
    """Feed it bit by bit as well as at once; give what passed, and the exceptions."""
    outcomes = []
    for step in (len(stream), 1):
        judge = inspector(*roles)
        passed = b""
        try:
            for at in range(0, len(stream), step):
                passed += judge.feed(stream[at : at + step])
        except (Malformed, Forbidden) as error:
            outcomes.append(type(error))
        else:
            outcomes.append(None)
        assert len(passed) <= len(stream)
    assert outcomes[0] is outcomes[1]
    return outcomes[0]


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack("<Q", 2),
        b"GET / HTTP/1.1\r\n",
        HELLO + header(0, 0),
        HELLO + header(0xFFFFFFFF, 0),
        HELLO + header(0x20000000, 8),
        HELLO + header(0x20000001, 8),
        HELLO + message(2),
        HELLO + message(20),
        HELLO + message(255),
        HELLO + message(8, schema=2),
        HELLO + message(3, text("x"), schema=1),
        HELLO + message(16, struct.pack("<Q", 2)),
        HELLO + message(18, struct.pack("<Q", 1)),
        HELLO + message(3, bytes(24)),
        HELLO + message(3, text(":memory:") + bytes(16)),
        HELLO + message(3, text("file:x.db") + bytes(16)),
        HELLO + message(3, text("x-wal") + bytes(16)),
        HELLO + message(3, text("x-journal") + bytes(16)),
        HELLO + message(3, text("x" * 256) + bytes(16)),
        HELLO + message(3, b"x" * 800),
        HELLO + message(3, b"x" * 8),
        HELLO + message(3, b"\xff" + bytes(23)),
        HELLO + message(15, text(":memory:")),
        HELLO + message(CONNECT),
        HELLO + message(CONNECT, struct.pack("<Q", 1) + b"x" * 1000),
        HELLO + message(0) + header(0, 0),
    ],
)
def test_what_is_cut(stream):
    assert bad(stream) is Malformed


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_that_passes(version):
    assert inspector().feed(struct.pack("<Q", version)) == struct.pack("<Q", version)


@pytest.mark.parametrize("name", ["x", "x" * 255, "a/b.db", "é", "wal", ":memory:x", "my-wal2"])
def test_names_that_pass(name):
    stream = HELLO + message(3, text(name[:255]) + bytes(16))
    assert inspector("client").feed(stream) == stream


def test_names_are_checked_as_bytes():
    with pytest.raises(Malformed):
        check_name("é".encode() * 128)


@pytest.mark.parametrize(
    ("roles", "may", "may_not"),
    [
        (["client"], {0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 16, 18}, {11, 12, 13, 14, 15, 17, 19}),
        (["backup"], {0, 1, 15, 16, 18}, {3, 8, 9, 11, 14}),
        (["client", "backup"], {0, 3, 8, 15}, {11, 14}),
        (["operator"], set(NAMES) - {11}, {11}),
        (["member"], set(NAMES), set()),
    ],
)
def test_roles(roles, may, may_not):
    bodies = {3: text("x") + bytes(16), 15: text("x"), 11: struct.pack("<Q", 2) + text("h:1")}
    for kind in may:
        stream = HELLO + message(kind, bodies.get(kind, bytes(8)))
        assert bad(stream, *roles) is None
    for kind in may_not:
        assert bad(HELLO + message(kind, bodies.get(kind, bytes(8))), *roles) is Forbidden


def test_who_connects_is_asked_about():
    asked = []

    def judge(node_id, address):
        asked.append((node_id, address))
        return "no" if node_id == 3 else None

    assert inspector(connects=judge).feed(HELLO + connect(2)) == HELLO + connect(2)
    with pytest.raises(Forbidden):
        inspector(connects=judge).feed(HELLO + connect(3))
    assert asked == [(2, "127.0.0.1:9002"), (3, "127.0.0.1:9002")]


def test_raft_passes_unchecked():
    judge = inspector()
    raft = bytes(1000)
    assert judge.feed(HELLO + connect() + raft) == HELLO + connect() + raft
    assert judge.is_raft
    assert judge.feed(raft) == raft


def test_a_long_body_is_not_gathered():
    judge = inspector()
    judge.feed(HELLO + header(2**20, 8))
    for _ in range(2**20 * 8 // 65536):
        assert len(judge.feed(bytes(65536))) == 65536
    assert judge.feed(message(0)) == message(0)


@given(st.lists(st.integers(1, 40), min_size=1), st.lists(st.integers(1, 64), min_size=1))
def test_any_cut_of_a_proper_stream_passes_whole(sizes, cuts):
    parts = [message(8, bytes(8 * size)) for size in sizes]
    stream = HELLO + b"".join(
        part + message(16) + message(3, text("name") + bytes(16)) for part in parts
    )
    judge = inspector("client")
    passed, at, turn = b"", 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        passed += judge.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert passed == stream


@given(st.binary(max_size=200))
def test_any_bytes_give_a_verdict(noise):
    judge = inspector("client")
    try:
        passed = judge.feed(HELLO + noise)
    except (Malformed, Forbidden):
        return
    assert (HELLO + noise).startswith(passed)


def test_a_failure_is_a_frame():
    frame = failure(23, "no")
    assert frame == message(0, struct.pack("<Q", 23) + text("no"))

"""A statement id is used in the session that gave it, and given back there once (hazard H32)."""

from __future__ import annotations

import struct

import pytest

from dqlite_dbapi.errors import ConnectionLost
from dqlite_dbapi.protocol.prepared import Prepared
from dqlite_dbapi.protocol.session import Session, State
from dqlite_dbapi.wire.constants import Request, Response
from dqlite_dbapi.wire.values import encode_text
from tests.support.flows import failure, message

ONE, TWO = encode_text("INSERT INTO t VALUES (?)"), encode_text("INSERT INTO t VALUES (?),(?)")
EMPTY = message(Response.EMPTY, bytes(8))


def compiled(number):
    return message(Response.STMT, struct.pack("<IIQ", 0, number, 1))


class Talk:
    """A READY session whose answers are given beforehand, and what was asked."""

    def __init__(self, *answers):
        self.session = Session("m:1", lambda: 0.0, 1.0)
        self.session.to(State.OPENING)
        self.session.to(State.READY)
        self._answers = list(answers)
        self.asked = []

    def run(self, flow):
        answer = None
        try:
            while True:
                self.asked.append(flow.send(answer)[4])
                answer = self._answers.pop(0)
                if isinstance(answer, Exception):
                    flow.throw(answer)
        except StopIteration:
            return


def test_one_id_at_a_time_each_given_back_once():
    talk, prepared = Talk(compiled(3), EMPTY, compiled(3), EMPTY), Prepared()
    for text in (ONE, ONE, TWO):
        talk.run(prepared.begin(talk.session, text))
    assert prepared.head(talk.session, ONE) is None
    assert prepared.head(talk.session, TWO) == struct.pack("<II", 0, 3)
    for _ in range(2):
        talk.run(prepared.end(talk.session))
    assert prepared.head(talk.session, TWO) is None
    assert talk.asked == [Request.PREPARE, Request.FINALIZE, Request.PREPARE, Request.FINALIZE]


def test_an_id_is_not_used_in_another_session():
    talk, other, prepared = Talk(compiled(0)), Talk(), Prepared()
    talk.run(prepared.begin(talk.session, ONE))
    assert prepared.head(other.session, ONE) is None
    other.run(prepared.end(other.session))
    assert other.asked == []


def test_what_the_server_refuses_is_not_asked_again():
    talk, prepared = Talk(failure(1, "no such table: t")), Prepared()
    for _ in range(2):
        talk.run(prepared.begin(talk.session, ONE))
    assert talk.asked == [Request.PREPARE]
    assert prepared.head(talk.session, ONE) is None


def test_a_lost_connection_is_told():
    talk, prepared = Talk(ConnectionLost("gone")), Prepared()
    with pytest.raises(ConnectionLost):
        talk.run(prepared.begin(talk.session, ONE))

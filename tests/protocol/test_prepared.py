"""A statement id is used in the session that gave it, and given back there once (hazard H32)."""

from __future__ import annotations

import struct

import pytest

from dqlite_dbapi.errors import ConnectionLost
from dqlite_dbapi.protocol.prepared import Prepared
from dqlite_dbapi.protocol.session import Session, State
from dqlite_dbapi.wire.constants import Request, Response
from dqlite_dbapi.wire.requests import encode, encode_sql
from dqlite_dbapi.wire.values import encode_text
from tests.support.flows import failure, message

ONE, TWO = encode_text("INSERT INTO t VALUES (?)"), encode_text("INSERT INTO t VALUES (?),(?)")
BAD = encode_text("INSERT INTO u VALUES (?)")
EMPTY = message(Response.EMPTY, bytes(8))


def compile_(text):
    return encode_sql(Request.PREPARE, text, ())


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
                self.asked.append(flow.send(answer))
                answer = self._answers.pop(0)
                if isinstance(answer, Exception):
                    flow.throw(answer)
        except StopIteration:
            return


def test_each_is_compiled_once_and_given_back_once():
    talk = Talk(compiled(3), compiled(4) + failure(1, "no such table: t"), EMPTY * 2)
    prepared = Prepared()
    for texts in ((ONE,), (ONE,), (ONE, TWO, BAD), (TWO, BAD)):
        talk.run(prepared.begin(talk.session, *texts))
    heads = [prepared.head(talk.session, text) for text in (ONE, TWO, BAD)]
    assert heads == [struct.pack("<II", 0, 3), struct.pack("<II", 0, 4), None]
    for _ in range(2):
        talk.run(prepared.end(talk.session))
    assert prepared.head(talk.session, TWO) is None
    given_back = [encode(Request.FINALIZE, 0, number) for number in (3, 4)]
    assert talk.asked == [compile_(ONE), compile_(TWO) + compile_(BAD), b"".join(given_back)]


def test_an_id_is_not_used_in_another_session():
    talk, other, prepared = Talk(compiled(0)), Talk(compiled(7)), Prepared()
    talk.run(prepared.begin(talk.session, ONE))
    assert prepared.head(other.session, ONE) is None
    other.run(prepared.begin(other.session, TWO))
    assert prepared.head(other.session, ONE) is prepared.head(talk.session, ONE) is None
    talk.run(prepared.end(talk.session))
    assert other.asked == [compile_(TWO)]
    assert talk.asked == [compile_(ONE)]


def test_a_lost_connection_is_told():
    talk, prepared = Talk(ConnectionLost("gone")), Prepared()
    with pytest.raises(ConnectionLost):
        talk.run(prepared.begin(talk.session, ONE))

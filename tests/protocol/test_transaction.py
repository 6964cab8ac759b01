"""When a transaction is open, what makes work durable, and which outcomes are unknown."""

from __future__ import annotations

import pytest

from dqlite_dbapi.errors import (
    Busy,
    CommitUnknown,
    ConnectionLost,
    IntegrityError,
    NotLeader,
    OperationalError,
    ProtocolViolation,
    Timeout,
    from_failure,
)
from dqlite_dbapi.protocol.transaction import Transaction, outcome
from dqlite_dbapi.sql import classify


def after(*script):
    transaction = Transaction()
    for sql in script:
        statement = classify(sql)
        transaction.sending(statement)
        transaction.succeeded(statement)
    return transaction


@pytest.mark.parametrize(
    ("script", "is_open"),
    [
        ([], False),
        (["SELECT 1", "INSERT INTO t VALUES (1)"], False),
        (["BEGIN"], True),
        (["BEGIN", "COMMIT"], False),
        (["BEGIN IMMEDIATE", "END"], False),
        (["BEGIN", "SAVEPOINT a", "RELEASE a"], True),
        (["BEGIN", "ROLLBACK TO a"], True),
        (["BEGIN", "SAVEPOINT a", "ROLLBACK"], False),
        (["SAVEPOINT a"], True),
        (["SAVEPOINT a", "RELEASE a"], False),
        (["SAVEPOINT a", "SAVEPOINT b", "RELEASE b"], True),
        (["SAVEPOINT a", "SAVEPOINT b", "RELEASE SAVEPOINT a"], False),
        (["SAVEPOINT a", "SAVEPOINT a", "RELEASE a"], True),
        (["SAVEPOINT a", "SAVEPOINT b", "ROLLBACK TO a", "RELEASE a"], False),
        (['SAVEPOINT "A b"', 'RELEASE "a B"'], False),
    ],
)
def test_what_opens_and_ends_a_transaction(script, is_open):
    assert after(*script).is_open is is_open


@pytest.mark.parametrize(
    ("script", "sql", "commits"),
    [
        ([], "INSERT INTO t VALUES (1)", True),
        ([], "CREATE TABLE t (a)", True),
        ([], "PRAGMA user_version = 3", True),
        ([], "PRAGMA foreign_keys = 0", False),
        ([], "SELECT 1", False),
        ([], "BEGIN", False),
        ([], "SAVEPOINT a", False),
        (["BEGIN"], "INSERT INTO t VALUES (1)", False),
        (["BEGIN"], "COMMIT", False),
        (["BEGIN", "DELETE FROM t"], "COMMIT", True),
        (["BEGIN", "DELETE FROM t", "COMMIT", "BEGIN"], "COMMIT", False),
        (["BEGIN", "SAVEPOINT a"], "RELEASE a", False),
        (["SAVEPOINT a"], "RELEASE a", False),
        (["SAVEPOINT a", "DELETE FROM t"], "RELEASE a", True),
        (["SAVEPOINT a", "DELETE FROM t", "SAVEPOINT b"], "RELEASE b", False),
        (["BEGIN"], "ROLLBACK", False),
    ],
)
def test_what_makes_work_durable(script, sql, commits):
    assert after(*script).commits(classify(sql)) is commits


@pytest.mark.parametrize("code", [10506, 10, 778, 4])
def test_codes_that_leave_a_commit_unknown(code):
    error = outcome(from_failure(code, "x", "a:1"), commits=True)
    assert isinstance(error, CommitUnknown)
    assert (error.is_ambiguous, error.is_retryable, error.is_disconnect) == (True, False, True)
    assert (error.code, error.address) == (code, "a:1")


@pytest.mark.parametrize("kind", [ConnectionLost, Timeout, ProtocolViolation])
def test_a_lost_answer_leaves_a_commit_unknown(kind):
    assert isinstance(outcome(kind("x"), commits=True), CommitUnknown)
    assert type(outcome(kind("x"), commits=False)) is kind


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (10250, "not leader", NotLeader),
        (7, "no more rows available", NotLeader),
        (9, "interrupted", ConnectionLost),
        (12, "no database opened", NotLeader),
        (5, "database is locked", Busy),
        (261, "x", Busy),
    ],
)
def test_codes_after_which_nothing_was_applied(code, message, kind):
    error = outcome(from_failure(code, message), commits=True)
    assert isinstance(error, kind)
    assert (error.is_retryable, error.is_ambiguous) == (True, False)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(1, OperationalError), (2067, IntegrityError), (787, IntegrityError), (1299, IntegrityError)],
)
def test_final_errors_are_neither_retryable_nor_ambiguous(code, kind):
    error = outcome(from_failure(code, "x"), commits=True)
    assert isinstance(error, kind)
    assert (error.is_retryable, error.is_ambiguous, error.is_disconnect) == (False,) * 3


def test_a_real_lack_of_memory_is_no_lost_leader():
    assert not from_failure(7, "out of memory").is_disconnect

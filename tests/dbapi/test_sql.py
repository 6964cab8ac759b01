"""The statement classifier."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dqlite_dbapi.errors import DataError, ProgrammingError
from dqlite_dbapi.sql import Kind, bind, classify, split


@pytest.mark.parametrize(
    ("sql", "kind", "returns_rows"),
    [
        ("SELECT 1", Kind.READ, True),
        (" -- c\n /* d */ select 1", Kind.READ, True),
        ("VALUES (1)", Kind.READ, True),
        ("EXPLAIN QUERY PLAN SELECT 1", Kind.READ, True),
        ("EXPLAIN INSERT INTO t VALUES (1)", Kind.READ, True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", Kind.READ, True),
        ("WITH replace AS (SELECT 1) SELECT * FROM replace", Kind.READ, True),
        ("WITH a(x) AS (SELECT 1) INSERT INTO t SELECT x FROM a", Kind.WRITE, False),
        ("WITH a AS (SELECT 1) REPLACE INTO t SELECT * FROM a", Kind.WRITE, False),
        ("WITH a AS (SELECT 1) DELETE FROM t WHERE x IN a", Kind.WRITE, False),
        ("INSERT INTO t VALUES ('returning')", Kind.WRITE, False),
        ('INSERT INTO t ("returning") VALUES (1)', Kind.WRITE, False),
        ("INSERT INTO t VALUES (1) RETURNING id", Kind.WRITE, True),
        ("UPDATE t SET a = 1 WHERE b = 'x' RETURNING *", Kind.WRITE, True),
        ("CREATE TABLE t (a)", Kind.SCHEMA, False),
        ("ANALYZE", Kind.SCHEMA, False),
        ("BEGIN IMMEDIATE", Kind.BEGIN, False),
        ("END", Kind.COMMIT, False),
        ("ROLLBACK", Kind.ROLLBACK, False),
        ("ROLLBACK TRANSACTION TO SAVEPOINT a", Kind.ROLLBACK_TO, False),
        ("SAVEPOINT a", Kind.SAVEPOINT, False),
        ("RELEASE a", Kind.RELEASE, False),
        ("PRAGMA table_info(t)", Kind.PRAGMA, True),
        ("PRAGMA foreign_keys", Kind.PRAGMA, True),
        ("PRAGMA foreign_keys = ON", Kind.PRAGMA, False),
        ("VACUUM", Kind.VACUUM, False),
        ("ATTACH 'a' AS b", Kind.ATTACH, False),
    ],
)
def test_kinds(sql, kind, returns_rows):
    statement = classify(sql)
    assert (statement.kind, statement.returns_rows) == (kind, returns_rows)


@pytest.mark.parametrize("tail", ["", ";", " ; ", "; -- comment", ";\n/* c */\n", ";;"])
def test_what_follows_the_statement_is_not_sent(tail):
    assert classify("SELECT 1" + tail).encoded == classify("SELECT 1").encoded


@pytest.mark.parametrize("sql", ["", "  ", ";", "-- only a comment"])
def test_no_statement(sql):
    with pytest.raises(ProgrammingError):
        classify(sql)


@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "BEGIN; INSERT INTO t VALUES (1); COMMIT", "SELECT ';'; SELECT 2"]
)
def test_several_statements(sql):
    with pytest.raises(ProgrammingError):
        classify(sql)


def test_nul_is_refused():
    with pytest.raises(DataError):
        classify("SELECT 'a\0b'")


TRIGGER = """CREATE TEMP TRIGGER tr AFTER INSERT ON t BEGIN
  INSERT INTO log VALUES (new.a); SELECT CASE WHEN 1 THEN 2 END; END"""


def test_scripts_are_split_like_the_shell_does():
    script = f"CREATE TABLE t (a); {TRIGGER}; INSERT INTO t VALUES (';'); -- end"
    assert split(script) == ["CREATE TABLE t (a)", TRIGGER, "INSERT INTO t VALUES (';')"]
    assert classify(TRIGGER + ";").kind is Kind.SCHEMA


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT ?, ?", (None, None)),
        ("SELECT ?2, ?1, ?", (None, None, None)),
        ("SELECT ?5", (None,) * 5),
        ("SELECT :a, @b, $c, :a", ("a", "b", "c")),
        ("SELECT :a, ?, '?', \"?\", [?], -- ?\n /* :x */ :a", ("a", None)),
    ],
)
def test_parameters_are_numbered_as_sqlite_does(sql, names):
    assert classify(sql).names == names


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_number_of_values_is_checked(count):
    with pytest.raises(ProgrammingError):
        bind(classify("SELECT ?, ?"), (1,) * count)


def test_values_by_name():
    statement = classify("SELECT :a, :b, :a")
    assert bind(statement, {"b": 2, "a": 1, "unused": 3}) == [1, 2]
    with pytest.raises(ProgrammingError):
        bind(statement, {"a": 1})
    with pytest.raises(ProgrammingError):
        bind(classify("SELECT ?"), {"a": 1})


@pytest.mark.parametrize("values", ["ab", b"ab", 5, {1, 2}, iter((1, 2))])
def test_values_must_be_a_sequence_or_mapping(values):
    with pytest.raises(ProgrammingError):
        bind(classify("SELECT ?, ?"), values)


@given(
    st.lists(
        st.sampled_from(
            ["SELECT 1", "'a;b'", '"c;"', ";", "--x;\n", "/*;*/", "[y;]", " ", "`z;`", "BEGIN"]
        )
    )
)
def test_statements_end_where_sqlite_says(pieces):
    script = " ".join(pieces)
    for statement in split(script):
        assert sqlite3.complete_statement(statement + ";")
        assert not sqlite3.complete_statement(statement.rstrip(";"))

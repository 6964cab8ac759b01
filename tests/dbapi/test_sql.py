"""The statement classifier."""

from __future__ import annotations

import contextlib
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
        ("WITH explain(x) AS (SELECT 1) DELETE FROM t", Kind.WRITE, False),
        ("EXPLAIN SELECT vacuum FROM t", Kind.READ, True),
        ("EXPLAIN QUERY PLAN PRAGMA foreign_keys = 1", Kind.PRAGMA, False),
        ("PRAGMA 'foreign_keys'", Kind.PRAGMA, True),
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
    "sql",
    [
        "SELECT 1; SELECT 2",
        "BEGIN; INSERT INTO t VALUES (1); COMMIT",
        "SELECT ';'; SELECT 2",
        "CREATE TABLE trigger (a); DROP TABLE t",
        "SELECT 1 AS trigger; BEGIN",
    ],
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


# --- SQLite as the judge -------------------------------------------------------------------------

CORPUS = """
SELECT 1
SELECT * FROM t WHERE a = 'returning' AND "returning" IS NULL
SELECT a "insert" FROM t UNION SELECT 2 ORDER BY 1
VALUES (1), (2)
WITH c AS (SELECT 1) SELECT * FROM c
WITH c AS MATERIALIZED (SELECT 1), d(x) AS NOT MATERIALIZED (VALUES (1)) VALUES (3)
WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5) SELECT x FROM c
WITH replace(x) AS (SELECT 7) SELECT x FROM replace
WITH explain(x) AS (SELECT 7) DELETE FROM t WHERE id IN explain
WITH pragma AS (SELECT 7 AS x) INSERT INTO t SELECT x, x, x FROM pragma
WITH c AS (SELECT 7 AS x) INSERT INTO t SELECT x, x, x FROM c RETURNING id
WITH c(x) AS (SELECT 8) REPLACE INTO t SELECT x, x, x FROM c
WITH c AS (SELECT 1) UPDATE t SET a = 5
WITH c AS (SELECT 1) DELETE FROM t RETURNING *
WITH "delete" AS (SELECT 1) SELECT replace('a', 'b', 'c') FROM "delete"
INSERT INTO t VALUES (9, 1, 2)
INSERT INTO t (id, "returning") VALUES (9, 'returning')
INSERT INTO t VALUES (9, 'x; SELECT 1', 2) RETURNING id AS "returning"
INSERT OR IGNORE INTO t SELECT 9, 1, 2 WHERE true ON CONFLICT (id) DO UPDATE SET a = 1 RETURNING a
INSERT INTO t DEFAULT VALUES
REPLACE INTO t VALUES (1, 1, 1)
REPLACE INTO t VALUES (1, 1, 1) RETURNING (SELECT count(*) FROM t)
UPDATE t SET a = (SELECT 1) WHERE id = 1
UPDATE t SET a = 3 FROM (SELECT 1 AS x) AS y WHERE y.x = t.id RETURNING t.id
UPDATE OR IGNORE main.t AS z SET (a, id) = (1, 5)
DELETE FROM t WHERE a IN (SELECT 'RETURNING')
DELETE FROM t WHERE id = 1 RETURNING [id], `a`
CREATE TABLE u (a, "select" INTEGER DEFAULT 5, CHECK (a > 1))
CREATE TABLE IF NOT EXISTS u AS SELECT * FROM t
CREATE TEMP TABLE u (returning_at TEXT)
CREATE VIEW v AS SELECT 1
CREATE INDEX i ON t (a) WHERE a > 1
CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO t VALUES (NULL, 'returning', 1); SELECT 1; END
CREATE TEMPORARY TRIGGER r BEFORE DELETE ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; END
ALTER TABLE t ADD COLUMN z
ALTER TABLE t RENAME TO returning_t
DROP TABLE t
DROP TABLE IF EXISTS nowhere
REINDEX
ANALYZE
BEGIN
BEGIN IMMEDIATE TRANSACTION
SAVEPOINT select_me
EXPLAIN SELECT 1
EXPLAIN QUERY PLAN INSERT INTO t VALUES (1, 2, 3) RETURNING id
EXPLAIN DELETE FROM t
EXPLAIN CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END
PRAGMA user_version
PRAGMA user_version = 5
PRAGMA main.user_version(6)
PRAGMA application_id = 7
PRAGMA 'table_info'('t')
PRAGMA main . "index_list" ( t )
PRAGMA table_xinfo = t
PRAGMA foreign_keys
PRAGMA foreign_keys = off
PRAGMA recursive_triggers(1)
PRAGMA case_sensitive_like = 1
PRAGMA cache_size = 100
PRAGMA cache_spill
PRAGMA cache_spill = 0
PRAGMA defer_foreign_keys = 1
PRAGMA query_only = 0
PRAGMA secure_delete = 1
PRAGMA temp_store = memory
PRAGMA busy_timeout = 5
PRAGMA journal_size_limit = 100
PRAGMA max_page_count = 10000
PRAGMA mmap_size = 0
PRAGMA threads = 1
PRAGMA analysis_limit = 10
PRAGMA soft_heap_limit = 0
PRAGMA hard_heap_limit = 0
PRAGMA integrity_check
PRAGMA integrity_check(3)
PRAGMA quick_check(t)
PRAGMA foreign_key_check
PRAGMA foreign_key_list(t)
PRAGMA database_list
PRAGMA collation_list
PRAGMA compile_options
PRAGMA function_list
PRAGMA module_list
PRAGMA pragma_list
PRAGMA page_count
PRAGMA freelist_count
PRAGMA encoding
PRAGMA encoding = 'UTF-8'
PRAGMA schema_version
PRAGMA data_version
PRAGMA shrink_memory
PRAGMA incremental_vacuum(5)
PRAGMA writable_schema = 1
PRAGMA trusted_schema
PRAGMA cell_size_check = 1
PRAGMA locking_mode = normal
PRAGMA synchronous
PRAGMA synchronous = 1
PRAGMA journal_mode
PRAGMA legacy_alter_table = 1
PRAGMA nonsense
PRAGMA nonsense = 5
""".strip().splitlines()


def judge(sql):
    """What SQLite says: whether rows may come, and whether the database changed."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(
        """CREATE TABLE t (id INTEGER PRIMARY KEY, a, "returning"); CREATE TABLE o (id);
        INSERT INTO t VALUES (1, 1, 1), (5, 5, 5)"""
    )
    before = _state(connection)
    try:
        cursor = connection.execute(sql)
        cursor.fetchall()
        return cursor.description is not None, _state(connection) != before
    finally:
        connection.close()


def _state(connection):
    versions = [
        connection.execute(f"PRAGMA {name}").fetchone()
        for name in ("schema_version", "user_version", "application_id", "foreign_keys")
    ]
    return [*connection.iterdump(), *versions]


def test_the_corpus_is_judged_as_sqlite_does():
    wrong = []
    for sql in CORPUS:
        rows, changes = judge(sql)
        statement = classify(sql)
        if statement.returns_rows is not rows and not sql.startswith("PRAGMA nonsense"):
            wrong.append(f"rows: {rows} for {sql}")
        if statement.is_read and changes:
            wrong.append(f"a write is taken for a read: {sql}")
    assert not wrong


GAPS = st.sampled_from(
    [" ", "  ", "\n", "\t", "/* INSERT ; */", "-- RETURNING ; '\n", "\f \r", "/**/"]
)


@given(st.sampled_from(CORPUS), st.data())
def test_blanks_comments_and_case_change_nothing(sql, data):
    spread = "".join(
        data.draw(GAPS) if char == " " and not _quoted(sql, place) else char
        for place, char in enumerate(sql)
    )
    if data.draw(st.booleans()) and not set("'\"`[") & set(sql):
        spread = spread.swapcase()
    spread = data.draw(GAPS) + spread + data.draw(st.sampled_from(["", ";", " ; -- SELECT", ";;"]))
    plain, found = classify(sql), classify(spread)
    assert (found.kind, found.returns_rows, found.is_read, found.pragma, found.hazard) == (
        (plain.kind, plain.returns_rows, plain.is_read, plain.pragma, plain.hazard)
    )


def _quoted(sql, place):
    """Whether `place` lies in a literal or a quoted name (the corpus has no doubled quotes)."""
    before = sql[:place]
    return any(before.count(quote) % 2 for quote in "'\"`") or before.count("[") > before.count("]")


PIECES = (
    *("SELECT", "insert", "WITH", "a", "AS", "(", ")", ",", "1", "'x'", '"y"', "--", "\n", "/*"),
    *("*/", ";", "?1", ":b", "$c", "[d]", "RETURNING", "replace", "INTO", "t", "VALUES", "explain"),
    *("PRAGMA", "=", ".", "*", "e\u00e9", "\u00a0", "0x1f", "1e5", "x'00'", "begin", "END", "SET"),
    *("CREATE", "UPDATE", "boolean", "DEFAULT", "-", "ON", "CONFLICT", "DO", "FAIL", "optimize"),
)


@given(st.lists(st.sampled_from(PIECES)))
def test_any_text_is_classified_or_refused(pieces):
    with contextlib.suppress(ProgrammingError):
        classify(" ".join(pieces))

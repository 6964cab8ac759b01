"""Pieces of SQL, so that a byte of a fuzzer's input means a piece rather than a letter."""

from __future__ import annotations

from tests.fuzz.grammar import derive

RAW, APART, JOINED, DERIVED = range(4)

SCHEMA = """
CREATE TABLE t(id INTEGER PRIMARY KEY, a, b TEXT, UNIQUE(a));
CREATE TABLE u(id INTEGER REFERENCES t, flag BOOLEAN, day DATE);
CREATE VIEW v AS SELECT a, b FROM t;
CREATE TRIGGER vi INSTEAD OF INSERT ON v BEGIN INSERT INTO t(a) VALUES(new.a); END;
CREATE VIRTUAL TABLE f USING fts4(x);
CREATE TABLE optimize(optimize);
CREATE INDEX ta ON t(b);
PRAGMA writable_schema = ON;
"""

_WORDS = """
ABORT ADD AFTER ALL ALTER ANALYZE AND AS ASC ATTACH AUTOINCREMENT BEFORE BEGIN BETWEEN BY CASE
CAST CHECK COLLATE COLUMN COMMIT CONFLICT CONSTRAINT CREATE CROSS DATABASE DEFAULT DEFERRED DELETE
DESC DETACH DISTINCT DO DROP EACH ELSE END EXCEPT EXCLUSIVE EXISTS EXPLAIN FAIL FILTER FIRST FOR
FOREIGN FROM FULL GENERATED GLOB GROUP HAVING IF IGNORE IMMEDIATE IN INDEX INDEXED INNER INSERT
INSTEAD INTERSECT INTO IS JOIN KEY LEFT LIKE LIMIT MATERIALIZED NATURAL NO NOT NOTHING NULL OF
OFFSET ON OR ORDER OVER PARTITION PLAN PRAGMA PRIMARY QUERY RAISE RECURSIVE REFERENCES REINDEX
RELEASE RENAME REPLACE RESTRICT RETURNING ROLLBACK ROW SAVEPOINT SELECT SET STRICT TABLE TEMP
TEMPORARY THEN TO TRANSACTION TRIGGER UNION UNIQUE UPDATE USING VACUUM VALUES VIEW VIRTUAL WHEN
WHERE WINDOW WITH WITHOUT
"""
_SIGNS = "( ) , ; . = + - * / || -> ->> < > <> ~ % & |"
_NAMES = """
t u v f a b id flag day x main temp "t" [a] `b` 'a' sqlite_master sqlite_schema sqlite_temp_master
sqlite_dbpage optimize "optimize" pragma_optimize 'pragma_optimize' fts3_tokenizer
pragma_table_info pragma_journal_mode rowid integer BOOLEAN DATE DATETIME zeroblob abs count
optimize(f) fts3_tokenizer('simple') RAISE(FAIL,'no') é
"""
_VALUES = """
0 1 -1 1.5 1e3 0x1F x'00' '' '/tmp/x' 'a''b' NULL TRUE ? ?1 ?2 :n @n $n::x(1) :é
"""
_PRAGMAS = """
journal_mode synchronous page_size wal_checkpoint wal_autocheckpoint optimize count_changes
hard_heap_limit soft_heap_limit temp_store temp_store_directory locking_mode read_uncommitted
user_version schema_version foreign_keys table_info integrity_check mmap_size incremental_vacuum
busy_timeout writable_schema
"""
_PHRASES = (
    "/* c */", "/* ; */", "-- c\n", "--;\n", "\n", "\ufeff", "/*",
    "SELECT 1", "SELECT a FROM t", "INSERT INTO t(a) VALUES(1)", "UPDATE t SET a=1",
    "DELETE FROM t", "WITH c AS (SELECT 1)", "WITH c(x) AS NOT MATERIALIZED (SELECT 1)",
    "WITH RECURSIVE c(x) AS (VALUES(1) UNION ALL SELECT x FROM c)", "RETURNING a",
    "RETURNING *", "EXPLAIN QUERY PLAN", "CREATE TABLE n(x)", "CREATE VIEW n AS",
    "CREATE TRIGGER n AFTER INSERT ON t BEGIN", "CREATE TEMP TRIGGER IF NOT EXISTS n",
    "CREATE VIRTUAL TABLE n USING fts5(x)", "CREATE INDEX n ON t(a)", "ON CONFLICT DO NOTHING",
    "ON CONFLICT FAIL", "OR FAIL", "OR REPLACE", "; END", "PRAGMA main.", "ATTACH '' AS x",
    "ATTACH DATABASE '/tmp/x' AS y", "VACUUM INTO 'x'", "SAVEPOINT s", "ROLLBACK TO s",
    "RELEASE SAVEPOINT s", "BEGIN IMMEDIATE", "END TRANSACTION", "IF NOT EXISTS", "FROM t",
    "WHERE a=?", "ORDER BY 1", "LIMIT 1", "AS MATERIALIZED",
)  # fmt: skip

FRAGMENTS = tuple(
    dict.fromkeys(
        [*" ".join((_WORDS, _SIGNS, _NAMES, _VALUES, _PRAGMAS)).split(), *_PHRASES],
    ),
)


def sentence(data: bytes) -> str:
    """SQL for a fuzzer's input, whose first byte says what the others are: letters, two bytes for
    a fragment (apart or joined), or choices in a grammar.
    """
    kind, rest = data[:1], data[1:]
    if not kind or kind[0] % 4 == RAW:
        return rest.decode("utf-8", "replace").replace("\0", " ")
    if kind[0] % 4 == DERIVED:
        return derive(rest)
    joint = "" if kind[0] % 4 == JOINED else " "
    numbers = (rest[at] | rest[at + 1] << 8 for at in range(0, len(rest) - 1, 2))
    return joint.join(FRAGMENTS[number % len(FRAGMENTS)] for number in numbers)


def raw(sql: str) -> bytes:
    """The input that `sentence` turns into `sql`."""
    return bytes([RAW]) + sql.encode()

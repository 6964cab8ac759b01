"""A SQLite database with every kind of object, and what a copy of it must still hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

SCHEMA = """
CREATE TABLE plain (a, b TEXT, c REAL, d BLOB);
CREATE TABLE keyed (id INTEGER PRIMARY KEY, v);
CREATE TABLE "odd ""name" ("rowid" TEXT, "select" INT, PRIMARY KEY ("rowid"));
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v);
CREATE TABLE bare (k TEXT, n INT, v, PRIMARY KEY (k, n)) WITHOUT ROWID;
CREATE TABLE made (a INT, twice INT AS (a * 2) STORED, b INT, thrice INT AS (a * 3));
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES keyed);
CREATE TABLE backward (id INTEGER PRIMARY KEY DESC, v);
CREATE TABLE log (what);
CREATE VIRTUAL TABLE words USING fts5(title, body);
CREATE VIRTUAL TABLE older USING fts4(body);
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
CREATE INDEX keyed_v ON keyed (v);
CREATE UNIQUE INDEX part ON plain (a) WHERE a > 0;
CREATE VIEW seen AS SELECT id FROM keyed;
CREATE TRIGGER logged AFTER INSERT ON keyed BEGIN INSERT INTO log VALUES (new.id); END;
CREATE TRIGGER through INSTEAD OF INSERT ON seen BEGIN INSERT INTO log VALUES ('seen'); END;
PRAGMA user_version = 42;
PRAGMA application_id = 4711;
"""
VALUES = (None, -(2**63), 2**63 - 1, 1.5, float("inf"), -1e-300, "", "a'b", "\u00e9\U0001f600", b"",
          b"\0'x")  # fmt: skip


def fill(database: sqlite3.Connection) -> None:
    """Make and fill everything."""
    database.executescript(SCHEMA)
    database.executemany(
        "INSERT INTO plain (rowid, a, b, c, d) VALUES (?, ?, ?, ?, ?)",
        [(n * 7 - 3, None if n else 5, v, v, v) for n, v in enumerate(VALUES)],
    )
    database.execute("INSERT INTO plain VALUES (0, CAST(x'41004200' AS TEXT), 'z', NULL)")
    database.execute("INSERT INTO plain VALUES (0, CAST(x'ff41' AS TEXT), x'00', 1)")
    database.executemany("INSERT INTO keyed VALUES (?, ?)", [(-5, "x"), (9, None), (10, 2.0)])
    database.execute('INSERT INTO "odd ""name" VALUES (\'r\', 3)')
    database.executemany("INSERT INTO counted (v) VALUES (?)", [(n,) for n in range(50)])
    database.execute("DELETE FROM counted WHERE id > 20")
    database.executemany("INSERT INTO bare VALUES (?, ?, 1)", [("b", 2), ("a", 3), ("a", 1)])
    database.executemany("INSERT INTO made (a, b) VALUES (?, ?)", [(1, 2), (3, 4)])
    database.executemany("INSERT INTO child VALUES (?, ?)", [(1, 9), (2, None)])
    database.executemany("INSERT INTO backward VALUES (?, 0)", [(10,), (20,)])
    database.executemany(
        "INSERT INTO words (rowid, title, body) VALUES (?, ?, ?)",
        [(3, "one", "a quick fox"), (70, "two", "a lazy dog")],
    )
    database.execute("INSERT INTO older (docid, body) VALUES (8, 'a quick cat')")
    database.execute("INSERT INTO boxes VALUES (5, 1.25, 2.5)")
    database.execute("ANALYZE")
    database.commit()


def content(execute: Callable[[str], Any]) -> list[list[Any]]:
    """What a database holds, rowids, sequences and settings included."""
    queries = [
        "SELECT rowid, a, typeof(b), CAST(b AS BLOB), +c, d, typeof(d) FROM plain ORDER BY rowid",
        "SELECT * FROM keyed ORDER BY id",
        'SELECT _rowid_, * FROM "odd ""name"',
        "SELECT * FROM counted ORDER BY id",
        "SELECT * FROM bare",
        "SELECT rowid, * FROM made ORDER BY rowid",
        "SELECT * FROM child ORDER BY id",
        "SELECT rowid, * FROM backward ORDER BY rowid",
        "SELECT * FROM log ORDER BY what",
        "SELECT rowid, title FROM words WHERE words MATCH 'quick'",
        "SELECT docid FROM older WHERE older MATCH 'quick'",
        "SELECT id, x0, x1 FROM boxes WHERE x1 > 2",
        "SELECT name, seq FROM sqlite_sequence",
        "SELECT tbl, idx, stat FROM sqlite_stat1 ORDER BY 1, 2",
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2",
        "PRAGMA user_version",
        "PRAGMA application_id",
    ]
    return [[tuple(row) for row in execute(query).fetchall()] for query in queries]

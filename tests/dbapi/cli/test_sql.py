"""`dqlite-py sql`: formats, stdin, transactions, exit statuses."""

from __future__ import annotations

import csv
import io
import json

import pytest

import dqlite_dbapi
from dqlite_dbapi.cli import outcome

ALL = "SELECT id, title, cover FROM book ORDER BY id"


def rows(run, url, query):
    done = run("sql", url, query, "--format", "jsonl")
    return [list(json.loads(line).values()) for line in done.stdout.splitlines()]


def test_json(run, books):
    done = run("sql", books, ALL, "--format", "json")
    assert done.exit_code == outcome.DONE
    assert json.loads(done.stdout) == [
        {"id": 1, "title": "Momo", "cover": "Af8="},
        {"id": 2, "title": "a|b,c", "cover": None},
        {"id": 3, "title": "line\nbreak\x1b", "cover": ""},
    ]


def test_json_without_rows_and_with_twin_names(run, books):
    assert json.loads(run("sql", books, "SELECT 1 WHERE 0", "--format", "json").stdout) == []
    done = run("sql", books, "SELECT 1 AS a, 2 AS a, 9e999 AS b", "--format", "jsonl")
    assert json.loads(done.stdout) == {"a": 1, "a:2": 2, "b": "inf"}


def test_csv(run, books):
    done = run("sql", books, ALL, "--format", "csv")
    assert list(csv.reader(io.StringIO(done.stdout))) == [
        ["id", "title", "cover"],
        ["1", "Momo", "x'01ff'"],
        ["2", "a|b,c", ""],
        ["3", "line\nbreak\x1b", "x''"],
    ]


def test_markdown(run, books):
    assert run("sql", books, ALL, "--format", "md").stdout.splitlines() == [
        "| id | title | cover |",
        "| --- | --- | --- |",
        "| 1 | Momo | x'01ff' |",
        "| 2 | a\\|b,c | NULL |",
        "| 3 | line\\nbreak\\x1b | x'' |",
    ]


def test_a_table_shows_no_control_characters(run, books):
    shown = run("sql", books, ALL).stdout
    assert "\x1b" not in shown
    assert [line.split()[1::2][:1] for line in shown.splitlines()[3:6]] == [["1"], ["2"], ["3"]]


@pytest.mark.parametrize("argument", [(), ("-",)])
def test_statements_from_stdin(run, books, argument):
    script = "INSERT INTO book (id) VALUES (4);\nDELETE FROM book WHERE id < 3; -- two\n"
    done = run("sql", books, *argument, "--verbose", text=script)
    assert (done.exit_code, done.stdout) == (outcome.DONE, "")
    assert [line.split()[0] for line in done.stderr.splitlines()] == ["1", "2"]
    assert rows(run, books, "SELECT id FROM book") == [[3], [4]]


@pytest.mark.parametrize(
    ("flags", "left"), [((), [[1], [3]]), (("--transaction",), [[1], [2], [3]])]
)
def test_the_first_error_ends_it(run, books, flags, left):
    done = run(
        "sql", books, "DELETE FROM book WHERE id = 2; SELECT nothing; DELETE FROM book", *flags
    )
    assert done.exit_code == outcome.FAILED
    assert len(done.stderr.splitlines()) == 1
    assert rows(run, books, "SELECT id FROM book") == left


def test_a_transaction_is_committed_whole(run, books):
    assert run("sql", books, "DELETE FROM book; SELECT 1", "--transaction").exit_code == 0
    assert rows(run, books, "SELECT id FROM book") == []


def test_a_transaction_left_open_is_told(run, books):
    done = run("sql", books, "BEGIN; DELETE FROM book")
    assert done.exit_code == outcome.FAILED
    assert rows(run, books, "SELECT count(*) FROM book") == [[3]]


def test_the_url_from_the_environment(run, books, monkeypatch):
    monkeypatch.setenv("DQLITE_URL", books)
    assert rows(run, "-", "SELECT count(*) FROM book") == [[3]]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((), outcome.USAGE),
        (("sql",), outcome.USAGE),
        (("sql", "http://h/db", "SELECT 1"), outcome.USAGE),
        (("sql", "dqlite://h/db?colour=red", "SELECT 1"), outcome.USAGE),
        (("sql", "h", "SELECT 1", "--format", "xml"), outcome.USAGE),
        (("brew",), outcome.USAGE),
        (("shell", "h"), outcome.USAGE),
        (("cluster",), outcome.USAGE),
        (("restore", "h", "/nowhere/file"), outcome.USAGE),
        (("sql", "dqlite://127.0.0.1:1/db?connect_timeout=0.2", "SELECT 1"), outcome.UNAVAILABLE),
        (("dump", "dqlite://127.0.0.1:1/db", "file", "--timeout", "0.2"), outcome.UNAVAILABLE),
    ],
)
def test_every_failure_is_one_line(run, words, status, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*words)
    assert done.exit_code == status
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("dqlite-py: ")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (dqlite_dbapi.CommitUnknown("?"), outcome.UNKNOWN),
        (dqlite_dbapi.Timeout("late"), outcome.UNAVAILABLE),
        (dqlite_dbapi.Busy("busy"), outcome.FAILED),
        (FileNotFoundError(2, "no such file", "x"), outcome.FAILED),
    ],
)
def test_what_errors_end_with(error, status):
    assert outcome.explain(error)[1] == status

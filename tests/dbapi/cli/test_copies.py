"""`dqlite-py dump`, `restore` and `load`: checksums, progress, going on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pexpect
import pytest

import dqlite_dbapi
from dqlite_dbapi.cli import outcome

ROWS = 30_000


@pytest.fixture
def other(url):
    return f"{url}_other"


def count(url, table="book"):
    with closing(dqlite_dbapi.connect(url)) as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_there_and_back(run, books, other, tmp_path):
    path = tmp_path / "books.db"
    assert run("dump", books, path, "--check").exit_code == outcome.DONE
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM book").fetchone() == (3,)
    check = subprocess.run(["sha256sum", "-c", "books.db.sha256"], cwd=tmp_path, check=False)
    assert check.returncode == 0
    assert run("restore", other, path, "--check").exit_code == outcome.DONE
    assert count(other) == 3


def test_a_changed_file_is_refused(run, books, other, tmp_path):
    path = tmp_path / "books.db"
    run("dump", books, path)
    with path.open("ab") as file:
        file.write(b"!")
    done = run("restore", other, path)
    assert done.exit_code == outcome.FAILED
    assert len(done.stderr.splitlines()) == 1


def test_a_full_database_is_kept_unless_told(run, books, tmp_path):
    script = tmp_path / "words.sql"
    script.write_text("CREATE TABLE word (text); INSERT INTO word VALUES ('one'), ('two');")
    assert run("load", books, script).exit_code == outcome.FAILED
    assert count(books) == 3
    assert run("load", books, script, "--overwrite").exit_code == outcome.DONE
    assert count(books, "word") == 2


def test_an_unknown_database_is_an_error(run, url, tmp_path):
    done = run("dump", url, tmp_path / "nothing.db")
    assert done.exit_code == outcome.FAILED
    assert list(tmp_path.iterdir()) == []


def test_interrupted_it_goes_on(run, other, tmp_path):
    path = tmp_path / "many.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, title)")
        rows = ((number, "x" * 50) for number in range(ROWS))
        database.executemany("INSERT INTO book VALUES (?, ?)", rows)
        database.commit()
    words = ["restore", other, str(path), "--batch", "50"]
    command = ["-m", "dqlite_dbapi", *words]
    screen = pexpect.spawn(sys.executable, command, dimensions=(24, 100), timeout=60)
    with closing(screen):
        screen.expect(rf"[1-9]\d*/{ROWS}")
        os.kill(screen.pid, signal.SIGINT)
        screen.expect(pexpect.EOF)
    assert screen.exitstatus == outcome.INTERRUPTED
    assert 0 < count(other) < ROWS
    done = run("restore", other, path, "--check")
    assert done.exit_code == outcome.DONE
    assert count(other) == ROWS

"""`dqlite-py shell` on a pseudo-terminal, with a failover while it is open."""

from __future__ import annotations

import os
import re
import sqlite3
import sys
from contextlib import closing

import pexpect
import pytest

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]")
WIDTH = 160


class Terminal:
    """The shell as a user sees it: keys in, text out."""

    def __init__(self, url, home):
        env = {
            **os.environ,
            "TERM": "xterm",
            "XDG_CONFIG_HOME": str(home),
            "PAGER": "cat",
            "PROMPT_TOOLKIT_NO_CPR": "1",
        }
        command = ["-m", "dqlite_dbapi", "shell", url]
        self.process = pexpect.spawn(
            sys.executable, command, env=env, dimensions=(40, WIDTH), encoding="utf-8", timeout=60
        )

    def see(self, pattern):
        """Wait for a pattern; gives what was printed up to its end, without escapes."""
        self.process.expect(pattern)
        return ESCAPES.sub("", self.process.before + self.process.after)

    def enter(self, line):
        """Type a line, escape an open menu, and run it."""
        self.process.send(line)
        self.process.send("\x1b")
        self.process.expect(r".+")
        self.process.send("\r")

    def ask(self, line):
        """Run a line that works, and give all output up to the timing."""
        self.enter(line)
        return self.see(r"Time: \d")


@pytest.fixture
def terminal(dqlite_url, dqlite_cluster, tmp_path):
    found = Terminal(dqlite_url, tmp_path / "config")
    with closing(found.process):
        found.see(re.escape(dqlite_cluster.wait_leader()))
        yield found


def leader_shown(terminal, dqlite_cluster):
    """Wait for a prompt and give the leader in it."""
    addresses = "|".join(map(re.escape, dqlite_cluster.addresses))
    terminal.process.expect(rf"test_\w+ ({addresses})")
    return terminal.process.match[1]


def test_a_session_with_a_failover(terminal, dqlite_cluster, tmp_path):
    terminal.ask("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT);")
    assert "1 row affected" in terminal.ask("INSERT INTO books VALUES (1, 'Momo');")
    assert "books" in terminal.ask(".tables")
    assert "title" in terminal.ask("\\d books")
    terminal.process.send("SELECT * FROM bo")
    terminal.see("books")
    terminal.process.send("\t")
    terminal.process.send("\r\r")
    assert "Momo" in terminal.see(r"Time: \d")

    dqlite_cluster.kill(dqlite_cluster.leader_index())
    assert "2" in terminal.ask("SELECT count(*) + 1 FROM books;")
    assert leader_shown(terminal, dqlite_cluster) == dqlite_cluster.wait_leader()
    assert "degraded" in terminal.ask(".health")

    terminal.ask("BEGIN;")
    terminal.see(r"\*>")
    terminal.ask("INSERT INTO books VALUES (2, 'Krabat');")
    dqlite_cluster.heal()
    dqlite_cluster.kill(dqlite_cluster.leader_index())
    terminal.enter("SELECT 1;")
    terminal.see("ROLLBACK")
    terminal.ask("ROLLBACK;")
    path = tmp_path / "copy.db"
    terminal.ask(f".dump {path}")
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT * FROM books").fetchall() == [(1, "Momo")]
    terminal.ask("SELECT 1;")
    leader_shown(terminal, dqlite_cluster)
    terminal.process.sendeof()
    terminal.process.expect(pexpect.EOF)
    terminal.process.close()
    assert terminal.process.exitstatus == 0
    assert (tmp_path / "config" / "dqlite-py" / "history").exists()


def test_commands_for_the_cluster(terminal, dqlite_cluster):
    leader = dqlite_cluster.leader_index()
    follower = dqlite_cluster.members[(leader + 1) % 3]
    assert follower.address in terminal.ask(".cluster")
    assert dqlite_cluster.addresses[leader] in terminal.ask(".leader")
    terminal.ask(f".weight {follower.id} 5")
    assert re.search(r"\|\s*5\s*\|", terminal.ask(f".describe {follower.address}"))
    terminal.ask(f".weight {follower.id} 0")  # the members outlive this test
    terminal.ask(f".transfer {follower.id}")
    assert dqlite_cluster.wait_leader() == follower.address
    assert "spare" in terminal.ask(f".assign {follower.id} spare")
    terminal.ask(f".remove {follower.id}")
    assert follower.address not in terminal.ask(".cluster")
    terminal.ask(".open elsewhere")
    terminal.see("elsewhere")

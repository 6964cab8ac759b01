"""The commands as a whole: their pages, and that they can be started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dqlite_dbapi
from dqlite_dbapi.cli import outcome
from tests.support import commandpage

OPERATE = commandpage.PAGE.parents[1] / "how-to" / "operate.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", OPERATE.read_text(encoding="utf-8"), re.S)
INTERACTIVE = "shell"


def test_the_page_shows_the_help_of_every_command():
    shown = commandpage.PAGE.read_text(encoding="utf-8")
    _, mark, generated = shown.partition(commandpage.MARK)
    assert mark + generated == commandpage.rendered(), "python -m tests.support.commandpage"


def test_as_a_module():
    command = [sys.executable, "-m", "dqlite_dbapi", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, dqlite_dbapi.__version__)


@pytest.fixture
def as_shown(dqlite_cluster, dqlite_url, tmp_path):
    """Run lines of the page in sh, with this test's members in place of those shown."""
    name = dqlite_url.partition("?")[0].rpartition("/")[2]
    shown = {
        "127.0.0.1:9001": dqlite_cluster.addresses[0],
        "/restored": f"/{name}_restored",
        "/loaded": f"/{name}_loaded",
        "/var/lib/app/member": str(dqlite_cluster.members[0].data_dir),
        "--watch": "--watch --count 2",
    }
    (tmp_path / "change.sql").write_text("INSERT INTO book VALUES ('Emma');")
    (tmp_path / "script.sql").write_text("CREATE TABLE word (text);")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(lines):
        for before, after in shown.items():
            lines = lines.replace(before, after)
        command = ["sh", "-c", f"alert() {{ return 9; }}\n{lines}"]
        env = {**os.environ, "PATH": path, "DQLITE_URL": dqlite_url}
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    return run


def test_the_lines_of_the_page(as_shown):
    assert as_shown('dqlite-py sql - "CREATE TABLE book (title)"').returncode == 0
    lines = [line for block in BLOCKS for line in block.splitlines() if "dqlite-py" in line]
    assert len(lines) > 8
    for line in lines:
        command = line.split()[1]
        if command == INTERACTIVE:
            continue
        done = as_shown(line)
        allowed = {outcome.DONE, outcome.FAILED} if command == "doctor" else {outcome.DONE}
        assert done.returncode in allowed, (line, done.stdout, done.stderr)

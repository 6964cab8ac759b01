from __future__ import annotations

import stat
import subprocess
import sys

import pytest

from dqlite_node import NodeStartError, files
from dqlite_node.files import DirectoryLock, Identity


def test_the_format_is_that_of_go_dqlite(tmp_path):
    identity = Identity(2**64 - 1, "db1.example.org:9001", 2)
    files.write_identity(tmp_path, identity)
    text = (tmp_path / "info.yaml").read_text()
    assert text == "ID: 18446744073709551615\nAddress: db1.example.org:9001\nRole: 2\n"
    assert files.read_identity(tmp_path) == identity
    assert stat.S_IMODE((tmp_path / "info.yaml").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["info.yaml"]


def test_no_identity(tmp_path):
    assert files.read_identity(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "ID: x\nAddress: a\nRole: 0\n", "ID: 1\n", ": :\n\t"])
def test_an_unreadable_identity(tmp_path, text):
    (tmp_path / "info.yaml").write_text(text)
    with pytest.raises(NodeStartError) as caught:
        files.read_identity(tmp_path)
    assert str(tmp_path / "info.yaml") in str(caught.value)


def test_generated_ids_differ():
    ids = {files.generate_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(1 < each < 2**63 for each in ids)


def test_the_flag_of_a_member_that_joins(tmp_path):
    assert not files.is_joining(tmp_path)
    files.begin_join(tmp_path)
    assert files.is_joining(tmp_path)
    assert (tmp_path / "join").read_bytes() == b""
    files.end_join(tmp_path)
    files.end_join(tmp_path)
    assert not files.is_joining(tmp_path)


def test_the_lock_excludes_this_process_and_others(tmp_path):
    lock = DirectoryLock(tmp_path)
    code = f"from dqlite_node.files import *; DirectoryLock(Path({str(tmp_path)!r}))"
    with pytest.raises(NodeStartError):
        DirectoryLock(tmp_path)
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode
    lock.release()
    subprocess.run([sys.executable, "-c", code], check=True)
    DirectoryLock(tmp_path).release()

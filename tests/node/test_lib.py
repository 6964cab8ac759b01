from __future__ import annotations

import re
import subprocess
import sys

from dqlite_node import engine_version, features

WITHOUT_BINDING = """
import sys
sys.modules["dqlite_node._ffi"] = None
from dqlite_node import Node, NodeError, features
for call in (features, Node("127.0.0.1:1", sys.argv[1], 1, in_process=True).start):
    try:
        call()
    except NodeError as error:
        assert "apt-get install" in error.hint
    else:
        sys.exit(1)
"""


def test_features_are_told_by_symbols():
    known = features()
    assert {"handover", "set_auto_recovery", "set_busy_timeout", "version_string"} <= set(known)
    assert set(known.values()) <= {True, False}
    assert known["handover"] or not known["set_busy_timeout"]


def test_the_version_has_three_numbers():
    assert re.fullmatch(r"1\.\d+\.\d+", engine_version())


def test_a_missing_binding_names_what_to_install(tmp_path):
    command = [sys.executable, "-c", WITHOUT_BINDING, str(tmp_path / "member")]
    subprocess.run(command, check=True, cwd=tmp_path)

from __future__ import annotations

from click.testing import CliRunner

from dqlite_node import engine_version, features
from dqlite_node.__main__ import cli


def test_features_are_printed():
    done = CliRunner().invoke(cli, ["features"])
    assert done.exit_code == 0
    assert engine_version() in done.output
    assert all(name in done.output for name in features())

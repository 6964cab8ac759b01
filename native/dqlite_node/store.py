"""The members that a data directory remembers, in `cluster.yaml` of go-dqlite's `app` package.

It is a list of mappings with the keys ID, Address and Role. Beside it stand `info.yaml` and `join`,
see `files`; programs in Go share the directory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from dqlite_dbapi import Error, NodeInfo, Role
from dqlite_dbapi.nodestore import read_members
from dqlite_node import files
from dqlite_node.errors import NodeStartError

STORE_FILE = "cluster.yaml"


class Store:
    """What the application keeps in one data directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def path(self) -> Path:
        """The file of members."""
        return self.directory / STORE_FILE

    @property
    def is_member(self) -> bool:
        """Whether the directory is a member's that needs neither to found nor to join.

        One that lost its data does: started with an empty log, it could vote rows away. A spare
        has none to lose.
        """
        kept = files.read_identity(self.directory)
        if kept is None or files.is_joining(self.directory):
            return False
        return files.has_data(self.directory) or kept.role == Role.SPARE

    def members(self) -> list[NodeInfo]:
        """Members as last known, with id 0 where only the address is; NodeStartError if damaged."""
        try:
            rows = read_members(self.path)
        except Error as error:
            raise NodeStartError(error.message, hint=error.hint) from error
        return [NodeInfo(row.id, row.address, int(row.role), False) for row in rows]

    def write_members(self, members: Sequence[NodeInfo]) -> None:
        """Remember the members: temporary file (mode 0600) and rename; durable on return."""
        rows = [
            {"ID": each.id, "Address": each.address, "Role": int(each.role)} for each in members
        ]
        descriptor, name = tempfile.mkstemp(dir=self.directory, prefix=f"{STORE_FILE}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                yaml.safe_dump(rows, file, sort_keys=False)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def note_role(self, role: int) -> None:
        """Remember this member's own role; nothing is written if it is the known one."""
        kept = files.read_identity(self.directory)
        if kept is not None and kept.role != role:
            files.write_identity(self.directory, replace(kept, role=int(role)))

"""Do all members have the same rows? Asked each for its own copy, after the writers have ended."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from dqlite_dbapi.errors import Error
from dqlite_dbapi.snapshot import snapshot

SCHEMA = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
PATIENCE = 10.0  #: seconds without any change


def content(source: Any, database: str, address: str) -> dict[str, Any] | str:
    """The schema and all rows of all tables in the copy that one member has; or the error."""
    try:
        with closing(snapshot(source, database, address=address)) as copy:
            schema = copy.execute(SCHEMA).fetchall()
            tables = [name for kind, name, _ in schema if kind == "table"]
            rows = {
                name: sorted(copy.execute(f'SELECT * FROM "{name}"'), key=repr) for name in tables
            }
            return {"": schema, **rows}
    except (Error, sqlite3.Error) as error:
        return repr(error)


def replicas_agree(addresses: Sequence[str], database: str, source: Any = None) -> bool:
    """Whether all come to have the same content, if it takes long as long as they draw nearer.

    A leader under load sends one that came back the same entries over and over, which delays it.
    `source`: how to reach them, for `snapshot`, if the addresses do not say enough.
    """
    seen, give_up = None, 0.0
    while True:
        contents = [content(source or addresses, database, each) for each in addresses]
        if contents != seen:
            seen, give_up = contents, time.monotonic() + PATIENCE
        if contents.count(contents[0]) == len(contents) and not isinstance(contents[0], str):
            return True
        if time.monotonic() > give_up:
            return False
        time.sleep(0.2)

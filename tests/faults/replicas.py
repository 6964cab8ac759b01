"""Do all members have the same rows? Asked each for its own copy, after a `Ledger` has ended."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any

from dqlite_dbapi.errors import Error
from dqlite_dbapi.snapshot import snapshot
from dqlite_node import LocalCluster

TABLES = ("ledger ORDER BY 1, 2", "bulk ORDER BY 1", "sqlite_master ORDER BY 1, 2")
PATIENCE = 10.0  #: seconds without any change


def content(cluster: LocalCluster, database: str, address: str) -> list[Any]:
    """All rows and blobs in the copy that one member has."""
    try:
        with closing(snapshot(cluster.addresses, database, address=address)) as copy:
            return [copy.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES]
    except (Error, sqlite3.Error) as error:
        return [repr(error)]


def replicas_agree(cluster: LocalCluster, database: str) -> bool:
    """Whether all come to have the same content, if it takes long as long as they draw nearer.

    A leader under load sends one that came back the same entries over and over, which delays it.
    """
    seen, give_up = None, 0.0
    while True:
        contents = [content(cluster, database, each) for each in cluster.addresses]
        if contents != seen:
            seen, give_up = contents, time.monotonic() + PATIENCE
        if contents.count(contents[0]) == len(contents) and len(contents[0]) == len(TABLES):
            return True
        if time.monotonic() > give_up:
            return False
        time.sleep(0.2)

"""SQL through a member: the calls that `Node` inherits. They go to the leader, whoever that is."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import dqlite_dbapi
from dqlite_dbapi import Client, Connection, NoLeader
from dqlite_dbapi.snapshot import Snapshot, snapshot
from dqlite_node.errors import ClusterQuorumLostError, NodeError, NodeNotRunningError

Parameters = Sequence[object] | Mapping[str, object] | None
CONSISTENCIES = ("leader", "strong", "linearizable", "stale")
LOOK = 1.0  #: seconds to see whether a quorum is there
Row = dict[str, Any]


class SqlCalls:
    """`open_db`, `exec`, `query` and transactions; a lock lets one thread in at a time.

    `close_databases` frees what they hold; it is opened anew when it is used again.
    """

    def __init__(
        self, address: str, others: Sequence[str], timeout: float, options: Mapping[str, Any]
    ) -> None:
        """`timeout` in seconds for each call, failovers included; `options` of the driver."""
        self._own = address
        self._options = dict(options)
        self._addresses = (address, *others)
        self._sql_timeout = timeout
        self._sql_lock = threading.RLock()
        self._database: str | None = None
        self._connections: dict[str, Connection[Row]] = {}
        self._copies: dict[str, Snapshot] = {}

    @property
    def is_running(self) -> bool:
        """Whether the member runs; told by the class that inherits."""
        raise NotImplementedError

    def open_db(self, name: str) -> None:
        """Let the calls below go to this database, which is made when something is written to it.

        NodeError within a transaction, NodeNotRunningError, InterfaceError for a bad name.
        """
        with self._sql_lock:
            self._require_running()
            if self._database is not None and self._database != name:
                current = self._connections.get(self._database)
                if current is not None and current.in_transaction:
                    raise NodeError(f"a transaction is open in {self._database!r}")
            dqlite_dbapi.parse_options(self._own, name)
            self._database = name

    def exec(self, sql: str, params: Parameters = None) -> tuple[int, int]:
        """Run a statement at the leader; gives the last row id inserted and the rows affected.

        Both are 0 where they mean nothing. Outside `begin` each statement is committed at once.
        Raises the driver's errors, ClusterQuorumLostError where too few voters are up.
        """
        with self._sql_lock:
            cursor = self._execute(sql, params)
            return cursor.lastrowid or 0, max(cursor.rowcount, 0)

    def query(
        self,
        sql: str,
        params: Parameters = None,
        *,
        consistency: str = "leader",
        staleness: float = 1.0,
    ) -> list[Row]:
        """All rows of a statement as dictionaries by column name; errors as for `exec`.

        consistency: `leader` (or `strong`) reads at the leader, `linearizable` has a majority
        confirm it, `stale` reads this member's own copy, at most `staleness` seconds after it was
        taken; sqlite3's errors then.
        """
        if consistency not in CONSISTENCIES:
            raise NodeError(f"consistency {consistency!r} is none of {', '.join(CONSISTENCIES)}")
        with self._sql_lock:
            if consistency == "stale":
                return self._read_copy(sql, params, staleness)
            how = "leader" if consistency == "strong" else consistency
            rows: list[Row] = self._execute(sql, params, consistency=how).fetchall()
            return rows

    def begin(self) -> None:
        """Begin a transaction of this node's later calls, whichever thread makes them."""
        with self._sql_lock:
            self._execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit what `begin` began; nothing happens without it. CommitUnknown: see the driver."""
        with self._sql_lock:
            self._connection().commit()

    def rollback(self) -> None:
        """Roll back what `begin` began; nothing happens without it."""
        with self._sql_lock:
            self._connection().rollback()

    def close_databases(self) -> None:
        """Close the connections and copies; an open transaction is rolled back.

        A call that another thread has under way fails.
        """
        while self._connections:
            self._connections.popitem()[1].close()
        while self._copies:
            self._copies.popitem()[1].close()

    def _require_running(self) -> None:
        if not self.is_running:
            raise NodeNotRunningError(f"member {self._own} does not run", address=self._own)

    def _name(self) -> str:
        self._require_running()
        if self._database is None:
            raise NodeError("no database is open", hint="call open_db(name) first")
        return self._database

    def _execute(self, sql: str, params: Parameters = None, **how: str) -> Any:
        try:
            return self._connection().execute(sql, () if params is None else params, **how)
        except NoLeader as error:
            raise self._explain(error) from error

    def _connection(self) -> Connection[Row]:
        name = self._name()
        if name not in self._connections:
            self._connections[name] = dqlite_dbapi.connect(
                self._addresses,
                name,
                autocommit=True,
                row_factory=dqlite_dbapi.dict_row,
                connect_timeout=self._sql_timeout,
                timeout=self._sql_timeout,
                **self._options,
            )
        return self._connections[name]

    def _read_copy(self, sql: str, params: Parameters, staleness: float) -> list[Row]:
        name = self._name()
        copy = self._copies.get(name)
        if copy is None or copy.age > staleness:
            options = dqlite_dbapi.parse_options(self._addresses, name, **self._options)
            fresh = snapshot(options, address=self._own, timeout=self._sql_timeout)
            if copy is not None:
                copy.close()
            self._copies[name] = copy = fresh
        cursor = copy.execute(sql, () if params is None else params)
        names = [column[0] for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def _explain(self, error: NoLeader) -> NoLeader:
        with Client(self._addresses, **self._options) as client:
            health = client.health(LOOK)
        if not health.is_known or health.has_quorum:
            return error
        return ClusterQuorumLostError(
            f"{health.voters_reachable} of {health.voters} voters can be reached,"
            f" {health.quorum} are needed",
            address=self._own,
            hint="start the missing members",
        )

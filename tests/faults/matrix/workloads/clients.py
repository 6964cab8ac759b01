"""How a process of a workload reaches the database; and clients that do it wrongly, on purpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from dqlite_dbapi import CommitUnknown, Connection, connect, run_transaction

T = TypeVar("T")
Function = Callable[[Connection[Any]], T]
#: A leader that hangs is given up after `timeout`; a transaction after `PATIENCE` seconds.
OPTIONS = {"timeout": 2.0, "connect_timeout": 5.0}
PATIENCE = 60.0


class Target(NamedTuple):
    """The database that clients use; `options` are those of `connect()`, such as TLS."""

    addresses: list[str]
    database: str
    options: dict[str, Any] = {}  # noqa: RUF012 - never changed

    @property
    def patient(self) -> dict[str, Any]:
        """`options`, with the limits of time of all clients."""
        return {**OPTIONS, **self.options}

    def connect(self, **options: Any) -> Connection[Any]:
        """Open an autocommit connection; `options` win."""
        chosen = {**self.patient, "autocommit": True, **options}
        return connect(self.addresses, self.database, **chosen)


class Client:
    """What the driver's guide recommends. A subclass may break it, for checkers to notice."""

    def __init__(self, target: Target) -> None:
        self._connection = target.connect()

    def transaction(self, function: Function[T]) -> T:
        """Apply `function` exactly once, and return what it returned."""
        return run_transaction(self._connection, function, deadline=PATIENCE)

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Rows as they are now, or became during the call."""
        cursor = self._connection.execute(sql, tuple(parameters), consistency="linearizable")
        return cursor.fetchall()

    def write(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run one statement in autocommit mode; how many rows it changed."""
        return self._connection.execute(sql, tuple(parameters)).rowcount

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Resending(Client):
    """Broken: takes a lost answer for a lost COMMIT, and does the work again without a fence."""

    def transaction(self, function: Function[T]) -> T:
        """Apply `function` once or several times."""
        while True:
            try:
                return self._plain(function)
            except CommitUnknown:
                continue

    def _plain(self, function: Function[T]) -> T:
        return run_transaction(self._connection, function, deadline=PATIENCE, exactly_once=False)

    def write(self, sql: str, parameters: Sequence[object] = ()) -> int:
        """Run one statement once or several times."""
        while True:
            try:
                return super().write(sql, parameters)
            except CommitUnknown:
                continue


class Assuming(Resending):
    """Broken: takes a lost answer for success, and never looks for its token."""

    def transaction(self, function: Function[T]) -> T:
        """Apply `function` once or not at all."""
        kept: list[T] = []

        def keep(connection: Connection[Any]) -> T:
            kept[:] = [function(connection)]
            return kept[0]

        try:
            return self._plain(keep)
        except CommitUnknown:
            return kept[0]

"""What a migration does beside its DDL: a lock for the whole cluster, and foreign keys put aside.

A run of migrations begins with BEGIN IMMEDIATE. That takes the database's write lock at the leader,
so others wait until the run commits, and then see what it did. The lock cannot be left behind: the
leader drops it with the connection, and a new leader knows nothing of it, nor of the run's work.

A run that commits in between (a transaction for each migration, an autocommit block) also holds a
lease, the row of `dqlite_migration_lock`. Each of its transactions renews the lease and fails if
another run took it over, so one that was thought dead cannot go on.

`PRAGMA foreign_keys` does nothing within a transaction. So foreign keys are put aside before the
run begins one, checked before it commits, and brought back when it has ended.
"""

# ruff: noqa: S608 - the only name put into SQL is a constant
from __future__ import annotations

import logging
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.util import concurrency

import dqlite_dbapi
from dqlite_dbapi.errors import Busy, Error

#: Tables of this distribution; nobody's metadata.
OWN_TABLES = frozenset({"dqlite_transactions", "dqlite_load", "dqlite_migration_lock"})

_log = logging.getLogger(__name__)
_LOCK = "dqlite_migration_lock"
_LEASE = 60  # seconds
_LAST_PATIENCE = 5.0
_PAUSE = 0.25
_NOW = "CAST(strftime('%s', 'now') AS INTEGER)"  # the leader's clock
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {_LOCK} (id INTEGER PRIMARY KEY CHECK (id = 1),"
    " holder TEXT NOT NULL, expires INTEGER NOT NULL)"
)
_EXISTS = f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{_LOCK}'"
_OTHERS = f"SELECT 1 FROM {_LOCK} WHERE expires > {_NOW} AND holder <> ?"
_END = f"DROP TABLE {_LOCK}"
_TAKE = f"INSERT OR REPLACE INTO {_LOCK} VALUES (1, ?, {_NOW} + {_LEASE})"
_OWN = f"SELECT 1 FROM {_LOCK} WHERE holder = ?"
_CHILDREN = (
    "SELECT child.name FROM sqlite_master AS child, pragma_foreign_key_list(child.name) AS key"
    " WHERE child.type = 'table' AND lower(key.\"table\") = lower(?)"
)


def teach_alembic() -> None:
    """Register with Alembic, if the program has loaded one too old to look for plugins."""
    if "alembic.ddl.impl" in sys.modules:
        import_module("sqlalchemy_dqlite.alembic").register()


class Session:
    """The driver's view of one SQLAlchemy connection that migrates."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def is_usable(self) -> bool:
        """True while there is a driver connection to talk to."""
        return not (self._connection.closed or self._connection.invalidated)

    @property
    def in_transaction(self) -> bool:
        """Whether the server holds a transaction; SQLAlchemy's own may not have begun one yet."""
        return bool(getattr(self._connection.connection.driver_connection, "in_transaction", False))

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """Run `sql` on the driver's connection, with its errors, past SQLAlchemy's transaction."""
        cursor = self._connection.connection.cursor()
        try:
            cursor.execute(sql, tuple(parameters))
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def roll_back(self) -> None:
        """Roll back in the driver, whatever SQLAlchemy thinks."""
        self._connection.connection.rollback()

    def wait(self, seconds: float) -> None:
        """Sleep, and let the event loop run if there is one."""
        if self._connection.dialect.is_async:
            concurrency.await_only(concurrency.asyncio.sleep(seconds))  # type: ignore[attr-defined]
        else:
            time.sleep(seconds)


class ForeignKeys:
    """Puts foreign keys aside for the transaction that a migration runs in."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._session = Session(connection)
        self._is_suspended = False
        self._is_watching = False
        self._has_rebuilt = False

    def suspend(self) -> None:
        """Switch foreign keys off until the transaction ends, if they are on and none has begun."""
        session = self._session
        if self._is_suspended or not session.is_usable or session.in_transaction:
            return
        if self._are_on():
            session.run("PRAGMA foreign_keys = 0")
            self._is_suspended = True
            self._watch()

    def endangered_by_drop(self, table: str) -> list[str]:
        """Names of tables whose rows DROP TABLE would now delete, change or trip over."""
        self.suspend()
        self._has_rebuilt = True
        self._watch()
        if not self._are_on():
            return []
        return sorted({row[0] for row in self._session.run(_CHILDREN, (table,))})

    def _are_on(self) -> bool:
        return self._session.run("PRAGMA foreign_keys") == [(1,)]

    def _watch(self) -> None:
        if not self._is_watching:
            self._is_watching = True
            event.listen(self._connection, "commit", self._before_commit)
            event.listen(self._connection, "rollback", self._before_rollback)

    def _before_commit(self, connection: Connection) -> None:
        rebuilt, self._has_rebuilt = self._has_rebuilt, False
        session = self._session
        if not session.is_usable:
            return
        if not self._is_suspended:
            if rebuilt:
                self._mention()
            return
        if session.in_transaction:
            broken = session.run("PRAGMA foreign_key_check")
            if broken:
                raise _violation(broken)
            connection.exec_driver_sql("COMMIT")
        self._resume()

    def _before_rollback(self, connection: Connection) -> None:
        self._has_rebuilt = False
        if self._is_suspended and self._session.is_usable:
            self._session.roll_back()
            self._resume()
        self._is_suspended = False

    def _resume(self) -> None:
        """Bring foreign keys back; a connection where that fails is not used again."""
        self._is_suspended = False
        try:
            self._session.run("PRAGMA foreign_keys = 1")
        except Error:
            with suppress(Error):
                self._connection.connection.dbapi_connection.close()  # type: ignore[union-attr]
            raise

    def _mention(self) -> None:
        """Foreign keys are off by the user's choice, so what breaks them is no error."""
        try:
            broken = self._session.run("PRAGMA foreign_key_check")
        except Error as error:
            if error.is_disconnect:
                raise
            _log.warning("foreign keys cannot be checked: %s", error)
            return
        if broken:
            _log.warning("rows break foreign keys, which are off: %s", _summary(broken))


def _summary(broken: Sequence[Any]) -> str:
    pairs = sorted({(str(row[0]), str(row[2])) for row in broken})
    return ", ".join(f"{child} refers to missing rows of {parent}" for child, parent in pairs)


def _violation(broken: Sequence[Any]) -> IntegrityError:
    error = dqlite_dbapi.IntegrityError(
        f"{len(broken)} rows break foreign keys: {_summary(broken)}",
        hint="nothing was migrated; repair the rows, or migrate with foreign_keys=false in the URL",
    )
    return IntegrityError("PRAGMA foreign_key_check", None, error)


class MigrationLock:
    """Lets one run of migrations at a time into a database, from wherever in the cluster."""

    def __init__(self, connection: Connection, keys: ForeignKeys, patience: float) -> None:
        """`keys`: are put aside before each transaction; `patience`: seconds to wait for others."""
        self._connection = connection
        self._session = Session(connection)
        self._keys = keys
        self._patience = patience
        self._holder = uuid.uuid4().hex
        self._is_held = False
        self._has_lease = False
        self._is_watching = False

    @contextmanager
    def held(self, *, across_commits: bool) -> Iterator[None]:
        """Hold the lock from before the first look at the version until the end of the run.

        Does nothing within a transaction that others began, which holds the write lock already.
        """
        if self._session.in_transaction:
            yield
            return
        self._keys.suspend()
        self._acquire(self._session, self._patience)
        self._is_held = True
        try:
            if across_commits:
                self.publish()
                self._session.run("COMMIT")
            yield
            self._withdraw(self._session, self._patience, at_once=across_commits)
        except BaseException:
            with suppress(Error, SQLAlchemyError):
                self._give_up()
            raise
        finally:
            self._is_held = self._has_lease = False

    def publish(self) -> None:
        """Keep the lock over the next COMMIT, which makes the lease visible."""
        if not self._is_held or self._has_lease:
            return
        self._session.run(_CREATE)
        self._session.run(_TAKE, (self._holder,))
        self._has_lease = True
        if not self._is_watching:
            self._is_watching = True
            event.listen(self._connection, "begin", self._after_begin)
            event.listen(self._connection, "commit", self._renew, insert=True)

    def _acquire(self, session: Session, patience: float) -> None:
        """BEGIN IMMEDIATE, when no other run holds the database or its lease."""
        deadline = time.monotonic() + patience
        is_told = False
        while True:
            try:
                session.run("BEGIN IMMEDIATE")
                if not self._is_taken(session):
                    return
                session.roll_back()
            except Busy:
                pass
            if not is_told:
                _log.info("waiting for another migration of this database")
                is_told = True
            if time.monotonic() >= deadline:
                raise dqlite_dbapi.Timeout(
                    f"another migration, or writer, holds the database for {patience:g} s",
                    hint="migrate again later, or set dqlite_lock_timeout in context.configure()",
                )
            session.wait(_PAUSE)

    def _is_taken(self, session: Session) -> bool:
        """Whether another run has a lease; one that has expired ends with this transaction."""
        run = session.run
        if not run(_EXISTS):
            return False
        if run(_OTHERS, (self._holder,)):
            return True
        if not run(_OWN, (self._holder,)):
            run(_END)
        return False

    def _after_begin(self, connection: Connection) -> None:
        if self._has_lease and connection.get_isolation_level() != "AUTOCOMMIT":
            if not self._session.in_transaction:
                self._keys.suspend()
                self._acquire(self._session, self._patience)
            self._renew(connection)

    def _renew(self, connection: Connection) -> None:
        """Renew the lease in the open transaction, which cannot commit without."""
        if not self._has_lease or not self._session.in_transaction:
            return
        if not (self._session.run(_EXISTS) and self._session.run(_OWN, (self._holder,))):
            raise dqlite_dbapi.OperationalError(
                "another migration took this one for dead and has gone on with it",
                hint="migrate again; what was committed is kept, the rest is rolled back",
            )
        self._session.run(_TAKE, (self._holder,))

    def _withdraw(self, session: Session, patience: float, *, at_once: bool) -> None:
        """Remove the lease with the COMMIT of the run's transaction, or `at_once`."""
        if not self._has_lease:
            return
        at_once = at_once or not session.in_transaction
        if not session.in_transaction:
            self._acquire(session, patience)
        if session.run(_EXISTS) and session.run(_OWN, (self._holder,)):
            session.run(_END)
        self._has_lease = False
        if at_once:
            session.run("COMMIT")

    def _give_up(self) -> None:
        """After an error; a lease that cannot be removed now expires."""
        if not self._has_lease:
            return
        if self._session.is_usable:
            self._session.roll_back()
            self._withdraw(self._session, _LAST_PATIENCE, at_once=True)
        else:
            with self._connection.engine.connect() as fresh:
                self._withdraw(Session(fresh), _LAST_PATIENCE, at_once=True)

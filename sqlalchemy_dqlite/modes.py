"""Execution options of a connection: how its transactions begin and what they may do.

They end with the connection's return to the pool, as SQLAlchemy's characteristics do.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy.engine.characteristics import ConnectionCharacteristic
from sqlalchemy.exc import ArgumentError

import dqlite_dbapi

_BEGIN_MODES = ("deferred", "immediate", "exclusive")
_CONSISTENCIES = ("leader", "linearizable", "stale")
#: Seconds that a lost answer to COMMIT may take to be settled, unless the option says otherwise.
_SETTLE = 60.0


@dataclass
class Modes:
    """What is set on one DB-API connection.

    `uncommitted`: SQLAlchemy set that level; `begin` mode of a BEGIN that is sent at once, None for
    the driver's lazy one; `read_only` as it is wanted, `is_locked` as the server knows it; `settle`
    seconds, None without exactly-once; `token` of the open transaction.
    """

    uncommitted: bool = False
    begin: str | None = None
    read_only: bool = False
    is_locked: bool = False
    settle: float | None = None
    token: str | None = None

    def lock(self, dbapi_connection: Any) -> None:
        """Have the server refuse to write, or not any more."""
        if self.is_locked is not self.read_only:
            dbapi_connection.execute(f"PRAGMA query_only = {self.read_only:d}").close()
            self.is_locked = self.read_only


class _Option(ConnectionCharacteristic):
    transactional: ClassVar[bool] = True

    def get_characteristic(self, dialect: Any, dbapi_conn: Any) -> Any:
        """Not asked for by SQLAlchemy in this version; the modes of the connection."""
        return dialect.modes(dbapi_conn)


class BeginMode(_Option):
    """`dqlite_begin`: transactions begin at once, `deferred`, `immediate` or `exclusive`."""

    def set_characteristic(self, dialect: Any, dbapi_conn: Any, value: Any) -> None:
        """Nothing is sent: the next transaction begins so."""
        if value not in _BEGIN_MODES:
            raise ArgumentError(f"dqlite_begin is {value!r}; it takes {', '.join(_BEGIN_MODES)}")
        dialect.modes(dbapi_conn).begin = value

    def reset_characteristic(self, dialect: Any, dbapi_conn: Any) -> None:
        """Back to the driver's habit of beginning before the first write."""
        dialect.modes(dbapi_conn).begin = None


class ReadOnly(_Option):
    """`dqlite_read_only`: one consistent state is read, and the server refuses to write."""

    def set_characteristic(self, dialect: Any, dbapi_conn: Any, value: Any) -> None:
        """Nothing is sent: the next transaction begins with it."""
        if not isinstance(value, bool):
            raise ArgumentError(f"dqlite_read_only is {value!r}; it takes True or False")
        dialect.modes(dbapi_conn).read_only = value

    def reset_characteristic(self, dialect: Any, dbapi_conn: Any) -> None:
        """Allow writing again: now, or with the next transaction if the leader is gone."""
        modes = dialect.modes(dbapi_conn)
        modes.read_only = False
        if dbapi_conn.is_usable:
            with suppress(dqlite_dbapi.Error):
                modes.lock(dbapi_conn)


class ExactlyOnce(_Option):
    """`dqlite_exactly_once`: each transaction gets a token, by which a lost COMMIT is settled."""

    def set_characteristic(self, dialect: Any, dbapi_conn: Any, value: Any) -> None:
        """True, False, or the seconds that settling may take; nothing is sent."""
        is_number = isinstance(value, int | float) and value >= 0
        if not is_number:
            raise ArgumentError(f"dqlite_exactly_once is {value!r}; it takes True or seconds")
        settle = _SETTLE if value is True else float(value)
        dialect.modes(dbapi_conn).settle = settle or None

    def reset_characteristic(self, dialect: Any, dbapi_conn: Any) -> None:
        """No tokens."""
        dialect.modes(dbapi_conn).settle = None


CHARACTERISTICS: dict[str, ConnectionCharacteristic] = {
    "dqlite_begin": BeginMode(),
    "dqlite_read_only": ReadOnly(),
    "dqlite_exactly_once": ExactlyOnce(),
}


def reading(options: Any) -> tuple[str, float | None] | None:
    """Consistency and staleness that execution options ask for; None for the connection's own.

    `dqlite_consistency` is one of the driver's; without it, `dqlite_staleness` (seconds) means
    `stale`. `ArgumentError` for values that are neither.
    """
    consistency = options.get("dqlite_consistency")
    staleness = options.get("dqlite_staleness")
    if consistency is None and staleness is None:
        return None
    if staleness is not None and not (isinstance(staleness, int | float) and staleness >= 0):
        raise ArgumentError(f"dqlite_staleness is {staleness!r}; it takes seconds")
    consistency = consistency or "stale"
    if consistency not in _CONSISTENCIES:
        known = ", ".join(_CONSISTENCIES)
        raise ArgumentError(f"dqlite_consistency is {consistency!r}; it takes {known}")
    return consistency, staleness

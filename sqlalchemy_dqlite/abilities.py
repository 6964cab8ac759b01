"""What the engines of a cluster can do, decided for each connection.

SQLAlchemy compiles a statement with or without RETURNING and keeps it, once for each dialect
object. So there is one dialect object for each set of abilities, all with the same state, and a
connection gets the one that fits the leader it talks to. The members of a cluster may run different
engines: the next leader may be able to do less, or more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import OperationalError

import dqlite_dbapi

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .base import DqliteDialectBase

#: What SQLite takes, and what engines without the wide format of parameters take.
_MANY_PARAMETERS, _FEW_PARAMETERS = 32_700, 255


class Abilities(NamedTuple):
    """`returning`: RETURNING works; `wide`: a statement takes more than 255 parameters."""

    returning: bool
    wide: bool

    @classmethod
    def of(cls, dbapi_connection: Any) -> Abilities:
        """Those of the member that a connection talks to, as the driver has probed them."""
        flavour = dbapi_connection.server.flavour
        return cls(flavour.returning != "refused", flavour.wide_params)


class Ability:
    """A flag that SQLAlchemy reads from the dialect; one that is set by hand stays as it is."""

    def __init__(self, *, if_unknown: bool = True, many: bool = False) -> None:
        """`if_unknown`: its value before the first connection; `many`: of `executemany`."""
        self._if_unknown = if_unknown
        self._many = many

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, dialect: DqliteDialectBase | None, owner: type) -> bool:
        if dialect is None:
            return True
        own: bool | None = dialect.__dict__.get(self._name)
        if own is not None:
            return own
        abilities = dialect.abilities
        usable = self._if_unknown if abilities is None else abilities.returning
        return usable and (dialect.use_insertmanyvalues or not self._many)

    def __set__(self, dialect: DqliteDialectBase, value: bool) -> None:
        dialect.__dict__[self._name] = value


class ParameterLimit:
    """How many parameters SQLAlchemy puts into one INSERT of many rows."""

    def __get__(self, dialect: DqliteDialectBase | None, owner: type) -> int:
        own = None if dialect is None else dialect.__dict__.get("insertmanyvalues_max_parameters")
        if own is not None or dialect is None:
            return own or _MANY_PARAMETERS
        abilities = dialect.abilities
        return _MANY_PARAMETERS if abilities is None or abilities.wide else _FEW_PARAMETERS

    def __set__(self, dialect: DqliteDialectBase, value: int) -> None:
        dialect.__dict__["insertmanyvalues_max_parameters"] = value


class DqliteCompiler(SQLiteCompiler):
    """SQLite's SQL; sees to it that what was planned for one leader does not run at another."""

    locks_rows = False

    def for_update_clause(self, select: Any, **kw: Any) -> str:
        """Nothing: SQLite locks no rows, so the dialect locks the database before the SELECT."""
        self.locks_rows = True
        return ""

    def visit_update(self, update_stmt: Any, *args: Any, **kw: Any) -> str:
        """UPDATE."""
        self._require_plan(update_stmt)
        return super().visit_update(update_stmt, *args, **kw)

    def visit_delete(self, delete_stmt: Any, *args: Any, **kw: Any) -> str:
        """DELETE."""
        self._require_plan(delete_stmt)
        text: str = super().visit_delete(delete_stmt, *args, **kw)  # type: ignore[no-untyped-call]
        return text

    def _require_plan(self, statement: Any) -> None:
        """The ORM has not fetched the rows to synchronize if it counted on RETURNING."""
        plan = statement._annotations
        is_planned = plan.get("can_use_returning") and plan.get("synchronize_session") == "fetch"
        if is_planned and not self.dialect.update_returning:
            error = leader_changed()
            raise OperationalError(str(statement), None, error) from error


def leader_changed() -> dqlite_dbapi.ConnectionLost:
    """The error for work that was prepared for a leader with other abilities."""
    return dqlite_dbapi.ConnectionLost(
        "the leader changed to a member whose engine can do less, and nothing was sent",
        hint="run the transaction again",
    )


def fit(connection: Connection) -> None:
    """Give a connection, and its engine, the dialect object that fits its leader."""
    dialect: Any = connection.dialect
    fitting = dialect.with_abilities(Abilities.of(connection.connection.dbapi_connection))
    if fitting is not dialect:
        connection.dialect = connection.engine.dialect = fitting

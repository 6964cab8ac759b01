"""The dialect's body, shared by its drivers: isolation, transactions, disconnects, executing."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.sql.compiler import InsertmanyvaluesSentinelOpts

from dqlite_dbapi import CommitUnknown, ConnectionLost, Interrupted, NotSupportedError
from dqlite_dbapi import Error as DriverError

from .abilities import Abilities, Ability, DqliteCompiler, ParameterLimit, fit, leader_changed
from .context import ExecutionContext
from .ddl import REFLECTED_TYPES, DqliteDDLCompiler, DqliteTypeCompiler
from .migrating import teach_alembic
from .modes import CHARACTERISTICS, Modes, reading
from .schemas import explain
from .url import connect_arguments

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection, Engine
    from sqlalchemy.engine.interfaces import ConnectArgsType, IsolationLevel

#: READ UNCOMMITTED runs as SERIALIZABLE, which the SQL standard allows.
_LEVELS: tuple[IsolationLevel, ...] = ("SERIALIZABLE", "READ UNCOMMITTED", "AUTOCOMMIT")


class DqliteDialectBase(SQLiteDialect):
    """SQLite's dialect on a networked, replicated SQLite.

    Objects for different `abilities` share all the rest of their state.
    """

    __slots__ = ("abilities",)

    name = "dqlite"
    is_dqlite = True
    supports_statement_cache = True
    default_paramstyle = "qmark"
    returns_native_bytes = True
    use_insertmanyvalues_wo_returning = True
    # SQLite gives the rows of VALUES growing keys, one after another; `ExecutionContext` looks.
    insertmanyvalues_implicit_sentinel = InsertmanyvaluesSentinelOpts.ANY_AUTOINCREMENT
    execution_ctx_cls = ExecutionContext
    statement_compiler = DqliteCompiler
    ddl_compiler = DqliteDDLCompiler
    type_compiler_cls = DqliteTypeCompiler
    ischema_names = REFLECTED_TYPES
    connection_characteristics = SQLiteDialect.connection_characteristics.union(CHARACTERISTICS)

    abilities: Abilities | None
    insert_returning = Ability()
    # The ORM plans UPDATE and DELETE by the engine's dialect, before it may have connected.
    update_returning = Ability(if_unknown=False)
    delete_returning = Ability(if_unknown=False)
    insert_executemany_returning = Ability(many=True)
    insert_executemany_returning_sort_by_parameter_order = Ability(many=True)
    insertmanyvalues_max_parameters = ParameterLimit()

    def __init__(self, **options: Any) -> None:
        self.abilities = None
        self._modes: MutableMapping[Any, Modes] = WeakKeyDictionary()
        self._by_abilities: dict[Abilities, DqliteDialectBase] = {}
        super().__init__(**options)

    def create_connect_args(self, url: URL) -> ConnectArgsType:
        """Turn a URL into the driver's addresses, database and options; see `connect_arguments`."""
        return [], {"foreign_keys": False, **connect_arguments(url)}

    @classmethod
    def get_dialect_cls(cls, url: URL) -> type[DqliteDialectBase]:
        """Also called for each new engine, and offline: let an old Alembic know us."""
        teach_alembic()
        return cls

    @classmethod
    def engine_created(cls, engine: Engine) -> None:
        """Look at the leader of each connection that is checked out."""
        event.listen(engine, "engine_connect", fit)

    def initialize(self, connection: Connection) -> None:
        """Learn on the first connection what the cluster's engine can do."""
        super().initialize(connection)
        self.abilities = Abilities.of(connection.connection.dbapi_connection)
        self._by_abilities[self.abilities] = self

    def with_abilities(self, abilities: Abilities) -> DqliteDialectBase:
        """The dialect object for `abilities`, which shares its state with this one."""
        if abilities == self.abilities:
            return self
        found = self._by_abilities.get(abilities)
        if found is None:
            found = object.__new__(type(self))
            found.__dict__ = self.__dict__
            found.abilities = abilities
            self._by_abilities[abilities] = found
        return found

    def modes(self, dbapi_connection: Any) -> Modes:
        """What is set on a connection of the driver's."""
        return self._modes.setdefault(dbapi_connection, Modes())

    def _get_server_version_info(self, connection: Connection) -> tuple[int, ...]:
        driver: Any = connection.connection.dbapi_connection
        cursor = driver.cursor()
        try:
            cursor.execute("SELECT sqlite_version()")
            return tuple(int(part) for part in cursor.fetchone()[0].split("."))
        finally:
            cursor.close()

    # -- isolation

    def get_isolation_level_values(self, dbapi_connection: Any) -> list[IsolationLevel]:
        """SERIALIZABLE, which is all that the engine has, by two names, and AUTOCOMMIT."""
        return list(_LEVELS)

    def get_isolation_level(self, dbapi_connection: Any) -> IsolationLevel:
        """Read the level from the driver; nothing is sent."""
        if dbapi_connection.autocommit:
            return "AUTOCOMMIT"
        modes = self._modes.get(dbapi_connection)
        return "READ UNCOMMITTED" if modes is not None and modes.uncommitted else "SERIALIZABLE"

    def set_isolation_level(self, dbapi_connection: Any, level: IsolationLevel) -> None:
        """Set the driver's autocommit; nothing is sent."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"
        self.modes(dbapi_connection).uncommitted = level == "READ UNCOMMITTED"

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """Whether the connection autocommits now."""
        return bool(dbapi_conn.autocommit)

    # -- transactions

    def do_begin(self, dbapi_connection: Any) -> None:
        """Send nothing, as the driver begins before the first write, but for special modes."""
        driver = _driver_connection(dbapi_connection)
        modes = self._modes.get(driver)
        if modes is None:
            return
        modes.lock(driver)
        if driver.autocommit:
            return
        if modes.settle is not None and not modes.read_only:
            modes.token = self._begin_with_token(driver, modes.begin or "immediate")
        elif modes.begin or modes.read_only:
            driver.execute(f"BEGIN {modes.begin or 'deferred'}").close()

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Roll back; nothing is sent without a transaction."""
        modes = self._modes.get(_driver_connection(dbapi_connection))
        if modes is not None:
            modes.token = None
        super().do_rollback(dbapi_connection)  # type: ignore[no-untyped-call]

    def do_commit(self, dbapi_connection: Any) -> None:
        """Commit; where the transaction has a token, a lost answer is settled.

        `ConnectionLost` if it is certain then that nothing was applied.
        """
        driver = _driver_connection(dbapi_connection)
        modes = self._modes.get(driver)
        if modes is None or modes.token is None:
            driver.commit()
            return
        token, modes.token = modes.token, None
        try:
            driver.commit()
        except CommitUnknown as unknown:
            unknown.token = token
            if _is_cancelled(unknown):
                raise
            if not self._was_applied(driver, token, modes.settle or 0):
                raise ConnectionLost(
                    "the answer to COMMIT was lost, and nothing was applied",
                    address=unknown.address,
                ) from unknown
        except Exception:
            raise
        except BaseException as interruption:
            unsettled = CommitUnknown("a COMMIT was interrupted")
            unsettled.token = token
            interruption.__cause__ = unsettled
            raise

    def _begin_with_token(self, driver: Any, begin: str) -> str:
        raise NotImplementedError

    def _was_applied(self, driver: Any, token: str, deadline: float) -> bool:
        raise NotImplementedError

    # -- executing

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Run a statement, with the consistency that its execution options ask for."""
        how = reading(context.execution_options) if context is not None else None
        if getattr(getattr(context, "compiled", None), "locks_rows", False):
            _lock(_driver_connection(context.root_connection.connection))
        try:
            if how is None:
                cursor.execute(statement, parameters)
            else:
                _read(cursor, statement, parameters, *how)
        except NotSupportedError as error:
            self._require_same_leader(context, error)
            raise
        except DriverError as error:
            explain(error, context)
            raise

    def do_execute_no_params(self, cursor: Any, statement: str, context: Any = None) -> None:
        """Run a statement without parameters."""
        self.do_execute(cursor, statement, (), context)

    def _require_same_leader(self, context: Any, error: DriverError) -> None:
        """A refused statement may have been compiled for a leader that could run it."""
        if context is None:
            return
        connection = context.root_connection
        now = Abilities.of(connection.connection.dbapi_connection)
        if now != connection.dialect.abilities:
            connection.dialect = connection.engine.dialect = self.with_abilities(now)
            raise leader_changed() from error

    def do_ping(self, dbapi_connection: Any) -> bool:
        """Ask the leader; a connection that was lost is made anew by the driver meanwhile."""
        cursor = dbapi_connection.cursor()
        try:
            cursor.execute("SELECT 1", (), consistency="leader")
        finally:
            cursor.close()
        return True

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Whether the driver says that its connection is gone; message texts do not matter."""
        return bool(getattr(e, "is_disconnect", False))

    @classmethod
    def _is_url_file_db(cls, url: URL) -> bool:
        return True


def _driver_connection(borrowed: Any) -> Any:
    """The DB-API connection itself, of which SQLAlchemy passes the pool's wrapper."""
    return getattr(borrowed, "dbapi_connection", borrowed)


def _lock(driver: Any) -> None:
    """Keep other writers out from now on, unless the transaction has begun already."""
    if not driver.autocommit and not driver.in_transaction:
        driver.execute("BEGIN IMMEDIATE").close()


def _read(
    cursor: Any, statement: str, parameters: Any, consistency: str, staleness: float | None
) -> None:
    if consistency == "stale":
        connection = cursor.connection
        default = connection.options.staleness
        connection.staleness = default if staleness is None else float(staleness)
    cursor.execute(statement, parameters, consistency=consistency)


def _is_cancelled(error: BaseException) -> bool:
    """True when the program itself cancelled the COMMIT and wants no more waiting."""
    return any(isinstance(e, Interrupted) for e in (error.__cause__, error.__context__))

"""The dialect's body, shared by its drivers: URL, isolation, disconnects, engine features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.exc import ArgumentError

from .ddl import REFLECTED_TYPES, DqliteDDLCompiler, DqliteTypeCompiler

if TYPE_CHECKING:
    from sqlalchemy.engine import URL, Connection
    from sqlalchemy.engine.interfaces import ConnectArgsType, IsolationLevel


class DqliteDialectBase(SQLiteDialect):
    """SQLite's dialect on a networked, replicated SQLite."""

    name = "dqlite"
    is_dqlite = True
    supports_statement_cache = True
    default_paramstyle = "qmark"
    returns_native_bytes = True
    ddl_compiler = DqliteDDLCompiler
    type_compiler_cls = DqliteTypeCompiler
    ischema_names = REFLECTED_TYPES

    def create_connect_args(self, url: URL) -> ConnectArgsType:
        """Turn a URL into the driver's addresses, database and options.

        `dqlite://h1:p/db?host=h2:p`, `dqlite:///db` and `dqlite://[h1:p,h2:p]/db`; every other
        query item goes to the driver as it is, which checks it. Raises ArgumentError on a user
        or password, which dqlite does not have.
        """
        if url.username or url.password:
            raise ArgumentError("dqlite has no users or passwords; leave them out of the URL")
        options: dict[str, Any] = {"foreign_keys": False, **url.query}
        more = options.pop("host", ())
        addresses = _url_addresses(url)
        addresses.extend([more] if isinstance(more, str) else more)
        if addresses:
            options["target"] = addresses
        if url.database:
            options["database"] = url.database
        return [], options

    def initialize(self, connection: Connection) -> None:
        """Learn on the first connection what the cluster's engine can do."""
        super().initialize(connection)
        flavour = _driver_connection(connection).server.flavour
        usable = flavour.returning != "refused"
        self.insert_returning = self.update_returning = self.delete_returning = usable
        many = usable and self.use_insertmanyvalues
        self.insert_executemany_returning = many
        self.insert_executemany_returning_sort_by_parameter_order = many
        if not flavour.wide_params:
            self.insertmanyvalues_max_parameters = 255

    def _get_server_version_info(self, connection: Connection) -> tuple[int, ...]:
        cursor = _driver_connection(connection).cursor()
        try:
            cursor.execute("SELECT sqlite_version()")
            return tuple(int(part) for part in cursor.fetchone()[0].split("."))
        finally:
            cursor.close()

    def get_isolation_level_values(self, dbapi_connection: Any) -> list[IsolationLevel]:
        """SERIALIZABLE, which is all that the engine has, and AUTOCOMMIT."""
        return ["SERIALIZABLE", "AUTOCOMMIT"]

    def get_isolation_level(self, dbapi_connection: Any) -> IsolationLevel:
        """Read the level from the driver; nothing is sent."""
        return "AUTOCOMMIT" if dbapi_connection.autocommit else "SERIALIZABLE"

    def set_isolation_level(self, dbapi_connection: Any, level: IsolationLevel) -> None:
        """Set the driver's autocommit; nothing is sent."""
        dbapi_connection.autocommit = level == "AUTOCOMMIT"

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """Whether the connection autocommits now."""
        return bool(dbapi_conn.autocommit)

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Whether the driver says that its connection is gone; message texts do not matter."""
        return bool(e.is_disconnect)

    @classmethod
    def _is_url_file_db(cls, url: URL) -> bool:
        return True


def _driver_connection(connection: Connection) -> Any:
    return connection.connection.dbapi_connection


def _url_addresses(url: URL) -> list[str]:
    """Addresses in the URL's host part: one host, an IPv6 literal or a bracketed list."""
    port = f":{url.port}" if url.port else ""
    addresses = []
    for host in (url.host or "").split(","):
        if host.count(":") > 1:
            addresses.append(f"[{host}]{port}")
        elif host:
            addresses.append(host if ":" in host else host + port)
    return addresses

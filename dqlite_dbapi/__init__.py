"""DB-API 2.0 (PEP 249) driver for dqlite, SQLite replicated by Raft."""

from __future__ import annotations

from dqlite_dbapi.cluster import Change, Client, Health, MemberHealth, NodeInfo, Watch
from dqlite_dbapi.connection import Connection, connect
from dqlite_dbapi.cursor import Cursor
from dqlite_dbapi.errors import (
    Busy,
    BusySnapshot,
    CommitUnknown,
    ConnectionClosed,
    ConnectionLost,
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    Interrupted,
    NoLeader,
    NoLeaderError,
    NotLeader,
    NotSupportedError,
    OperationalError,
    PoolClosed,
    PoolTimeout,
    ProgrammingError,
    ProtocolViolation,
    Timeout,
    Warning,  # noqa: A004 - the name is PEP 249's
)
from dqlite_dbapi.options import LEGACY_TRANSACTION_CONTROL, Event, Options
from dqlite_dbapi.options import parse as parse_options
from dqlite_dbapi.pool import ConnectionPool
from dqlite_dbapi.retry import begin_transaction, run_transaction, was_applied
from dqlite_dbapi.rowfactory import (
    Row,
    RowFactory,
    class_row,
    dataclass_row,
    dict_row,
    namedtuple_row,
    scalar_row,
    tuple_row,
)
from dqlite_dbapi.tls import tls_context
from dqlite_dbapi.types import (
    BINARY,
    DATETIME,
    NUMBER,
    PARSE_COLNAMES,
    PARSE_DECLTYPES,
    ROWID,
    STRING,
    Binary,
    Date,
    DateFromTicks,
    PrepareProtocol,
    Time,
    TimeFromTicks,
    Timestamp,
    TimestampFromTicks,
)
from dqlite_dbapi.wire._accel import accelerator
from dqlite_dbapi.wire.constants import Role

apilevel = "2.0"
threadsafety = 2
paramstyle = "qmark"

#: The oldest SQLite that a supported engine carries (Debian 12); ask `sqlite_version()` for the
#: true one of a server.
sqlite_version = "3.40.1"
sqlite_version_info = (3, 40, 1)

__version__ = "0.1.0"

__all__ = [
    "BINARY",
    "DATETIME",
    "LEGACY_TRANSACTION_CONTROL",
    "NUMBER",
    "PARSE_COLNAMES",
    "PARSE_DECLTYPES",
    "ROWID",
    "STRING",
    "Binary",
    "Busy",
    "BusySnapshot",
    "Change",
    "Client",
    "CommitUnknown",
    "Connection",
    "ConnectionClosed",
    "ConnectionLost",
    "ConnectionPool",
    "Cursor",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "Event",
    "Health",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "Interrupted",
    "MemberHealth",
    "NoLeader",
    "NoLeaderError",
    "NodeInfo",
    "NotLeader",
    "NotSupportedError",
    "OperationalError",
    "Options",
    "PoolClosed",
    "PoolTimeout",
    "PrepareProtocol",
    "ProgrammingError",
    "ProtocolViolation",
    "Role",
    "Row",
    "RowFactory",
    "Time",
    "TimeFromTicks",
    "Timeout",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "Watch",
    "accelerator",
    "apilevel",
    "begin_transaction",
    "class_row",
    "connect",
    "dataclass_row",
    "dict_row",
    "namedtuple_row",
    "paramstyle",
    "parse_options",
    "run_transaction",
    "scalar_row",
    "sqlite_version",
    "sqlite_version_info",
    "threadsafety",
    "tls_context",
    "tuple_row",
    "was_applied",
]

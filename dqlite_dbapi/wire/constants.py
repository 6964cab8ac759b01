"""Numbers of the wire protocol (reference: docs/reference/wire-protocol.md, sections 1 to 4)."""

from __future__ import annotations

from enum import IntEnum

PROTOCOL_VERSION = 1  #: first word of a connection, sent by the client and never answered
WORD = 8  #: every field starts on a multiple of this many bytes
ROWS_DONE = 0xFFFFFFFFFFFFFFFF  #: marker behind the last row of a result
ROWS_PART = 0xEEEEEEEEEEEEEEEE  #: marker: another ROWS message of the same request follows
MAX_NARROW_PARAMS = 255  #: most parameters that a tuple of schema 0 can count


class Request(IntEnum):
    """Request types that a client sends; HEARTBEAT and CONNECT are not for clients."""

    LEADER = 0
    CLIENT = 1
    OPEN = 3
    PREPARE = 4
    EXEC = 5
    QUERY = 6
    FINALIZE = 7
    EXEC_SQL = 8
    QUERY_SQL = 9
    INTERRUPT = 10
    ADD = 12
    ASSIGN = 13
    REMOVE = 14
    DUMP = 15
    CLUSTER = 16
    TRANSFER = 17
    DESCRIBE = 18
    WEIGHT = 19


class Response(IntEnum):
    """Response types that a server sends."""

    FAILURE = 0
    SERVER = 1
    WELCOME = 2
    SERVERS = 3
    DB = 4
    STMT = 5
    RESULT = 6
    ROWS = 7
    EMPTY = 8
    FILES = 9
    METADATA = 10


class ValueType(IntEnum):
    """Type codes of values in parameter and row tuples."""

    INTEGER = 1
    FLOAT = 2
    TEXT = 3
    BLOB = 4
    NULL = 5
    UNIXTIME = 9
    ISO8601 = 10
    BOOLEAN = 11


class Role(IntEnum):
    """Role of a member, as CLUSTER and ASSIGN number it (wire-protocol 9.1)."""

    VOTER = 0
    STANDBY = 1
    SPARE = 2

"""Type objects and constructors of PEP 249."""

from __future__ import annotations

import datetime

from dqlite_dbapi.wire.constants import ValueType

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = memoryview


def DateFromTicks(ticks: float) -> datetime.date:
    """Local date of `ticks` seconds since the epoch."""
    return datetime.date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> datetime.time:
    """Local time of day of `ticks` seconds since the epoch."""
    return datetime.datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime.datetime:
    """Local date and time of `ticks` seconds since the epoch."""
    return datetime.datetime.fromtimestamp(ticks)


class TypeObject(frozenset[ValueType]):
    """Compares equal to each of the wire's type codes that it stands for (PEP 249)."""

    def __eq__(self, other: object) -> bool:
        return other in self if isinstance(other, ValueType) else super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = frozenset.__hash__


STRING = TypeObject({ValueType.TEXT})
BINARY = TypeObject({ValueType.BLOB})
NUMBER = TypeObject({ValueType.INTEGER, ValueType.FLOAT, ValueType.BOOLEAN})
DATETIME = TypeObject({ValueType.ISO8601, ValueType.UNIXTIME})
ROWID = TypeObject({ValueType.INTEGER})

"""Type objects and constructors of PEP 249; adapters and converters as `sqlite3` has them.

Adapters turn parameters into what SQLite stores, converters turn what it stored into objects. Both
belong to one connection. The server tells no declared types, only a code for each value, so that
`PARSE_DECLTYPES` knows dates and booleans and no other type (wire-protocol 3.4).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, NamedTuple

from dqlite_dbapi.errors import DataError, ProgrammingError
from dqlite_dbapi.wire.constants import ValueType
from dqlite_dbapi.wire.params import NATIVE, is_native

Date = date
Time = time
Timestamp = datetime
Binary = memoryview

PARSE_DECLTYPES = 1  #: convert values of columns declared DATE, DATETIME, TIMESTAMP or BOOLEAN
PARSE_COLNAMES = 2  #: convert values of columns named `name [converter]`

Adapter = Callable[[Any], object]
Converter = Callable[[Any], Any]
Values = tuple[Any, ...]


def DateFromTicks(ticks: float) -> date:
    """Local date of `ticks` seconds since the epoch."""
    return date.fromtimestamp(ticks)


def TimeFromTicks(ticks: float) -> time:
    """Local time of day of `ticks` seconds since the epoch."""
    return datetime.fromtimestamp(ticks).time()


def TimestampFromTicks(ticks: float) -> datetime:
    """Local date and time of `ticks` seconds since the epoch."""
    return datetime.fromtimestamp(ticks)


class TypeObject(frozenset[ValueType]):
    """Compares equal to each of the wire's type codes that it stands for, plain ints too."""

    def __eq__(self, other: object) -> bool:
        return other in self if isinstance(other, int) else super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = frozenset.__hash__


STRING = TypeObject({ValueType.TEXT})
BINARY = TypeObject({ValueType.BLOB})
NUMBER = TypeObject({ValueType.INTEGER, ValueType.FLOAT, ValueType.BOOLEAN})
DATETIME = TypeObject({ValueType.ISO8601, ValueType.UNIXTIME})
ROWID = TypeObject({ValueType.INTEGER})


# -- from Python to SQLite


class PrepareProtocol:
    """What `__conform__(protocol)` of a parameter is asked for (as `sqlite3.PrepareProtocol`)."""


def _date_text(value: date) -> str:
    return value.isoformat()


def _datetime_text(value: datetime) -> str | None:
    """`sqlite3`'s form, a blank instead of T; pandas' NaT, which equals nothing, is NULL."""
    return None if value != value else value.isoformat(" ")  # noqa: PLR0124


def _time_text(value: time) -> str:
    return value.isoformat()


_ADAPTERS: dict[type, Adapter] = {date: _date_text, datetime: _datetime_text, time: _time_text}


class Adapters:
    """What the parameters of one connection become before they are sent.

    `covers_natives` is true once int, float, str, bytes or the like has an adapter of its own.
    """

    __slots__ = ("_table", "covers_natives")

    def __init__(self, extra: Mapping[type, Adapter] | None = None) -> None:
        """Begin with adapters for date, time and datetime (ISO 8601 text) and those in `extra`."""
        self._table = dict(_ADAPTERS)
        self.covers_natives = False
        for kind, adapter in (extra or {}).items():
            self.register(kind, adapter)

    def register(self, kind: type, adapter: Adapter, /) -> None:
        """Have parameters of type `kind` replaced by what `adapter(parameter)` returns.

        That must be None, int, float, str or an object with the buffer protocol.
        """
        if not (isinstance(kind, type) and callable(adapter)):
            raise ProgrammingError("an adapter is registered by a type and a callable")
        self._table[kind] = adapter
        self.covers_natives = self.covers_natives or kind in NATIVE

    def adapt(self, value: object, /) -> object:
        """Replace one parameter, or return it as it is.

        The first that applies: the adapter of its very type, its `__conform__(PrepareProtocol)`,
        none for subclasses of SQLite's own types, the adapter of its nearest base class.
        """
        kind = type(value)
        adapter = self._table.get(kind)
        if adapter is not None:
            return adapter(value)
        conform = getattr(value, "__conform__", None)
        if conform is not None:
            for protocol in _protocols():
                conformed = conform(protocol)
                if conformed is not None:
                    return conformed
        if is_native(value):
            return value
        for base in kind.__mro__[1:]:
            adapter = self._table.get(base)
            if adapter is not None:
                return adapter(value)
        return value

    def adapt_all(self, values: Sequence[object], /) -> Sequence[object]:
        """Replace each parameter of a statement; `values` itself where none has to be."""
        if not self.covers_natives and NATIVE.issuperset(map(type, values)):
            return values
        return [self.adapt(value) for value in values]


def _protocols() -> tuple[type, ...]:
    """Ours; classes written for `sqlite3` know only that module's, and it is loaded then."""
    theirs = getattr(sys.modules.get("sqlite3"), "PrepareProtocol", None)
    return (PrepareProtocol,) if theirs is None else (PrepareProtocol, theirs)


# -- from SQLite to Python

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LABEL = re.compile(r"\[([^][]*)\]")
_DATE_LENGTH = len("2026-11-24")
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d)(:\d\d)?(?:\.(\d+))? ?(?:(Z)|([+-]\d\d):?(\d\d))?"
)


def _to_date(value: str | int) -> date:
    return date.fromisoformat(str(value))


def _to_timestamp(value: str | int) -> datetime:
    """Text with an offset, or seconds since the epoch, make an aware datetime, other text a naive.

    Nanoseconds, as Go clients write them, are cut.
    """
    if isinstance(value, int):
        return _EPOCH + timedelta(seconds=value)
    try:
        return datetime.fromisoformat(value)
    except ValueError:  # Python 3.10 reads only what isoformat() writes
        found = _TIMESTAMP.fullmatch(value)
        if found is None:
            raise
        day, minute, second, fraction, zulu, hours, minutes = found.groups()
        offset = "+00:00" if zulu else f"{hours}:{minutes}" if hours else ""
        micros = f"{fraction or '':0<6.6}"
        return datetime.fromisoformat(f"{day} {minute}{second or ':00'}.{micros}{offset}")


_CONVERTERS: dict[str, Converter] = {"date": _to_date, "timestamp": _to_timestamp}
_DATE_CODES = frozenset({int(ValueType.ISO8601), int(ValueType.UNIXTIME)})


class Plan(NamedTuple):
    """How one result is converted.

    `names` for `description`, `columns` with a function for each column that is converted (None
    when there is none), and `convert`, which does all of that to one row (None likewise).
    """

    names: tuple[str, ...]
    columns: list[Converter | None] | None
    convert: Callable[[Values], Values] | None


class Converters:
    """What the values of one connection's results become."""

    __slots__ = ("_table",)

    def __init__(self, extra: Mapping[str, Converter] | None = None) -> None:
        """Begin with the converters `date` and `timestamp` and those in `extra`."""
        self._table: dict[str, Converter] = {}
        for name, converter in (extra or {}).items():
            self.register(name, converter)

    def register(self, name: str, converter: Converter, /) -> None:
        """Have values for `name`, in any case, replaced by `converter(value as bytes)`.

        `date`, `timestamp` or `datetime`, and `boolean` serve `PARSE_DECLTYPES`, any name serves
        `PARSE_COLNAMES`. NULL is never converted.
        """
        if not (isinstance(name, str) and callable(converter)):
            raise ProgrammingError("a converter is registered by a name and a callable")
        self._table[name.lower()] = converter

    def plan(
        self,
        names: tuple[str, ...],
        codes: Sequence[int] | None,
        detect_types: int,
        text_factory: Callable[[bytes], Any] | type[str] = str,
    ) -> Plan:
        """Plan the conversion of a result.

        `codes`: type codes of its first row, None without rows. `text_factory` other than str
        makes what is left of text from its UTF-8 bytes.
        """
        columns: list[Converter | None] = [None] * len(names)
        shown = names
        if detect_types & PARSE_COLNAMES:
            columns = [self._labelled(name) for name in names]
            shown = tuple(_without_label(name) for name in names)
        if detect_types & PARSE_DECLTYPES and codes is not None:
            columns = [
                self._declared(name, code) if column is None else column
                for name, code, column in zip(shown, codes, columns, strict=True)
            ]
        if text_factory is not str:
            columns = [_text_maker(text_factory) if c is None else c for c in columns]
        if not any(columns):
            return Plan(shown, None, None)
        return Plan(shown, columns, _row_converter(columns))

    def _labelled(self, name: str) -> Converter | None:
        """The converter that stands in brackets in a column's name, if there is one."""
        found = _LABEL.search(name)
        if found is None:
            return None
        label = found[1].lower()
        own = self._own(label)
        if own is not None:
            return own
        default = _CONVERTERS.get(label)
        return None if default is None else _checked(default, _without_label(name))

    def _declared(self, name: str, code: int) -> Converter | None:
        """Codes 9 and 10 stand for one declared type: integers, text and NULL are mixed there."""
        if code == ValueType.BOOLEAN:
            return self._own("boolean") or bool
        if code not in _DATE_CODES:
            return None
        to_date = self._own("date") or _checked(_to_date, name)
        to_timestamp = self._own("timestamp") or self._own("datetime")
        return _date_or_timestamp(to_date, to_timestamp or _checked(_to_timestamp, name))

    def _own(self, label: str) -> Converter | None:
        own = self._table.get(label)
        return None if own is None else _of_bytes(own)


def _without_label(name: str) -> str:
    """What `sqlite3` makes of a column's name: cut before `[` and a blank in front of it."""
    before, bracket, _ = name.partition("[")
    return before.removesuffix(" ") if bracket else name


def _row_converter(columns: Sequence[Converter | None]) -> Callable[[Values], Values]:
    chosen = [(index, column) for index, column in enumerate(columns) if column is not None]

    def convert(row: Values) -> Values:
        values = list(row)
        for index, column in chosen:
            value = values[index]
            if value is not None:
                values[index] = column(value)
        return tuple(values)

    return convert


def _date_or_timestamp(to_date: Converter, to_timestamp: Converter) -> Converter:
    def convert(value: str | int) -> Any:
        is_date = isinstance(value, str) and len(value) == _DATE_LENGTH
        return to_date(value) if is_date else to_timestamp(value)

    return convert


def _of_bytes(converter: Converter) -> Converter:
    """Give a converter of the user's what `sqlite3` would: the value's bytes or text in UTF-8."""

    def convert(value: Any) -> Any:
        return converter(value if isinstance(value, bytes) else str(value).encode())

    return convert


def _checked(default: Converter, column: str) -> Converter:
    def convert(value: Any) -> Any:
        text = value.decode() if isinstance(value, bytes) else value
        try:
            return default(text)
        except (ValueError, TypeError, OverflowError):
            raise DataError(
                f"column {column!r} holds {value!r}, which is no date or time",
                hint="select it as an expression, such as +column, to have it as it is",
            ) from None

    return convert


def _text_maker(text_factory: Callable[[bytes], Any]) -> Converter:
    def convert(value: Any) -> Any:
        return text_factory(value.encode()) if isinstance(value, str) else value

    return convert

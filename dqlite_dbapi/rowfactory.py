"""Row factories: what a fetched tuple becomes. Nothing here knows a cursor or a socket.

A factory is either a callable `factory(cursor, row)`, as in `sqlite3`, or an object with
`maker(names)`, which is asked once for each result and returns the function that makes its rows.
The factories of this module are both, so that they also serve connections of `sqlite3`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import is_dataclass
from functools import lru_cache, partial
from inspect import Parameter, signature
from keyword import iskeyword
from operator import itemgetter
from typing import Any, Generic, Protocol, SupportsIndex, TypeVar, overload
from weakref import ref

from dqlite_dbapi.errors import ProgrammingError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R", bound="Row")
Values = tuple[Any, ...]
Maker = Callable[[Values], T]


class NamesFactory(Protocol[T_co]):
    """A factory that looks at a result's column names once, and then only at its rows."""

    def maker(self, names: tuple[str, ...], /) -> Callable[[Values], T_co]:
        """Return the function that makes a row of a tuple with one value for each name."""
        ...


RowFactory = NamesFactory[T] | Callable[[Any, Values], T]


def make_maker(factory: Any, cursor: Any, names: tuple[str, ...]) -> Maker[Any] | None:
    """Return what makes a row of a tuple in a result with `names`; None to leave tuples alone.

    It does not keep `cursor` alive, so that the cursor may hold it. `sqlite3.Row` accepts only
    cursors of `sqlite3`; `Row` takes its place.
    """
    if factory is None or factory is tuple_row:
        return None
    if takes_cursor(factory):
        alive = ref(cursor)
        return lambda values: factory(alive(), values)
    if _is_sqlite3_row(factory):
        factory = Row
    maker: Maker[Any] = factory.maker(names)
    return maker


def takes_cursor(factory: Any) -> bool:
    """True for a factory that must be called with the cursor for each row, as in `sqlite3`.

    A subclass of `Row` with a constructor of its own is one.
    """
    if isinstance(factory, type) and issubclass(factory, Row):
        return factory.__init__ is not Row.__init__ or factory.__new__ is not Row.__new__
    return not (factory is None or hasattr(factory, "maker") or _is_sqlite3_row(factory))


def _is_sqlite3_row(factory: Any) -> bool:
    return getattr(factory, "__module__", "") == "sqlite3" and factory.__qualname__ == "Row"


class Factory(Generic[T]):
    """A row factory of both styles, made of a function from column names to a row maker."""

    __slots__ = ("maker",)

    def __init__(self, maker: Callable[[tuple[str, ...]], Maker[T]], /) -> None:
        self.maker = maker

    def __call__(self, cursor: Any, row: Values, /) -> T:
        return self.maker(_names_of(cursor))(row)


def _names_of(cursor: Any) -> tuple[str, ...]:
    return tuple(column[0] for column in cursor.description)


# -- Row

_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@lru_cache(maxsize=256)
def _positions(names: tuple[str, ...]) -> dict[str, int]:
    """Column numbers by name; SQLite ignores the case of ASCII letters only, the first one wins."""
    return {name.translate(_LOWER): n for n, name in reversed(tuple(enumerate(names)))}


class Row(Sequence[Any]):
    """A row as `sqlite3.Row`: values by index, slice or name, whatever the name's case.

    It is not a tuple, but `tuple(row)` and `dict(row)` are cheap. Rows are equal when their column
    names and their values are.
    """

    __slots__ = ("_names", "_positions", "_values")
    _names: tuple[str, ...]
    _positions: dict[str, int]
    _values: Values

    def __init__(self, cursor: Any, values: Values, /) -> None:
        """Name `values` as `cursor.description` does."""
        self._names = names = _names_of(cursor)
        self._positions = _positions(names)
        self._values = values

    @classmethod
    def maker(cls: type[R], names: tuple[str, ...], /) -> Maker[R]:
        """Return the function that makes rows with these column names."""
        positions = _positions(names)
        new = cls.__new__

        def make(values: Values) -> R:
            row = new(cls)
            row._names = names
            row._positions = positions
            row._values = values
            return row

        return make

    def keys(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self._names)

    @overload
    def __getitem__(self, key: str | SupportsIndex, /) -> Any: ...
    @overload
    def __getitem__(self, key: slice, /) -> Values: ...
    def __getitem__(self, key: Any, /) -> Any:
        """The value at an index or under a name, or the values of a slice; else `IndexError`."""
        if isinstance(key, str):
            position = self._positions.get(key)
            if position is None:
                position = self._positions.get(key.translate(_LOWER))
                if position is None:
                    raise IndexError(f"the row has no column {key!r}")
            return self._values[position]
        try:
            return self._values[key]
        except TypeError:
            raise IndexError("a row's index must be an integer, a slice or a name") from None

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __contains__(self, value: object) -> bool:
        return value in self._values

    def __reversed__(self) -> Iterator[Any]:
        return reversed(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Row):
            return NotImplemented
        return self._names == other._names and self._values == other._values

    def __hash__(self) -> int:
        return hash((self._names, self._values))

    def __repr__(self) -> str:
        pairs = zip(self._names, self._values, strict=False)
        return f"<{type(self).__name__} {', '.join(f'{name}={value!r}' for name, value in pairs)}>"


# -- factories


def _tuples(_names: tuple[str, ...]) -> Maker[Values]:
    return tuple


def _dicts(names: tuple[str, ...]) -> Maker[dict[str, Any]]:
    return lambda values: dict(zip(names, values, strict=True))


def _scalars(_names: tuple[str, ...]) -> Maker[Any]:
    return itemgetter(0)


@lru_cache(maxsize=256)
def _named_tuples(names: tuple[str, ...]) -> Maker[Any]:
    from collections import namedtuple

    cls = namedtuple("Row", [_field_name(name) for name in names], rename=True)  # type: ignore[misc]
    return partial(tuple.__new__, cls)


def _field_name(name: str) -> str:
    """A name that `namedtuple` takes: `count(*)` is `count___`, `1` is `f1`, `class` is `class_`.

    What is still no name then, or is one already, gets `_` and its column number from namedtuple.
    """
    cleaned = re.sub(r"\W", "_", name)
    if iskeyword(cleaned):
        return f"{cleaned}_"
    return f"f{cleaned}" if cleaned[:1] == "_" or cleaned[:1].isdigit() else cleaned


tuple_row: Factory[Values] = Factory(_tuples)  #: plain tuples; the default
dict_row: Factory[dict[str, Any]] = Factory(_dicts)  #: by name; the last of equal names wins
namedtuple_row: Factory[Any] = Factory(_named_tuples)  #: named tuples; see `_field_name`
scalar_row: Factory[Any] = Factory(_scalars)  #: the value of the first column alone


def class_row(cls: Callable[..., T], /) -> Factory[T]:
    """A factory that calls `cls` (a class or any callable) with the columns as keywords.

    When a result comes whose columns `cls` does not take, or that lacks one which it needs,
    `ProgrammingError` names them.
    """
    known, needed, takes_any = _keywords(cls)

    def maker(names: tuple[str, ...]) -> Maker[T]:
        given = frozenset(names)
        _refuse(cls, "needs the missing", needed - given)
        if not takes_any:
            _refuse(cls, "does not take the", given - known)
        _refuse(cls, "cannot take twice the", {name for name in names if names.count(name) > 1})
        return lambda values: cls(**dict(zip(names, values, strict=True)))

    return Factory(lru_cache(maxsize=16)(maker))


def dataclass_row(cls: type[T], /) -> Factory[T]:
    """`class_row` for a dataclass; `TypeError` for another class."""
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise TypeError(f"{cls!r} is not a dataclass; class_row takes any class")
    return class_row(cls)


def _refuse(cls: Callable[..., Any], what: str, names: frozenset[str] | set[str]) -> None:
    if names:
        listed = ", ".join(repr(name) for name in sorted(names))
        raise ProgrammingError(
            f"{getattr(cls, '__name__', cls)} {what} column {listed}",
            hint="SELECT the columns by name, with AS where the names differ",
        )


def _keywords(cls: Callable[..., Any]) -> tuple[frozenset[str], frozenset[str], bool]:
    """Keywords that `cls` knows, those that it needs, and whether it takes any others."""
    try:
        parameters = signature(cls).parameters.values()
    except (TypeError, ValueError):  # some classes written in C do not tell
        return frozenset(), frozenset(), True
    named = [p for p in parameters if p.kind in (Parameter.POSITIONAL_OR_KEYWORD,
                                                 Parameter.KEYWORD_ONLY)]  # fmt: skip
    return (
        frozenset(p.name for p in named),
        frozenset(p.name for p in named if p.default is Parameter.empty),
        any(p.kind is Parameter.VAR_KEYWORD for p in parameters),
    )

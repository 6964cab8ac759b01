"""Which values a statement puts into which columns, as far as its text alone tells it.

Decided are INSERT and REPLACE ... VALUES, UPDATE ... SET and ON CONFLICT DO UPDATE SET, each with a
parameter or a literal as the whole value. Expressions and INSERT ... SELECT are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from dqlite_dbapi.protocol.tokens import Token, Tokens, closing, split_list

LITERAL = -1
#: Declared types, compared exactly, of which members read only some storage classes.
SPECIAL = frozenset({"boolean", "date", "datetime", "timestamp"})
_NUMERIC = re.compile(r"[\t-\r ]*[+-]?(?:[0-9]+(\.[0-9]*)?|(\.[0-9]+))([eE][+-]?[0-9]+)?[\t-\r ]*")
_CLOCK = {"CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP"}
_AFTER_SET = {"FROM", "WHERE", "ORDER", "LIMIT", "RETURNING", "ON"}


class Cell(NamedTuple):
    """One value: its column by name or by its place in the table, and where it comes from.

    `slot` counts parameters from 0; with `LITERAL` the value is `literal`, a str, float or bytes.
    """

    column: str | int
    slot: int
    literal: object


class Stores(NamedTuple):
    """Values for a table; `schema` is "" where the text names none. All names in lower case."""

    schema: str
    table: str
    cells: tuple[Cell, ...]


class Target(NamedTuple):
    """The table that a statement writes to, and the position behind its name."""

    schema: str
    table: str
    end: int


def target(found: Tokens, main: int) -> Target | None:
    """The table that the INSERT, REPLACE, UPDATE or DELETE at position `main` writes to."""
    position = main + 1
    if found[position : position + 1] and found[position].upper == "OR":
        position += 2
    if found[position : position + 1] and found[position].upper in ("INTO", "FROM"):
        position += 1
    names = found[position : position + 3]
    if not names or not names[0].is_name:
        return None
    if len(names) == 3 and names[1].text == ".":  # noqa: PLR2004
        return Target(names[0].name, names[2].name, position + 3)
    return Target("", names[0].name, position + 1)


def stores(found: Tokens, main: int, slots: Mapping[int, int]) -> Stores | None:
    """Read the statement whose verb stands at `main`; None where no value can be harmful.

    `slots` tells the slot of the parameter that starts at a position.
    """
    to = target(found, main)
    if to is None:
        return None
    cells: list[Cell] = []
    if found[main].upper in ("INSERT", "REPLACE"):
        cells += _inserted(found, to.end, slots)
    cells += _assigned(found, to.end, slots)
    return Stores(to.schema, to.table, tuple(cells)) if cells else None


def _inserted(found: Tokens, position: int, slots: Mapping[int, int]) -> Iterator[Cell]:
    columns: list[str] | None = None
    if _upper(found, position) == "AS":
        position += 2
    if _text(found, position) == "(":
        end = closing(found, position)
        columns = [item[-1].name for item in split_list(found[position + 1 : end]) if item]
        position = end + 1
    if _upper(found, position) != "VALUES":
        return
    position += 1
    while _text(found, position) == "(":
        end = closing(found, position)
        items = split_list(found[position + 1 : end])
        places: Iterable[str | int] = range(len(items)) if columns is None else columns
        for column, item in zip(places, items, strict=False):
            yield from _cell(column, item, slots, is_inserted=True)
        position = end + 1
        if _text(found, position) == ",":
            position += 1


def _assigned(found: Tokens, position: int, slots: Mapping[int, int]) -> Iterator[Cell]:
    start = next(
        (n + 1 for n in range(position, len(found)) if not found[n].depth and _is_set(found, n)), 0
    )
    if not start:
        return
    end = start
    while end < len(found) and not (found[end].depth == 0 and found[end].upper in _AFTER_SET):
        end += 1
    for item in split_list(found[start:end]):
        equals = next((n for n, t in enumerate(item) if t.text == "=" and not t.depth), 0)
        left, right = item[:equals], item[equals + 1 :]
        if len(left) == 1:
            yield from _cell(left[0].name, right, slots)
        elif left and right and left[0].text == right[0].text == "(" and closing(right, 0):
            names, values = split_list(left[1:-1]), split_list(right[1:-1])
            for name, value in zip(names, values, strict=False):
                yield from _cell(name[-1].name, value, slots)


def _is_set(found: Tokens, position: int) -> bool:
    return found[position].upper == "SET"


def _cell(
    column: str | int, item: Tokens, slots: Mapping[int, int], *, is_inserted: bool = False
) -> Iterator[Cell]:
    if len(item) == 1 and item[0].kind == "parameter":
        yield Cell(column, slots[item[0].start], None)
        return
    value = literal(item, quoted_is_text=is_inserted)
    if isinstance(value, (str, float, bytes)):
        yield Cell(column, LITERAL, value)


def literal(item: Tokens, *, quoted_is_text: bool = False) -> object:
    """The value of a literal, a text for what the clock gives; None for all else.

    `quoted_is_text`: a "double quoted" name is a text, as SQLite takes it where no column can be.
    """
    is_signed = len(item) == 2 and item[0].text in ("-", "+")  # noqa: PLR2004
    if len(item) != 1 + is_signed:
        return None
    token = item[-1]
    if token.kind == "number":
        return _number(token.text.replace("_", ""), -1 if item[0].text == "-" else 1)
    if is_signed:
        return None
    if token.kind == "string" or (quoted_is_text and token.text[0] == '"'):
        return _unquoted(token)
    if token.kind == "blob":
        return token.text.encode()
    return token.upper if token.upper in _CLOCK else None


def _number(text: str, sign: int) -> object:
    if text[:2] in ("0x", "0X"):
        return sign
    if text.isdecimal():
        whole = sign * int(text)
        return whole if -(2**63) <= whole < 2**63 else float(whole)
    return sign * float(text)


def _unquoted(token: Token) -> str:
    quote = token.text[0]
    return token.text[1:-1].replace(quote * 2, quote)


def _upper(found: Tokens, position: int) -> str:
    return found[position].upper if position < len(found) else ""


def _text(found: Tokens, position: int) -> str:
    return found[position].text if position < len(found) else ""


def storage_class(value: object) -> str:
    """What SQLite stores of `value` in a column of these types, whose affinity is NUMERIC.

    "integer", "real", "text", "blob" or "null". Text that reads as a number becomes one, and a
    number without a fraction an integer if 64 bits can hold it.
    """
    if value is None:
        return "null"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return _real(value)
    if not isinstance(value, str):
        return "blob"
    number = _NUMERIC.fullmatch(value)
    if number is None:
        return "text"
    is_whole = not any(number.groups())
    if is_whole and -(2**63) <= int(value) < 2**63:
        return "integer"
    return _real(float(value))


def _real(value: float) -> str:
    if value != value:  # noqa: PLR0124 - NaN is stored as NULL
        return "null"
    return "integer" if value.is_integer() and abs(value) < 2**63 else "real"


def is_poison(declared: str, value: object) -> bool:
    """True when a column of the special type `declared` must not hold `value`."""
    stored = storage_class(value)
    return stored in ("real", "blob") or (stored == "text" and declared == "boolean")

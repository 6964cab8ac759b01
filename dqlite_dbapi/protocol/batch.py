"""INSERTs that may be sent as one statement of many rows, told from their text and the schema.

Such a rewrite must not show. So the text is `INSERT [OR x] INTO t [(columns)] VALUES (one row)`
with nothing but parameters and literals in the row, and `is_plain` looks at what else could tell
the difference: triggers (they see `changes()`), foreign keys to the table (checked at a statement's
end), conflict clauses of the table itself, virtual tables and temporary ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from dqlite_dbapi.protocol.statements import lookup
from dqlite_dbapi.protocol.stores import target
from dqlite_dbapi.protocol.tokens import Token, Tokens, closing, split_list, tokens
from dqlite_dbapi.sql import parameters
from dqlite_dbapi.wire.values import encode_text

T = TypeVar("T")
_RESOLUTIONS = frozenset({"ABORT", "IGNORE", "REPLACE"})
_LITERALS = frozenset({"number", "string", "blob"})
_REVEALING = re.compile(r"\A\s*create\s+virtual|\bconflict\b|changes\b", re.IGNORECASE)

#: One row: the table's own text, NULL where there is none, and whether anything else is in the way.
FACTS = lookup("""
SELECT
  (SELECT sql FROM main.sqlite_master WHERE type = 'table' AND lower(name) = ?1),
  EXISTS (SELECT 1 FROM main.sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = ?1)
  OR EXISTS (SELECT 1 FROM main.sqlite_master AS m, pragma_foreign_key_list(m.name, 'main') AS f
    WHERE m.type = 'table' AND m.sql LIKE '%references%' AND lower(f."table") = ?1)
""")


class Template(NamedTuple):
    """An INSERT cut into the text up to VALUES and its row.

    `order` tells which slot each parameter of the row shows, in the order of the text.
    """

    table: str
    start: str
    row: str
    order: tuple[int, ...]

    @property
    def params(self) -> int:
        """Parameters of one row."""
        return len(self.order)

    @property
    def is_ordered(self) -> bool:
        """True when the parameters of the row are the slots one by one."""
        return self.order == tuple(range(len(self.order)))

    def text(self, rows: int) -> bytes:
        """The statement with `rows` rows, as a wire field."""
        return encode_text(self.start + ",".join([self.row] * rows), "the SQL text")


@lru_cache(maxsize=256)
def find_template(sql: str) -> Template | None:
    """Cut `sql`, one statement, or None where a rewrite could show."""
    found = list(tokens(sql))
    if found[0].upper not in ("INSERT", "REPLACE") or not _resolves(found):
        return None
    to = target(found, 0)
    if to is None or to.schema not in ("", "main"):
        return None
    opening = _opening(found, to.end)
    if not opening or closing(found, opening) != len(found) - 1:
        return None
    items = split_list(found[opening + 1 : -1])
    if not all(_is_plain_value(item) for item in items):
        return None
    places = [item[0] for item in items if item[0].kind == "parameter"]
    slots, _, numbers = parameters(found)
    order = tuple(numbers[token.start] for token in places)
    if len(numbers) != len(places) or len(set(order)) != slots:
        return None
    start, end = found[opening].start, found[-1].end
    return Template(to.table, sql[:start], _row(sql, start, end, places), order)


def is_plain(facts: Sequence[object]) -> bool:
    """Whether a row of `FACTS` lets the rewrite go unnoticed."""
    sql, is_watched = facts
    return isinstance(sql, str) and not is_watched and not _REVEALING.search(sql)


def cut(rows: list[T], unit: int, units: int, *, is_last_alone: bool) -> list[list[list[T]]]:
    """Flights of at most `units` statements, each of `unit` rows; the last row may be alone."""
    end = max(len(rows) - is_last_alone, 0)
    found = [rows[start : min(start + unit, end)] for start in range(0, end, unit)]
    if end < len(rows):
        found.append(rows[end:])
    return [found[start : start + units] for start in range(0, len(found), units)]


def _opening(found: Tokens, position: int) -> int:
    """Where the row of VALUES opens, if it follows the table and its columns; else 0."""
    if position < len(found) and found[position].upper == "AS":
        position += 2
    if position < len(found) and found[position].text == "(":
        position = closing(found, position) + 1
    rest = found[position : position + 2]
    is_row = len(rest) == 2 and rest[0].upper == "VALUES" and rest[1].text == "("  # noqa: PLR2004
    return position + 1 if is_row else 0


def _resolves(found: Tokens) -> bool:
    """No conflict resolution, or one under which a statement of many rows can be undone whole."""
    if len(found) < 3 or found[1].upper != "OR":  # noqa: PLR2004
        return True
    return found[2].upper in _RESOLUTIONS


def _is_plain_value(item: Tokens) -> bool:
    if len(item) == 2 and item[0].text in ("-", "+"):  # noqa: PLR2004
        return item[1].kind == "number"
    if len(item) != 1:
        return False
    return item[0].kind in _LITERALS or item[0].kind == "parameter" or item[0].upper == "NULL"


def _row(sql: str, start: int, end: int, places: Sequence[Token]) -> str:
    """The text of the row, with `?` for each parameter."""
    parts: list[str] = []
    for token in places:
        parts.append(sql[start : token.start])
        start = token.end
    return "?".join([*parts, sql[start:end]])

"""Statements that hurt a member whatever their values are, told from their tokens.

Each was seen on real members of libdqlite 1.11.1, 1.18.1 and 1.18.7; docs/reference/hazards.md
tells what they do there. `protocol.guard` says what happens to a statement with a hazard.
"""

from __future__ import annotations

from dqlite_dbapi.protocol.stores import SPECIAL, is_poison, literal, target
from dqlite_dbapi.protocol.tokens import Token, Tokens, closing, split_list

OPTIMIZE = "optimize"
TOKENIZER = "fts3_tokenizer"
PAGES = "sqlite_dbpage"
SCHEMA_TABLE = "schema table"
FAIL = "fail"
LONG_NAMES = "long names"
DEFAULT = "default"
INTO = "vacuum into"

_SCHEMA_TABLES = {"sqlite_master", "sqlite_schema", "sqlite_temp_master", "sqlite_temp_schema"}
_NAMES_FOLLOW = {"TABLE", "INTO", "WITH", "RECURSIVE", "EXISTS", "VIEW", "INDEX", "REFERENCES"}
_AFTER_COLUMNS = {"FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "UNION", "EXCEPT", "INTERSECT",
                  "ORDER", "LIMIT"}  # fmt: skip
#: The server's page is full before the first row from here on (wire-protocol 4.3).
_NAME_BYTES = 4072


def find_hazard(kind: str, found: Tokens, main: int, *, returning: bool) -> str:
    """The hazard of the statement whose verb stands at `main`, or ""; `kind` is `Kind.value`."""
    if kind == "read":
        return _in_read(found) or _in_any(found) or _long_names(found, main + 1)
    if kind == "write":
        names = _returned(found, main) if returning else ""
        return _in_write(found, main) or _in_any(found) or names
    if kind == "schema":
        is_view = any(token.upper == "VIEW" for token in found[:3])
        return (is_view and _in_read(found)) or _in_schema(found) or _in_any(found)
    if kind == "vacuum" and any(token.upper == "INTO" for token in found):
        return INTO
    return ""


def _in_any(found: Tokens) -> str:
    """A pointer to C functions is read and, with two arguments, replaced."""
    return TOKENIZER if any(_is_call(found, n, TOKENIZER) for n in range(len(found) - 1)) else ""


def _in_read(found: Tokens) -> str:
    """Functions that write behind the back of a SELECT, or of a view made now."""
    for position, token in enumerate(found):
        name = token.name if token.is_name else ""
        if name == "pragma_optimize" and _is_table(found, position):
            return OPTIMIZE
        if (
            name == "optimize"
            and _is_call(found, position, name)
            and (position == 0 or found[position - 1].upper not in _NAMES_FOLLOW)
        ):
            return OPTIMIZE
    return ""


def _is_table(found: Tokens, position: int) -> bool:
    if found[position].kind != "string":
        return True
    before = found[position - 1]
    return before.upper in ("FROM", "JOIN") or before.text in (",", ".", "(")


def _is_call(found: Tokens, position: int, name: str) -> bool:
    token = found[position]
    return (
        token.kind in ("word", "quoted")
        and token.name == name
        and [after.text for after in found[position + 1 : position + 2]] == ["("]
    )


def _in_write(found: Tokens, main: int) -> str:
    to = target(found, main)
    if to is None:
        return ""
    if to.table == PAGES:
        return PAGES
    if to.table in _SCHEMA_TABLES and not _is_from_a_dump(found, main):
        return SCHEMA_TABLE
    return ""


def _is_from_a_dump(found: Tokens, main: int) -> bool:
    """`INSERT INTO sqlite_master ... 0, 'CREATE VIRTUAL TABLE ...')`, as iterdump() writes it."""
    end = [token.text for token in found[-4:]]
    return (
        found[main].upper == "INSERT"
        and end[:2] == ["0", ","]
        and end[-1] == ")"
        and found[-2].kind == "string"
        and found[-2].name.startswith("create virtual table")
    )


def _in_schema(found: Tokens) -> str:
    for position, token in enumerate(found):
        if token.upper == "FAIL" and _is_resolution(found, position):
            return FAIL
        if token.is_name and token.name == PAGES:
            return PAGES
        if token.is_name and token.name in SPECIAL and _has_bad_default(found, position):
            return DEFAULT
    return ""


def _is_resolution(found: Tokens, position: int) -> bool:
    """`ON CONFLICT FAIL`, `OR FAIL` or `RAISE(FAIL, ...)`."""
    before = found[position - 1]
    return before.upper in ("CONFLICT", "OR") or (
        before.text == "(" and found[position - 2].upper == "RAISE"
    )


def _has_bad_default(found: Tokens, position: int) -> bool:
    """Whether the column of the type at `position` has a DEFAULT that it must not hold."""
    column = found[position]
    if position == 0 or not found[position - 1].is_name:
        return False
    for after in range(position + 1, len(found)):
        token = found[after]
        if token.depth < column.depth or (token.depth == column.depth and token.text == ","):
            return False
        if token.upper == "DEFAULT" and token.depth == column.depth:
            return is_poison(column.name, _default(found, after + 1))
    return False


def _default(found: Tokens, position: int) -> object:
    """A literal, also in parentheses; None for all else."""
    if [token.text for token in found[position : position + 1]] == ["("]:
        return literal(found[position + 1 : closing(found, position)])
    is_signed = [token.text for token in found[position : position + 1]] in (["-"], ["+"])
    return literal(found[position : position + 1 + is_signed], quoted_is_text=True)


def fails_halfway(found: Tokens, main: int) -> bool:
    """True for INSERT OR FAIL and UPDATE OR FAIL."""
    return [token.upper for token in found[main + 1 : main + 3]] == ["OR", "FAIL"]


def _returned(found: Tokens, main: int) -> str:
    start = next(n for n in range(main, len(found)) if found[n].upper == "RETURNING")
    return _long_names(found, start + 1)


def _long_names(found: Tokens, start: int) -> str:
    """Names of the result's columns that need more than a page of the server."""
    if found[-1].end - found[0].start < _NAME_BYTES:
        return ""
    end = start
    while end < len(found) and not (found[end].depth == 0 and found[end].upper in _AFTER_COLUMNS):
        end += 1
    total = 0
    for item in split_list(found[start:end]):
        if item:
            name = _column_name(item)
            total += (len(name.encode()) + 8) // 8 * 8
    return LONG_NAMES if total > _NAME_BYTES else ""


def _column_name(item: Tokens) -> str:
    """The alias, or the text of the expression without its blanks, which is a little shorter."""
    last = item[-1]
    if len(item) > 1 and last.is_name and _ends_operand(item[-2]):
        return last.name
    return "".join(token.text for token in item)


def _ends_operand(token: Token) -> bool:
    return token.text == ")" or token.upper == "AS" or (token.kind not in ("sign", "word"))

"""Rows as text for people and for programs."""

from __future__ import annotations

import base64
import csv
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

Rows = Iterable[Sequence[Any]]
PLAIN_WIDTH = 160  #: of rich's tables where stdout is no terminal


def console() -> Console:
    """Where rich draws on stdout; its width does not depend on the environment in a pipe."""
    from rich.console import Console

    found = Console()
    return found if found.is_terminal else Console(width=PLAIN_WIDTH)


def unique(names: Iterable[str]) -> list[str]:
    """Column names as keys: the second `x` becomes `x:2`."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name}:{seen[name]}")
    return found


def cell(value: object) -> str:
    """A value for a terminal: control characters are escaped, blobs are SQL literals."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"x'{value.hex()}'"
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode()
        for char in str(value)
    )


def table(names: Sequence[str], rows: Rows) -> Iterable[str]:
    """Lines of a table of plain characters."""
    from cli_helpers.tabular_output import TabularOutputFormatter

    cells = [[cell(value) for value in row] for row in rows]
    heads = [cell(name) for name in names]
    keep = {"disable_numparse": True, "preserve_whitespace": True}
    lines: Iterable[str] = TabularOutputFormatter("ascii").format_output(cells, heads, **keep)
    return lines


def _write_table(names: Sequence[str], rows: Rows, out: TextIO) -> None:
    for line in table(names, rows):
        out.write(f"{line}\n")


def _write_markdown(names: Sequence[str], rows: Rows, out: TextIO) -> None:
    def line(values: Iterable[object]) -> str:
        return "| " + " | ".join(cell(value).replace("|", "\\|") for value in values) + " |\n"

    out.write(line(names))
    out.write(line("---" for _ in names))
    for row in rows:
        out.write(line(row))


def _write_csv(names: Sequence[str], rows: Rows, out: TextIO) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(cell(value) if isinstance(value, bytes) else value for value in row)


def _json(value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _object(keys: Sequence[str], row: Sequence[Any]) -> str:
    item = dict(zip(keys, map(_json, row), strict=True))
    return json.dumps(item, ensure_ascii=False, default=str)


def _write_json(names: Sequence[str], rows: Rows, out: TextIO) -> None:
    keys = unique(names)
    separator = "["
    for row in rows:
        out.write(f"{separator}{_object(keys, row)}")
        separator = ",\n "
    out.write("[]\n" if separator == "[" else "]\n")


def _write_jsonl(names: Sequence[str], rows: Rows, out: TextIO) -> None:
    keys = unique(names)
    for row in rows:
        out.write(f"{_object(keys, row)}\n")


#: Writes column names and rows to a text file. In JSON blobs are base64.
WRITERS: dict[str, Callable[[Sequence[str], Rows, TextIO], None]] = {
    "table": _write_table,
    "json": _write_json,
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "md": _write_markdown,
}

"""Writes docs/reference/command-line.md from the commands themselves when it is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from dqlite_dbapi.cli.main import cli

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "command-line.md"
MARK = "## The commands\n"
_WIDTH = 100


def walk(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """The context of a command and of all below it."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                yield from walk(below, _context(below, name, context))


def _context(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    return click.Context(command, parent, name, terminal_width=_WIDTH, max_content_width=_WIDTH)


def contexts() -> list[click.Context]:
    """Of `dqlite-py` and each command of it."""
    return list(walk(cli, _context(cli, "dqlite-py", None)))


def rendered() -> str:
    """The part of the page that is generated: a heading and the help of each command."""
    parts = [
        f"### {context.command_path}\n\n```\n{context.command.get_help(context)}\n```\n"
        for context in contexts()
    ]
    return f"{MARK}\n" + "\n".join(parts)


if __name__ == "__main__":
    written, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(written + rendered(), encoding="utf-8")

"""Exit statuses of the commands, and one line on stderr for whatever goes wrong.

0 done, 1 refused or failed, 3 no member or leader in time, 4 a write whose outcome is unknown,
64 wrong usage, 130 interrupted. `cluster status` has its own meaning of 0, 1 and 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from dqlite_dbapi.errors import Error

DONE, FAILED, UNAVAILABLE, UNKNOWN, USAGE, INTERRUPTED = 0, 1, 3, 4, 64, 130


def status_of(error: Error) -> int:
    """The exit status that an error of the driver ends a command with."""
    if error.is_ambiguous:
        return UNKNOWN
    return UNAVAILABLE if error.is_disconnect else FAILED


def explain(error: Exception) -> tuple[str, int]:
    """What to tell the user about a failure, and the exit status for it."""
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "dqlite-py"
        return f"{error.format_message()} (see {command} --help)", USAGE
    if isinstance(error, click.ClickException):
        return error.format_message(), FAILED
    if isinstance(error, Error):
        return str(error) or type(error).__name__, status_of(error)
    assert isinstance(error, OSError)  # noqa: S101 - nothing else is caught
    return f"{error.filename or 'input or output'}: {error.strerror}", FAILED


class Commands(click.Group):
    """A group that ends with a documented status and tells a failure in one line."""

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        """Run a command; an `int` that it returns is its exit status."""
        if not extra.pop("standalone_mode", True):
            return super().main(args, prog_name, standalone_mode=False, **extra)
        try:
            done = super().main(args, prog_name, standalone_mode=False, **extra)
        except (click.ClickException, Error, OSError) as error:
            text, done = explain(error)
            click.echo(f"dqlite-py: {' '.join(text.split())}", err=True)
        except click.Abort:
            click.echo("dqlite-py: interrupted", err=True)
            done = INTERRUPTED
        sys.exit(done if isinstance(done, int) else DONE)

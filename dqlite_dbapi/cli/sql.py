"""`dqlite-py sql`: run statements and print rows."""

from __future__ import annotations

import sys
from contextlib import closing

import click

import dqlite_dbapi
from dqlite_dbapi import Options
from dqlite_dbapi.cli.output import WRITERS
from dqlite_dbapi.cli.target import url_argument
from dqlite_dbapi.sql import split


@click.command()
@url_argument
@click.argument("statements", required=False, metavar="[STATEMENTS]")
@click.option(
    "--format",
    "style",
    type=click.Choice(list(WRITERS)),
    default="table",
    show_default=True,
    help="How rows are printed.",
)
@click.option("--transaction", is_flag=True, help="All statements take effect, or none does.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Tell on stderr how many rows each write changed."
)
def sql(url: Options, statements: str | None, style: str, transaction: bool, verbose: bool) -> None:
    """Run STATEMENTS, separated by semicolons, or what is on stdin, and print the rows.

    Each statement is a transaction of its own unless STATEMENTS say BEGIN. The first error ends
    it.
    """
    with closing(dqlite_dbapi.connect(url, autocommit=not transaction)) as connection:
        for statement in split(_text(statements)):
            cursor = connection.execute(statement)
            if cursor.description is not None:
                names = [str(column[0]) for column in cursor.description]
                WRITERS[style](names, cursor, sys.stdout)
            elif verbose and cursor.rowcount >= 0:
                click.echo(f"{cursor.rowcount} rows changed", err=True)
        if transaction:
            connection.commit()
        elif connection.in_transaction:
            raise click.ClickException("there is no COMMIT: the transaction was rolled back")


def _text(statements: str | None) -> str:
    if statements not in (None, "-"):
        return statements or ""
    if sys.stdin.isatty():
        raise click.UsageError("no statements: give them as an argument or on stdin")
    return sys.stdin.read()

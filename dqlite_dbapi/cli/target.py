"""The argument URL, which goes through the driver's own option parser."""

from __future__ import annotations

import click

from dqlite_dbapi import Error, Options, parse_options


def read_url(text: str) -> Options:
    """A `dqlite://` URL or addresses; `-` takes them from the environment.

    `BadParameter` with the parser's reason.
    """
    try:
        return parse_options(None if text == "-" else text)
    except Error as error:
        raise click.BadParameter(str(error)) from error


url_argument = click.argument("url", type=read_url, metavar="URL")

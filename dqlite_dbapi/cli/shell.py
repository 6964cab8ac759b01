"""`dqlite-py shell`: litecli's shell on a connection to a cluster."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
from litecli.completion_refresher import CompletionRefresher
from litecli.main import LiteCli
from litecli.sqlcompleter import SQLCompleter
from litecli.sqlexecute import SQLExecute

import dqlite_dbapi
from dqlite_dbapi import Client, Connection, Error, Options, ProgrammingError, parse_options
from dqlite_dbapi.cli import dotcommands
from dqlite_dbapi.cli.target import url_argument

_log = logging.getLogger("dqlite_dbapi.cli")
PROMPT = "\\d \\L\\x> "


class Executor(SQLExecute):  # type: ignore[misc]
    """Runs litecli's statements and commands over a connection of ours."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.conn: Connection[Any] | None = None
        super().__init__(options.database)

    def connect(self, database: str | None = None) -> None:
        """Connect anew, to another database of the cluster, or to another cluster by its URL."""
        options = self.options
        if database is not None and "://" in database:
            options = parse_options(database)
        elif database is not None:
            options = parse_options(options, database)
        if self.conn is not None and self.conn.in_transaction:
            raise ProgrammingError("a transaction is open", hint="COMMIT or ROLLBACK it first")
        connection = dqlite_dbapi.connect(options, isolation_level=None)
        connection.text_factory = lambda data: data.decode("utf-8", "backslashreplace")
        if self.conn is not None:
            self.conn.close()
        self.conn, self.options, self.dbname = connection, options, options.database

    def run(self, statement: str) -> Iterable[tuple[Any, ...]]:
        """As litecli's, and an error tells when it has cost an open transaction."""
        was_open = self.conn is not None and self.conn.in_transaction
        try:
            yield from super().run(statement)
        except Error as error:
            if was_open and error.is_disconnect and error.hint is None:
                error.hint = "the transaction is lost: ROLLBACK, then begin it again"
            raise

    def functions(self) -> Iterable[tuple[str]]:
        """None: litecli's query is for another database's catalogue."""
        return ()

    def client(self) -> Client:
        """A client of the cluster that the shell works with."""
        return Client(self.options)

    def place(self) -> str:
        """Leader that the connection uses; `?` while it is lost."""
        if self.conn is None or not self.conn.is_usable:
            return "?"
        return self.conn.server.address

    def mark(self) -> str:
        """`*` while a transaction is open."""
        return "*" if self.conn is not None and self.conn.in_transaction else ""


class Refresher(CompletionRefresher):  # type: ignore[misc]
    """Reads names for the completion over a second connection."""

    def _bg_refresh(
        self, sqlexecute: Executor, callbacks: Callable[..., None], completer_options: Any
    ) -> None:
        try:
            twin = Executor(sqlexecute.options)
            with closing(twin.conn):  # type: ignore[type-var]
                again = True
                while again:
                    self._restart_refresh.clear()
                    completer = SQLCompleter(**(completer_options or {}))
                    for refresh in self.refreshers.values():
                        refresh(completer, twin)
                    again = self._restart_refresh.is_set()
        except Error as error:
            _log.info("no names for the completion: %s", error)
            return
        callbacks(completer)


class Shell(LiteCli):  # type: ignore[misc]
    """litecli with the cluster in its prompt and commands."""

    def __init__(self, executor: Executor) -> None:
        super().__init__(sqlexecute=executor, prompt=PROMPT, liteclirc=str(_settings()))
        self.completion_refresher = Refresher()

    def register_special_commands(self) -> None:
        """litecli's commands and those for clusters."""
        super().register_special_commands()
        dotcommands.register(self.sqlexecute)

    def get_prompt(self, string: str) -> str:
        """Fill in `\\L`, the leader, and `\\x`, the mark of an open transaction."""
        place, mark = self.sqlexecute.place(), self.sqlexecute.mark()
        text: str = super().get_prompt(string.replace("\\L", place).replace("\\x1b", "\x1b"))
        return text.replace("\\x", mark)


def _settings() -> Path:
    """The shell's own settings file, in litecli's format; history and log are beside it."""
    folder = Path(click.get_app_dir("dqlite-py"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "config"
    if not path.exists():
        path.write_text(
            f"[main]\nhistory_file = {folder / 'history'}\nlog_file = {folder / 'log'}\n"
            "less_chatty = True\n",
            encoding="utf-8",
        )
    return path


@click.command()
@url_argument
def shell(url: Options) -> None:
    """Open an interactive shell: completion, history, pager, output formats; \\? lists commands.

    The prompt shows database and leader, and a `*` while a transaction is open. Each statement is
    a transaction of its own unless you say BEGIN.
    """
    if not sys.stdin.isatty():
        raise click.UsageError("the shell needs a terminal; for scripts there is dqlite-py sql")
    executor = Executor(url)
    Shell(executor).run_cli()
    if executor.conn is not None:
        executor.conn.close()

"""The command `dqlite-py`; each subcommand is loaded when it is used."""

from __future__ import annotations

from importlib import import_module

import click

import dqlite_dbapi
from dqlite_dbapi.cli.outcome import Commands

#: Each is the name of a module here and of the command in it.
COMMANDS = (
    *("shell", "sql", "cluster", "serve-status", "dump", "restore", "load", "doctor", "bench"),
)
_MODULES = dict.fromkeys(("dump", "restore", "load"), "copies") | {"serve-status": "serve"}


class LazyCommands(Commands):
    """Commands that are imported on first use, since some are large."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"dqlite_dbapi.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command


@click.group(cls=LazyCommands, no_args_is_help=False)
@click.version_option(dqlite_dbapi.__version__, message="%(version)s")
def cli() -> None:
    """Work with dqlite databases and clusters.

    URL is dqlite://host:port,host:port/database?option=value. `-` takes it from the environment
    variable DQLITE_URL, where it is out of sight of other users of this machine.
    """

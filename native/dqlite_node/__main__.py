"""`python -m dqlite_node`: the quickstart demo, and what the installed engine can do."""

from __future__ import annotations

import sys

import click

from dqlite_node import _lib, commands
from dqlite_node.certs import certs


@click.group()
def cli() -> None:
    """Host dqlite members."""


@cli.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def demo(arguments: tuple[str, ...]) -> None:
    """Run a three-member cluster that loses its leader."""
    from dqlite_node.quickstart.show import main

    sys.exit(main(arguments))


@cli.command()
def features() -> None:
    """Print the engine's version and what it can do beyond libdqlite 1.11.1."""
    old = "" if _lib.is_recommended() else " (before 1.18.6: for development only)"
    click.echo(f"libdqlite that calls itself {_lib.engine_version()}{old}")
    for name, present in _lib.features().items():
        click.echo(f"{'yes' if present else 'no':3} {name}")


for command in (commands.run, commands.recover, certs):
    cli.add_command(command)


if __name__ == "__main__":
    cli(prog_name="python -m dqlite_node")

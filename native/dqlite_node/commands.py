"""`python -m dqlite_node run` and `recover`.

Exit status of `run`: 0 after SIGTERM or SIGINT and an orderly stop, 1 if the member cannot start,
2 for wrong arguments, 3 if it ended by itself, 4 if it did not stop in order. Logs go to stderr.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import click

from dqlite_node.app import App
from dqlite_node.errors import NodeError
from dqlite_node.recovery import Recovery
from dqlite_node.tls import TLSFiles

CANNOT_START, ENDED, NOT_IN_ORDER = 1, 3, 4
TICK = 0.1
PATIENCE = 300  #: ticks that a member may be down, while it is started again

_log = logging.getLogger("dqlite_node")


def notify(message: str) -> None:
    """Tell the service manager, if there is one (sd_notify's protocol)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto(message.encode(), address)
        except OSError as error:
            _log.warning("the service manager cannot be told: %s", error)


def _addresses(_context: object, _parameter: object, values: tuple[str, ...]) -> list[str]:
    return [part for value in values for part in value.split(",") if part]


@click.command()
@click.option("--data-dir", required=True, type=click.Path(path_type=Path), help="One per member.")
@click.option("--address", required=True, help="host:port under which others reach this member.")
@click.option(
    "--cluster",
    multiple=True,
    callback=_addresses,
    help="Addresses of all members, the founder first; repeat it or separate by commas.",
)
@click.option("--bind", "bind_address", help="Where to listen, if not at --address.")
@click.option("--voters", default=3, show_default=True, help="Wanted voters, odd.")
@click.option("--standbys", default=3, show_default=True, help="Wanted standbys.")
@click.option("--failure-domain", default=0, show_default=True, help="Votes are spread over them.")
@click.option("--weight", default=0, show_default=True, help="High: roles go to others first.")
@click.option(
    "--adjust-interval",
    default=10.0,
    show_default=True,
    help="Seconds between looks at all members.",
)
@click.option(
    "--network-latency-ms",
    default=15,
    show_default=True,
    help="One way; elections take 15 to 30 of it.",
)
@click.option("--tls-ca", help="PEM file of the authorities to trust; switches TLS on.")
@click.option("--tls-cert", help="PEM file of this member's certificate.")
@click.option("--tls-key", help="PEM file of its key, if not in the same file.")
@click.option("--tls-server-name", help="The name in all members' certificates, if not the host.")
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["debug", "info", "warning", "error"]),
)
def run(log_level: str, **options: Any) -> None:
    """Host a member until SIGTERM or SIGINT; then hand over and stop."""
    logging.basicConfig(
        stream=sys.stderr, level=log_level.upper(), format="%(levelname)s %(name)s: %(message)s"
    )
    names = ("ca", "cert", "key", "server_name")
    files = {name: options.pop(f"tls_{name}") for name in names}
    if bool(files["ca"]) is not bool(files["cert"]):
        raise click.UsageError("--tls-ca and --tls-cert go together")
    sys.exit(serve({**options, "tls": TLSFiles(**files) if files["ca"] else None}))


def serve(options: dict[str, Any]) -> int:
    """Host a member as `App` with these options; the exit status."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        app = App(**options)
        app.start()
    except NodeError as error:
        click.echo(f"cannot start: {error}", err=True)
        return CANNOT_START
    status = watch(app, stop)
    notify("STOPPING=1")
    try:
        app.close()
    except NodeError as error:
        click.echo(f"not stopped in order: {error}", err=True)
        return status or NOT_IN_ORDER
    return status


def watch(app: App, stop: threading.Event) -> int:
    """Wait for `stop`, or for the end of the member; the exit status for it."""
    is_told, down = False, 0
    while not stop.wait(TICK):
        if app.failure is not None:
            click.echo(f"given up: {app.failure}", err=True)
            return ENDED
        down = 0 if app.node.is_running else down + 1
        if down > PATIENCE:
            click.echo(f"the member does not come back: {app.node.crash}", err=True)
            return ENDED
        if app.is_ready and not is_told:
            is_told = True
            _log.info("member %s is ready", app.address)
            notify(f"READY=1\nSTATUS=member {app.id} at {app.address}")
    return 0


@click.command()
@click.argument("directories", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--newest", type=click.Path(path_type=Path), help="Go on with this one; else found out."
)
@click.option("--address", help="Address of the survivor from now on.")
@click.option("--gone", multiple=True, callback=_addresses, help="Addresses not to ask.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
def recover(directories: tuple[Path, ...], dry_run: bool, **options: Any) -> None:
    """Make one of the surviving data DIRECTORIES a cluster of its own.

    For a cluster that lost its majority for good, once, with every member stopped; also for a sole
    member that has another address now.
    """
    try:
        with Recovery(directories, click.echo, **options) as recovery:
            chosen = recovery.prepare()
            if dry_run:
                recovery.rehearse(chosen)
            else:
                recovery.carry_out(chosen)
    except (NodeError, OSError) as error:
        raise click.ClickException(str(error)) from error

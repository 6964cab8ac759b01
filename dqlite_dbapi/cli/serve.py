"""`dqlite-py serve-status`: a page about a cluster, health checks and metrics, read-only."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

import click
from prometheus_client import exposition

from dqlite_dbapi import Client, Health, Options
from dqlite_dbapi.cli import page
from dqlite_dbapi.cli.history import History, Watcher
from dqlite_dbapi.cli.httpd import Answer, Routes, Server
from dqlite_dbapi.cli.metrics import Metrics
from dqlite_dbapi.cli.status import DOWN, state_of
from dqlite_dbapi.cli.target import url_argument

_KINDS = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
_MISSED = 3
_GRACE = 2.0


class Status:
    """Watches a cluster and knows what each path of the server gives."""

    def __init__(
        self,
        client: Client,
        *,
        interval: float,
        timeout: float,
        size: int,
        database: str | None = None,
        directory: Path | None = None,
    ) -> None:
        """Seconds between looks and for each, how many are kept, the database for a read."""
        self._history = History(size)
        self._metrics = Metrics(directory)
        limits = {"interval": interval, "timeout": timeout}
        self.watcher = Watcher(client, self._look, database=database, **limits)
        self._freshness = _MISSED * (interval + timeout) + _GRACE

    def _look(self, health: Health) -> None:
        self._metrics.add(self._history.add(health))

    def routes(self) -> Routes:
        """Every path there is."""
        static = files("dqlite_dbapi.cli") / "static"
        assets: Routes = {
            f"/{name}": partial(Answer, (static / name).read_bytes(), kind)
            for name, kind in _KINDS.items()
        }
        probes: Routes = {"/livez": self.livez, "/readyz": self.readyz, "/metrics": self.metrics}
        return {"/": self.page, **probes, **assets}

    def page(self) -> Answer:
        """The page for people."""
        return Answer(page.render(self._history.shown()).encode(), "text/html; charset=utf-8")

    def livez(self) -> Answer:
        """200 while this process does its work, whatever the cluster does."""
        if self.watcher.is_alive():
            return Answer(b"ok\n")
        return Answer(b"the watcher has ended\n", status=HTTPStatus.SERVICE_UNAVAILABLE)

    def readyz(self) -> Answer:
        """200 when a member leads and a quorum answers, as of a fresh look."""
        health = self._history.shown().health
        if health is None or self._history.age > self._freshness:
            reasons = ["no fresh look at the cluster"]
        elif state_of(health) == DOWN:
            reasons = list(health.warnings) or ["not ready"]
        else:
            return Answer(b"ok\n")
        body = "".join(f"{reason}\n" for reason in reasons).encode()
        return Answer(body, status=HTTPStatus.SERVICE_UNAVAILABLE)

    def metrics(self) -> Answer:
        """The metrics in Prometheus's text format."""
        return Answer(
            exposition.generate_latest(self._metrics.registry), exposition.CONTENT_TYPE_LATEST
        )


@click.command("serve-status")
@url_argument
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8008, show_default=True, help="0: a free one."
)
@click.option(
    *("--interval", "interval"),
    type=click.FloatRange(0.1, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between looks.",
)
@click.option(
    *("--timeout", "timeout"),
    type=click.FloatRange(0.1, 60),
    default=1.0,
    show_default=True,
    help="Seconds that a look may take.",
)
@click.option(
    *("--history", "size"),
    type=click.IntRange(10, 3600),
    default=300,
    show_default=True,
    help="Looks that the page shows.",
)
@click.option("--read", is_flag=True, help="Have the leader also answer a read in URL's database.")
@click.option(
    *("--data-dir", "directory"),
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of a member on this machine, for its size and the age of its snapshot.",
)
def serve_status(
    url: Options,
    host: str,
    port: int,
    interval: float,
    timeout: float,
    size: int,
    read: bool,
    directory: Path | None,
) -> None:
    """Serve a page about the cluster until Ctrl-C: members, leader, round trips, quorum.

    Read-only: / for people, /livez and /readyz for health checks, /metrics for Prometheus. There is
    no password and no TLS: to show it to other machines put a web server with both in front of it.
    """
    database = url.database if read else None
    with ExitStack() as stack:
        client = stack.enter_context(Client(url))
        status = Status(
            client,
            interval=interval,
            timeout=timeout,
            size=size,
            database=database,
            directory=directory,
        )
        server = stack.enter_context(Server(host, port, status.routes()))
        stack.callback(status.watcher.end)
        status.watcher.start()
        click.echo(server.url)
        server.serve_forever()

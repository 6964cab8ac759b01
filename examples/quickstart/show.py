"""The whole story, in the order in which it happens."""

from __future__ import annotations

import argparse
import signal
import socket
from collections.abc import Sequence
from contextlib import closing

from rich.console import Console
from sqlalchemy import Engine, create_engine

from dqlite_node import LocalCluster

from .errors import QuickstartError
from .failover import SECONDS_TO_RECOVER, bring_back, verify_rows, write_through_failover
from .interrupts import orderly_interrupts
from .models import Country
from .queries import countries_with_most_zones, load, northernmost_zone
from .report import Report
from .schema import migrate
from .zonetable import read_zone_table

KEPT_PORTS = (9001, 9002, 9003)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the quickstart; return the exit status: 0, 1 (something failed) or 130 (Ctrl-C)."""
    parser = argparse.ArgumentParser(prog="python -m dqlite_node demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the members up until Ctrl-C")
    options = parser.parse_args(argv)
    console = Console()
    try:
        with orderly_interrupts():
            run(console, keep=options.keep)
    except KeyboardInterrupt:
        console.print("interrupted; every member is stopped")
        return 130
    except QuickstartError as error:
        console.print(f"[bold red]failed:[/] {error}")
        return 1
    return 0


def run(console: Console, *, keep: bool) -> None:
    """Tell the story. Raises QuickstartError when something that must hold does not."""
    countries = read_zone_table()
    report = Report(console)
    with closing(LocalCluster(3, ports=_ports_to_keep() if keep else None)) as cluster:
        with report.step("three members form a cluster") as result:
            cluster.start()
            leader = cluster.wait_leader(SECONDS_TO_RECOVER)
            result(f"{', '.join(cluster.addresses)}\nleader {leader}")
        url = cluster_url(cluster.addresses)
        engine = create_engine(url)
        try:
            use_tables(report, engine, countries)
            lose_the_leader(report, engine, cluster)
        finally:
            engine.dispose()
        report.print_table()
        if keep:
            _wait_for_ctrl_c(console, cluster.addresses, url)


def cluster_url(addresses: Sequence[str]) -> str:
    """`dqlite://h1:p/quickstart?host=h2:p&host=h3:p`; any one of the hosts would do."""
    first, *others = addresses
    return f"dqlite://{first}/quickstart?" + "&".join(f"host={other}" for other in others)


def use_tables(report: Report, engine: Engine, countries: list[Country]) -> None:
    """Migrate, load and query, as on any database."""
    with report.step("Alembic migrates") as result:
        for revision in migrate(engine.url.render_as_string()):
            result(revision)
    with report.step("the ORM loads the IANA zone table") as result:
        stored, zones = load(engine, countries)
        result(f"{zones} zones in {stored} countries")
    with report.step("queries join and aggregate") as result:
        for name, count in countries_with_most_zones(engine, 3):
            result(f"{name}: {count} zones")
        result(f"northernmost: {northernmost_zone(engine)}")


def lose_the_leader(report: Report, engine: Engine, cluster: LocalCluster) -> None:
    """Kill the leader under load, count, and bring it back."""
    with report.step("SIGKILL hits the leader while rows are written") as result:
        writer, victim = write_through_failover(engine, cluster)
        result(f"killed {cluster.addresses[victim]}")
        result(f"writes paused for {writer.longest_pause():.2f} s")
        result(f"tries that failed: {writer.failures}, with unknown outcome: {writer.unknown}")
    with report.step("every acknowledged row is there once") as result:
        stored = verify_rows(engine, writer)
        result(f"{len(writer.acknowledged)} acknowledged, {stored} found")
        result(f"new leader {cluster.wait_leader(SECONDS_TO_RECOVER)}")
    with report.step("the dead member comes back") as result:
        for address, role in bring_back(cluster, victim).items():
            result(f"{address} {role}")


def _ports_to_keep() -> list[int] | None:
    """The documented ports when all are free, else None: any ports will do."""
    for port in KEPT_PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                return None
    return list(KEPT_PORTS)


def _wait_for_ctrl_c(console: Console, addresses: Sequence[str], url: str) -> None:
    console.print(f"members: {', '.join(addresses)}")
    console.print(f"engine:  create_engine({url!r})", soft_wrap=True)
    console.print("Ctrl-C stops them")
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("stopping")

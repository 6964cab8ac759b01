"""`dqlite-py doctor`: a text about an installation, a data directory and a cluster."""

from __future__ import annotations

import platform
import resource
import socket
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import click

import dqlite_dbapi
from dqlite_dbapi import Client, Error, Health, Options, Role
from dqlite_dbapi.cli.outcome import DONE, FAILED
from dqlite_dbapi.cli.target import read_url
from dqlite_dbapi.options import split_address

_PACKAGES = ("cffi", "PyYAML", "SQLAlchemy", "alembic", "click", "rich", "litecli", "cryptography")
_MIB = 1 << 20
_FEW_FILES = 1024
_MANY_FILES = 100


class Fact(NamedTuple):
    """A line of the text; `advice` is what to do about it, "" for nothing."""

    name: str
    value: object
    advice: str = ""


def versions() -> Iterator[Fact]:
    """This Python, the system and the packages that matter."""
    yield Fact("dqlite-python", dqlite_dbapi.__version__)
    yield Fact("python", f"{platform.python_implementation()} {platform.python_version()}")
    yield Fact("system", f"{platform.system()} {platform.release()} {platform.machine()}")
    yield Fact("C library", " ".join(platform.libc_ver()))
    yield Fact("sqlite3 module", sqlite3.sqlite_version)
    for name in _PACKAGES:
        try:
            yield Fact(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Fact(name, "not installed")
    is_slow = dqlite_dbapi.accelerator == "python"
    advice = "rows are decoded in Python: install a build with the C part" if is_slow else ""
    yield Fact("row decoder", dqlite_dbapi.accelerator, advice)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield Fact("open files", files, "" if files >= _FEW_FILES else "raise it (ulimit -n)")


def engine() -> Iterator[Fact]:
    """The libdqlite that members hosted from here would run on."""
    from dqlite_node import NodeError, engine_version, features, is_recommended

    try:
        version = engine_version()
    except NodeError as error:
        yield Fact("libdqlite", "none", f"no member can be hosted from here: {error.message}")
        return
    old = "" if is_recommended() else "use 1.18.6 or later in production"
    yield Fact("libdqlite", version, old)
    for name, present in features().items():
        yield Fact(name, "yes" if present else "no")


def options(url: Options) -> Iterator[Fact]:
    """Addresses, and the names of the options that were given: their values may be secrets."""
    yield Fact("database", url.database)
    given = [
        item.name
        for item in fields(Options)
        if item.name not in ("addresses", "database") and getattr(url, item.name) != item.default
    ]
    yield Fact("options given", ", ".join(given) or "none")
    for address in url.addresses:
        yield Fact(address, *_resolved(address))


def _resolved(address: str) -> tuple[str, str]:
    if address.startswith("@"):
        return "abstract socket", ""
    try:
        found = socket.getaddrinfo(*split_address(address), type=socket.SOCK_STREAM)
    except OSError as error:
        return f"no such host ({error.strerror})", "correct the name, or the name service"
    return ", ".join(sorted({str(each[4][0]) for each in found})), ""


def cluster(url: Options, timeout: float) -> Iterator[Fact]:
    """Who answers within `timeout` seconds, and what the cluster survives."""
    try:
        with Client(url) as client:
            health = client.health(timeout)
    except Error as error:
        yield Fact("members", "not asked", str(error))
        return
    yield Fact("leader", health.leader or "none")
    yield Fact("voters", f"{health.voters}, of which {health.voters_reachable} answer")
    yield Fact("quorum", health.quorum, _quorum_advice(health))
    for member in health.members:
        domain = f", failure domain {member.failure_domain}" if member.failure_domain else ""
        answer = "" if member.round_trip is None else f", {member.round_trip:.1f} ms"
        state = f"{member.role_name}{answer}{domain}" + ("" if member.reachable else ", no answer")
        yield Fact(f"member {member.id} {member.address}", state)
    for warning in health.warnings:
        yield Fact("warning", "", warning)


def _quorum_advice(health: Health) -> str:
    if health.voters == 1:
        return "one voter survives no failure: use three"
    if health.voters and health.voters % 2 == 0:
        return f"{health.voters} voters survive no more failures than {health.voters - 1}"
    voters = [member for member in health.members if member.role == Role.VOTER]
    domains = {member.failure_domain for member in voters if member.failure_domain}
    if len(voters) > 1 and len(domains) == 1 and all(each.failure_domain for each in voters):
        return "all voters are in one failure domain"
    return ""


def directory(path: Path) -> Iterator[Fact]:
    """A member's data directory, which is only looked at."""
    from dqlite_node import NodeError, files, space

    if not path.is_dir():
        yield Fact("directory", "not there", f"there is no directory {path}")
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    wide = "others may read it: chmod 700" if mode & 0o077 else ""
    yield Fact("mode", f"{mode:o}", wide)
    room = space.look(path, None)
    sizes = [entry.stat().st_size for entry in path.iterdir() if entry.is_file()]
    low = f"a member leaves below {room.limit // _MIB} MiB" if room.is_low else ""
    yield Fact("free on disk", f"{room.free // _MIB} MiB", low)
    many = "many log segments: do snapshots fail?" if len(sizes) > _MANY_FILES else ""
    yield Fact("files", f"{len(sizes)}, {sum(sizes) // _MIB} MiB", many)
    try:
        identity = files.read_identity(path)
        files.check_damage(path)
    except NodeError as error:
        yield Fact("content", "damaged", error.message)
        return
    if identity is None:
        yield Fact("member", "none was started here")
    else:
        yield Fact("member", f"{identity.id} at {identity.address}")
        yield Fact("port", _listener(identity.address))


def _listener(address: str) -> str:
    try:
        socket.create_connection(split_address(address), timeout=1.0).close()
    except OSError as error:
        return f"nobody listens there ({error})"
    return "somebody listens there"


@click.command()
@click.argument("url", type=read_url, metavar="[URL]", required=False)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Of a member on this machine.")
@click.option("--timeout", default=2.0, show_default=True, help="Seconds for the members.")
def doctor(url: Options | None, data_dir: Path | None, timeout: float) -> int:
    """Print versions, engine features, ports, quorum and advice, for a bug report.

    It changes nothing and prints no values of options. Exit status 1 if there is advice.
    """
    sections = [("Versions", list(versions())), ("Engine", list(engine()))]
    if data_dir is not None:
        sections.append(("Data directory", list(directory(data_dir))))
    if url is not None:
        sections.append(("Target", list(options(url))))
        sections.append(("Cluster", list(cluster(url, timeout))))
    for title, facts in sections:
        click.echo(f"## {title}\n")
        for fact in facts:
            if fact.value != "":
                click.echo(f"- {fact.name}: {fact.value}")
        click.echo("")
    advice = [fact for _, facts in sections for fact in facts if fact.advice]
    click.echo("## Advice\n")
    for fact in advice:
        click.echo(f"- {fact.name}: {fact.advice}")
    if not advice:
        click.echo("- none")
    return FAILED if advice else DONE

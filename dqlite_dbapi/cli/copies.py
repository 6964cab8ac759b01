"""`dqlite-py dump`, `restore` and `load`: copies with a progress bar and a checksum beside."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress import TimeRemainingColumn as Remaining

from dqlite_dbapi import Options, snapshot
from dqlite_dbapi.cli.target import url_argument
from dqlite_dbapi.snapshot import Loaded

_CHUNK = 1 << 20
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def checksum_file(path: Path) -> Path:
    """Where the checksum of `path` is kept, in the format of `sha256sum`."""
    return path.with_name(f"{path.name}.sha256")


def digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def verify(path: Path) -> str:
    """Compare a file with the checksum beside it and say what came of it in a few words.

    `ClickException` if they differ.
    """
    beside = checksum_file(path)
    try:
        wanted = beside.read_text(encoding="utf-8").partition(" ")[0].strip()
    except FileNotFoundError:
        return "no checksum beside it"
    if wanted != digest(path):
        raise click.ClickException(f"{path} is not what {beside.name} says: it was changed")
    return "checksum verified"


@contextmanager
def _progress(title: str, amount: Any) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal; the function is told what is done of how much."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), amount, Remaining())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@click.command()
@url_argument
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@click.option("--address", help="Copy from this member instead of the leader.")
@click.option(
    "--check", is_flag=True, help="Run SQLite's integrity check before FILE is put there."
)
@click.option("--timeout", default=30.0, show_default=True, help="Seconds that it may stall.")
def dump(url: Options, path: Path, address: str | None, check: bool, timeout: float) -> None:
    """Copy URL's database into the SQLite file FILE, and its checksum into FILE.sha256.

    FILE is replaced when the copy is whole. A copy that was interrupted begins anew.
    """
    beside = checksum_file(path)
    with _progress(f"dump {url.database}", DownloadColumn()) as tell:
        copied = snapshot.dump(
            url, path, address=address, check=check, timeout=timeout, progress=tell
        )
    beside.write_text(f"{digest(path)}  {path.name}\n", encoding="utf-8")
    origin = "the leader" if copied.is_leader else "a member that does not lead"
    click.echo(f"{path}: {copied.size} bytes from {origin}, {copied.address}")


def _filling(command: Callable[..., None]) -> Callable[..., None]:
    """The options that `restore` and `load` share."""
    for option in (
        click.option("--overwrite", is_flag=True, help="Drop what is in the database first."),
        click.option("--batch", default=1000, show_default=True, help="Rows of a transaction."),
        click.option("--check", is_flag=True, help="Compare all values at the end."),
        click.option("--deadline", default=60.0, show_default=True, help="Seconds for a batch."),
    ):
        command = option(command)
    return command


def _fill(work: Callable[..., Loaded], url: Options, source: Any, **wishes: Any) -> None:
    with _progress(f"fill {url.database}", MofNCompleteColumn()) as tell:
        try:
            loaded = work(url, source, progress=tell, **wishes)
        except KeyboardInterrupt:
            click.echo("dqlite-py: the same command goes on where this one was", err=True)
            raise
    resumed = ", went on with an interrupted one" if loaded.resumed else ""
    click.echo(f"{url.database}: {loaded.rows} rows in {len(loaded.tables)} tables{resumed}")
    if loaded.violations:
        click.echo(f"dqlite-py: {loaded.violations} rows break foreign keys", err=True)


@click.command()
@url_argument
@click.argument("path", type=_FILE, metavar="FILE")
@_filling
def restore(url: Options, path: Path, **wishes: Any) -> None:
    """Copy the SQLite file FILE into URL's database, which must be empty.

    FILE.sha256 is compared first if it is there. Interrupted, the same command goes on.
    """
    click.echo(f"{path}: {verify(path)}")
    _fill(snapshot.restore, url, path, **wishes)


@click.command()
@url_argument
@click.argument("script", type=_FILE, metavar="SCRIPT")
@_filling
def load(url: Options, script: Path, **wishes: Any) -> None:
    """Run the SQL text SCRIPT into URL's database, which must be empty.

    It is tried in a temporary SQLite file first. Checksum and resume as for restore.
    """
    click.echo(f"{script}: {verify(script)}")
    _fill(snapshot.load, url, script, **wishes)

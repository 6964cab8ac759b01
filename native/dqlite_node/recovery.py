"""After the loss of a majority: make the survivor with the newest log a cluster of its own.

The other members then join it with empty directories, so that nobody has to copy a directory or to
run this more than once.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dqlite_dbapi import NodeInfo, Role
from dqlite_node import _lib, files
from dqlite_node.dial import check_advertised, served
from dqlite_node.errors import NodeError
from dqlite_node.files import DirectoryLock, Identity
from dqlite_node.store import Store

ASK_TIMEOUT = 1.0  #: seconds in which a member that runs accepts a connection
ENGINE_LOCK = "dqlite-lock"  #: locked by a running engine from 1.16.5 on (W 9.3)


class RecoveryError(NodeError):
    """Recovery is refused, or did not work; what was done until then has been told."""


@dataclass(frozen=True)
class Survivor:
    """A data directory; `last` is term and index of its last entry, None if unknown."""

    directory: Path
    identity: Identity
    members: tuple[NodeInfo, ...]
    last: tuple[int, int] | None


class Recovery:
    """One run of the procedure: `prepare`, then `carry_out` unless it is only a rehearsal.

    Each step is told, in words, to `tell`. Methods raise RecoveryError or NodeError.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        tell: Callable[[str], None],
        *,
        newest: Path | None = None,
        address: str | None = None,
        gone: Sequence[str] = (),
    ) -> None:
        """`directories`: those of all survivors that can be reached from here.

        newest: the one to go on with, which engines before 1.17 cannot find out. address: under
        which it is reached from now on. gone: addresses that now belong to something else.
        """
        self._directories = [path.absolute() for path in directories]
        self._newest = newest.absolute() if newest else None
        self._address = check_advertised(address) if address else None
        self._gone = frozenset(gone)
        self._tell = tell
        self._resources = ExitStack()

    def __enter__(self) -> Recovery:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._resources.close()

    def prepare(self) -> Survivor:
        """Check that nobody runs and find the newest log; changes nothing."""
        if self._newest is not None and self._newest not in self._directories:
            raise RecoveryError(f"{self._newest} is not among the directories given")
        for directory in self._directories:
            self._lock(directory)
        survivors = [survey(directory) for directory in self._directories]
        self._check_nobody_runs(survivors)
        for survivor in survivors:
            self._tell(f"found {describe(survivor)}")
        chosen = self._choose(survivors)
        self._tell(f"the newest log is that of member {chosen.identity.id} in {chosen.directory}")
        return chosen

    def carry_out(self, chosen: Survivor) -> None:
        """Back up, recover, set the other directories aside."""
        stamp = time.strftime(".backup-%Y%m%dT%H%M%SZ", time.gmtime())
        backup = _beside(chosen.directory, stamp)
        shutil.copytree(chosen.directory, backup)
        self._tell(f"copied {chosen.directory} to {backup}")
        identity = self._recover(chosen)
        for directory in self._directories:
            if directory != chosen.directory:
                directory.rename(_beside(directory, stamp))
                self._tell(f"moved {directory} to {_beside(directory, stamp)}")
        for line in next_steps(chosen, identity):
            self._tell(line)

    def _recover(self, chosen: Survivor) -> Identity:
        identity = Identity(
            chosen.identity.id, self._address or chosen.identity.address, int(Role.VOTER)
        )
        with _handle(identity, chosen.directory) as handle:
            handle.recover(identity.id, identity.address)
        files.write_identity(chosen.directory, identity)
        files.end_join(chosen.directory)
        Store(chosen.directory).write_members(
            [NodeInfo(identity.id, identity.address, int(Role.VOTER), False)]
        )
        self._tell(f"made member {identity.id} at {identity.address} the only one of its cluster")
        return identity

    def rehearse(self, chosen: Survivor) -> None:
        """Tell what `carry_out` would do."""
        address = self._address or chosen.identity.address
        self._tell(f"would copy {chosen.directory} to a backup beside it")
        self._tell(f"would make member {chosen.identity.id} at {address} the only one")
        for directory in self._directories:
            if directory != chosen.directory:
                self._tell(f"would move {directory} to a backup beside it")

    def _lock(self, directory: Path) -> None:
        if not directory.is_dir():
            raise RecoveryError(f"there is no directory {directory}")
        self._resources.callback(DirectoryLock(directory).release)
        if _engine_runs(directory):
            raise RecoveryError(
                f"a member runs in {directory}", hint="stop every member of the cluster first"
            )

    def _check_nobody_runs(self, survivors: Sequence[Survivor]) -> None:
        addresses = {each.identity.address for each in survivors}
        addresses |= {member.address for each in survivors for member in each.members}
        running = served(sorted(addresses - self._gone), ASK_TIMEOUT)
        if running:
            raise RecoveryError(
                f"somebody still answers at {', '.join(running)}",
                hint="stop every member of the cluster first; if an address belongs to something"
                " else by now, name it with --gone",
            )

    def _choose(self, survivors: Sequence[Survivor]) -> Survivor:
        if self._newest is not None:
            return next(each for each in survivors if each.directory == self._newest)
        if len(survivors) == 1:
            return survivors[0]
        if any(each.last is None for each in survivors):
            raise RecoveryError(
                f"libdqlite {_lib.engine_version()} cannot tell which log is the newest",
                hint="run this with 1.17 or later, or choose with --newest: the directory with the"
                " highest numbers in its segments' names",
            )
        return max(survivors, key=lambda each: each.last or (0, 0))


def survey(directory: Path) -> Survivor:
    """Who the directory belongs to, and how far its log goes as far as the engine can tell."""
    identity = files.read_identity(directory)
    if identity is None or not files.has_data(directory):
        raise RecoveryError(f"{directory} holds no member's data")
    members = tuple(Store(directory).members())
    if not _lib.features()["describe_last_entry"]:
        return Survivor(directory, identity, members, None)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as copy:
        shutil.copytree(directory, copy, dirs_exist_ok=True)
        with _handle(identity, Path(copy)) as handle:
            return Survivor(directory, identity, members, handle.last_entry())


def describe(survivor: Survivor) -> str:
    """One line about a survivor."""
    newest = max((path.name for path in survivor.directory.glob("0*-*")), default="none")
    far = "term {}, index {}".format(*survivor.last) if survivor.last else f"up to {newest}"
    who = f"member {survivor.identity.id} at {survivor.identity.address}"
    return f"{who} in {survivor.directory}: log {far}"


def next_steps(chosen: Survivor, identity: Identity) -> Iterator[str]:
    """What is left to do by hand."""
    yield f"next: start the member at {identity.address}; it holds all the data that was saved"
    for member in chosen.members:
        if member.id not in (0, identity.id):
            yield (
                f"then: on {member.address} move the data directory away, if it is still there, "
                f"and start it with --cluster {identity.address}"
            )


@contextmanager
def _handle(identity: Identity, directory: Path) -> Iterator[_lib.Handle]:
    handle = _lib.Handle(identity.id, identity.address, str(directory))
    try:
        if _lib.features()["set_auto_recovery"]:
            handle.set_option("set_auto_recovery", False)
        yield handle
    finally:
        handle.destroy()


def _engine_runs(directory: Path) -> bool:
    """Whether an engine, not necessarily under this package, has the directory locked."""
    try:
        descriptor = os.open(directory / ENGINE_LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _beside(directory: Path, suffix: str) -> Path:
    return directory.with_name(directory.name + suffix)

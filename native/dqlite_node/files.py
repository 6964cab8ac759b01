"""A member's data directory: identity, lock, signs of damage.

`info.yaml` has go-dqlite's format: keys ID, Address, Role (0 voter, 1 standby, 2 spare).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from dqlite_node.errors import NodeStartError

#: Ids with which an empty directory becomes a cluster of its own (W 9.3).
BOOTSTRAP_ID = 0x2DC171858C3155BE
BOOTSTRAP_IDS = frozenset({1, BOOTSTRAP_ID})
INFO_FILE = "info.yaml"
JOIN_FILE = "join"
LOCK_FILE = "member.lock"
VOTER, SPARE = 0, 2


@dataclass(frozen=True)
class Identity:
    """What a member must keep between starts: its id, advertised address and last known role."""

    id: int
    address: str
    role: int


def generate_id() -> int:
    """Random member id of 63 bits, never 0 nor a bootstrap id."""
    while True:
        number = secrets.randbits(63)
        if number and number not in BOOTSTRAP_IDS:
            return number


def prepare_directory(directory: Path) -> None:
    """Make the directory (mode 0700) if missing; NodeStartError if it cannot be used."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise NodeStartError(
            f"data directory {directory} cannot be used: {error.strerror}",
            hint="give a directory that this user may write to",
        ) from error


def read_identity(directory: Path) -> Identity | None:
    """Identity kept in the directory; None if there is none, NodeStartError if it is unreadable."""
    path = directory / INFO_FILE
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Identity(int(data["ID"]), str(data["Address"]), int(data["Role"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise NodeStartError(
            f"{path} is not readable as a member's identity: {error!r}",
            hint="restore it (keys ID, Address, Role) from the cluster's list of members",
        ) from error


def write_identity(directory: Path, identity: Identity) -> None:
    """Write the identity by temporary file (mode 0600) and rename; durable on return."""
    data = {"ID": identity.id, "Address": identity.address, "Role": identity.role}
    descriptor, name = tempfile.mkstemp(dir=directory, prefix=f"{INFO_FILE}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yaml.safe_dump(data, file, sort_keys=False)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(directory / INFO_FILE)


def has_data(directory: Path) -> bool:
    """Whether an engine has run in the directory."""
    return (directory / "metadata1").exists()


def is_joining(directory: Path) -> bool:
    """Whether the directory's member has still to join a cluster (go-dqlite's empty flag)."""
    return (directory / JOIN_FILE).exists()


def begin_join(directory: Path) -> None:
    """Note that the member has still to join."""
    (directory / JOIN_FILE).touch(mode=0o600)


def end_join(directory: Path) -> None:
    """Note that the member is in the cluster; nothing happens the second time."""
    (directory / JOIN_FILE).unlink(missing_ok=True)


def check_damage(directory: Path) -> None:
    """Raise NodeStartError if the engine has put a damaged segment aside: its rows are gone."""
    damaged = sorted(path.name for path in directory.glob("corrupt-*"))
    if damaged:
        raise NodeStartError(
            f"data directory {directory} is damaged: the engine put aside {', '.join(damaged)}",
            hint="remove this member from the cluster and add it again with an empty directory",
        )


class DirectoryLock:
    """An exclusive `flock` on the directory's lock file, held until `release`.

    The kernel frees it when the process ends, however that happens.
    """

    def __init__(self, directory: Path) -> None:
        """Take the lock; NodeStartError if another member holds it, in any process."""
        path = directory / LOCK_FILE
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            raise NodeStartError(
                f"data directory {directory} is in use by another member",
                hint="one directory per member; stop the other one first",
            ) from error

    def release(self) -> None:
        """Free the lock; once only."""
        os.close(self._descriptor)

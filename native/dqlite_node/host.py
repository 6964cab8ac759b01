"""Hosts one member in this process: directory, identity, C handle, in the one right order."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from dqlite_node import _lib, files
from dqlite_node.dial import Dialer, numeric_address, split_address
from dqlite_node.errors import NodeError, NodeStartError, NodeStopError


@dataclass(frozen=True)
class Settings:
    """What a member is started with; plain values, so that they travel to a child as JSON.

    `connect_timeout` in seconds; `dialer` is `own`, or for measurements `engine`, which leaves
    libdqlite's own TCP in place.
    """

    node_id: int
    address: str
    bind_address: str
    data_dir: str
    network_latency_ms: int
    failure_domain: int
    snapshot_params: tuple[int, int] | None
    connect_timeout: float
    dialer: str


@dataclass(frozen=True)
class Facts:
    """What a started member tells: where it listens, and whether its engine is recommended."""

    bind_address: str
    engine_version: str
    engine_recommended: bool


class Host:
    """One start of one member in this process; `start` once, then `stop` once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process = os.getpid()
        self._lock: files.DirectoryLock | None = None
        self._handle: _lib.Handle | None = None

    @property
    def pid(self) -> int:
        """Process that hosts the member."""
        return self._process

    @property
    def is_alive(self) -> bool:
        """True until `stop`: what hosts the member is this very process."""
        return self._handle is not None

    def start(self) -> Facts:
        """Lock the directory, check its identity, bind and start; all undone on failure.

        Raises NodeStartError, or NodeError if the C part is missing.
        """
        directory = Path(self._settings.data_dir)
        files.prepare_directory(directory)
        self._lock = files.DirectoryLock(directory)
        try:
            identity = files.check_identity(
                directory, self._settings.node_id, self._settings.address
            )
            files.check_damage(directory)
            self._handle = self._create()
            self._configure(self._handle)
            self._bind(self._handle)
            files.write_identity(directory, identity)
            return self._run(self._handle, directory)
        except BaseException:
            self._release()
            raise

    def stop(self) -> None:
        """Stop the member and free everything; raises NodeStopError if libdqlite refuses.

        In a process forked from the hosting one this does nothing: the member is not there.
        """
        if self._handle is None or os.getpid() != self._process:
            return
        try:
            self._handle.stop()
        except NodeError as error:
            raise NodeStopError(error.message, address=self._settings.address) from error
        self._release()

    def abandon(self) -> None:
        """Stop the member because its owner is gone, at the latest at interpreter exit."""
        self.stop()

    def _release(self) -> None:
        if self._handle is not None:
            self._handle.destroy()
            self._handle = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _fail(self, error: NodeError, hint: str | None = None) -> NodeStartError:
        return NodeStartError(
            f"no start in {self._settings.data_dir}: {error.message}",
            address=self._settings.address,
            hint=hint,
        )

    def _create(self) -> _lib.Handle:
        settings = self._settings
        try:
            return _lib.Handle(settings.node_id, settings.address, settings.data_dir)
        except NodeError as error:
            raise self._fail(error, error.hint or "are the directory's files damaged?") from error

    def _configure(self, handle: _lib.Handle) -> None:
        settings = self._settings
        try:
            if settings.dialer == "own":
                handle.set_dialer(Dialer(settings.connect_timeout))
            handle.set_network_latency(settings.network_latency_ms)
            handle.set_failure_domain(settings.failure_domain)
            if settings.snapshot_params is not None:
                handle.set_snapshot_params(*settings.snapshot_params)
            if _lib.features()["set_auto_recovery"]:
                handle.disable_auto_recovery()
        except NodeError as error:
            raise self._fail(error) from error

    def _bind(self, handle: _lib.Handle) -> None:
        try:
            numeric = numeric_address(self._settings.bind_address)
        except NodeError as error:
            raise self._fail(error, error.hint) from error
        try:
            handle.bind(numeric)
        except NodeError as error:
            raise self._fail(error, bind_problem(numeric)) from error

    def _run(self, handle: _lib.Handle, directory: Path) -> Facts:
        try:
            handle.start()
        except NodeError as error:
            raise self._fail(error) from error
        facts = Facts(handle.bind_address, _lib.engine_version(), _lib.is_recommended())
        try:
            files.check_damage(directory)
        except NodeStartError:
            handle.stop()
            raise
        return facts


def bind_problem(numeric: str) -> str | None:
    """Why a numeric address cannot be bound, tried with a socket of our own; None if it can.

    libdqlite 1.11 gives a number without text.
    """
    if numeric.startswith("@"):
        return None
    family = socket.AF_INET6 if numeric.startswith("[") else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(split_address(numeric))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return f"{numeric} is taken by another process; choose another port"
            return f"{numeric} cannot be bound: {error.strerror}"
    if family == socket.AF_INET6:
        return "libdqlite 1.11 binds IPv4 only"
    return None

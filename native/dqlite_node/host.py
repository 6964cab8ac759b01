"""One start of the engine in this process: the C handle, used in the one right order."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

from dqlite_node import _lib, files
from dqlite_node.dial import Dialer, numeric_address, split_address
from dqlite_node.errors import NodeError, NodeStartError, NodeStopError
from dqlite_node.incoming import hang_up
from dqlite_node.proxy import Gate, make_gate
from dqlite_node.settings import STRATEGIES, Settings


class Host:
    """One handle: `prepare`, then `run`, then `stop`; or `stop` at any moment. Not thread safe.

    A prepared one holds its port, but nobody can connect to it.
    """

    def __init__(self, settings: Settings, node_id: int) -> None:
        self._settings = settings
        self._node_id = node_id
        self._handle: _lib.Handle | None = None
        self._gate: Gate | None = None
        self._bound = ""
        self._runs = False

    @property
    def runs(self) -> bool:
        """True between `run` and `stop`."""
        return self._runs

    @property
    def bind_address(self) -> str:
        """Where the prepared handle is bound; "" before."""
        return self._bound

    def prepare(self) -> None:
        """Create, set options and bind; all undone on failure.

        Raises NodeStartError, or NodeError if the C part is missing.
        """
        settings = self._settings
        try:
            if settings.tls is not None:
                self._gate = make_gate(settings.tls, settings.address, settings.connect_timeout)
            self._handle = self._create()
            self._configure(self._handle)
            self._bind(self._handle)
        except BaseException:
            self.stop()
            raise

    def run(self) -> None:
        """Load the data and serve; NodeStartError, for a damaged directory as well."""
        assert self._handle is not None  # noqa: S101 - `prepare` came first
        try:
            self._handle.start()
        except NodeError as error:
            self.stop()
            hint = "see the engine's last lines; a damaged file is named there"
            raise self._fail(error, hint) from error
        self._runs = True
        if not self._settings.auto_recovery:
            try:
                files.check_damage(Path(self._settings.data_dir))
            except NodeStartError:
                self.stop()
                raise
        if self._gate is not None:
            self._open(self._gate, self._handle.bind_address)

    def stop(self, *, exits: bool = False) -> None:
        """Stop and free everything; NodeStopError if libdqlite refuses.

        Where the process `exits` next the engine's memory is left to that: 1.18.7 aborts in freeing
        it if a client was lost in the wrong moment (`db->leaders == 0`).
        """
        if self._gate is not None:
            self._gate.stop_listening()
        if self._handle is not None:
            self._stop_engine(self._handle)
            if not exits:
                self._handle.destroy()
            self._handle = None
        if self._gate is not None:
            self._gate.close()
            self._gate = None
        self._bound = ""

    def reload_tls(self) -> None:
        """Read the certificate's files again for the connections that come."""
        if self._gate is not None:
            self._gate.refresh()

    def _open(self, gate: Gate, engine: str) -> None:
        try:
            gate.listen(engine)
        except NodeError as error:
            bound = self._bound
            self.stop()
            raise self._fail(error, bind_problem(bound)) from error

    def _stop_engine(self, handle: _lib.Handle) -> None:
        if self._runs:
            if not _lib.stops_amid_answers():
                hang_up(handle.bind_address)
            try:
                handle.stop()
            except NodeError as error:
                raise NodeStopError(error.message, address=self._settings.address) from error
            self._runs = False

    def _fail(self, error: NodeError, hint: str | None = None) -> NodeStartError:
        return NodeStartError(
            f"no start in {self._settings.data_dir}: {error.message}",
            address=self._settings.address,
            hint=hint,
        )

    def _create(self) -> _lib.Handle:
        settings = self._settings
        try:
            return _lib.Handle(self._node_id, settings.address, settings.data_dir)
        except NodeError as error:
            raise self._fail(error, error.hint or "are the directory's files damaged?") from error

    def _configure(self, handle: _lib.Handle) -> None:
        settings = self._settings
        try:
            if self._gate is not None:
                handle.set_dialer(self._gate.dial)
            elif settings.dialer == "own":
                handle.set_dialer(Dialer(settings.connect_timeout))
            handle.set_network_latency(settings.network_latency_ms)
            handle.set_failure_domain(settings.failure_domain)
            self._set_snapshots(handle)
            for name, value in (
                ("set_snapshot_compression", settings.snapshot_compression),
                ("set_block_size", settings.block_size),
                ("set_busy_timeout", settings.busy_timeout_ms),
                ("set_pool_thread_count", settings.pool_threads),
            ):
                if value is not None:
                    handle.set_option(name, value)
            if _lib.features()["set_auto_recovery"]:
                handle.set_option("set_auto_recovery", settings.auto_recovery)
        except NodeError as error:
            raise self._fail(error, error.hint) from error

    def _set_snapshots(self, handle: _lib.Handle) -> None:
        params, strategy = self._settings.snapshot_params, self._settings.snapshot_strategy
        if params is not None and strategy is not None:
            handle.set_option("set_snapshot_params_v2", *params, STRATEGIES.index(strategy))
        elif params is not None:
            handle.set_snapshot_params(*params)

    def _bind(self, handle: _lib.Handle) -> None:
        try:
            numeric = numeric_address(self._settings.bind_address)
        except NodeError as error:
            raise self._fail(error, error.hint) from error
        try:
            if self._gate is None:
                handle.bind(numeric)
                self._bound = handle.bind_address
            else:
                handle.bind("@")
                self._bound = self._gate.bind(numeric)
        except NodeError as error:
            raise self._fail(error, bind_problem(numeric)) from error


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
